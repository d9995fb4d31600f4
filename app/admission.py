"""Who may work, who waits and who is turned away: a bounded queue in front of the workers.

Without a bound, an overloaded service answers everybody too late. With one, it answers as many as it can, in a time
that the queue's length bounds, and tells the others at once to come back.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import TypeVar

from anyio import CapacityLimiter, WouldBlock, move_on_after, to_thread

from app.engines import alone
from app.errors import Overloaded
from app.metrics import Metrics

T = TypeVar("T")

# Weight of the newest duration in the running mean: one odd frame moves it little, ten tell of a change.
NEWEST = 0.1


class Admission:
    """Runs work in threads, as many at once as there are workers, first come, first served.

    To be used from one event loop. A caller that is cancelled while it waits gives up its place.

    Args:
        workers: pieces of work at once.
        queue: callers that may wait for a worker.
        metrics: where the queue's length and the rejections show.
    """

    def __init__(self, *, workers: int, queue: int, metrics: Metrics) -> None:
        self.workers = workers
        self._workers = CapacityLimiter(workers)
        self._threads = CapacityLimiter(math.inf)  # the workers are the limit
        self._queue = queue
        self._seconds = 0.0  # that a piece of work takes, a running mean; 0 until the first is done
        self._rejections = metrics.rejections
        metrics.queue_capacity.set(queue)
        metrics.queue_depth.set_function(self._waiting)
        metrics.workers.set(workers)
        metrics.workers_busy.set_function(lambda: self._workers.borrowed_tokens)

    async def run(self, work: Callable[[], T], deadline: float = math.inf) -> T:
        """Run the work in a thread once a worker is free.

        Args:
            deadline: the reading of `time.monotonic` by which it should be done.

        Raises:
            Overloaded: the queue is full, or the deadline cannot be met. The work was not run.
        """
        latest = self.expect_worker(deadline)
        try:
            self._workers.acquire_nowait()
        except WouldBlock:
            await self._wait(latest)
        try:
            alone.set(self._workers.borrowed_tokens == 1)
            start = time.monotonic()
            result = await to_thread.run_sync(work, limiter=self._threads)
            self._learn(time.monotonic() - start)
        finally:
            self._workers.release()
        return result

    async def _wait(self, latest: float) -> None:
        """Acquire a worker. Raises Overloaded when that takes until `latest`."""
        with move_on_after(latest - time.monotonic()) as patience:
            await self._workers.acquire()
        if patience.cancelled_caught:
            raise self._rejection("expired", "The deadline passed while the request waited for a worker")

    def expect_worker(self, deadline: float = math.inf) -> float:
        """When work would have to start at the latest to be done by the deadline. Nothing is reserved.

        Raises:
            Overloaded: it would not, or finds no place in the queue.
        """
        now = time.monotonic()
        # With a free worker the estimate has no say: nothing would correct a wrong one if nothing ran.
        latest = deadline if self.is_free else deadline - self._seconds
        if now + self._expected_wait() >= latest:
            raise self._rejection("deadline", f"The deadline is in {deadline - now:.3f} s, and cannot be met")
        if not self.is_free and self._waiting() >= self._queue:
            raise self._rejection("queue_full", f"{self._waiting()} requests wait already, the most that may")
        return latest

    def _expected_wait(self) -> float:
        """Seconds until a newcomer gets a worker, by what work took lately."""
        if self.is_free:
            return 0.0
        return (self._waiting() + 1) * self._seconds / self.workers

    @property
    def is_free(self) -> bool:
        """Whether a worker is."""
        return self._workers.available_tokens > 0

    def _waiting(self) -> int:
        return self._workers.statistics().tasks_waiting

    def _learn(self, seconds: float) -> None:
        weight = NEWEST if self._seconds else 1.0
        self._seconds += weight * (seconds - self._seconds)

    def _rejection(self, reason: str, message: str) -> Overloaded:
        self._rejections.labels(reason).inc()
        seconds = max(1, math.ceil(self._expected_wait()))
        return Overloaded(f"{message}: try again in {seconds} s, or with another instance.", retry_after=seconds)
