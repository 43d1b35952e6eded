"""Fine-tunes an aligned BERT on one device, several, several hosts, or a TPU.

    python examples/distributed/distributed_training.py --strategy mirrored

uses all GPUs of this machine, or without one two logical devices of its CPU. On
several hosts, the same command on each, with its own number:

    ... --strategy multiworker --workers host1:2222,host2:2222 --worker 0

On JAX: `--backend jax --strategy data_parallel`, or `model_parallel`, also with
`--workers`. On a TPU: `--strategy tpu --tpu NAME`. With `--backup FOLDER`, which all
hosts must see, a run that was interrupted goes on where it was when the same command
is given again.
"""

import argparse
import json
import os
import pathlib
import sys
import time

EXAMPLES = pathlib.Path(__file__).resolve().parents[1]
sys.path += [str(EXAMPLES), str(EXAMPLES / "fine_tuning")]

import device_strategies
import quiet_tensorflow

PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")


def parse_arguments(arguments=None):
    """Returns the options of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n")[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    every = sorted({*device_strategies.ON_TENSORFLOW, *device_strategies.ON_JAX})
    add("--strategy", choices=every, default="one")
    add("--backend", choices=["tensorflow", "jax"], default="tensorflow")
    add("--devices", type=int, help="how many; None: all, of a CPU two")
    add("--split", type=int, help="devices that share a model; None: all")
    add("--workers", type=lambda text: text.split(","), default=[], help="addresses")
    add("--worker", type=int, default=0, help="the number of this host among them")
    add("--tpu", default="", help="name or address of the TPU")
    add("--precision", choices=PRECISIONS, help="None: bfloat16 on a TPU, else float32")
    add("--jit", action=argparse.BooleanOptionalAction, default=True, help="use XLA")
    add("--alignment", nargs="+", default=["ct"], help="one model is trained for each")
    add("--data", type=pathlib.Path, help="your own CSV file: columns text, label")
    add("--preset", help="keras-nlp preset or local folder; None: MiniLM")
    add("--train-size", type=int, default=640, help="sentences trained on")
    add("--batch-size", type=int, default=32, help="of all devices together")
    add("--epochs", type=int, default=1)
    add("--learning-rate", type=float, default=1e-4, help="falls linearly to zero")
    add("--sequence-length", type=int, default=48, help="tokens")
    add("--dropout", type=float, help="None: the preset's own")
    add("--accumulate", type=int, help="batches of which gradients are added up")
    add("--backup", type=pathlib.Path, help="folder from which to go on")
    add("--save-freq", type=int, default=20, help="batches between two backups")
    add("--output", type=pathlib.Path, help="JSON file for what is printed")
    options = parser.parse_args(arguments)
    check_options(parser, options)
    return options


def check_options(parser, options):
    """Refuses what cannot work before anything is started."""
    known = (
        device_strategies.ON_JAX
        if options.backend == "jax"
        else device_strategies.ON_TENSORFLOW
    )
    if options.strategy not in known:
        parser.error(
            f"--strategy {options.strategy} is not one of the backend "
            f"{options.backend}: it has {', '.join(known)}"
        )
    if options.workers and not 0 <= options.worker < len(options.workers):
        parser.error(f"--worker must be below {len(options.workers)}, the --workers")
    configured = options.workers or "TF_CONFIG" in os.environ
    if options.strategy == "multiworker" and not configured:
        parser.error("--strategy multiworker needs --workers, or TF_CONFIG")
    if options.precision is None:
        options.precision = "mixed_bfloat16" if options.strategy == "tpu" else "float32"


def main(arguments=None):
    """Trains as the command line asks."""
    options = parse_arguments(arguments)
    device_strategies.set_environment(options)
    quiet_tensorflow.load()
    import fetching

    try:
        task, settings = load(options)
    except (fetching.FetchError, OSError, ValueError) as error:
        sys.exit(f"error: {error}")
    strategy = device_strategies.start(options)
    results = []
    for alignment in options.alignment:
        print(f"\n{alignment}: {strategy.devices} device(s), {options.precision}")
        results.append(train(task, settings, strategy, options, alignment))
        print(json.dumps(results[-1]), flush=True)
    if options.output and strategy.process == 0:
        options.output.write_text(json.dumps(results))


def load(options):
    """Returns the task and the settings of the fine-tuning."""
    import fetching
    import finetuning
    import own_sentences
    import sentences

    if options.data:
        task = own_sentences.own_sentences(options.data)
    else:
        task = sentences.rated_sentences(fetching.rated_sentences())
    settings = finetuning.Settings(
        preset=options.preset or fetching.minilm(),
        precision=options.precision,
        dropout=options.dropout,
        sequence_length=options.sequence_length,
        train_size=options.train_size,
        batch_size=options.batch_size,
        learning_rate=options.learning_rate,
    )
    return task, settings


def train(task, settings, strategy, options, alignment):
    """Trains one model; returns what there is to tell."""
    import finetuning

    with strategy.scope():
        model, data = prepare(task, settings, strategy, options, alignment)
    first = FirstLosses()
    callbacks = [first.callback(), in_order(data)]
    if options.backup:
        callbacks.append(backup(options, alignment, data))
    begin = time.perf_counter()
    with finetuning.taking_tokens(model):
        history = run(model, data, options, callbacks)
    seconds = time.perf_counter() - begin
    return {
        "strategy": options.strategy,
        "alignment": alignment,
        "precision": options.precision,
        "jit": options.jit,
        "devices": strategy.devices,
        "first_losses": first.losses,
        "logs": {name: values[-1] for name, values in history.items()},
        "seconds": round(seconds, 1),
    }


def prepare(task, settings, strategy, options, alignment):
    """Returns the compiled, aligned model and the batches."""
    import finetuning
    import keras

    import keras_align

    model = finetuning.build(settings, len(task.classes), seed=0)
    if alignment != "none":
        keras_align.align_model(model, alignment)
    sentences = settings.sentences(task)
    data = keras_align.training.ShuffledBatches(
        finetuning.encode(model.preprocessor, sentences),
        sentences.labels,
        settings.batch_size,
        num_shards=strategy.processes,
        shard_index=strategy.process,
    )
    steps = options.epochs * len(data)
    optimizer = keras.optimizers.AdamW(
        keras.optimizers.schedules.PolynomialDecay(settings.learning_rate, steps, 0.0),
        gradient_accumulation_steps=options.accumulate,
    )
    model.compile(
        optimizer,
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=[keras.metrics.SparseCategoricalAccuracy(name="accuracy")],
        jit_compile=options.jit and not strategy.by_library,
    )
    if strategy.by_library:
        keras_align.training.distribute(model, jit_compile=options.jit)
    return model, data


def in_order(data):
    """The callback that has the batches shuffled anew in every epoch."""
    import keras

    def begin(epoch, logs):
        data.epoch = epoch

    return keras.callbacks.LambdaCallback(on_epoch_begin=begin)


def backup(options, alignment, data):
    """The callback that saves, and resumes, the training of one model."""
    import keras_align

    folder = options.backup / alignment
    return keras_align.BackupAndResume(folder, options.save_freq, data)


def run(model, data, options, callbacks):
    """Calls `fit`; says what to do when another host is lost."""
    try:
        return model.fit(
            data.as_dataset(),
            epochs=options.epochs,
            shuffle=False,
            callbacks=callbacks,
            verbose=1 if sys.stdout.isatty() else 2,
        ).history
    except Exception as error:
        if not lost_a_worker(error, options):
            raise
        remedy = "Start all workers again with the same command"
        if options.backup:
            remedy += f": they go on from the last backup in {options.backup}"
        reason = str(error).strip().split("\n")[0]
        print(f"error: another worker was lost ({reason}). {remedy}.", file=sys.stderr)
        sys.stderr.flush()
        os._exit(1)  # the others cannot be waited for


def lost_a_worker(error, options):
    """Whether an error is one of the connection to the other hosts."""
    words = ("collective", "connect", "peer", "unavailable", "heartbeat", "socket")
    several = options.workers or options.strategy == "multiworker"
    return several and any(word in str(error).lower() for word in words)


class FirstLosses:
    """Notes the loss after each of the first three steps."""

    def __init__(self):
        self.losses = []

    def callback(self):
        """A Keras callback that notes them."""
        import keras

        def note(batch, logs):
            if len(self.losses) < 3 and "loss" in logs:
                self.losses.append(float(logs["loss"]))

        return keras.callbacks.LambdaCallback(on_train_batch_end=note)


if __name__ == "__main__":
    main()
