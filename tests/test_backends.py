"""TensorFlow, JAX and PyTorch give the same numbers, of formulas and of training."""

import backend_values
import isolated
import numpy as np
import pytest

pytestmark = [pytest.mark.backends("tensorflow"), pytest.mark.slow]


@pytest.fixture(scope="module")
def values(tmp_path_factory):
    """Function from a backend's name to what `backend_values.py` computes on it."""
    folder = tmp_path_factory.mktemp("backends")
    known = {}

    def compute(backend):
        if backend == "tensorflow":
            return backend_values.compute()
        file = folder / f"{backend}.npz"
        environment = {"KERAS_BACKEND": backend, "XLA_FLAGS": isolated.QUICK_XLA}
        isolated.run("backend_values.py", file, **environment)
        return dict(np.load(file))

    def once(backend):
        if backend not in known:
            known[backend] = compute(backend)
        return known[backend]

    return once


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_same_numbers_as_tensorflow(values, backend):
    ours, theirs = values("tensorflow"), values(backend)
    assert len(ours) == 16
    assert set(theirs) == set(ours)
    for name, received in theirs.items():
        scale = np.abs(ours[name]).max()
        assert scale > 0.0
        atol = 0.0 if name.startswith("training") else 1e-4 * scale
        np.testing.assert_allclose(received, ours[name], 1e-4, atol, err_msg=name)
