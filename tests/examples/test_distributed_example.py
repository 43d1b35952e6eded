"""`distributed_training.py`: options, and strategies beside one device."""

import csv
import json
import pathlib
import signal
import time

import distributed_training
import isolated
import keras
import numpy as np
import pytest

pytestmark = pytest.mark.backends("tensorflow")

EXAMPLE = pathlib.Path(distributed_training.__file__)
ALIGNMENTS = "ct", "gan", "ot", "mmd"
WORDS = ["good", "bad", "film", "the", "a", "is", "not", "very"]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A small untrained BERT and sentences of its few words."""
    import keras_nlp

    folder = tmp_path_factory.mktemp("files")
    keras.utils.set_random_seed(0)
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokenizer = keras_nlp.models.BertTokenizer(vocabulary=special + WORDS)
    preprocessor = keras_nlp.models.BertTextClassifierPreprocessor(tokenizer)
    backbone = keras_nlp.models.BertBackbone(13, 2, 2, 16, 32, max_sequence_length=16)
    model = keras_nlp.models.BertTextClassifier(backbone, 2, preprocessor)
    model.save_to_preset(str(folder / "preset"))
    draw = np.random.default_rng(0)
    with open(folder / "own.csv", "w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["text", "label"])
        for number in range(120):
            words = [*draw.choice(WORDS, draw.integers(3, 8)), str(number)]
            writer.writerow([" ".join(words), "no" if "bad" in words else "yes"])
    return folder


def arguments(files, output, *options):
    data = "--data", files / "own.csv", "--preset", files / "preset"
    sizes = "--sequence-length", 8, "--batch-size", 8, "--train-size", 40
    return *data, *sizes, "--dropout", 0, "--output", output, *options


def results(output):
    return {each["alignment"]: each for each in json.loads(output.read_text())}


def start(files, output, *options, **environment):
    return isolated.start(EXAMPLE, *arguments(files, output, *options), **environment)


def run(files, output, *options):
    isolated.finish(start(files, output, *options))
    return results(output)


def run_two(files, folder, *options):
    """Two processes of this machine; returns the results of the first."""
    addresses = ",".join(isolated.addresses(2))
    outputs = [folder / "first.json", folder / "second.json"]
    processes = [
        start(files, output, "--workers", addresses, "--worker", index, *options)
        for index, output in enumerate(outputs)
    ]
    for process in processes:
        isolated.finish(process)
    return results(outputs[0])


def check(found, expected, devices, tolerance=1e-5):
    assert set(found) == set(expected)
    for alignment, each in found.items():
        assert each["devices"] == devices
        close = pytest.approx(expected[alignment]["first_losses"], rel=tolerance)
        assert each["first_losses"] == close, alignment
        assert len(each["first_losses"]) == 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--strategy", "data_parallel"], "not one of the backend tensorflow"),
        (["--strategy", "tpu", "--backend", "jax"], "not one of the backend jax"),
        (["--strategy", "multiworker"], "needs --workers, or TF_CONFIG"),
        (["--workers", "a:1,b:2", "--worker", "2"], "--worker must be below 2"),
    ],
)
def test_options_that_cannot_work_are_refused(options, message, capsys):
    with pytest.raises(SystemExit):
        distributed_training.parse_arguments(options)
    assert message in capsys.readouterr().err


@pytest.mark.slow
def test_two_devices_equal_one(files, tmp_path):
    options = "--no-jit", "--alignment", *ALIGNMENTS
    one = run(files, tmp_path / "one.json", *options)
    two = run(files, tmp_path / "two.json", "--strategy", "mirrored", *options)
    check(two, one, devices=2)


TENSORFLOW = ("mirrored", "multiworker")
JAX = ("data_parallel", "model_parallel", "data_parallel of two processes")
# JAX has no attention in float16 on processors.
COMBINATIONS = [
    *(
        ("tensorflow", precision, jit)
        for precision in ("float32", "mixed_bfloat16", "mixed_float16")
        for jit in ("--jit", "--no-jit")
    ),
    *(
        ("jax", precision, jit)
        for precision in ("float32", "mixed_bfloat16")
        for jit in ("--jit", "--no-jit")
    ),
]


@pytest.mark.slow
@pytest.mark.parametrize(("backend", "precision", "jit"), COMBINATIONS)
def test_every_strategy_equals_one_device(files, tmp_path, backend, precision, jit):
    """Prints a row of the table in benchmarks/RESULTS.md for each strategy."""
    options = "--backend", backend, "--precision", precision, jit
    options = *options, "--alignment", *ALIGNMENTS, "--train-size", 24
    one = run(files, tmp_path / "one.json", *options)
    for name in TENSORFLOW if backend == "tensorflow" else JAX:
        strategy, *of_two = name.split(" of ")
        if name == "multiworker" or of_two:
            found = run_two(files, tmp_path, "--strategy", strategy, *options)
        else:
            chosen = "--strategy", strategy, "--devices", 2
            found = run(files, tmp_path / "two.json", *chosen, *options)
        differences = [
            max(abs(a / b - 1.0) for a, b in zip(*losses, strict=True))
            for losses in (
                (found[each]["first_losses"], one[each]["first_losses"])
                for each in ALIGNMENTS
            )
        ]
        cells = [f"{difference:.0e}" for difference in differences]
        print("|", " | ".join([backend, name, precision, jit, *cells]), "|")
        tolerance = 1e-5 if precision == "float32" else 5e-3
        check(found, one, devices=2, tolerance=tolerance)


@pytest.mark.slow
@pytest.mark.parametrize(
    "strategy",
    [
        ("--strategy", "multiworker"),
        ("--backend", "jax", "--strategy", "data_parallel"),
    ],
    ids=["tensorflow", "jax"],
)
def test_a_killed_worker_ends_the_others_and_all_go_on_from_the_backup(
    files, tmp_path, strategy
):
    options = (
        "--no-jit" if "jax" not in strategy else "--jit",
        "--epochs",
        40,
        *strategy,
    )
    backup = "--backup", tmp_path / "backup", "--save-freq", 3
    whole = run_two(files, tmp_path, *options)
    addresses = ",".join(isolated.addresses(2))
    both = [
        start(
            files,
            tmp_path / f"{index}.json",
            *(*options, *backup, "--workers", addresses, "--worker", index),
        )
        for index in range(2)
    ]
    file = tmp_path / "backup" / "ct" / "backup.npz"
    wait_for(lambda: file.exists() and steps_in(file) > 12)
    both[1].send_signal(signal.SIGKILL)
    both[1].communicate()
    _, errors = both[0].communicate(timeout=300)
    assert both[0].returncode == 1
    assert "another worker was lost" in errors and "go on from the last" in errors
    resumed = run_two(files, tmp_path, *options, *backup)
    assert resumed["ct"]["logs"] == pytest.approx(whole["ct"]["logs"], rel=1e-4)


def steps_in(backup):
    with np.load(backup) as file:
        return int(file["optimizer/0"])


def wait_for(condition, seconds=300):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)
