"""`AlignmentMonitor` measures what is trained at that moment, and changes nothing.

As a script it trains on two logical CPUs, see `test_two_mirrored_devices`.
"""

import json
import pathlib
import sys

import contracts
import isolated
import keras
import numpy as np
import pytest
from contracts import tokens
from counted import Counted
from execution import BACKEND, QUICK_JIT, QUICK_STEP, array
from small_runs import Interrupt, Interruption

from keras_align import BackupAndResume
from keras_align.callbacks import AlignmentMonitor
from keras_align.callbacks.step_counter import StepCounter
from keras_align.diagnostics import measure_alignment
from keras_align.training import ShuffledBatches

pytestmark = pytest.mark.slow_on("jax")  # tracing takes long

X, Y = tokens(5, batch=12), tokens(5, batch=12, seed=1)
SAMPLE = tokens(5, batch=3, seed=2)


class Drawing(keras.layers.Layer):
    """Draws in inference too, from the global seed."""

    def call(self, x):
        return x + 0.1 * keras.random.normal(keras.ops.shape(x)[1:])


class Counting(keras.layers.Layer):
    """Counts its calls in a weight that is not trained, and depends on them."""

    def build(self, input_shape):
        self.calls = self.add_weight(shape=(), initializer="zeros", trainable=False)

    def call(self, x):
        self.calls.assign(self.calls + 1.0)
        return x * (1.0 + 0.01 * self.calls)


def build(*before, alignments=("mmd",), **options):
    """Aligned attention with dropout after what functions make; compiled."""
    keras.utils.set_random_seed(0)
    inputs = x = keras.Input((5, 8))
    for make in before:
        x = make()(x)
    for name, alignment in zip("ab", alignments, strict=False):
        x = contracts.MULTI_HEAD.make(alignment, dropout=0.2, name=name)(x, x)
    x = keras.layers.Dropout(0.3)(x)
    model = keras.Model(inputs, keras.layers.BatchNormalization()(x))
    optimizer = keras.optimizers.Adam(0.01)
    model.compile(optimizer, "mse", metrics=["mae"], **(options or QUICK_STEP))
    return model


def fit(model, *callbacks, samples=12, **options):
    more = {"batch_size": 2, "shuffle": False, "verbose": 0, **options}
    return model.fit(X[:samples], Y[:samples], callbacks=list(callbacks), **more)


def totals(monitor):
    """From step to the total MMD."""
    return {row["step"]: row["alignment/total_mmd"] for row in monitor.history}


def everything(model):
    """All variables of a model, its seeds, its metrics and its optimizer."""
    groups = model.variables, model.metrics_variables, model.optimizer.variables
    return [array(x) for group in groups for x in group]


def always_dropping():
    """Dropout in inference too, with seeds of its own."""
    dropout = keras.layers.Dropout(0.1)
    dropout.call = lambda x, training=None: type(dropout).call(dropout, x, True)
    return dropout


XLA = pytest.param({"jit_compile": True}, marks=pytest.mark.slow)
OF_XLA = [pytest.param(XLA, marks=pytest.mark.slow)] if BACKEND == "tensorflow" else []
EXECUTIONS = [QUICK_STEP, *OF_XLA]


@pytest.mark.parametrize("options", EXECUTIONS)
def test_training_is_the_same_bit_for_bit(options):
    drawing = always_dropping, Counting, *([Drawing] if BACKEND != "jax" else [])
    alignments = ("gan",) if options.get("jit_compile") else ("ct", "gan")
    found = []
    for monitor in ([], [AlignmentMonitor(SAMPLE, frequency=2)]):
        model = build(*drawing, alignments=alignments, **options)
        logs = fit(model, *monitor, epochs=2, validation_data=(X, Y)).history
        seed = keras.random.uniform((3,))  # of the global seed
        own = {x: y for x, y in logs.items() if not x.startswith("alignment/")}
        found.append((own, [*everything(model), array(seed)]))
    assert found[0][0] == found[1][0]
    for one, two in zip(found[0][1], found[1][1], strict=True):
        np.testing.assert_array_equal(one, two)


@pytest.mark.skipif(BACKEND == "torch", reason="PyTorch traces nothing")
def test_nothing_is_traced_again():
    counted = Counted()
    model = build(lambda: counted, jit_compile=QUICK_JIT)
    fit(model)
    function, traces = model.train_function, counted.traces
    fit(model, AlignmentMonitor(SAMPLE, 2), epochs=2)
    assert model.train_function is function
    assert counted.traces == traces


def test_a_step_is_measured_with_the_weights_that_it_left():
    monitor = AlignmentMonitor(SAMPLE, frequency=4)
    fit(build(), monitor, epochs=2)
    expected = {}
    for step in (0, 4, 6, 8, 12):
        model = build()
        if step:
            fit(model, samples=2 * min(step, 6))
        if step > 6:
            fit(model, samples=2 * (step - 6))
        expected[step] = measure_alignment(model, SAMPLE).total
    assert len(set(expected.values())) == 5
    assert totals(monitor) == pytest.approx(expected, rel=1e-4)
    epochs = {row["step"]: row["epoch"] for row in monitor.history}
    assert epochs == {0: 0, 4: 0, 6: 1, 8: 1, 12: 2}


