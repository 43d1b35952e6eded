"""One model for many seeds: runs repeat exactly, and those of one seed are paired."""

import dataclasses
import functools

import keras
import methods
import numpy as np
import pytest
from keras import ops

finetuning = pytest.importorskip("finetuning")
repeated_runs = pytest.importorskip("repeated_runs")

pytestmark = pytest.mark.backends("tensorflow")


@pytest.fixture(scope="module")
def settings(tiny_preset):
    return finetuning.Settings(
        tiny_preset,
        sequence_length=8,
        train_size=20,
        batch_size=8,
        epochs=2,
        learning_rate=0.01,
        warm_up=0.5,
        jit_compile=False,
        measured=8,
        verbose=0,
    )


@pytest.fixture(scope="module")
def runs_of(tiny_task, settings):
    """Function from a method's name to its `RepeatedRuns`, each traced once."""

    @functools.cache
    def make(name):
        return repeated_runs.RepeatedRuns(tiny_task, methods.METHODS[name], settings)

    return make


def numbers(run):
    """All that a run measured but the times."""
    tests = [found["probabilities"] for found in run["tests"].values()]
    return [run["temperature"], run["measure"].values, run["alignment_loss"], *tests]


def test_a_run_repeats_whatever_ran_in_between(runs_of):
    runs = runs_of("ct")
    first, other, again = (runs.run(seed) for seed in (0, 1, 0))
    for one, two in zip(numbers(first), numbers(again), strict=True):
        np.testing.assert_array_equal(one, two)
    one, two = (run["tests"]["inside"]["probabilities"] for run in (first, other))
    assert np.abs(one - two).max() > 1e-4
    assert first["seconds_per_step"] > 0 and first["cpu_seconds_per_step"] > 0
    assert len(first["history"]["loss"]) == 2 and first["alignment_loss"] > 0
    assert set(first["tests"]["outside"]) == {
        *("accuracy", "f1", "matthews", "ece", "nll", "brier"),
        *("scaled_ece", "scaled_nll", "scaled_brier", "probabilities", "labels"),
    }


@pytest.mark.slow
def test_runs_with_one_seed_differ_in_the_alignment_alone(tiny_task, settings, runs_of):
    """With a weight of 0 and no matching, alignment is soft attention."""
    ct = dataclasses.replace(methods.METHODS["ct"], weight=0.0, matched=None)
    one, two = runs_of("soft"), repeated_runs.RepeatedRuns(tiny_task, ct, settings)
    for seed in (3, 4):
        a, b = (runs.run(seed)["tests"]["inside"] for runs in (one, two))
        np.testing.assert_allclose(a["probabilities"], b["probabilities"], atol=1e-5)


def test_a_seed_decides_head_and_dropout(runs_of):
    runs = runs_of("soft")
    inputs = {name: x[:4] for name, x in runs.inputs.items()}

    def drawn(seed):
        runs.reset(seed)
        heads = [np.copy(x.kernel) for x in repeated_runs.new_layers(runs.model)]
        outputs = runs.model.backbone(inputs, training=True)["pooled_output"]
        return [*heads, ops.convert_to_numpy(outputs)]

    first, other, again = drawn(0), drawn(1), drawn(0)
    assert len(first) == 2  # the kernel of one layer, and what dropout leaves
    for one, two, three in zip(first, other, again, strict=True):
        np.testing.assert_array_equal(one, three)
        assert np.abs(one - two).max() > 1e-4
    pretrained = {id(v) for v in runs.model.backbone.trainable_variables}
    for variable, value in runs.start:
        if id(variable) in pretrained:
            np.testing.assert_array_equal(np.copy(variable), value)


def test_label_smoothing_and_matching_are_as_the_method_says(runs_of):
    smoothed, matched, soft = map(runs_of, ("label_smoothing", "matched", "soft"))
    assert smoothed.model.loss.label_smoothing == pytest.approx(0.1)
    assert soft.model.loss.label_smoothing == 0.0
    for runs in (soft, matched):
        runs.reset(0)
    assert matched.measure().total < 0.5 * soft.measure().total
    logits = [
        finetuning.predict(runs.model, runs.inputs, batch_size=4)
        for runs in (soft, matched)
    ]
    np.testing.assert_allclose(*logits, atol=1e-5)


def test_the_rate_rises_and_falls():
    schedule = finetuning.WarmUpAndDecay(0.1, steps=10, warm_up_steps=2)
    rates = [float(schedule(step)) for step in (0, 1, 2, 6, 10, 11)]
    assert rates == pytest.approx([0.05, 0.1, 0.1, 0.05, 0.0, 0.0])
    plain = finetuning.WarmUpAndDecay(0.1, steps=10)
    assert [float(plain(step)) for step in (0, 5)] == pytest.approx([0.1, 0.05])
    config = keras.optimizers.schedules.serialize(schedule)
    copy = keras.optimizers.schedules.deserialize(config)
    assert float(copy(6)) == pytest.approx(0.05)


@pytest.mark.parametrize("classes", [2, 3])
def test_scores(classes):
    probabilities = np.random.default_rng(0).dirichlet(np.ones(classes), 50)
    labels = np.arange(50) % classes
    scores = finetuning.score(probabilities.astype("float32"), labels)
    table = np.zeros((classes, classes))
    np.add.at(table, (labels, probabilities.argmax(-1)), 1)
    assert scores["accuracy"] == pytest.approx(np.trace(table) / 50)
    rows, columns = table.sum(1), table.sum(0)
    covariance = np.trace(table) * 50 - rows @ columns
    variances = (2500 - rows @ rows) * (2500 - columns @ columns)
    assert scores["matthews"] == pytest.approx(covariance / variances**0.5)
    likelihood = np.log(probabilities[np.arange(50), labels]).mean()
    assert scores["nll"] == pytest.approx(-likelihood, rel=1e-5)


def test_an_alignment_does_without_moments_that_cannot_be_matched(
    tiny_task, settings, monkeypatch, capsys
):
    def refuse(*args, **kwargs):
        raise ValueError("no attention layer can be matched")

    monkeypatch.setattr(repeated_runs.keras_align, "match_moments", refuse)
    runs = repeated_runs.RepeatedRuns(tiny_task, methods.METHODS["mmd"], settings)
    assert len(runs.aligned) == 1
    assert "without matched moments: no attention layer" in capsys.readouterr().out
    with pytest.raises(ValueError, match="can be matched"):
        repeated_runs.RepeatedRuns(tiny_task, methods.METHODS["matched"], settings)
