"""Keras's own tests of its attention layers, run on ours in the place of theirs.

The test files ship in the Keras wheel. Each is loaded three times: as it is, with our
class without alignment, and with our class aligned by "ct"; every test must then have
the outcome that it has for Keras's class. Tests that count weights are told of the
twelve of the critic and the navigator, those that count seed generators of three
states, and lists given to `set_weights` are preceded by the layer's own.
"""

import importlib.util
import pathlib
import re
import types
import unittest

import keras
import pytest
from keras.src import layers, testing

import keras_align

# Warnings of tests that are not ours.
pytestmark = [
    pytest.mark.slow_on("jax", "torch"),
    pytest.mark.filterwarnings("ignore"),
]

FOLDER = "keras.src.layers.attention."
LAYERS = {
    "MultiHeadAttention": FOLDER + "multi_head_attention_test",
    "GroupedQueryAttention": FOLDER + "grouped_query_attention_test",
}
MARK = "@pytest.mark.requires_trainable_backend"  # known to Keras's own pytest only
ALIGNMENT_WEIGHTS = 12  # highway 4, critic 4, navigator 4
KNOWN = "Unexpected number of non_trainable_variables"  # counted on the layer itself
STATES = {"alignment_weight", "alignment_loss", "alignment_factor"}


def class_under_test(name, alignment):
    """Our layer with another default alignment, so that tests need not name it."""
    base = getattr(keras_align, f"Aligned{name}")

    class Tested(base):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **{"alignment": alignment, **kwargs})

        def set_weights(self, weights):
            own = len(self.weights) - len(weights)  # the alignment's come first
            super().set_weights([*self.get_weights()[:own], *weights])

    Tested.__name__ = Tested.__qualname__ = f"{name}{str(alignment).title()}"
    return keras.saving.register_keras_serializable("keras_contract")(Tested)


class CountingTestCase(testing.TestCase):
    """Keras's test case, expecting the alignment's weights in every list of weights."""

    def assertLen(self, iterable, expected_len, msg=None):
        items = list(iterable)
        # PyTorch's parameters are named by their paths.
        paths = [getattr(item, "path", item) for item in items]
        paths = {path for path in paths if isinstance(path, str)}
        names = [getattr(item, "name", item) for item in items]
        names = {name for name in names if isinstance(name, str)}
        if any("alignment/" in path for path in paths):
            expected_len += ALIGNMENT_WEIGHTS
        if names >= STATES and msg != KNOWN:
            expected_len += len(STATES)
            expected_len += any("token_sampling/" in path for path in paths)
        expected_len += "token_sampling" in names  # a seed generator
        super().assertLen(items, expected_len, msg)


def load(module_name, replacements, test_case=None):
    """A fresh copy of a Keras test module that sees other classes in `layers`."""
    spec = importlib.util.find_spec(module_name)
    module = types.ModuleType(f"{module_name}_of_{len(replacements)}")
    module.__file__ = spec.origin
    source = pathlib.Path(spec.origin).read_text(encoding="utf-8")
    for line in (
        "from keras.src import layers\n",
        "from keras.src import testing\n",
        MARK,
    ):
        source = source.replace(line, "")
    module.layers = types.SimpleNamespace(**{**vars(layers), **replacements})
    module.testing = types.SimpleNamespace(
        **{**vars(testing), **({"TestCase": test_case} if test_case else {})}
    )
    exec(compile(source, spec.origin, "exec"), vars(module))
    return module


class Outcomes(unittest.TestResult):
    """Notes the outcome of every test."""

    def __init__(self):
        super().__init__()
        self.of, self.texts = {}, {}

    def note(self, test, outcome, error=None):
        name = test.id().split(".")[-1]
        self.of[name] = outcome
        if error:
            self.texts[name] = self._exc_info_to_string(error, test)

    def addSuccess(self, test):
        self.note(test, "pass")

    def addSkip(self, test, reason):
        self.note(test, "skip")

    def addFailure(self, test, error):
        self.note(test, "fail", error)

    def addError(self, test, error):
        self.note(test, "fail", error)

    def addSubTest(self, test, subtest, error):
        if error:
            self.note(test, "fail", error)


def outcomes(module, pattern):
    result, loader = Outcomes(), unittest.defaultTestLoader
    for value in list(vars(module).values()):
        if isinstance(value, type) and issubclass(value, unittest.TestCase):
            names = filter(re.compile(pattern).search, loader.getTestCaseNames(value))
            unittest.TestSuite(map(value, names)).run(result)
    return result


# The others build a model each, or train one.
QUICK = ("MultiHeadAttention", "mask|correctness|initializer|errors", 10)
SLOW = [
    pytest.param((name, "", 20), marks=pytest.mark.slow, id=name) for name in LAYERS
]


@pytest.fixture(scope="module", params=[pytest.param(QUICK, id="quick"), *SLOW])
def layer(request):
    name, pattern, count = request.param
    plain = outcomes(load(LAYERS[name], {}), pattern)
    passed = [test for test, outcome in plain.of.items() if outcome == "pass"]
    assert len(passed) >= count, plain.texts
    return name, pattern, passed


@pytest.mark.parametrize(
    "alignment", [pytest.param(None, marks=pytest.mark.slow), "ct"]
)
def test_passes_what_the_keras_layer_passes(layer, alignment):
    name, pattern, passed = layer
    ours = {name: class_under_test(name, alignment)}
    case = CountingTestCase if alignment else None
    result = outcomes(load(LAYERS[name], ours, case), pattern)
    failed = {
        test: result.texts.get(test) for test in passed if result.of[test] != "pass"
    }
    assert not failed, "\n".join(f"{test}: {text}" for test, text in failed.items())
