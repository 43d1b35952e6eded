"""What every test starts from: quiet backends, fixed seeds, the float32 policy."""

import gc
import os
import tempfile

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import isolated

os.environ.setdefault("XLA_FLAGS", isolated.QUICK_XLA)
if os.environ.get("KERAS_BACKEND") == "jax":  # most of the time goes into compiling
    if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        CACHE = tempfile.TemporaryDirectory()  # for all processes of this run
        os.environ["JAX_COMPILATION_CACHE_DIR"] = CACHE.name
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
    os.environ["JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES"] = "-1"

import hypothesis
import keras
import pytest

BACKEND = keras.backend.backend()

if BACKEND == "torch":
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # tests beside each other share cores

# Examples are the same in every run, and their number fits the time of a commit.
# JAX compiles for every shape that is drawn.
hypothesis.settings.register_profile(
    "keras_align",
    max_examples=4 if BACKEND == "jax" else 6,
    deadline=None,
    derandomize=True,
    database=None,
)
hypothesis.settings.load_profile("keras_align")

# Of PyTorch: the tests read losses as numbers, and its own compiler uses its old parts.
QUIET = (
    "ignore:Converting a tensor with requires_grad=True to a scalar",
    "ignore:`torch.jit.script_method` is deprecated",
)


def pytest_configure(config):
    for line in QUIET:
        config.addinivalue_line("filterwarnings", line)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    for item in items:
        for marker in item.iter_markers("backends"):
            if BACKEND not in marker.args:
                reason = f"of {' and '.join(marker.args)} alone"
                item.add_marker(pytest.mark.skip(reason=reason))
        for marker in item.iter_markers("slow_on"):
            if BACKEND in marker.args:
                item.add_marker(pytest.mark.slow)


def pytest_collection_finish():
    """Garbage is collected where a test asks for it, of what that test made."""
    gc.collect()
    gc.freeze()
    gc.disable()


def pytest_sessionfinish():
    """Nothing is left to find when the process ends, which would take long."""
    gc.freeze()


@pytest.fixture(autouse=True)
def same_start():
    """Every test begins with the same seed and leaves the global policy as it was."""
    keras.utils.set_random_seed(0)
    yield
    keras.config.set_dtype_policy("float32")
    gc.freeze()  # Keras collects too, a minute if it searches all that tests left
