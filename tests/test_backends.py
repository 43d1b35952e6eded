"""TensorFlow, JAX and PyTorch give the same divergences, gradients and losses."""

import isolated
import numpy as np
import pytest


@pytest.fixture(scope="module")
def values(tmp_path_factory):
    """Function from a backend's name to what `backend_values.py` computes on it."""
    folder = tmp_path_factory.mktemp("backends")

    def compute(backend):
        file = folder / f"{backend}.npz"
        if not file.exists():
            isolated.run("backend_values.py", file, KERAS_BACKEND=backend)
        return dict(np.load(file))

    return compute


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_same_numbers_as_tensorflow(values, backend):
    ours, theirs = values("tensorflow"), values(backend)
    assert set(ours) == set(theirs) and len(ours) == 16
    assert all(float(ours[name]) == 1.0 for name in ours if name.endswith("logged"))
    for name, wanted in ours.items():
        scale = np.abs(wanted).max()
        assert scale > 0.0
        np.testing.assert_allclose(
            theirs[name], wanted, rtol=1e-4, atol=1e-4 * scale, err_msg=name
        )
