"""How long each stage of one frame's way took."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from app import spans


class Clock:
    """Collects milliseconds by stage, in the order of the stages. Each is a span, where the request has a trace."""

    def __init__(self) -> None:
        self.timings: dict[str, float] = {}
        self.provider: str | None = None  # where the network ran, if not where its model's sessions do
        self.fallback: str | None = None  # and why
        self._made = time.perf_counter()
        self._inside = 0.0  # milliseconds of the stages inside of the one that runs

    def mark(self, name: str) -> None:
        """Time from the clock's making until now: what was waited for a worker, say."""
        seconds = self.age()
        self.timings[name] = seconds * 1e3
        spans.waited(name, seconds)

    def age(self) -> float:
        """Seconds since the clock's making."""
        return time.perf_counter() - self._made

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time what happens inside, and add it to what the stage took before; it counts even if that fails.

        A stage inside of another is not part of it, so that the stages add up to no more than passed.
        """
        start, around, self._inside = time.perf_counter(), self._inside, 0.0
        try:
            with spans.stage(name):
                yield
        finally:
            milliseconds = (time.perf_counter() - start) * 1e3
            self.timings[name] = self.timings.get(name, 0.0) + milliseconds - self._inside
            self._inside = around + milliseconds

    def rounded(self) -> dict[str, float]:
        """Milliseconds by stage, to the microsecond."""
        return {stage: round(duration, 3) for stage, duration in self.timings.items()}

    def header(self) -> str:
        """The value of a `Server-Timing` header (W3C Server Timing, section 2)."""
        fields = [f"{name};dur={duration:.3f}" for name, duration in self.timings.items()]
        return ", ".join([*fields, f"fallback;desc={self.fallback}"] if self.fallback else fields)
