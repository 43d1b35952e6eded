"""Fine-tunes an aligned classifier of texts and exports it as one SavedModel.

    python examples/export_saved_model.py --output exported
    python examples/export_saved_model.py --model my_classifier.keras --data my.csv

writes

    exported/saved_model/    strings in, probabilities and labels out
    exported/model_card.md   what it is and how well it did, for people
    exported/metadata.json   the same for programs, as examples/serve.py

and asks the SavedModel in a process that knows neither keras_align nor keras-nlp,
whether it answers as the model that was trained. `--int8` quantises the weights first
and says what that costs.
"""

import argparse
import os
import pathlib
import subprocess
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import fetching
import finetune_bert
import finetuning
import keras
import model_card
import numpy as np
import predict_saved_model

import keras_align


def parse_arguments(arguments=None):
    """Returns the options of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n")[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add, positive = parser.add_argument, finetune_bert.positive
    add("--output", type=pathlib.Path, default="exported", help="folder to write")
    add("--model", type=pathlib.Path, help="classifier as .keras; None: train one")
    add("--alignment", choices=finetune_bert.ALIGNMENTS, default="ct")
    add("--data", type=pathlib.Path, help="your own CSV file: columns text, label")
    add("--preset", help="keras-nlp preset or local folder; None: MiniLM")
    add("--precision", default="float32", help="dtype policy, as mixed_bfloat16")
    add("--train-size", type=positive, default=1280, help="sentences trained on")
    add("--test-size", type=positive, default=400, help="most per test set")
    add("--epochs", type=positive, default=1)
    add("--batch-size", type=positive, default=32)
    add("--learning-rate", type=float, default=1e-4, help="falls linearly to zero")
    add("--sequence-length", type=positive, default=48, help="tokens")
    add("--int8", action="store_true", help="quantise the weights")
    options = parser.parse_args(arguments)
    options.task, options.weight, options.data_dir = "movies", None, None
    finetune_bert.check_options(parser, options)
    return options


def main(arguments=None):
    """Trains or loads, exports and checks as the command line asks."""
    options = parse_arguments(arguments)
    try:
        task = finetune_bert.load_task(options)
        settings = finetune_bert.choose_settings(options, task)
        model, tests = get_model(task, settings, options)
        options.output.mkdir(parents=True, exist_ok=True)
    except (fetching.FetchError, OSError, ValueError) as error:
        sys.exit(f"error: {error}")
    facts = model_card.facts(options, settings, task, model, tests)
    if options.int8:
        quantize(model)
        tests["int8"] = finetuning.test(model, task)
        facts["results"] = model_card.results(tests)
    saved_model = options.output / "saved_model"
    keras_align.export_saved_model(model, saved_model, class_names=task.classes)
    model_card.write(facts, options.output)
    print((options.output / "model_card.md").read_text(encoding="utf-8"))
    texts = next(iter(task.tests.values())).columns[0][:5]
    compare(model, texts, options.output)


def get_model(task, settings, options):
    """Returns a classifier and its results by what it computes in."""
    if options.model is None:
        run = finetuning.run_one(task, options.alignment, 0, settings)
        return run["model"], {settings.precision: run["tests"]}
    model = keras.models.load_model(options.model)
    if getattr(model, "preprocessor", None) is None:
        raise ValueError(
            "Expected a text classifier of keras-nlp with a preprocessor. Received: "
            f"model={str(options.model)!r}, a {type(model).__name__}"
        )
    policy = model.dtype_policy.name
    return model, {policy: finetuning.test(model, task)}


def quantize(model):
    """Makes a model plain, with weights of 8 bits."""
    if keras_align.alignment_report(model).aligned:
        keras_align.strip_alignment(model)
    model.quantize("int8")


def compare(model, texts, folder):
    """Prints the answers of another process to some texts beside the model's own."""
    command = [sys.executable, predict_saved_model.__file__, str(folder), "--json"]
    answers = subprocess.run(
        [*command, *texts], check=True, stdout=subprocess.PIPE, text=True
    ).stdout
    found = np.array(predict_saved_model.probabilities(answers))
    inputs = model.preprocessor(np.array(texts, object))
    logits = keras.ops.cast(model(inputs, training=False), "float32")
    own = keras.ops.convert_to_numpy(keras.ops.softmax(logits))
    print(
        f"{len(texts)} texts asked in a process of its own: the probabilities differ "
        f"by {np.abs(found - own).max():.1e} at most.\nServe it: python "
        f"examples/serve.py {folder}"
    )


if __name__ == "__main__":
    main()
