"""TensorFlow, JAX and PyTorch give the same divergences, gradients and losses."""

import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest

SCRIPT = pathlib.Path(__file__).with_name("backend_values.py")


@pytest.fixture(scope="module")
def values(tmp_path_factory):
    """Function from a backend's name to what `backend_values.py` computes on it."""
    folder = tmp_path_factory.mktemp("backends")

    def compute(backend):
        file = folder / f"{backend}.npz"
        if not file.exists():
            paths = [str(SCRIPT.parents[1]), os.environ.get("PYTHONPATH", "")]
            environment = {
                **os.environ,
                "KERAS_BACKEND": backend,
                "PYTHONPATH": os.pathsep.join(paths),
            }
            result = subprocess.run(
                [sys.executable, str(SCRIPT), str(file)],
                env=environment,
                capture_output=True,
                text=True,
            )
            assert result.returncode == 0, result.stderr[-3000:]
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
