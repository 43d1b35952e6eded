"""Heads that are spread over devices stay where they are."""

import isolated
import pytest

pytestmark = pytest.mark.backends("jax")


@pytest.mark.parametrize("name", ["ct", "gan", "mmd"])
def test_no_head_is_gathered(name):
    assert int(isolated.run("sharded_heads.py", name)) == 0
