"""What every test starts from: quiet backends, fixed seeds, the float32 policy."""

import os
import tempfile

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import isolated

if os.environ.get("KERAS_BACKEND") == "jax":  # most of the time goes into compiling
    os.environ.setdefault("XLA_FLAGS", isolated.QUICK_XLA)
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
    import torch

    # It refuses to read what has a gradient; the tests only look at values.
    _read = torch.Tensor.__array__
    torch.Tensor.__array__ = lambda self, dtype=None, copy=None: _read(
        self.detach(), dtype
    )

# Examples are the same in every run, and their number fits the time of a commit.
# JAX compiles for every shape that is drawn.
hypothesis.settings.register_profile(
    "keras_align",
    max_examples=4 if BACKEND == "jax" else 25,
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


# Files of the TensorFlow backend alone, by their subject.
OF_TENSORFLOW = {
    "test_architecture.py": "the files of the library",
    "test_backends.py": "starts the other backends",
    "test_distributed_example.py": "starts the other backends",
    "test_distribution.py": "tf.distribute",
    "test_examples.py": "the examples are written for TensorFlow",
    "test_export_example.py": "the examples are written for TensorFlow",
    "test_export.py": "graphs of TensorFlow and the SavedModel",
    "test_keras_hub_families.py": "the README's table; see test_keras_hub_everywhere",
    "test_interrupted_training.py": "trains in processes of its own",
    "test_readme.py": "the README",
    "test_serve.py": "serves SavedModels",
    "test_serving_benchmark.py": "serves SavedModels",
    "test_predict_example.py": "the examples are written for TensorFlow",
    "test_quiet_tensorflow.py": "the examples are written for TensorFlow",
    "test_static_shapes.py": "what TensorFlow hands to XLA",
}


# Files that say little of a backend and take long on JAX, which compiles each model.
LONG_ON_JAX = {
    "test_alignment_training.py",
    "test_conversion.py",
    "test_keras_contract.py",
    "test_layer_saving.py",
    "test_presets.py",
    "test_saving.py",
}


def pytest_configure(config):
    for line in QUIET:
        config.addinivalue_line("filterwarnings", line)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    if BACKEND == "tensorflow":
        return
    for item in items:
        reason = OF_TENSORFLOW.get(item.path.name)
        if reason or item.get_closest_marker("tensorflow"):
            reason = f"TensorFlow only: {reason or 'see the test'}"
            item.add_marker(pytest.mark.skip(reason=reason))
        if BACKEND == "jax" and item.path.name in LONG_ON_JAX:
            item.add_marker(pytest.mark.slow)


@pytest.fixture(autouse=True)
def same_start():
    """Every test begins with the same seed and leaves the global policy as it was."""
    keras.utils.set_random_seed(0)
    yield
    keras.config.set_dtype_policy("float32")
