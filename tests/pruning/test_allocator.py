import platform
import subprocess
import sys

import pytest

PROGRAM = """
import resource, sys, torch
from pruning.allocator import keep_freed_memory
from pruning.networks.unet import UNet

def taken():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

if sys.argv[1] == "keep":
    keep_freed_memory()
network, frames = UNet(8), torch.zeros(8, 3, 128, 128)
for step in range(8):
    if step == 4:
        before = taken()
    network(frames).mean().backward()
print(taken() - before)
"""


def pages_taken(how: str) -> int:
    """Pages that the system had to give for four steps of a training, after four others."""
    return int(subprocess.run([sys.executable, "-c", PROGRAM, how], check=True, capture_output=True, text=True).stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another malloc")
def test_steps_use_the_memory_of_those_before():
    assert pages_taken("keep") < pages_taken("default") / 4
