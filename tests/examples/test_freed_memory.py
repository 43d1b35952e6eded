"""`freed_memory.keep` changes how often memory comes from the system."""

import platform
import resource
import subprocess
import sys

import freed_memory
import pytest

pytestmark = pytest.mark.backends("tensorflow")

PROGRAM = """
import ctypes, resource, sys
sys.path.insert(0, {folder!r})
import freed_memory
if {keep}:
    assert freed_memory.keep()
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
for _ in range(50):
    block = libc.malloc(ctypes.c_size_t(50_000_000))
    ctypes.memset(block, 1, 50_000_000)
    libc.free(ctypes.c_void_p(block))
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)
"""


def page_faults(keep):
    folder = freed_memory.__file__.rpartition("/")[0]
    program = PROGRAM.format(folder=folder, keep=keep)
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    return int(run.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs glibc")
def test_freed_memory_is_used_again():
    pages = 50_000_000 // resource.getpagesize()
    assert page_faults(keep=True) < page_faults(keep=False) - 10 * pages


def test_another_c_library_is_left_alone(monkeypatch):
    monkeypatch.setattr(freed_memory.ctypes, "CDLL", lambda name: object())
    assert freed_memory.keep() is False
