"""Lets the C library keep the memory that a training step frees."""

import ctypes

# Of mallopt(3): no block is mapped from the system alone, and of what is freed at the
# end of the heap, 2 GB are kept.
OPTIONS = {"M_MMAP_MAX": (-4, 0), "M_TRIM_THRESHOLD": (-1, 2**31 - 1)}


def keep() -> bool:
    """Tells the allocator to keep freed memory; returns whether there is glibc's.

    By default every large block goes back to the system when it is freed, which clears
    its pages one by one when the next step asks for it again.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # not Linux, or another C library
        return False
    return all(mallopt(option, value) for option, value in OPTIONS.values())
