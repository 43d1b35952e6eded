"""What `AlignmentMonitor` measures, and what the logs say of it."""

import csv

import contracts
import keras
import numpy as np
import pytest
from contracts import tokens
from execution import QUICK_STEP, array

from keras_align.callbacks import AlignmentMonitor
from keras_align.diagnostics import measure_alignment, record_attention

pytestmark = pytest.mark.slow_on("jax")  # tracing takes long

X = tokens(5, batch=8)


def attention_model(*alignments, rate=0.1, **options):
    """Self-attention layers named a, b, ..., with a padding mask; compiled."""
    inputs = x = keras.Input((5, 8), name="tokens")
    mask = keras.Input((5,), dtype="bool", name="mask")
    for name, alignment in zip("abcd", alignments, strict=False):
        layer = contracts.MULTI_HEAD.make(alignment, name=name)
        x = layer(x, x, attention_mask=mask[:, None])
    model = keras.Model({"tokens": inputs, "mask": mask}, x)
    model.compile(keras.optimizers.SGD(rate), "mse", **(options or QUICK_STEP))
    return model


def padded(samples=8, seed=0):
    """Inputs with padding of several lengths, which holds large numbers."""
    lengths = np.random.default_rng(seed).integers(2, 6, samples)
    mask = np.arange(5) < lengths[:, None]
    x = tokens(5, batch=samples, seed=seed)
    return {"tokens": np.where(mask[..., None], x, 9.0).astype("float32"), "mask": mask}


def fit(model, *callbacks, epochs=2, **options):
    more = {"batch_size": 4, "shuffle": False, "verbose": 0, **options}
    return model.fit(padded(), X, epochs=epochs, callbacks=list(callbacks), **more)


def values(monitor, quantity, head=None):
    """From step and layer to the value."""
    return {
        (row["step"], row["layer"]): row["value"]
        for row in monitor.records
        if row["quantity"] == quantity and row["head"] == head
    }


def test_the_distances_are_those_of_measure_alignment():
    model, sample = attention_model("mmd", None), padded(6, seed=1)
    options = {"bandwidth": 0.7, "max_tokens": 11, "seed": 3, "batch_size": 4}
    expected = {0: [measure_alignment(model, sample, **options, matched=False)]}
    expected[0].append(measure_alignment(model, sample, **options, matched=True))
    monitor = AlignmentMonitor(sample, per_head=True, **options)
    logs = fit(model, monitor, epochs=1).history
    expected[2] = [measure_alignment(model, sample, **options, matched=False)]
    expected[2].append(measure_alignment(model, sample, **options, matched=True))
    assert expected[0][0].total != expected[2][0].total
    for place, quantity in enumerate(("mmd", "matched_mmd")):
        of_layers = values(monitor, quantity)
        assert set(of_layers) == {(0, "a"), (0, "b"), (2, "a"), (2, "b")}
        for (step, name), value in of_layers.items():
            of_heads = expected[step][place].per_layer[name]
            assert value == pytest.approx(of_heads.sum(), rel=1e-6, abs=1e-7)
            for head, number in enumerate(of_heads):
                found = values(monitor, quantity, head)[step, name]
                assert found == pytest.approx(number, rel=1e-6, abs=1e-7)
        total = logs[f"alignment/total_{quantity}"]
        assert total == pytest.approx([expected[2][place].total], rel=1e-6)


def test_norms_and_entropies_are_those_of_real_tokens():
    model, sample = attention_model(None), padded(6, seed=1)
    monitor = AlignmentMonitor(sample, per_head=True, batch_size=4)
    fit(model, monitor, epochs=1)
    (record,) = record_attention(model, sample).values()
    real = sample["mask"]
    norms = np.linalg.norm(record.query[real], axis=-1).mean(0)
    of_keys = np.linalg.norm(record.key[real], axis=-1).mean(0)
    entropies = []
    for row, mask in zip(record.scores, real, strict=True):
        weights = row[:, mask][:, :, mask].astype("float64")  # (N, real, real)
        np.testing.assert_allclose(weights.sum(-1), 1.0, rtol=1e-5)
        entropies.append(-(weights * np.log(weights)).sum(-1))
    entropy = np.concatenate(entropies, axis=1).mean(1)
    for quantity, expected in (
        ("query_norm", norms),
        ("key_norm", of_keys),
        ("entropy", entropy),
    ):
        assert values(monitor, quantity)[2, "a"] == pytest.approx(expected.mean())
        for head in range(2):
            found = values(monitor, quantity, head)[2, "a"]
            assert found == pytest.approx(expected[head], rel=1e-5), quantity


def test_the_accuracy_of_the_discriminator_is_that_of_its_logits():
    model, sample = attention_model("gan", "mmd", rate=0.05), padded(6, seed=1)
    monitor = AlignmentMonitor(sample, per_head=True, batch_size=4)
    fit(model, monitor, epochs=3)
    assert (
        values(monitor, "adversary_accuracy")[0, "a"] == 0.5
    )  # it starts with D = 1/2
    alignment = model.get_layer("a").alignment
    record = record_attention(model, sample)["a"]
    right = {"query": [], "key": []}
    for query, key, mask in zip(record.query, record.key, sample["mask"], strict=True):
        pair = np.stack([query[mask], key[mask]])  # (2, real, N, H)
        pair = pair - pair.mean((0, 1))
        pair = pair / np.sqrt(np.square(pair).mean((0, 1, 3))[:, None] + 1e-6)
        logits = array(alignment.discriminator(pair.astype("float32")))
        assert np.abs(logits).min() > 1e-5
        right["query"].append(logits[0] > 0.0)
        right["key"].append(logits[1] < 0.0)
    expected = sum(np.concatenate(x).mean(0) for x in right.values()) / 2.0
    for head in range(2):
        found = values(monitor, "adversary_accuracy", head)[6, "a"]
        assert found == pytest.approx(expected[head])
    assert {row["layer"] for row in monitor.records if "adv" in row["quantity"]} == {
        "a"
    }


