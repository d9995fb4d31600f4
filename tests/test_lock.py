"""What the image installs is locked by hashes, and the lock keeps to pyproject.toml."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

FILES = {"docker/requirements.txt": ("container",), "docker/requirements-cuda.txt": ("container", "cuda")}
PROJECT = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))["project"]
MACHINES, PYTHONS = ("x86_64", "aarch64"), ("3.11", "3.12", "3.13")
ENTRY = re.compile(r"^(\S.*?) \\\n((?:    --hash=sha256:[0-9a-f]{64}(?: \\)?\n)+)", re.M)


def locked(file: str, environment: dict[str, str]) -> dict[str, str]:
    """Name: version, of what is installed there."""
    entries = [Requirement(line) for line, _ in ENTRY.findall(Path(file).read_text(encoding="utf-8"))]
    wanted = [entry for entry in entries if entry.marker is None or entry.marker.evaluate(environment)]
    return {canonicalize_name(entry.name): next(iter(entry.specifier)).version for entry in wanted}


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("python", PYTHONS)
def test_lock_satisfies_the_project(file: str, machine: str, python: str) -> None:
    environment = {
        "platform_machine": machine,
        "python_version": python,
        "python_full_version": f"{python}.1",
        "sys_platform": "linux",
        "platform_system": "Linux",
        "os_name": "posix",
        "platform_python_implementation": "CPython",
        "implementation_name": "cpython",
    }
    versions = locked(file, environment)
    extras = [entry for extra in FILES[file] for entry in PROJECT["optional-dependencies"][extra]]
    for text in PROJECT["dependencies"] + extras:
        requirement = Requirement(text)
        if requirement.marker is None or requirement.marker.evaluate(environment):
            assert requirement.specifier.contains(versions[canonicalize_name(requirement.name)]), text


@pytest.mark.parametrize("file", FILES)
def test_every_entry_has_its_hashes_and_nothing_else_is_there(file: str) -> None:
    """No address of an index, no option, no entry that pip would take without a hash."""
    text = Path(file).read_text(encoding="utf-8")
    assert not re.sub(r"^#.*\n", "", ENTRY.sub("", text), flags=re.M).strip()
    assert len(ENTRY.findall(text)) > 30
    assert "torch" not in locked(file, {"platform_machine": "x86_64"})
