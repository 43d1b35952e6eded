"""Fine-tunes an aligned classifier of texts and exports it as one SavedModel.

    python examples/serving/export_saved_model.py --output exported
    python examples/serving/export_saved_model.py --model my.keras --data my.csv

writes

    exported/saved_model/    strings in, probabilities and labels out
    exported/model_card.md   what it is and how well it did, for people
    exported/metadata.json   the same for programs, as examples/serving/serve.py

and asks the SavedModel in a process that knows neither keras_align nor keras-nlp,
whether it answers as the model that was trained. `--int8` quantises the weights first
and says what that costs.
"""

import argparse
import json
import pathlib
import subprocess
import sys

EXAMPLES = pathlib.Path(__file__).resolve().parents[1]
sys.path += [str(EXAMPLES), str(EXAMPLES / "fine_tuning")]

import quiet_tensorflow

quiet_tensorflow.load()

import command_line
import fetching
import finetuning
import keras
import methods
import model_card
import numpy as np
import predict_saved_model
import repeated_runs

import keras_align


def parse_arguments(arguments=None):
    """Returns the options of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n")[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add, positive = parser.add_argument, command_line.positive
    add("--output", type=pathlib.Path, default="exported", help="folder to write")
    add("--model", type=pathlib.Path, help="classifier as .keras; None: train one")
    add("--alignment", choices=(*methods.ALIGNMENTS, "none"), default="ct")
    command_line.add_training_options(add)
    add("--sequence-length", type=positive, default=48, help="tokens")
    add("--int8", action="store_true", help="quantise the weights")
    options = parser.parse_args(arguments)
    options.task, options.weight, options.data_dir = "movies", None, None
    command_line.check_options(parser, options)
    return options


def main(arguments=None):
    """Trains or loads, exports and checks as the command line asks."""
    options = parse_arguments(arguments)
    try:
        task = command_line.load_task(options)
        get = train if options.model is None else load
        model, tests, facts = get(task, options)
        options.output.mkdir(parents=True, exist_ok=True)
    except (fetching.FetchError, OSError, ValueError) as error:
        sys.exit(f"error: {error}")
    if options.int8:
        quantize(model)
        tests["int8"] = finetuning.test(model, task)
        facts["results"] = model_card.results(tests)
    saved_model = options.output / "saved_model"
    keras_align.export_saved_model(model, saved_model, class_names=task.classes)
    model_card.write(facts, options.output)
    print((options.output / "model_card.md").read_text(encoding="utf-8"))
    compare(model, next(iter(task.tests.values())).columns[0][:5], options.output)


def train(task, options):
    """Returns a trained classifier, its results by what it computes in, and facts."""
    settings = command_line.choose_settings(options, task)
    name = "soft" if options.alignment == "none" else options.alignment
    runs = repeated_runs.RepeatedRuns(task, methods.METHODS[name], settings)
    tests = {settings.precision: runs.run(0)["tests"]}
    return runs.model, tests, model_card.facts(task, runs.model, tests, settings)


def load(task, options):
    """Returns a classifier from a file, as `train` does."""
    model = keras.models.load_model(options.model)
    wanted = len(task.classes), keras.activations.linear
    found = getattr(model, "num_classes", None), getattr(model, "activation", None)
    if getattr(model, "preprocessor", None) is None or found != wanted:
        raise ValueError(
            f"Expected a text classifier of keras-nlp with a preprocessor and the "
            f"logits of {len(task.classes)} classes, as many as the sentences have. "
            f"Received: model={str(options.model)!r}, a {type(model).__name__} with "
            f"{found[0]} classes and the activation {found[1]}"
        )
    tests = {model.dtype_policy.name: finetuning.test(model, task)}
    return model, tests, model_card.facts(task, model, tests, file=options.model.name)


def quantize(model):
    """Makes a model plain, with weights of 8 bits."""
    if keras_align.alignment_report(model).aligned:
        keras_align.strip_alignment(model)
    model.quantize("int8")


def compare(model, texts, folder, tolerance=1e-2):
    """Asks another process the texts; ends this one if it answers otherwise."""
    command = [sys.executable, predict_saved_model.__file__, str(folder), "--json"]
    run = subprocess.run(
        command, input=json.dumps(texts), stdout=subprocess.PIPE, text=True, check=False
    )
    if run.returncode:
        sys.exit(f"error: {folder} cannot be asked in a process of its own")
    found = np.array(predict_saved_model.probabilities(run.stdout))
    inputs = model.preprocessor(np.array(texts, object))
    logits = keras.ops.cast(model(inputs, training=False), "float32")
    own = keras.ops.convert_to_numpy(keras.ops.softmax(logits))
    difference = np.abs(found - own).max()
    print(
        f"{len(texts)} texts asked in a process of its own: the probabilities differ "
        f"by {difference:.1e} at most."
    )
    if not difference < tolerance:
        sys.exit(f"error: expected less than {tolerance:g}")
    print(f"Serve it: python examples/serving/serve.py {folder}")


if __name__ == "__main__":
    main()
