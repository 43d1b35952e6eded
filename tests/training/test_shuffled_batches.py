"""Batches whose order is a function of seed and epoch."""

import keras
import numpy as np
import pytest
from execution import BACKEND

import keras_align
from keras_align.training import ShuffledBatches

X = {"a": np.arange(10), "b": np.arange(20).reshape(10, 2)}
Y = np.arange(10) % 2


def rows(batches):
    return np.concatenate([batch[0]["a"] for batch in batches])


def test_every_epoch_has_all_samples_in_an_order_of_its_own():
    batches = ShuffledBatches(X, Y, 3, seed=5, drop_remainder=False)
    orders = []
    for batches.epoch in range(3):
        assert [len(y) for _, y in batches] == [3, 3, 3, 1]
        orders.append(tuple(rows(batches)))
        for x, y in batches:
            np.testing.assert_array_equal(x["b"], X["b"][x["a"]])
            np.testing.assert_array_equal(y, Y[x["a"]])
    assert all(sorted(order) == list(range(10)) for order in orders)
    assert len(set(orders)) == 3
    again = ShuffledBatches(X, Y, 3, seed=5, drop_remainder=False)
    again.epoch = 1
    assert tuple(rows(again)) == orders[1]
    again.seed = 6
    assert tuple(rows(again)) != orders[1]


def test_the_remainder_is_left_out():
    batches = ShuffledBatches(X, Y, 4)
    assert len(batches) == 2 and {len(y) for _, y in batches} == {4}


def test_shards_are_the_parts_of_every_batch():
    whole = ShuffledBatches(X, Y, 4)
    parts = [ShuffledBatches(X, Y, 4, num_shards=2, shard_index=i) for i in (0, 1)]
    for index in range(len(whole)):
        joined = np.concatenate([part[index][0]["a"] for part in parts])
        np.testing.assert_array_equal(joined, whole[index][0]["a"])


def test_the_dataset_has_the_same_batches():
    pytest.importorskip("tensorflow")
    batches = ShuffledBatches(X, Y, 4, drop_remainder=False)
    dataset = batches.as_dataset()
    assert int(dataset.cardinality()) == len(batches)
    for batches.epoch in (0, 1):
        found = [x["a"].numpy() for x, _ in dataset]
        np.testing.assert_array_equal(np.concatenate(found), rows(batches))
    strings = ShuffledBatches(np.array(["a", "b"], object), None, 2).as_dataset()
    assert sorted(next(iter(strings))[0].numpy()) == [b"a", b"b"]


def test_the_dataset_of_a_shard_may_end_in_an_empty_batch():
    pytest.importorskip("tensorflow")
    options = {"drop_remainder": False, "num_shards": 2, "shard_index": 1}
    batches = ShuffledBatches(np.arange(5), None, 4, **options)
    found = [x.numpy().tolist() for (x,) in batches.as_dataset()]
    assert found == [batches[0][0].tolist(), []] and len(found[0]) == 2


class Noting(ShuffledBatches):
    """Notes the epochs of which batches are read."""

    def __init__(self):
        super().__init__(X["b"].astype("float32"), Y, 2)
        self.epochs = []

    def __getitem__(self, index):
        self.epochs.append(self.epoch)
        return super().__getitem__(index)


def fit(batches, epochs, folder=None, **more):
    """Trains a model that `fit` must build; returns the epochs that were read."""
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse", run_eagerly=BACKEND != "jax", metrics=["mae"])
    if folder is not None:
        more["callbacks"] = [keras_align.BackupAndResume(folder, data=batches)]
    batches.epochs = []
    model.fit(batches, epochs=epochs, shuffle=False, verbose=0, **more)
    assert len(batches.epochs) >= len(batches) * len(set(batches.epochs))
    return list(dict.fromkeys(batches.epochs)), model


@pytest.mark.parametrize("with_backup", [False, True])
def test_fit_counts_the_epochs_from_that_of_the_data(tmp_path, with_backup):
    batches, folder = Noting(), tmp_path if with_backup else None
    found, model = fit(batches, 3, folder)
    assert found == [0, 1, 2] and batches.epoch == 3
    batches.epoch = 5
    assert fit(batches, 4, folder, initial_epoch=2)[0] == [5, 6]
    batches.epochs = []
    model.fit(batches, epochs=2, shuffle=False, verbose=0)
    assert list(dict.fromkeys(batches.epochs)) == [7, 8]
    batches.epoch = 0
    assert fit(batches, 1, folder)[0] == [0]


def test_batches_in_the_order_of_the_arrays():
    batches = ShuffledBatches(X, Y, 4, drop_remainder=False, shuffle=False)
    for batches.epoch in (0, 1):
        np.testing.assert_array_equal(rows(batches), X["a"])


LENGTHS = np.random.default_rng(0).integers(1, 31, size=507)
TOKENS = {"tokens": np.where(np.arange(32) < LENGTHS[:, None], 1, 0), "n": LENGTHS}


