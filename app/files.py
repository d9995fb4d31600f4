"""Reads the files of a model folder, which may be anybody's: whole, but no longer than they may be, and files only."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from app.errors import ModelRefused

# protobuf takes no longer message, and an ONNX graph is one.
MAX_GRAPH_BYTES = 2**31
# Thousand times one with 100 layers.
MAX_MANIFEST_BYTES = 2**22


def read(path: Path, limit: int) -> bytes:
    """The file's bytes.

    Raises:
        ModelRefused: it cannot be read, is a folder, a pipe or a device, or has more than `limit` bytes.
    """
    try:
        with open(path, "rb", opener=_without_waiting) as file:
            status = os.fstat(file.fileno())
            _check(path.name, status, limit)
            return file.read(status.st_size)  # read(limit) would ask for so much memory first
    except OSError as error:
        raise ModelRefused(f"{path.name} is not readable: {error.strerror}") from error


def _check(name: str, status: os.stat_result, limit: int) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise ModelRefused(f"{name} is no file but a folder, a pipe or a device: copy the model's own file there.")
    if status.st_size > limit:
        raise ModelRefused(f"{name} has {status.st_size} bytes, and {limit} are the most: publish the folder again.")


def _without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))  # else a pipe waits for its writer
