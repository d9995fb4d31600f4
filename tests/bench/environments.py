"""Virtual environments for what does not go together with our own packages, made once and kept."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import onnxruntime

MINUTES = 15  # that an installation may take

# What the peers' pipeline needs, in our own versions: the network must not run in another onnxruntime than ours.
SHARED = (
    f"numpy=={version('numpy')}",
    f"opencv-python-headless=={version('opencv-python-headless')}",
    f"onnxruntime=={onnxruntime.__version__}",  # the CPU's wheel, whichever runs here
)
PRINT_VERSION = "import sys; from importlib.metadata import version; print(version(sys.argv[1]))"


class NotInstalledError(RuntimeError):
    """pip could not do it; with its reason."""


def make(
    folder: Path, name: str, requirements: Sequence[str], *, shared: Sequence[str] = (), alone: bool = False
) -> Path:
    """The Python of an environment, new or from an earlier run.

    Args:
        folder: of all environments.
        requirements: as pip takes them.
        shared: what has to be there as well, in these versions.
        alone: install the requirements without what they depend on.

    Raises:
        NotInstalledError: with pip's own words.
    """
    # With the requirements' own needs the shared ones are named again, so that they do not move.
    wanted = [[*shared], ["--no-deps", *requirements] if alone else [*shared, *requirements]]
    steps = [step for step in wanted if step]
    key = hashlib.sha256(json.dumps([sys.version, steps]).encode()).hexdigest()[:12]
    home = folder / f"{name.lower()}-{key}"
    python = home / "bin" / "python"
    whole = home / "installed"
    if not whole.exists():
        _run([sys.executable, "-m", "venv", "--clear", str(home)])
        for step in steps:
            _run([str(python), "-m", "pip", "install", "--quiet", "--no-input", *step])
        whole.touch()
    return python


def version_of(python: Path, package: str) -> str:
    """Of a package that is installed there."""
    return _run([str(python), "-c", PRINT_VERSION, package]).strip()


def _run(command: list[str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60 * MINUTES)
    except subprocess.TimeoutExpired as error:
        raise NotInstalledError(f"{command[2:]} took more than {MINUTES} minutes.") from error
    if done.returncode != 0:
        errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
        raise NotInstalledError(" ".join(errors) or done.stderr.strip()[-400:])
    return done.stdout