def test_batches_by_length_are_cut_behind_the_longest():
    batches = ShuffledBatches(TOKENS, np.arange(507), 8, lengths=LENGTHS)
    orders, kept = [], set()
    for batches.epoch in range(3):
        for x, y in batches:
            np.testing.assert_array_equal(x["n"], LENGTHS[y])
            longest = -(-x["n"].max() // 8) * 8
            np.testing.assert_array_equal(x["tokens"], TOKENS["tokens"][y, :longest])
        orders.append(np.concatenate([y for _, y in batches]))
        assert len(set(orders[-1])) == 504
        kept.add(LENGTHS[np.setdiff1d(np.arange(507), orders[-1])].max())
    assert len({tuple(order) for order in orders}) == 3
    assert kept != {LENGTHS.max()}  # not always the longest are left out
    spread = [np.ptp(LENGTHS[y]) for _, y in batches]
    assert np.mean(spread) < 4 < np.ptp(LENGTHS)
    # Short and long batches alternate at random.
    middles = [LENGTHS[y].mean() for _, y in batches]
    assert abs(np.corrcoef(np.arange(len(middles)), middles)[0, 1]) < 0.5


def test_buckets_are_the_only_lengths():
    options = {"lengths": LENGTHS, "drop_remainder": False}
    batches = ShuffledBatches(TOKENS, None, 8, buckets=[24, 10], **options)
    assert {x["tokens"].shape[1] for (x,) in batches} == {10, 24, 32}
    few = ShuffledBatches(TOKENS, None, 1000, **options)
    assert len(few) == 1 and few[0][0]["tokens"].shape == (507, 32)
    halves = [
        ShuffledBatches(TOKENS, None, 8, num_shards=2, shard_index=k, **options)
        for k in (0, 1)
    ]
    for (first,), (second,) in zip(*halves, strict=True):
        assert first["tokens"].shape[1] == second["tokens"].shape[1]


def test_only_what_has_the_tokens_is_cut():
    data = {
        "tokens": TOKENS["tokens"],
        "features": np.ones((507, 32), "float32"),
        "embedded": np.ones((507, 32, 3), "float32"),
    }
    targets = {"tags": TOKENS["tokens"], "scores": np.ones((507, 32), "float32")}
    batches = ShuffledBatches(data, targets, 8, lengths=LENGTHS, buckets=[16])
    found = {
        (x["tokens"].shape[1], x["features"].shape[1], x["embedded"].shape[1])
        + (y["tags"].shape[1], y["scores"].shape[1])
        for x, y in batches
    }
    assert found == {(16, 32, 16, 16, 32), (32, 32, 32, 32, 32)}
    embedded = ShuffledBatches(data["embedded"], None, 8, lengths=LENGTHS, buckets=[31])
    assert {x.shape for (x,) in embedded} == {(8, 31, 3)}


def test_fit_on_batches_by_length():
    batches = ShuffledBatches(TOKENS["tokens"], LENGTHS % 2, 8, lengths=LENGTHS)
    model = keras.Sequential([
        keras.layers.Embedding(2, 2), keras.layers.GlobalAveragePooling1D(),
        keras.layers.Dense(1),
    ])  # fmt: skip
    model.compile("sgd", "mse", jit_compile=False, run_eagerly=BACKEND == "torch")
    tensorflow = BACKEND == "tensorflow"
    data = batches.as_dataset() if tensorflow else batches
    history = model.fit(data, epochs=2, shuffle=False, verbose=0)
    assert len(history.history["loss"]) == 2


def test_the_dataset_cuts_as_the_batches_do():
    pytest.importorskip("tensorflow")
    batches = ShuffledBatches(TOKENS, LENGTHS, 8, lengths=LENGTHS)
    dataset = batches.as_dataset()
    assert dataset.element_spec[0]["tokens"].shape == (8, None)
    for batches.epoch in (0, 1):
        for index, (x, y) in enumerate(dataset):
            expected, targets = batches[index]
            np.testing.assert_array_equal(x["tokens"], expected["tokens"])
            np.testing.assert_array_equal(y, targets)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"lengths": np.arange(9)}, "`lengths` must be 10 integers"),
        ({"lengths": np.ones(10)}, "`lengths` must be 10 integers"),
        (
            {"lengths": np.arange(10), "buckets": [8, 0]},
            "`buckets` must be a positive integer",
        ),
        ({"buckets": [8]}, "`buckets` needs `lengths`"),
        ({"batch_size": 0}, "`batch_size` must be a positive integer"),
        ({"batch_size": 11}, "at most the 10 samples"),
        ({"seed": -1}, "`seed` must be an integer >= 0"),
        ({"num_shards": 2, "shard_index": 2}, "`shard_index` must be below"),
        ({"num_shards": 3}, "must divide `batch_size`"),
        ({"inputs": 3}, "`inputs` must be of arrays .*Received: inputs=3"),
        ({"inputs": iter([1, 2])}, "`inputs` must be of arrays .*Received: inputs="),
        ({"inputs": None}, "`inputs` must be of arrays .*Received: inputs=None"),
        ({"targets": {"a": 0.5}}, "`targets` must be of arrays .*Received: targets="),
        ({"targets": np.arange(9)}, r"same number of samples .*\[9, 10\]"),
    ],
)
def test_wrong_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        ShuffledBatches(**{"inputs": X, "targets": Y, "batch_size": 4, **arguments})


def test_a_batch_that_is_not_there():
    with pytest.raises(IndexError, match="one of 2 batches"):
        ShuffledBatches(np.arange(10), None, 4)[2]
