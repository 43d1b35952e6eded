"""Scalars and images for TensorBoard, on every backend."""

import os
import pathlib
import socket
import time
from collections.abc import Callable
from typing import Any

import keras

from keras_align.callbacks.head_map import Picture


class SummaryFile:
    """An event file of TensorBoard.

    On TensorFlow its own writer writes it. On other backends it is the package
    `tensorboard` without TensorFlow, which would take seconds to import, and GPUs.

    Args:
        log_dir: string or path, a folder; it is made if needed.
    """

    def __init__(self, log_dir: str | os.PathLike) -> None:
        folder = pathlib.Path(log_dir).absolute()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with (folder / ".writable").open("w"):
                pass
            (folder / ".writable").unlink()
        except OSError as error:
            raise OSError(
                f"AlignmentMonitor cannot write to the folder `log_dir`: {error}. "
                f"Received: log_dir={str(folder)!r}"
            ) from error
        is_tensorflow = keras.backend.backend() == "tensorflow"
        make = _tensorflow_writer if is_tensorflow else _plain_writer
        self._make_summary, self._write, self._close = make(folder)

    def write(
        self, step: int, scalars: dict[str, float], images: dict[str, Picture]
    ) -> None:
        """Writes values and pictures by their tags."""
        summary = self._make_summary()
        for tag, scalar in scalars.items():
            summary.value.add(tag=tag, simple_value=scalar)
        for tag, picture in images.items():
            value = summary.value.add(tag=tag)
            value.image.width, value.image.height = picture.width, picture.height
            value.image.colorspace = 4  # RGBA
            value.image.encoded_image_string = picture.png
        self._write(summary, step)

    def close(self) -> None:
        """Ends the file."""
        self._close()


Writer = tuple[Callable[[], Any], Callable[[Any, int], None], Callable[[], None]]


def _tensorflow_writer(folder: pathlib.Path) -> Writer:
    """Makes a summary, writes one, and closes the file."""
    import tensorflow as tf

    writer = tf.summary.create_file_writer(str(folder), filename_suffix=".alignment")

    def write(summary: Any, step: int) -> None:
        with writer.as_default(), tf.summary.record_if(True):
            tf.summary.experimental.write_raw_pb(summary.SerializeToString(), step)
        writer.flush()

    return tf.compat.v1.Summary, write, writer.close


def _plain_writer(folder: pathlib.Path) -> Writer:
    """The same with the package `tensorboard`."""
    try:
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary
        from tensorboard.summary.writer.record_writer import RecordWriter
    except ImportError as error:
        raise ImportError(
            "Argument `log_dir` of AlignmentMonitor needs the package tensorboard on "
            f"the backend {keras.backend.backend()}: pip install tensorboard"
        ) from error
    name = f"events.out.tfevents.{time.time():.6f}.{socket.gethostname()}"
    path = folder / f"{name}.{os.getpid()}.alignment"

    def append(event: Any) -> None:
        with path.open("ab") as file:
            RecordWriter(file).write(event.SerializeToString())

    def write(summary: Any, step: int) -> None:
        append(Event(wall_time=time.time(), step=step, summary=summary))

    append(Event(wall_time=time.time(), file_version="brain.Event:2"))
    return Summary, write, lambda: None
