"""The files of the containers, by their linters; docker/check.sh builds and runs the image itself."""

from __future__ import annotations

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


@pytest.mark.skipif(SHELLCHECK is None, reason="needs shellcheck")
@pytest.mark.parametrize("script", ["docker/check.sh", ".ci/run"])
def test_scripts_are_clean(script: str) -> None:
    result = subprocess.run([str(SHELLCHECK), script], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout
