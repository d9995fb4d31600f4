"""One benchmark at a time, in a thread of its own; what is over goes to the store."""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from app.benchmark.measure import Proceed, measure
from app.benchmark.result import Result, Series, State, Status
from app.benchmark.spec import Sample, Spec
from app.benchmark.store import Store
from app.device import Preference
from app.errors import BenchmarkRunning, NoResult, PolypruneError, ResultsUnavailable
from app.model import Model

# For the round that is under way when the service stops: most take less, and a stop waits for no other.
STOP_SECONDS = 2.0

log = logging.getLogger(__name__)


class Stopped(Exception):  # noqa: N818  (an end, not an error)
    """The service shuts down."""


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


@dataclass
class Job:
    """One benchmark's inputs, and how far its thread is."""

    spec: Spec
    models: Sequence[Model]
    sample: Sample
    id: str = field(default_factory=lambda: secrets.token_hex(8))
    created: str = field(default_factory=_now)
    progress: float = 0.0
    stop: threading.Event = field(default_factory=threading.Event)

    def status(self, state: State = "running", error: str | None = None, result: Result | None = None) -> Status:
        """A snapshot."""
        return Status(
            id=self.id,
            state=state,
            progress=self.progress,
            created=self.created,
            models=[model.id for model in self.models],
            error=error,
            result=result,
        )


@dataclass
class Outcome:
    """What is kept of a job that is over: neither its frame nor its models."""

    status: Status
    series: list[Series] = field(default_factory=list)


class Benchmarks:
    """Runs one job at a time in a thread.

    Args:
        store: takes what is over. What it cannot take stays in memory, and is offered to it again after the next one.
        preference: where the benchmark's own sessions run, unless a job says so.
        max_seconds: a job ends after these with what is done until then.
        workers: frames that a sweep works on at once.
    """

    def __init__(self, *, store: Store, preference: Preference, max_seconds: float, workers: int) -> None:
        self.store = store
        self._preference = preference
        self._max_seconds = max_seconds
        self._workers = workers
        self._running: Job | None = None
        self._unsaved: OrderedDict[str, Outcome] = OrderedDict()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()

    def start(self, job: Job) -> None:
        """Run the job in the background.

        Raises:
            BenchmarkRunning: with the id of the one that runs.
        """
        with self._lock:
            if self._running is not None:
                raise BenchmarkRunning(
                    f"Benchmark {self._running.id!r} is running, and two would measure each other: wait for it.",
                    id=self._running.id,
                )
            thread = threading.Thread(target=self._run, args=(job,), name=f"benchmark-{job.id}", daemon=True)
            thread.start()  # first: where it raises, nothing runs. Its end waits for the lock
            self._running, self._thread = job, thread

    @property
    def running(self) -> str | None:
        """The id of the one that runs."""
        job = self._running
        return job.id if job else None

    def get(self, benchmark_id: str) -> Status:
        """The benchmark of this id.

        Raises:
            UnknownBenchmark: none such, or dropped since.
            ResultsUnavailable
        """
        outcome = self._in_memory(benchmark_id)
        return outcome.status if outcome else self.store.get(benchmark_id)

    def result(self, benchmark_id: str) -> tuple[Status, Result, list[Series]]:
        """A benchmark that is done, with its raw samples.

        Raises:
            UnknownBenchmark, ResultsUnavailable
            NoResult: it is not done.
        """
        outcome = self._in_memory(benchmark_id)
        status = outcome.status if outcome else self.store.get(benchmark_id)
        if status.result is None:
            raise NoResult(f"Benchmark {benchmark_id!r} is {status.state}, and has no result: take one that is done.")
        return status, status.result, outcome.series if outcome else self.store.series(benchmark_id)

    def delete(self, benchmark_id: str) -> None:
        """Forget a benchmark that is over.

        Raises:
            UnknownBenchmark, ResultsUnavailable
            BenchmarkRunning: it is not over.
        """
        with self._lock:
            if self.running == benchmark_id:
                raise BenchmarkRunning(f"Benchmark {benchmark_id!r} is running: wait for it.", id=benchmark_id)
            if self._unsaved.pop(benchmark_id, None) is not None:
                return
        self.store.delete(benchmark_id)

    def close(self) -> None:
        """Stop what runs, after its current round if that is over soon, and close the store."""
        job, thread = self._running, self._thread
        if job is not None and thread is not None:
            job.stop.set()
            thread.join(STOP_SECONDS)
            if thread.is_alive():
                log.warning("benchmark %s is cut off in the middle of a round, and not kept", job.id)
        self.store.close()

    def _in_memory(self, benchmark_id: str) -> Outcome | None:
        with self._lock:
            if self._running is not None and self._running.id == benchmark_id:
                return Outcome(self._running.status())
            return self._unsaved.get(benchmark_id)

    def _run(self, job: Job) -> None:
        try:
            outcome = self._outcome(job)
            with self._lock:
                self._unsaved[job.id] = outcome
            self._save()
        finally:
            with self._lock:
                self._running = None

    def _outcome(self, job: Job) -> Outcome:
        """How the job ended. The one that runs has no result, so that none is seen before it is kept."""
        try:
            result, series = measure(
                job.spec,
                job.models,
                job.sample,
                preference=self._preference,
                workers=self._workers,
                proceed=self._pace(job),
            )
        except Stopped as error:
            return Outcome(job.status("stopped", str(error)))
        except PolypruneError as error:
            return Outcome(job.status("failed", str(error)))
        except Exception:  # a thread's last resort: else nobody would know why it ended
            log.exception("benchmark %s failed", job.id)
            return Outcome(job.status("failed", "Internal error; the service's log has the details."))
        job.progress = 1.0
        return Outcome(job.status("done", result=result), series)

    def _save(self) -> None:
        """Offer the store what it has not got; the oldest of what it does not take is dropped beyond its own number."""
        for outcome in list(self._unsaved.values()):
            status = outcome.status.model_copy(update={"warning": None})
            try:
                self.store.save(status, outcome.series)
            except ResultsUnavailable as error:
                log.error("benchmark %s is not stored: %s", status.id, error)
                warning = f"Kept in memory only, until the service ends: {error}"
                outcome.status = status.model_copy(update={"warning": warning})
            else:
                with self._lock:
                    self._unsaved.pop(status.id, None)
        with self._lock:
            while len(self._unsaved) > self.store.history:
                self._unsaved.popitem(last=False)

    def _pace(self, job: Job) -> Proceed:
        """Asked between runs: notes the progress, ends at the time limit, raises when stopped."""
        start = time.monotonic()

        def proceed(done: float, share: float) -> bool:
            job.progress = done
            if job.stop.is_set():
                raise Stopped("The service was stopped.")
            return time.monotonic() - start < share * self._max_seconds

        return proceed