def test_the_accuracy_of_grouped_queries_is_that_of_their_key_head():
    layer = contracts.GROUPED_QUERY.make("gan", name="a")
    inputs = keras.Input((5, 8))
    model = keras.Model(inputs, layer(inputs, inputs))
    model.compile(keras.optimizers.SGD(0.05), "mse", **QUICK_STEP)
    monitor = AlignmentMonitor(X, per_head=True)
    model.fit(X, X, epochs=3, verbose=0, callbacks=[monitor])
    record = record_attention(model, X)["a"]
    for group in (0, 1):
        query = record.query[:, :, 2 * group : 2 * group + 2].reshape(8, 10, 4)
        key = record.key[:, :, 2 * group]
        center = (query.mean(1, keepdims=True) + key.mean(1, keepdims=True)) / 2.0
        pair = query - center, key - center
        square = sum(np.square(x).mean((1, 2)) for x in pair) / 2.0
        scale = 1.0 / np.sqrt(square + 1e-6)[:, None, None]
        logits = [array(layer.alignment.discriminator(x * scale)) for x in pair]
        expected = ((logits[0] > 0).mean() + (logits[1] < 0).mean()) / 2.0
        for head in (2 * group, 2 * group + 1):
            found = values(monitor, "adversary_accuracy", head)[3, "a"]
            assert found == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("alignment", ["ct", "gan"])
def test_the_norm_of_the_adversary_is_that_of_its_weights(alignment):
    model = attention_model(alignment)
    monitor = AlignmentMonitor(padded(4))
    fit(model, monitor, epochs=1)
    part = "critic" if alignment == "ct" else "discriminator"
    weights = [x for x in model.trainable_weights if f"/{part}/" in x.path]
    assert len(weights) == 8
    expected = np.sqrt(sum(np.square(array(x)).sum() for x in weights))
    assert values(monitor, "adversary_norm")[2, "a"] == pytest.approx(expected)


def test_losses_are_those_of_the_layers_and_of_every_epoch():
    model = attention_model("ct", "mmd", None)
    monitor = AlignmentMonitor()
    seen = []

    class Losses(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            seen.append([self.model.get_layer(x).alignment_loss for x in "ab"])

    logs = fit(model, monitor, Losses(), validation_data=(padded(), X)).history
    found = values(monitor, "loss")
    assert found == {
        (step, name): seen[epoch][place]
        for epoch, step in enumerate((2, 4))
        for place, name in enumerate("ab")
    }
    total = [found[step, "a"] + found[step, "b"] for step in (2, 4)]
    assert logs["alignment_loss"] == pytest.approx(total, rel=1e-5)
    assert {row["quantity"] for row in monitor.records} == {"loss"}
    assert not [key for key in logs if key.startswith("alignment/")]


def test_logs_have_totals_and_on_demand_layers():
    model, sample = attention_model("mmd", None), padded(4)
    totals = {"total_mmd", "total_matched_mmd", "mean_entropy"}
    found = set(fit(model, AlignmentMonitor(sample)).history)
    assert {x for x in found if "/" in x} == {f"alignment/{x}" for x in totals}
    monitor = AlignmentMonitor(sample, per_layer=True, per_head=True, name="mine")
    logs = fit(model, monitor, AlignmentMonitor(padded(3, seed=5))).history
    quantities = {"mmd", "matched_mmd", "query_norm", "key_norm", "entropy"}
    expected = {f"mine/{x}/{y}" for x in "ab" for y in quantities} | {"mine/a/loss"}
    expected |= {f"{name}/{x}" for x in totals for name in ("mine", "alignment")}
    assert {x for x in logs if "/" in x} == expected
    assert logs["mine/total_mmd"] != logs["alignment/total_mmd"]
    for key in expected:
        assert len(logs[key]) == 2 and all(isinstance(x, float) for x in logs[key])
    for name in ("mine/total_mmd", "mine/b/entropy"):
        assert [row[name] for row in monitor.history[1:]] == logs[name]
    assert [row["epoch"] for row in monitor.history] == [0, 1, 2]


def test_callbacks_after_it_see_its_logs(tmp_path):
    model = attention_model("mmd", rate=0.0)  # the distance stays
    stop = keras.callbacks.EarlyStopping("alignment/total_mmd", patience=1, mode="min")
    logger = keras.callbacks.CSVLogger(tmp_path / "log.csv")
    monitor = AlignmentMonitor(padded(4))
    history = fit(model, monitor, stop, logger, epochs=5)
    assert history.epoch == [0, 1]
    with (tmp_path / "log.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    written = [float(row["alignment/total_mmd"]) for row in rows]
    assert written == history.history["alignment/total_mmd"]


def test_values_that_are_not_finite_are_not_a_number_and_end_nothing():
    model = attention_model("mmd", "mmd")
    bias = model.get_layer("b").key_dense.bias
    bias.assign(np.full(bias.shape, np.inf))
    monitor = AlignmentMonitor(padded(4), per_head=True)
    fit(model, monitor, epochs=1)
    first = monitor.history[0]
    for quantity in ("mmd", "matched_mmd"):
        assert np.isfinite(first[f"alignment/a/{quantity}"])
        assert np.isnan(first[f"alignment/b/{quantity}"])
    assert np.isnan(first["alignment/total_mmd"])
    assert len(monitor.history) == 2
