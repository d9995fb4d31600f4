"""The files of the containers, by their linters; docker/check.sh builds and runs the image itself."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HADOLINT = shutil.which("hadolint", path=str(Path(sys.executable).parent)) or shutil.which("hadolint")
SHELLCHECK = shutil.which("shellcheck")


@pytest.mark.skipif(HADOLINT is None, reason="needs hadolint, which pip has for Linux on x86_64")
@pytest.mark.parametrize("file", sorted(Path("docker").glob("*Dockerfile")), ids=str)
def test_containers_files_are_clean(file: Path) -> None:
    result = subprocess.run([str(HADOLINT), str(file)], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize(
    ("extras", "file"),
    [
        ("", "docker/requirements.txt"),
        ("[cuda]", "docker/requirements-cuda.txt"),
        ("[tracing]", None),
    ],
)
def test_the_image_installs_the_lock_of_its_extras_and_no_others(extras: str, file: str | None) -> None:
    """Extras without a lock stop the build: pip finds no such file."""
    (run,) = re.findall(r"^RUN (.*--require-hashes.*)$", Path("docker/Dockerfile").read_text(encoding="utf-8"), re.M)
    said = run.replace("/venv/bin/pip", "echo")
    result = subprocess.run(["sh", "-c", said], env={"EXTRAS": extras}, capture_output=True, text=True, check=True)
    path = result.stdout.split()[-1]
    assert path == file if file else not Path(path).exists()


@pytest.mark.skipif(SHELLCHECK is None, reason="needs shellcheck")
@pytest.mark.parametrize("script", ["docker/check.sh", ".ci/run"])
def test_scripts_are_clean(script: str) -> None:
    result = subprocess.run([str(SHELLCHECK), script], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout
