"""A run that is killed and resumed ends where an uninterrupted one does."""

import signal

import isolated
import numpy as np


def test_killed_in_mid_epoch_and_resumed(tmp_path):
    """Weights, critic and optimizer; four steps an epoch, killed in the second."""
    script = "train_interrupted.py"
    whole, resumed = tmp_path / "whole.npz", tmp_path / "resumed.npz"
    isolated.run(script, tmp_path / "one", whole)
    isolated.run(script, tmp_path / "two", resumed, 6, returncode=-signal.SIGKILL)
    assert not resumed.exists()
    isolated.run(script, tmp_path / "two", resumed)
    with np.load(whole) as expected, np.load(resumed) as found:
        assert expected.files == found.files
        for name in expected.files:
            np.testing.assert_allclose(found[name], expected[name], rtol=1e-6)
