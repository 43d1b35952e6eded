"""Estimates how long `finetune_bert.py` will take."""

import time

import finetuning
import keras
import numpy as np

# On a machine with 2 cores: the share of the speed of a matrix product that a whole
# model reached, and the seconds of all else than training and testing: once, for each
# method (building, compiling) and in each run.
SPEED_SHARE = 0.5
SECONDS_ONCE = 30.0
SECONDS_PER_METHOD = 50.0
SECONDS_PER_RUN = 10.0


def estimate_seconds(task, settings, methods, seeds):
    """Estimates the seconds that a comparison will take on this machine.

    A training step needs some 6 floating-point operations per weight and token, a
    prediction 2.

    Args:
        task: A `sentences.Task`.
        settings: `finetuning.Settings`.
        methods: Integer, the number of methods.
        seeds: Integer, the runs of each.
    """
    model = finetuning.build(settings, task.outputs, seed=0)
    weights = model.count_params() - model.backbone.token_embedding.count_params()
    trained = len(settings.sentences(task))
    predicted = sum(map(len, task.tests.values())) + len(task.validation)
    sentences = 6 * settings.epochs * trained + 2 * predicted
    tokens = settings.sequence_length * texts_per_row(task)
    operations = sentences * tokens * weights
    seconds = operations / (SPEED_SHARE * matrix_product_speed())
    of_method = SECONDS_PER_METHOD + seeds * (SECONDS_PER_RUN + seconds)
    return SECONDS_ONCE + methods * of_method


def texts_per_row(task):
    """Returns how many texts a model reads for a row: of a choice one per ending."""
    return max(len(task.train.columns) - 1, 1)


def announce(task, settings, methods, seeds):
    """Says on what is going to be trained, how often, and how long it will take."""
    seconds = estimate_seconds(task, settings, methods, seeds)
    count = texts_per_row(task)
    rows = "sentences" if count == 1 else f"choices of {count} texts"
    print(
        f"{task.name}: {methods * seeds} runs on {len(settings.sentences(task))} "
        f"{rows} of up to {settings.sequence_length} tokens, {settings.epochs} "
        f"epoch(s), learning rate {settings.learning_rate:g}. From the beginning, on "
        f"this machine, that takes about {max(seconds / 60, 1):.0f} minutes.",
        flush=True,
    )


def matrix_product_speed(size=1024, repetitions=20):
    """Measures floating-point operations per second."""
    matrix = keras.random.normal((size, size))
    seconds = []
    for _ in range(repetitions):
        begin = time.perf_counter()
        keras.ops.convert_to_numpy(keras.ops.matmul(matrix, matrix))
        seconds.append(time.perf_counter() - begin)
    return 2 * size**3 / np.median(seconds)
