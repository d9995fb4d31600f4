"""Memory that one training step frees, kept for the next one."""

from __future__ import annotations

import ctypes
import platform

# Parameters of mallopt(3), from glibc's malloc.h.
TRIM_THRESHOLD, TOP_PAD, MMAP_MAX, ARENA_MAX = -1, -2, -4, -8
NEVER = -1
PAD = 64 << 20  # bytes that the heap grows by at least


def keep_freed_memory() -> None:
    """Tell glibc's malloc to hold on to what is freed; where there is another malloc, nothing changes.

    By default it gives large blocks back to the system at once, and a training step takes its activations anew, page
    by page: a fifth to a quarter of its time on a CPU. It is for the whole process, and for good.
    """
    if platform.libc_ver()[0] != "glibc":
        return
    libc = ctypes.CDLL(None)
    # One heap and nothing outside it: backward runs in a thread of its own, and frees what forward took.
    for parameter, value in ((MMAP_MAX, 0), (ARENA_MAX, 1), (TRIM_THRESHOLD, NEVER), (TOP_PAD, PAD)):
        libc.mallopt(parameter, value)