@pytest.mark.skipif(BACKEND == "torch", reason="PyTorch has none in Keras")
def test_steps_of_one_execution_are_measured_after_it():
    options = {"jit_compile": QUICK_JIT}
    monitor = AlignmentMonitor(SAMPLE, frequency=3)
    model = build(steps_per_execution=2, **options)
    fit(model, monitor)
    assert list(totals(monitor)) == [0, 4, 6]
    single = AlignmentMonitor(SAMPLE, frequency=4)
    fit(build(**options), single)
    assert totals(monitor) == pytest.approx(totals(single), rel=1e-4)


def test_steps_go_on_in_another_fit():
    model, monitor = build(), AlignmentMonitor(SAMPLE, 4)
    fit(model, monitor)
    fit(model, monitor, epochs=3, initial_epoch=1)
    assert list(totals(monitor)) == [6, 8, 12, 16, 18]
    assert [row["epoch"] for row in monitor.history] == [1, 1, 2, 2, 3]
    fresh = build()  # whose optimizer begins anew
    fit(fresh, monitor, epochs=2, initial_epoch=1)
    assert list(totals(monitor)) == [6, 8, 12]


def test_batches_are_counted_where_the_optimizer_is_not_used():
    model, counter = build(), StepCounter()  # nobody trains it
    counter.begin(model, 0, 6)
    steps = []
    for _ in range(3):
        counter.begin_epoch()
        for batch in range(6):
            counter.estimate(batch)
            steps.append(counter.look(model))
        steps.append(counter.end_epoch(model, None))
    assert steps[6:] == [6, 6, 7, 8, 9, 10, 11, 12, 12, 13, 14, 15, 16, 17, 18]


@pytest.mark.slow_on("jax")
@pytest.mark.parametrize(
    "stop", [9, *(pytest.param(x, marks=pytest.mark.slow) for x in (8, 12))]
)
def test_a_resumed_run_records_what_it_would_have(tmp_path, stop):
    def run(monitor, *callbacks):
        model = build()
        data = ShuffledBatches(X, Y, batch_size=2)
        backup = BackupAndResume(tmp_path / "backup", save_freq=1, data=data)
        callbacks = [monitor, backup, *callbacks]
        model.fit(data, epochs=3, shuffle=False, verbose=0, callbacks=callbacks)

    whole, first, rest = (AlignmentMonitor(SAMPLE, frequency=4) for _ in range(3))
    run(whole)
    with pytest.raises(Interruption):
        run(first, Interrupt(stop))
    run(rest)
    begin = min(stop, 11)  # the end of an epoch was not reached
    found = totals(rest)
    assert min(found) == begin
    expected = {step: x for step, x in totals(whole).items() if step >= begin}
    expected.setdefault(begin, found[begin])
    assert found == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision(policy):
    if (BACKEND, policy) == ("jax", "mixed_float16"):
        pytest.skip("JAX has no float16 attention on CPUs")
    keras.config.set_dtype_policy(policy)
    model = build()
    monitor = AlignmentMonitor(SAMPLE, frequency=4)
    fit(model, monitor)
    assert list(totals(monitor)) == [0, 4, 6]
    assert all(np.isfinite(row["value"]) for row in monitor.records)
    expected = measure_alignment(model, SAMPLE).total
    assert totals(monitor)[6] == pytest.approx(expected, rel=1e-6)


@pytest.mark.slow
@pytest.mark.backends("tensorflow")
def test_two_mirrored_devices(tmp_path):
    file = tmp_path / "found.json"
    isolated.run(pathlib.Path(__file__).resolve(), file)
    found = json.loads(file.read_text())
    assert found["replicas"] == 2
    assert found["with"] == found["without"]
    assert found["steps"] == [0, 3, 4, 6, 8]
    assert found["last"] == pytest.approx(found["expected"], rel=1e-6)
    assert found["losses"] == pytest.approx(found["logged"], rel=1e-5)


def train_mirrored(file):
    """Trains with and without a monitor on two logical CPUs."""
    import tensorflow as tf

    from keras_align.training import distribute

    cpu = tf.config.list_physical_devices("CPU")[0]
    two = [tf.config.LogicalDeviceConfiguration()] * 2
    tf.config.set_logical_device_configuration(cpu, two)
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    found, monitor = {"replicas": strategy.num_replicas_in_sync}, None
    for name in ("without", "with"):
        with strategy.scope():
            model = build(jit_compile=False)
        distribute(model, jit_compile=False)
        monitor = AlignmentMonitor(SAMPLE, 3, csv_path=f"{file}.csv")
        callbacks = [monitor] if name == "with" else []
        logs = fit(model, *callbacks, samples=8, epochs=2).history
        found[name] = [logs["loss"], *(x.tolist() for x in everything(model))]
    losses = [x["value"] for x in monitor.records if x["quantity"] == "loss"]
    found["steps"] = list(totals(monitor))
    found["last"] = totals(monitor)[8]
    found["expected"] = measure_alignment(model, SAMPLE).total
    found["losses"] = losses
    found["logged"] = logs["alignment_loss"]
    pathlib.Path(file).write_text(json.dumps(found))


if __name__ == "__main__":
    train_mirrored(sys.argv[1])
