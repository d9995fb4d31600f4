"""How much memory hostile input takes, measured where it counts: in a process of its own, by the kernel."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

PATIENCE = 300  # seconds: what takes longer hangs

CHILD = """
import json, resource, sys
from {module} import ATTACKS, warm_up
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
warm_up()
found = {{}}
for name, attack in ATTACKS.items():
    before = peak()
    found[name] = [attack(), peak() - before]
json.dump(found, sys.stdout)
"""


def attacked(module: str) -> dict[str, tuple[str, int]]:
    """Run every `ATTACKS` of a module in a new process: what came of each, and by how many bytes the peak grew."""
    command = [sys.executable, "-c", CHILD.format(module=module)]
    environment = {**os.environ, "PYTHONPATH": str(Path.cwd())}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=PATIENCE, check=True)
    return {name: (outcome, grown) for name, (outcome, grown) in json.loads(done.stdout).items()}
