"""API keys: a file of names, roles and digests. The keys themselves are nowhere on the server.

    # name     role   SHA-256 of the key   its own limits, where they differ from the settings
    clinic-a   user   9f86d081884c7d65...  rate=5 burst=10 concurrency=2
    operator   admin  60303ae22b998861...

`python -m app.keys new clinic-a user >> keys` makes a key of 256 random bits, shows it once on stderr and
prints its line. A plain SHA-256 is enough for such a key: there is no dictionary to try. That does not hold
for a short one, so a key of fewer than 32 characters is never accepted, whatever the file says.
"""

from __future__ import annotations

import argparse
import re
import secrets
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Literal, get_args

from pydantic import TypeAdapter, ValidationError

from app.errors import KeysRefused
from app.limits import Limits

Role = Literal["user", "admin"]
ROLES: tuple[Role, ...] = get_args(Role)
PREFIX = "pp_"  # lets a scanner for leaked secrets know one
SHORTEST = 32
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
DIGEST = re.compile(r"[0-9a-f]{64}")
FORM = "name role sha256 [rate=... burst=... concurrency=...]"
LIMITS = TypeAdapter(Limits)


@dataclass(frozen=True)
class Key:
    """One line of the file."""

    name: str
    role: Role
    digest: str  # SHA-256, 64 hexadecimal digits
    limits: Limits


@dataclass(frozen=True)
class Keys:
    """All keys; none means that the service is open."""

    all: tuple[Key, ...] = ()

    def find(self, presented: bytes) -> Key | None:
        """The key that was presented, or None.

        Digests are compared, every one of them and in constant time, so that the time tells nothing of the file.
        """
        digest = sha256(presented).hexdigest()
        found = None
        for key in self.all:
            if secrets.compare_digest(key.digest, digest):
                found = key
        return found if len(presented) >= SHORTEST else None


def load(path: Path, limits: Limits) -> Keys:
    """The keys of a file; `limits` for those without their own.

    Raises:
        KeysRefused: it cannot be read, a line is malformed, a name or a key is there twice, or there is no key,
            since a service that was meant to be closed must not come up open.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise KeysRefused(f"The keys file {path} cannot be read: {error}") from error
    keys = tuple(_parse(f"{path}:{number}", line, limits) for number, line in enumerate(lines, 1) if _holds_key(line))
    _once(path, "name", (key.name for key in keys))
    _once(path, "key", (key.digest for key in keys))
    if not keys:
        raise KeysRefused(f"The keys file {path} holds no key: add one with `python -m app.keys new NAME user`.")
    return Keys(keys)


def make(name: str, role: Role) -> tuple[str, str]:
    """A new key, and its line for the file."""
    key = PREFIX + secrets.token_urlsafe(32)
    return key, f"{name} {role} {sha256(key.encode()).hexdigest()}"


def _holds_key(line: str) -> bool:
    return bool(line.strip()) and not line.lstrip().startswith("#")


def _parse(place: str, line: str, limits: Limits) -> Key:
    parts = line.split()
    name, role, digest = [*parts, "", "", ""][:3]
    if not NAME.fullmatch(name) or role not in ROLES or not DIGEST.fullmatch(digest):
        # The line is not repeated: a key may stand where its digest belongs.
        raise KeysRefused(f"{place}: expected '{FORM}' with a role of {' or '.join(ROLES)}.")
    return Key(name, role, digest, _own_limits(place, parts[3:], limits))


def _own_limits(place: str, own: list[str], limits: Limits) -> Limits:
    chosen = dict(item.partition("=")[::2] for item in own)
    try:
        return LIMITS.validate_python({**vars(limits), **chosen})
    except ValidationError as error:
        raise KeysRefused(f"{place}: expected limits like 'rate=5 burst=10 concurrency=2', burst from 1.") from error


def _once(path: Path, what: str, values: Iterable[str]) -> None:
    seen = list(values)
    if len(set(seen)) < len(seen):
        raise KeysRefused(f"The keys file {path} holds a {what} twice: each only once.")


def main() -> None:
    """`python -m app.keys new NAME ROLE`."""
    parser = argparse.ArgumentParser(prog="python -m app.keys", description="Make API keys.")
    new = parser.add_subparsers(required=True).add_parser("new", help="print the line of a new key for the keys file")
    new.add_argument("name", help="who uses it; shown in the log and in the metrics")
    new.add_argument("role", choices=ROLES)
    asked = parser.parse_args()
    if not NAME.fullmatch(asked.name):
        parser.error(f"NAME: expected letters, digits, '.', '_' and '-', 64 at most, got {asked.name!r}")
    key, line = make(asked.name, asked.role)
    print(f"The key of {asked.name}, shown only now: {key}", file=sys.stderr)
    print(line)


if __name__ == "__main__":
    main()
