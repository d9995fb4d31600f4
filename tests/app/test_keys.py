"""The keys file, and what makes its lines."""

from __future__ import annotations

import secrets
import subprocess
import sys
from hashlib import sha256
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from app.errors import KeysRefused
from app.keys import SHORTEST, Keys, load, make
from app.limits import Limits
from tests.process import start

LIMITS = Limits(rate=3, burst=7, concurrency=2)
DIGEST = sha256(b"x" * SHORTEST).hexdigest()


def write(folder: Path, *lines: str) -> Path:
    path = folder / "keys"
    path.write_text("\n".join(lines) + "\n")
    return path


def test_a_made_key_is_found_and_no_other(tmp_path: Path) -> None:
    made = [make(f"clinic-{number}", "user") for number in range(3)] + [make("operator", "admin")]
    keys = load(write(tmp_path, "# of the ward", "", *(line for _, line in made)), LIMITS)
    for key, line in made:
        found = keys.find(key.encode())
        assert found is not None
        assert line.startswith(f"{found.name} {found.role} ")
        assert key not in line
        assert keys.find(key.encode() + b"x") is None
        assert keys.find(key.encode()[:-1]) is None
    assert keys.find(b"") is None
    assert keys.find(bytes(range(128, 256))) is None
    assert len({key for key, _ in made}) == len(made)


def test_own_limits_replace_the_common_ones_one_by_one(tmp_path: Path) -> None:
    path = write(tmp_path, f"a user {DIGEST}", f"b user {'0' * 64} rate=0.5 concurrency=0")
    assert [key.limits for key in load(path, LIMITS).all] == [LIMITS, Limits(rate=0.5, burst=7, concurrency=0)]


def test_short_keys_are_never_accepted(tmp_path: Path) -> None:
    """A digest of one in the file could be guessed, so it opens nothing."""
    short, long = b"x" * (SHORTEST - 1), b"x" * SHORTEST
    lines = [f"{name} user {sha256(key).hexdigest()}" for name, key in (("short", short), ("long", long))]
    keys = load(write(tmp_path, *lines), LIMITS)
    assert keys.find(short) is None
    assert keys.find(long) is not None


def comparisons(keys: Keys, presented: bytes) -> int:
    count = 0

    def note(_: FrameType, event: str, function: Any) -> None:
        nonlocal count
        count += event == "c_call" and function is secrets.compare_digest

    sys.setprofile(note)
    try:
        keys.find(presented)
    finally:
        sys.setprofile(None)
    return count


def test_every_key_is_compared_wherever_the_right_one_is(tmp_path: Path) -> None:
    made = [make(f"k{number}", "user") for number in range(5)]
    keys = load(write(tmp_path, *(line for _, line in made)), LIMITS)
    for presented in (made[0][0], made[4][0], "wrong", ""):
        assert comparisons(keys, presented.encode()) == 5


@pytest.mark.parametrize(
    "lines",
    [
        [],
        ["# nothing but a comment"],
        ["clinic-a user"],
        [f"clinic-a root {DIGEST}"],
        [f"clinic/a user {DIGEST}"],
        [f"{'a' * 65} user {DIGEST}"],
        ["clinic-a user pp_a-key-where-its-digest-belongs-0123456789"],
        [f"clinic-a user {DIGEST} rate=fast"],
        [f"clinic-a user {DIGEST} rate"],
        [f"clinic-a user {DIGEST} rate=-1"],
        [f"clinic-a user {DIGEST} rate=nan"],
        [f"clinic-a user {DIGEST} rate=inf"],
        [f"clinic-a user {DIGEST} burst=0"],
        [f"clinic-a user {DIGEST} speed=1"],
        [f"clinic-a user {DIGEST}", f"clinic-a user {'0' * 64}"],
        [f"clinic-a user {DIGEST}", f"clinic-b user {DIGEST}"],
    ],
)
def test_a_file_that_cannot_be_used_is_refused(tmp_path: Path, lines: list[str]) -> None:
    with pytest.raises(KeysRefused) as refused:
        load(write(tmp_path, *lines), LIMITS)
    assert "pp_" not in str(refused.value)


def test_the_line_is_named(tmp_path: Path) -> None:
    with pytest.raises(KeysRefused, match=r"keys:3: expected 'name role sha256"):
        load(write(tmp_path, f"a user {DIGEST}", "", "b user"), LIMITS)


@pytest.mark.parametrize("content", [None, b"\xff\xfe"])
def test_a_service_with_an_unusable_file_does_not_start(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "keys"
    if content is not None:
        path.write_bytes(content)
    process = start(tmp_path, POLYPRUNE_KEYS_FILE=str(path))
    _, text = process.communicate(timeout=60)
    assert process.returncode == 2
    assert f"POLYPRUNE_KEYS_FILE: The keys file {path} cannot be read" in text
    assert "Traceback" not in text


def new(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "app.keys", "new", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_command_line_makes_a_key(tmp_path: Path) -> None:
    done = new("clinic-a", "user")
    key = done.stderr.split()[-1]
    assert key not in done.stdout
    found = load(write(tmp_path, done.stdout.strip()), LIMITS).find(key.encode())
    assert found is not None
    assert (found.name, found.role) == ("clinic-a", "user")


@pytest.mark.parametrize("arguments", [("clinic a", "user"), ("clinic-a", "root"), ("clinic-a",)])
def test_command_line_says_what_it_expects(arguments: tuple[str, ...]) -> None:
    done = new(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert "usage: python -m app.keys" in done.stderr
