"""What every test starts from: a quiet TensorFlow, fixed seeds, the float32 policy."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import hypothesis
import keras
import pytest

if keras.backend.backend() == "torch":
    import torch

    # It refuses to read what has a gradient; the tests only look at values.
    _read = torch.Tensor.__array__
    torch.Tensor.__array__ = lambda self, dtype=None, copy=None: _read(
        self.detach(), dtype
    )

# Examples are the same in every run, and their number fits the time of a commit.
hypothesis.settings.register_profile(
    "keras_align", max_examples=25, deadline=None, derandomize=True, database=None
)
hypothesis.settings.load_profile("keras_align")


@pytest.fixture(autouse=True)
def same_start():
    """Every test begins with the same seed and leaves the global policy as it was."""
    keras.utils.set_random_seed(0)
    yield
    keras.config.set_dtype_policy("float32")
