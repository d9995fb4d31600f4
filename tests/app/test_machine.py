"""What a process may use of a machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from app import machine


def limited(monkeypatch: pytest.MonkeyPatch, folder: Path, *texts: str) -> int:
    """The cores of a process that may run on 64, whose control group has files with these texts."""
    files = tuple(folder / str(number) for number in range(len(texts)))
    for file, text in zip(files, texts, strict=True):
        file.write_text(text)
    monkeypatch.setattr(machine, "CPU_LIMITS", (files, (folder / "absent",)))
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(64)), raising=False)
    return machine.cores()


@pytest.mark.parametrize(
    ("text", "cores"), [("200000 100000\n", 2), ("150000 100000\n", 2), ("5000 100000\n", 1), ("9000000 100000\n", 64)]
)
def test_cores_are_those_of_the_containers_limit(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str, cores: int
) -> None:
    """As `docker run --cpus` sets it: a node's 64 threads on two cores' time are stopped most of it."""
    assert limited(monkeypatch, tmp_path, text) == cores


def test_cores_of_version_1(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert limited(monkeypatch, tmp_path, "300000\n", "100000\n") == 3


@pytest.mark.parametrize("texts", [("max 100000\n",), ("-1\n", "100000\n")])
def test_no_limit(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, texts: tuple[str, ...]) -> None:
    assert limited(monkeypatch, tmp_path, *texts) == 64
