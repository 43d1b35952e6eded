"""Training on several devices gives the numbers of one."""

import json

import isolated
import pytest


def test_two_mirrored_devices_equal_one(tmp_path):
    file = tmp_path / "logs.json"
    isolated.run("train_mirrored.py", file)
    replicas, one, two = json.loads(file.read_text())
    assert replicas == 2
    assert set(one) == set(two) == {"loss", "alignment_loss", "weights"}
    for name, values in one.items():
        assert two[name] == pytest.approx(values, rel=1e-4, abs=1e-4), name
