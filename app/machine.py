"""What a measurement was made on."""

from __future__ import annotations

import ctypes
import math
import os
import platform
import sys
from pathlib import Path

import numpy as np
import onnxruntime
from pydantic import BaseModel, Field

# Of control groups, version 2 and version 1; `max` is no limit.
MEMORY_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))

# The same for processor time: microseconds of it, and of the period that has so many. Version 1 has a file for each.
CPU_LIMITS = (
    (Path("/sys/fs/cgroup/cpu.max"),),
    (Path("/sys/fs/cgroup/cpu/cpu.cfs_quota_us"), Path("/sys/fs/cgroup/cpu/cpu.cfs_period_us")),
)


class Machine(BaseModel):
    """Hardware and versions that a latency depends on."""

    processor: str
    cores: int = Field(description="that this process may use")
    system: str
    python: str
    onnxruntime: str
    numpy: str


def describe() -> Machine:
    """This machine."""
    return Machine(
        processor=processor(),
        cores=cores(),
        system=platform.platform(terse=True),
        python=platform.python_version(),
        onnxruntime=onnxruntime.__version__,
        numpy=np.__version__,
    )


def cores() -> int:
    """CPU cores that this process may use; a container's or taskset's share, not the machine's."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min([allowed, *_cpu_limits()])


def _cpu_limits() -> list[int]:
    """Limits of control groups in cores; a part of one counts as one."""
    texts = [[path.read_text() for path in paths] for paths in CPU_LIMITS if all(path.exists() for path in paths)]
    limits = [" ".join(text).split() for text in texts]
    return [math.ceil(int(quota) / int(period)) for quota, period in limits if quota.isdecimal()]


def memory() -> int:
    """Bytes of memory that this process may use: the machine's, or a container's share of them."""
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else 2**62
    limits = [path.read_text().strip() for path in MEMORY_LIMITS if path.exists()]
    return min([physical, *(int(limit) for limit in limits if limit.isdecimal())])


def give_back_memory() -> None:
    """Give memory that was freed back to the system: glibc keeps it otherwise."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is not None:
        trim(0)


def processor() -> str:
    """Name of the processor."""
    # platform.processor() is empty on most Linux systems.
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
