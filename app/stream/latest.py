"""A slot for one item, the newest: what bounds a stream's latency and memory, however fast frames come."""

from __future__ import annotations

import asyncio
from typing import Generic, TypeVar

from prometheus_client import Counter

T = TypeVar("T")


class Latest(Generic[T]):
    """Items get sequence numbers as they arrive; of those that wait, only the newest is ever taken.

    After `close`, received == answered + dropped. Belongs to one event loop, like its user.

    Args:
        frames: counts the same for all streams, by the label `outcome`.
    """

    def __init__(self, frames: Counter) -> None:
        self.received = self.answered = self.dropped = 0
        self._frames = frames
        self._waiting: T | None = None
        self._arrived = asyncio.Event()

    def put(self, item: T) -> None:
        """Let this one wait, in place of an older one, which is dropped."""
        if self._waiting is not None:
            self.drop()
        self._waiting = item
        self.received += 1
        self._frames.labels("received").inc()
        self._arrived.set()

    async def take(self) -> tuple[int, T]:
        """The newest item and its sequence number, as soon as there is one."""
        while (item := self._waiting) is None:
            self._arrived.clear()
            await self._arrived.wait()
        self._waiting = None
        return self.received - 1, item

    def answer(self) -> None:
        """An item that was taken got its answer."""
        self.answered += 1
        self._frames.labels("answered").inc()

    def drop(self) -> None:
        """An item will get no answer."""
        self.dropped += 1
        self._frames.labels("dropped").inc()

    def close(self) -> None:
        """Nobody is left to answer: what was received until now and is neither answered nor dropped is dropped."""
        while self.answered + self.dropped < self.received:
            self.drop()
