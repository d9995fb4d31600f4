"""Dynamic batching: frames of concurrent requests share the runs of a network.

    request threads --frames--> Line --batch--> Instance threads, each with a session of its own
                    <-----------probability of each frame----

A device does a batch in little more time than one frame; a CPU does not. Requests are decoded by their own threads
meanwhile, so that the CPU's work on the next frames and the device's on these overlap.
"""

from __future__ import annotations

import time
import weakref
from collections import Counter, deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from queue import SimpleQueue
from threading import Condition, Thread
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from app.binding import Bound
from app.device import DeviceOptions
from app.engine import Engine, Port
from app.errors import Draining

# When the service stops, frames were answered or cut off before: what still runs here may hang with its device.
END_SECONDS = 2.0

T = TypeVar("T")
Check = Callable[[Engine, int], None]


@dataclass(frozen=True)
class Waiting:
    """A frame uint8 [H, W, 3], and where its probability float32 [H, W] goes."""

    frame: NDArray[np.uint8]
    answer: Future[NDArray[np.float32]] = field(default_factory=Future)
    since: float = field(default_factory=time.monotonic)


class Line:
    """Frames that wait for a batch, first come, first served.

    Args:
        most: frames of a batch.
        delay: seconds that a frame waits for others to come.
    """

    def __init__(self, most: int, delay: float) -> None:
        self._most = most
        self._delay = delay
        self._waiting: deque[Waiting] = deque()
        self._changed = Condition()
        self._closed = False
        self.runs: Counter[str] = Counter()

    def join(self, frames: Sequence[NDArray[np.uint8]] | NDArray[np.uint8]) -> list[Future[NDArray[np.float32]]]:
        """Wait at the end of the line. Raises Draining after it was closed."""
        arrivals = [Waiting(frame) for frame in frames]
        with self._changed:
            if self._closed:
                raise Draining("The model was taken away: send the request again.")
            self._waiting.extend(arrivals)
            self._changed.notify_all()
        return [waiting.answer for waiting in arrivals]

    def take(self) -> list[Waiting]:
        """The next batch, once it is full or its first frame has waited; nothing when closed and empty."""
        with self._changed:
            while self._waiting or not self._closed:
                self._changed.wait_for(lambda: self._waiting or self._closed)
                if self._is_due():
                    count = min(self._most, len(self._waiting))
                    self.runs[f"batch of {count}"] += 1
                    return [self._waiting.popleft() for _ in range(count)]
        return []

    def close(self) -> None:
        """Let nobody in any more; those who wait are still served."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _is_due(self) -> bool:
        """Wait for the batch to fill, and look again: another instance may have taken the frames meanwhile."""
        if self._waiting and not self._is_full():
            self._changed.wait_for(self._is_full, self._waiting[0].since + self._delay - time.monotonic())
        return bool(self._waiting) and (self._is_full() or time.monotonic() >= self._waiting[0].since + self._delay)

    def _is_full(self) -> bool:
        return self._closed or len(self._waiting) >= self._most


class Instance:
    """A thread and the session that it alone makes and runs."""

    def __init__(self, open_engine: Callable[[], Bound]) -> None:
        self._calls: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._thread = Thread(target=_follow, args=(self._calls,), name="instance", daemon=True)
        self._thread.start()
        try:
            self.engine = self.call(open_engine)
        except BaseException:
            self.end()
            raise

    def call(self, work: Callable[[], T]) -> T:
        """Run the work in the thread, and wait for it."""
        answer: Future[T] = Future()
        self._calls.put(lambda: _settle(answer, work))
        return answer.result()

    def serve(self, line: Line) -> None:
        """Run batches of the line from now on, until it is closed and empty."""
        engine = self.engine
        self._calls.put(lambda: _serve(engine, line))
        self.end()

    def end(self) -> None:
        """End when all that was asked for is done."""
        self._calls.put(None)

    def join(self, over: float) -> None:
        """Wait for the end, or until this reading of `time.monotonic`."""
        self._thread.join(max(0.0, over - time.monotonic()))


class Batcher:
    """Sessions over one graph that share the frames. `run` may be called from several threads at once.

    When nothing refers to it any more, its threads finish what waits and end.

    Args:
        open_engine: makes one session.
        options: how many of them, the sizes of batches, and the delay.

    Raises:
        Exception: of `open_engine`.
    """

    def __init__(self, open_engine: Callable[[], Bound], options: DeviceOptions) -> None:
        self._options = options
        self._instances: list[Instance] = []
        self._line = Line(options.largest, (options.delay_ms or 0) / 1e3)
        for _ in range(options.instances):
            self._instances.append(Instance(open_engine))
        weakref.finalize(self, _let_go, self._line, self._instances)

    @property
    def provider(self) -> str:
        """Where the graph really runs."""
        return self._instances[0].engine.provider

    @property
    def inputs(self) -> list[Port]:
        """What the graph takes."""
        return self._instances[0].engine.inputs

    @property
    def outputs(self) -> list[Port]:
        """What the graph gives."""
        return self._instances[0].engine.outputs

    @property
    def runs(self) -> dict[str, int]:
        """How many batches of each size were run."""
        return dict(self._line.runs)

    @property
    def in_flight(self) -> int:
        """Frames that may be with the sessions: a batch in each, and one that gathers."""
        return (len(self._instances) + 1) * self._options.largest

    def prove(self, check: Check) -> None:
        """Let a check run each session with each size of batch, then serve. It warms them up too."""
        for instance in self._instances:
            for size in self._options.sizes:
                instance.call(lambda engine=instance.engine, size=size: check(engine, size))  # type: ignore[misc]
        for instance in self._instances:
            instance.serve(self._line)

    def run(self, frames: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Frames uint8 [N, H, W, 3] RGB -> probability float32 [N, H, W]. Raises Draining after `close`."""
        answers = [answer.result() for answer in self._line.join(frames)]
        return answers[0][None] if len(answers) == 1 else np.stack(answers)

    def close(self) -> None:
        """Serve the frames that wait, and end. A run that takes longer than END_SECONDS is not waited for."""
        self._line.close()
        over = time.monotonic() + END_SECONDS
        for instance in self._instances:
            instance.join(over)


def _let_go(line: Line, instances: list[Instance]) -> None:
    line.close()
    for instance in instances:
        instance.end()


def _follow(calls: SimpleQueue[Callable[[], None] | None]) -> None:
    for call in iter(calls.get, None):
        call()


def _settle(answer: Future[T], work: Callable[[], T]) -> None:
    try:
        answer.set_result(work())
    except BaseException as error:  # whoever waits for the answer gets it
        answer.set_exception(error)


def _serve(engine: Bound, line: Line) -> None:
    while batch := line.take():
        _answer(engine, batch)
        del batch  # an exception in it holds those who waited, and they their model, until the next one comes


def _answer(engine: Bound, batch: list[Waiting]) -> None:
    try:
        probabilities = engine.run([waiting.frame for waiting in batch])
    except Exception:  # each frame gets its own answer, so that one that fails costs the others nothing
        for waiting in batch:
            _settle(waiting.answer, lambda frame=waiting.frame: engine.run([frame])[0])  # type: ignore[misc]
    else:
        for waiting, probability in zip(batch, probabilities, strict=True):
            waiting.answer.set_result(probability)
