"""A run that is killed and resumed ends where an uninterrupted one does."""

import random

import isolated
import numpy as np
import pytest

pytestmark = pytest.mark.backends("tensorflow")

STEPS = 12  # in three epochs


def check(folder, step):
    """Weights, critic, optimizer, seeds of dropout, and the logs of the last epoch."""
    with np.load(folder / "whole.npz") as whole, np.load(folder / f"{step}.npz") as run:
        assert whole.files == run.files
        for name in whole.files:
            np.testing.assert_allclose(
                run[name], whole[name], rtol=1e-5, atol=1e-7, err_msg=f"{step}: {name}"
            )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "step"),
    [("keras", "6"), ("ours", "writing:7")],  # the end of an epoch is not written
)
def test_killed_in_mid_epoch_and_resumed(tmp_path, kind, step):
    isolated.run("train_interrupted.py", tmp_path, kind, "eager", step)
    check(tmp_path, step)


@pytest.mark.slow
def test_killed_at_ten_random_points(tmp_path):
    steps = random.sample(range(1, STEPS), 10)
    isolated.run("train_interrupted.py", tmp_path, "ours", "graph", *steps)
    for step in steps:
        check(tmp_path, step)
