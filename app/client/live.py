"""How a stream fares: one line that is renewed each second, and a summary."""

from __future__ import annotations

import sys
import time
from collections import deque

import numpy as np

from app.client.errors import ServiceError
from app.message import Failure, Header

RECENT = 1000  # round trips that the percentiles look at


class Live:
    """Counts answers and their round trips."""

    def __init__(self) -> None:
        self._start = self._shown = time.perf_counter()
        self._answered = self._answered_when_shown = self._failed = self._dropped = 0
        self._first_failure: Failure | None = None
        self._round_trips: deque[float] = deque(maxlen=RECENT)

    def answered(self, header: Header, seconds: float) -> None:
        """An answer came, so many seconds after its frame was sent."""
        self._answered += 1
        self._dropped = header.dropped
        self._round_trips.append(seconds)
        now = time.perf_counter()
        if now - self._shown >= 1:
            self._show((self._answered - self._answered_when_shown) / (now - self._shown))
            self._shown, self._answered_when_shown = now, self._answered

    def failed(self, failure: Failure) -> None:
        """A frame could not be used."""
        self._failed += 1
        self._first_failure = self._first_failure or failure

    def check(self) -> None:
        """Raises ServiceError unless a frame was answered, with the first refusal, which the others likely share."""
        if self._answered:
            return
        if self._first_failure is None:
            raise ServiceError("No frame was answered: the source has none, or the service is too busy for any.")
        reason = self._first_failure.error.get("detail", "no reason given")
        raise ServiceError(f"No frame was answered, and the first was refused: {reason}")

    def summary(self) -> str:
        """All of it, in a line; longer than those before, so that it hides them."""
        rate = self._answered / (time.perf_counter() - self._start)
        return f"{self._answered} frames answered, {self._failed} refused; {self._line(rate)}"

    def _show(self, rate: float) -> None:
        if sys.stderr.isatty():
            print(f"{self._line(rate)} ", end="\r", file=sys.stderr, flush=True)  # the next line goes over it

    def _line(self, rate: float) -> str:
        text = f"{rate:.1f} frames/s, {self._dropped} dropped"
        if not self._round_trips:
            return text
        p50, p95 = np.percentile(self._round_trips, [50, 95]) * 1e3
        return f"{text}, round trip p50 {p50:.0f} ms, p95 {p95:.0f} ms"
