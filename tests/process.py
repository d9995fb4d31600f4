"""The service as a process of its own, as an operator starts it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

ROOT = Path.cwd()
PATIENCE = 20  # seconds for an end that always comes


def start(models_dir: Path, **environment: str) -> subprocess.Popen[str]:
    """`python -m app` on a free port, with these settings."""
    variables = {
        **os.environ,
        "POLYPRUNE_MODELS_DIR": str(models_dir),
        "POLYPRUNE_PORT": "0",
        "PYTHONUNBUFFERED": "1",
        **environment,
    }
    return subprocess.Popen([sys.executable, "-m", "app"], cwd=ROOT, env=variables, stderr=subprocess.PIPE, text=True)


@contextmanager
def process(models_dir: Path, **environment: str) -> Iterator[tuple[subprocess.Popen[str], httpx.Client, list[str]]]:
    """The process, a client that speaks to it, and its log, complete afterwards. It never outlives the test."""
    child = start(models_dir, **environment)
    assert child.stderr is not None
    log: list[str] = []
    reader = threading.Thread(target=log.extend, args=(child.stderr,))
    try:
        ports = (re.search(r"http://127\.0\.0\.1:(\d+)", line) for line in child.stderr)
        port = next(found[1] for found in ports if found)
        reader.start()
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
            yield child, client, log
    finally:
        child.kill()
        child.wait(PATIENCE)
        if reader.ident is not None:
            reader.join(PATIENCE)
        child.stderr.close()
