"""Runs pass together; a recording waits until all are out, and keeps others out meanwhile.

While one thread records a CUDA graph (onnxruntime does so in `cudaStreamCaptureModeGlobal`), an allocation or a
copy by any other thread of the process is an error, and spoils the recording too.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Condition


class Gate:
    """Many may be inside, or one alone. Who wants to be alone comes before those who come after."""

    def __init__(self) -> None:
        self._changed = Condition()
        self._inside = 0
        self._alone = 0  # inside alone, or waiting for it

    @contextmanager
    def together(self) -> Iterator[None]:
        """Inside with others."""
        with self._changed:
            self._changed.wait_for(lambda: self._alone == 0)
            self._inside += 1
        try:
            yield
        finally:
            self._leave()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Inside with nobody else."""
        with self._changed:
            self._alone += 1
            self._changed.wait_for(lambda: self._inside == 0)
            self._inside += 1
        try:
            yield
        finally:
            with self._changed:
                self._alone -= 1
            self._leave()

    def _leave(self) -> None:
        with self._changed:
            self._inside -= 1
            self._changed.notify_all()
