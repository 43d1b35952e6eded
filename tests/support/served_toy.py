"""A SavedModel that answers as its texts say, and a server of it in a process."""

import contextlib
import dataclasses
import json
import pathlib
import re
import signal
import subprocess

import isolated
import serve
import tensorflow as tf

CLASS_NAMES = ["schlecht", "gut ✓"]
COMMANDS = re.compile(r"sleep [0-9.]+|fail|nan")  # of the toy, see there
SCRIPT = pathlib.Path(serve.__file__)


class Toy(tf.Module):
    """Probabilities that follow from each text alone.

    But "sleep 0.5" takes half a second, "fail" fails, and "nan" gives no number.
    """

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="text")])
    def serve(self, text):
        tf.debugging.Assert(tf.reduce_all(text != "fail"), ["a text is fail"])
        sleep = r"sleep ([0-9.]+)"
        seconds = tf.where(
            tf.strings.regex_full_match(text, sleep),
            tf.strings.regex_replace(text, sleep, r"\1"),
            "0",
        )
        end = tf.timestamp() + tf.reduce_max(tf.strings.to_number(seconds, tf.float64))
        spins = tf.while_loop(
            lambda count: tf.timestamp() < end,
            lambda count: [count + 1],
            [tf.constant(0)],
        )
        with tf.control_dependencies(spins):
            number = tf.strings.to_hash_bucket_fast(text, 1000)
        positive = (tf.cast(number, tf.float32) + 0.5) / 1000
        positive = tf.where(text == "nan", float("nan"), positive)
        return {
            "probabilities": tf.stack([1 - positive, positive], axis=1),
            "labels": tf.gather(CLASS_NAMES, tf.cast(positive > 0.5, tf.int32)),
        }


def save(folder, module=None, function=None, signature="serving_default", **metadata):
    """Writes a folder as `export_saved_model.py` does."""
    module = module or Toy()
    signatures = {signature: function or module.serve}
    tf.saved_model.save(module, str(folder / "saved_model"), signatures=signatures)
    metadata = {"name": "toy", "class_names": CLASS_NAMES, **metadata}
    (folder / "metadata.json").write_text(json.dumps(metadata), encoding="utf-8")
    return folder


@dataclasses.dataclass
class Server:
    """A running server."""

    process: subprocess.Popen
    url: str

    def stop(self, returncode=0):
        """Ends it by SIGTERM; returns what it wrote to stderr."""
        self.process.send_signal(signal.SIGTERM)
        _, errors = self.process.communicate(timeout=30)
        assert self.process.returncode == returncode, errors[-3000:]
        assert "Exception in ASGI application" not in errors, errors[-3000:]
        return errors


@contextlib.contextmanager
def serving(folder, *options, **environment):
    """Starts a server on a free port; ends it where the test did not."""
    process = isolated.start(SCRIPT, folder, "--port", 0, *options, **environment)
    try:
        line = process.stdout.readline()
        assert line.startswith(f"serving {folder} on http://"), process.stderr.read()
        server = Server(process, line.split()[-1])
        yield server
        if process.poll() is None:
            server.stop()
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()
        process.stdout.close()
        process.stderr.close()
