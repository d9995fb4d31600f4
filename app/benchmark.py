"""One benchmark at a time, in a thread of its own, and the newest results."""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Literal

from pydantic import BaseModel, Field

from app.comparison import Result, Sample, Spec, measure
from app.device import Preference
from app.errors import BenchmarkRunning, PolypruneError, UnknownBenchmark
from app.model import Model

State = Literal["running", "done", "failed", "stopped"]

log = logging.getLogger(__name__)


class Stopped(Exception):  # noqa: N818  (an end, not an error)
    """The service shuts down."""


class Status(BaseModel):
    """A benchmark, while it runs and after."""

    id: str
    state: State
    progress: Annotated[float, Field(ge=0, le=1)]
    error: Annotated[str | None, Field(description="why it failed or stopped")] = None
    result: Result | None = None


@dataclass
class Job:
    """One benchmark's inputs, and its outcome as its thread writes it."""

    spec: Spec
    models: Sequence[Model]
    sample: Sample
    id: str = field(default_factory=lambda: secrets.token_hex(8))
    state: State = "running"
    progress: float = 0.0
    error: str | None = None
    result: Result | None = None
    stop: threading.Event = field(default_factory=threading.Event)

    def status(self) -> Status:
        """A snapshot. The thread sets `state` last, so that `done` always comes with its result."""
        state = self.state
        return Status(id=self.id, state=state, progress=self.progress, error=self.error, result=self.result)


class Benchmarks:
    """Runs one job at a time in a thread and remembers the newest results.

    Args:
        preference: where the benchmark's own sessions run.
        max_seconds: a job ends after these with the rounds done until then.
        history: jobs that are remembered.
    """

    def __init__(self, *, preference: Preference, max_seconds: float, history: int) -> None:
        self._preference = preference
        self._max_seconds = max_seconds
        self._history = history
        self._jobs: OrderedDict[str, Job] = OrderedDict()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()

    def start(self, job: Job) -> None:
        """Run the job in the background.

        Raises:
            BenchmarkRunning: with the id of the one that runs.
        """
        with self._lock:
            self._refuse_while_running()
            self._jobs[job.id] = job
            while len(self._jobs) > self._history:
                self._jobs.popitem(last=False)
            self._thread = threading.Thread(target=self._run, args=(job,), name=f"benchmark-{job.id}", daemon=True)
            self._thread.start()

    def get(self, job_id: str) -> Job:
        """The job of this id.

        Raises:
            UnknownBenchmark: none such, or dropped since.
        """
        with self._lock:
            if job_id not in self._jobs:
                raise UnknownBenchmark(
                    f"No benchmark {job_id!r}: the newest {self._history} are kept while the service runs."
                )
            return self._jobs[job_id]

    def close(self) -> None:
        """Stop what runs, after its current round."""
        for job in list(self._jobs.values()):
            job.stop.set()
        if self._thread is not None:
            self._thread.join()

    def _refuse_while_running(self) -> None:
        for job in self._jobs.values():
            if job.state == "running":
                raise BenchmarkRunning(
                    f"Benchmark {job.id!r} is running, and two would measure each other: wait for it.",
                    id=job.id,
                )

    def _run(self, job: Job) -> None:
        try:
            job.result = measure(job.spec, job.models, job.sample, preference=self._preference, proceed=self._pace(job))
            job.progress, job.state = 1.0, "done"
        except Stopped as error:
            job.error, job.state = str(error), "stopped"
        except PolypruneError as error:
            job.error, job.state = str(error), "failed"
        except Exception:  # a thread's last resort: else the job would count as running for ever
            log.exception("benchmark %s failed", job.id)
            job.error, job.state = "Internal error; the service's log has the details.", "failed"

    def _pace(self, job: Job) -> Callable[[int], bool]:
        """Asked before each round: notes the progress, ends at the time limit, raises when stopped."""
        deadline = time.monotonic() + self._max_seconds

        def proceed(done: int) -> bool:
            job.progress = done / (job.spec.warmup + job.spec.iterations)
            if job.stop.is_set():
                raise Stopped("The service was stopped.")
            return time.monotonic() < deadline

        return proceed
