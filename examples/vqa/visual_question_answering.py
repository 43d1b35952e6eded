"""Answers questions about images with soft and with alignment attention.

    python examples/vqa/visual_question_answering.py

trains a modular co-attention network (MCAN) on easy-VQA, which is downloaded once, as
it is and with alignment of keys and queries, in pairs that share the seed. It prints a
table with the paired differences and their 95% intervals, and writes it with pictures
into `--output`. Runs that are in its `runs.csv` are not made again.

    python examples/vqa/visual_question_answering.py --data daquar --data-dir data \
        --methods soft,ct,gan,ot,mmd --seeds 5
"""

import argparse
import dataclasses
import pathlib
import sys
import time
import zipfile

sys.path.append(str(pathlib.Path(__file__).resolve().parents[1]))

import quiet_tensorflow

quiet_tensorflow.load()

import compared_methods
import fetching
import grid_features
import keras
import numpy as np
import question_sets
import vqa_pictures
import vqa_results
import vqa_scores
import vqa_training
from question_batches import noisy
from question_data import Vocabulary
from stored_features import StoredFeatures
from vqa_methods import METHODS
from wordnet_nouns import Nouns

PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")
NOISE = 1.0
UNREADABLE = (fetching.FetchError, OSError, KeyError, ValueError, TypeError)
UNREADABLE += (EOFError, zipfile.BadZipFile)


def parse_arguments(arguments=None):
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n")[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("--data", default="easy_vqa", choices=question_sets.DATA_SETS)
    add("--data-dir", help="folder that holds the one of the data set")
    add("--features-dir", help="where features of images are kept; None: the cache")
    add("--wordnet", help="folder of WordNet's files, for WUPS; None: no WUPS")
    add("--methods", default="soft,gan", help=f"of {','.join(METHODS)}")
    add("--seeds", type=int, default=1, help="runs of each method")
    add("--first-seed", type=int, default=0)
    add("--weight", type=float, help="of the alignments, instead of their own")
    add("--epochs", type=int, help="None: those of the data set")
    add("--samples", type=int, default=20, help="predictions of each question")
    add("--question-only", action="store_true", help="the same image for all questions")
    add("--held-out", action="store_true", help="test on a fifth of training's images")
    add("--precision", default="float32", choices=PRECISIONS)
    add("--no-jit", action="store_true", help="without XLA")
    add("--no-pictures", action="store_true", help="a table alone")
    add("--output", type=pathlib.Path, default="visual_question_answering_results")
    options = parser.parse_args(arguments)
    check(parser, options)
    return options


def check(parser, options):
    """Refuses what cannot work before anything is fetched or computed."""
    compared_methods.read(parser, options, METHODS)
    for name, least in {"seeds": 1, "first_seed": 0, "epochs": 1, "samples": 0}.items():
        value = getattr(options, name)
        if value is not None and value < least:
            parser.error(f"--{name.replace('_', '-')} must be at least {least}")
    if options.samples == 1:
        parser.error("--samples must be 0, or 2 and more")


def main(arguments=None):
    options = parse_arguments(arguments)
    started = time.perf_counter()
    try:
        options.output.mkdir(parents=True, exist_ok=True)
        runs = vqa_results.Runs(options.output / "runs.csv")
        task = prepare(options)
    except UNREADABLE as error:
        sys.exit(f"error: {error}")
    settings = settings_of(options)
    train, test = task.data.train, task.data.test
    print(
        f"{task.data.name}: {task.data.num_images:,} images, {len(train):,} questions "
        f"for training and {len(test):,} for the test, {len(task.vocabulary.answers):,}"
        f" answers; {settings}",
        flush=True,
    )
    for name, accuracy in vqa_scores.baselines(task).items():
        print(f"{name}: accuracy {100 * accuracy:.1f}%")
    by_method, models = {}, {}
    for name in options.methods:
        title = METHODS[name].title
        by_method[title], model = compare(task, name, settings, options, runs)
        models |= {title: model} if model is not None else {}
    table = vqa_results.table(by_method)
    print(f"\n{table}\n")
    (options.output / "table.txt").write_text(table + "\n", encoding="utf-8")
    files = 0 if options.no_pictures else draw(models, task, settings, options)
    minutes = (time.perf_counter() - started) / 60
    print(f"Table, runs and {files} pictures: {options.output}. {minutes:.1f} minutes.")


def draw(models, task, settings, options):
    """Draws the networks of the last seed, and returns the number of pictures."""
    keras.utils.set_random_seed(options.first_seed + options.seeds - 1)
    untrained = vqa_training.build(task, settings)
    return vqa_pictures.draw(models, untrained, task, options.output)


def prepare(options):
    """Returns the `vqa_training.Task`, with images as pixels or as features."""
    similarity = None
    if options.wordnet is not None:
        similarity = Nouns(options.wordnet).similarity
    data = question_sets.load(options.data, options.data_dir)
    if options.data == "vqa_v2":
        images = StoredFeatures(data.load_images, data.num_images)
    elif options.data == "easy_vqa":
        images = data.load_images(np.arange(data.num_images))
    else:
        images = grid_features.of_images(data, options.features_dir)
    data = data.held_out() if options.held_out else data
    most = 3129 if options.data == "vqa_v2" else None  # answers, as usual there
    vocabulary = Vocabulary.of(data.train, most_answers=most)
    task = vqa_training.Task(data, vocabulary, images, similarity)
    if options.question_only:
        return dataclasses.replace(task, images=vqa_scores.without_images(task))
    return task


def settings_of(options):
    """Returns the `vqa_training.Settings` of the data set, as far as not changed."""
    settings = vqa_training.OF_DATA_SETS[options.data]
    changes = {"jit_compile": not options.no_jit, "precision": options.precision}
    if options.epochs is not None:
        changes["epochs"] = options.epochs
    return dataclasses.replace(settings, **changes)


def compare(task, name, settings, options, runs):
    """Returns the rows of one method, and the network of the last seed if it is new."""
    method = METHODS[name].weighted(options.weight)
    model, rows = None, []
    for seed in range(options.first_seed, options.first_seed + options.seeds):
        key = vqa_results.key_of(name, method, seed, settings, options)
        row = runs.find(key)
        model = None
        if row is None:
            model, run = vqa_training.train(task, method, settings, seed)
            if np.isfinite(run["loss"]):
                run |= measure(model, task, seed, options)
            else:  # its scores are NaN, and there is nothing to draw
                model = None
            row = runs.add(key, run)
        print(
            f"{method.title}, seed {seed}: accuracy {100 * float(row['accuracy']):.1f}%"
            f", with noise {100 * float(row['noisy_accuracy']):.1f}%",
            flush=True,
        )
        rows.append(row)
    return rows, model


def measure(model, task, seed, options):
    """Returns the scores on clean and on noisy images, and the size of the network."""
    if task.of_pixels:  # of which the noise is that of their features, near enough
        disturbed = np.clip(noisy(task.images, seed, NOISE), 0.0, 255.0)
    else:
        disturbed = noisy(task.images, seed, NOISE)
    clean = vqa_scores.test(model, task, samples=options.samples)
    noise = vqa_scores.test(model, task, disturbed, options.samples)
    parameters = sum(np.prod(weight.shape) for weight in model.trainable_weights)
    return {
        **clean,
        **{f"noisy_{name}": value for name, value in noise.items()},
        "parameters": float(parameters),
    }


if __name__ == "__main__":
    main()
