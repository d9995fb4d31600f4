"""The CUDA driver through its C interface: which devices there are, page-locked memory, and whether its context lives.

onnxruntime offers none of the three: it lists CUDA wherever it was built with it, its Python interface cannot
allocate page-locked memory of the CUDA provider, and an exception of it does not tell a lost context from a bad graph.
References: CUDA Driver API, sections 6.6 (primary contexts) and 6.13 (memory).
"""

from __future__ import annotations

import ctypes
import sys
import weakref
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

SUCCESS = 0
PORTABLE = 1  # CU_MEMHOSTALLOC_PORTABLE: page-locked for every context


@cache
def devices() -> int:
    """How many devices the driver shows; 0 without a driver."""
    driver = _driver()
    count = ctypes.c_int(0)
    found = driver and driver.cuDeviceGetCount(ctypes.byref(count)) == SUCCESS
    return count.value if found else 0


def alive() -> bool:
    """Whether the context that onnxruntime uses still works. After some errors none of its calls ever does again.

    Only a new process gets a new context. To be asked where there is a device.
    """
    driver = _driver()
    free, total = ctypes.c_size_t(), ctypes.c_size_t()
    if not driver or not _enter(driver):
        return False
    return bool(driver.cuMemGetInfo_v2(ctypes.byref(free), ctypes.byref(total)) == SUCCESS)


def page_locked(shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
    """An array in memory that a device reads and writes at the bus's full speed, without a copy by the driver.

    Plain memory where there is no device, or where the driver has no more of it to give.
    """
    count = int(np.prod(shape)) * np.dtype(dtype).itemsize
    driver, pointer = _driver(), ctypes.c_void_p()
    locked = driver and _enter(driver) and driver.cuMemHostAlloc(ctypes.byref(pointer), count, PORTABLE) == SUCCESS
    if not locked or pointer.value is None:
        return np.zeros(shape, dtype)
    memory = (ctypes.c_char * count).from_address(pointer.value)
    weakref.finalize(memory, _free, pointer).atexit = False  # the driver is gone by then
    return np.ndarray(shape, dtype, buffer=memoryview(memory))


def _free(pointer: ctypes.c_void_p) -> None:
    driver = _driver()
    if driver and _enter(driver):
        driver.cuMemFreeHost(pointer)


@cache
def _driver() -> ctypes.CDLL | None:
    try:
        driver = ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return None
    return driver if driver.cuInit(0) == SUCCESS else None


def _enter(driver: ctypes.CDLL) -> bool:
    """Make the first device's primary context this thread's: the one that the CUDA runtime uses, and so onnxruntime."""
    context = _primary_context()
    return context is not None and driver.cuCtxSetCurrent(context) == SUCCESS


@cache
def _primary_context() -> ctypes.c_void_p | None:
    # Kept for the life of the process, like onnxruntime's own, since releasing the last hold would free all memory.
    driver, device, context = _driver(), ctypes.c_int(), ctypes.c_void_p()
    held = (
        driver
        and driver.cuDeviceGet(ctypes.byref(device), 0) == SUCCESS
        and driver.cuDevicePrimaryCtxRetain(ctypes.byref(context), device) == SUCCESS
    )
    return context if held else None
