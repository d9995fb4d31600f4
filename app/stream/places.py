"""How many streams are open at once, and the end of all of them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import Gauge

from app.errors import TooManyStreams


class Streams:
    """The open streams of one service: at most `limit`, and all of them can be ended."""

    def __init__(self, limit: int, gauge: Gauge) -> None:
        self.stopping = asyncio.Event()
        self._limit = limit
        self._gauge = gauge
        self._open = 0
        self._none = asyncio.Event()
        self._none.set()

    @contextmanager
    def place(self) -> Iterator[None]:
        """Hold a place. Raises TooManyStreams where none is left."""
        if self._open >= self._limit:
            raise TooManyStreams(
                f"{self._open} streams are open, and no more are taken: close one, or set POLYPRUNE_MAX_STREAMS."
            )
        self._change(1)
        try:
            yield
        finally:
            self._change(-1)

    async def close(self) -> None:
        """End every stream, and wait until each has told its client; for when the service stops."""
        self.stopping.set()
        await self._none.wait()

    def _change(self, by: int) -> None:
        self._open += by
        self._gauge.set(self._open)
        (self._none.clear if self._open else self._none.set)()
