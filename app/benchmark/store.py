"""Where results and raw samples are kept."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import BaseModel, Field, ValidationError

from app.benchmark.database import Database, transaction
from app.benchmark.result import Kind, Phase, Ratio, Series, State, Status, Who, ratios
from app.errors import ResultsUnavailable, UnknownBenchmark
from app.latency import Estimate

SAMPLE = np.dtype("<f4")  # seconds, to seven digits

# Of `subject`: a version, or all versions of a name.
IS_MODEL = "(model = :model OR substr(model, 1, instr(model, '/') - 1) = :model)"


class Summary(BaseModel):
    """A benchmark that is over, in one line."""

    id: str
    created: Annotated[str, Field(description="when it started: UTC, ISO 8601")]
    state: State
    models: list[str]
    ratios: Annotated[list[Ratio], Field(description="of pruned models")]


class Conditions(BaseModel):
    """What has to be the same for ratios to be compared over time."""

    batch: int
    threads: int
    frame: str
    processor: str
    cores: int


class Point(BaseModel):
    """A ratio, as one benchmark found it."""

    id: str
    created: str
    onnxruntime: str
    ratio: Estimate


class Trend(BaseModel):
    """How the ratio of the same two contenders, on the same machine, went on; the oldest first."""

    kind: Kind
    base: Who
    other: Who
    conditions: Conditions
    points: list[Point]


class Store:
    """The newest benchmarks that are over.

    Args:
        folder: where the file is, or will be; None for in memory.
        history: benchmarks that are kept; saving one more drops the oldest.
    """

    def __init__(self, folder: Path | None, history: int) -> None:
        self.history = history
        self._database = Database(folder)

    def check(self) -> None:
        """Raise ResultsUnavailable if the file cannot be used; make it where there is none."""
        with self._database.open():
            pass

    def close(self) -> None:
        """Let go of what is kept in memory."""
        self._database.close()

    def save(self, status: Status, series: Sequence[Series]) -> None:
        """Keep a benchmark that is over, whole or not at all.

        Raises:
            ResultsUnavailable
        """
        with self._database.open() as database, transaction(database):
            kept = (status.id, status.created, status.state, status.model_dump_json())
            database.execute("INSERT INTO benchmark VALUES (?, ?, ?, ?)", kept)
            database.executemany("INSERT INTO subject VALUES (?, ?)", [(status.id, model) for model in status.models])
            rows = [(status.id, place, *_series_row(of)) for place, of in enumerate(series)]
            database.executemany("INSERT INTO series VALUES (?, ?, ?, ?, ?, ?, ?)", rows)
            compared = [(status.id, place, *row) for place, row in enumerate(_ratio_rows(status))]
            database.executemany("INSERT INTO ratio VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", compared)
            newest = "SELECT id FROM benchmark ORDER BY rowid DESC LIMIT ?"  # as saved: a clock may be set back
            database.execute(f"DELETE FROM benchmark WHERE id NOT IN ({newest})", (self.history,))  # noqa: S608

    def get(self, benchmark_id: str) -> Status:
        """One benchmark.

        Raises:
            UnknownBenchmark, ResultsUnavailable
        """
        with self._database.open() as database:
            row = database.execute("SELECT status FROM benchmark WHERE id = ?", (benchmark_id,)).fetchone()
        if row is None:
            raise self._unknown(benchmark_id)
        try:
            return Status.model_validate_json(row[0])
        except ValidationError as error:
            raise ResultsUnavailable(
                f"Benchmark {benchmark_id!r} was stored by another version of the service: open it with that one."
            ) from error

    def series(self, benchmark_id: str) -> list[Series]:
        """Its raw samples, in the order they were saved; none for one without a result.

        Raises:
            ResultsUnavailable
        """
        with self._database.open() as database:
            columns = "who, phase, concurrency, turns, seconds"
            query = f"SELECT {columns} FROM series WHERE benchmark = ? ORDER BY place"  # noqa: S608
            return [_read_series(*row) for row in database.execute(query, (benchmark_id,))]

    def delete(self, benchmark_id: str) -> None:
        """Forget one benchmark, samples and all.

        Raises:
            UnknownBenchmark, ResultsUnavailable
        """
        with self._database.open() as database:
            if not database.execute("DELETE FROM benchmark WHERE id = ?", (benchmark_id,)).rowcount:
                raise self._unknown(benchmark_id)

    def page(self, *, model: str | None, limit: int, offset: int) -> tuple[int, list[Summary]]:
        """How many there are, and some of them, the newest first.

        Args:
            model: `name` or `name/version`, of which only those that measured it; None for all.

        Raises:
            ResultsUnavailable
        """
        chosen = f"id IN (SELECT benchmark FROM subject WHERE {IS_MODEL})" if model else "1"  # noqa: S608
        values = {"model": model, "limit": limit, "offset": offset}
        with self._database.open() as database:
            (total,) = database.execute(f"SELECT count(*) FROM benchmark WHERE {chosen}", values).fetchone()  # noqa: S608
            query = (
                f"SELECT id, created, state FROM benchmark WHERE {chosen} "  # noqa: S608
                "ORDER BY created DESC, rowid DESC LIMIT :limit OFFSET :offset"
            )
            return total, [_summary(database, *row) for row in database.execute(query, values)]

    def trends(self, *, model: str | None) -> list[Trend]:
        """Each pair that was compared, with its ratio in every benchmark that compared it.

        Args:
            model: as for `page`.

        Raises:
            ResultsUnavailable
        """
        chosen = f"benchmark IN (SELECT benchmark FROM subject WHERE {IS_MODEL})" if model else "1"  # noqa: S608
        query = (
            "SELECT kind, base, other, conditions, benchmark, created, onnxruntime, mean, low, high "  # noqa: S608
            f"FROM ratio JOIN benchmark ON id = benchmark WHERE {chosen} ORDER BY created, benchmark.rowid, place"
        )
        found: dict[tuple[str, ...], Trend] = {}
        with self._database.open() as database:
            for *key, benchmark_id, created, version, mean, low, high in database.execute(query, {"model": model}):
                trend = found.setdefault(tuple(key), _trend(*key))
                ratio = Estimate(mean=mean, low=low, high=high)
                trend.points.append(Point(id=benchmark_id, created=created, onnxruntime=version, ratio=ratio))
        return [trend for trend in found.values() if model is None or _is_of(trend, model)]

    def _unknown(self, benchmark_id: str) -> UnknownBenchmark:
        return UnknownBenchmark(
            f"No benchmark {benchmark_id!r} is here: the newest {self.history} are kept, and GET /benchmark lists them."
        )


def _series_row(series: Series) -> tuple[str, str, int, int, bytes]:
    seconds = np.asarray(series.seconds, SAMPLE)
    return series.who.model_dump_json(), series.phase, series.concurrency, len(seconds), seconds.tobytes()


def _read_series(who: str, phase: Phase, concurrency: int, turns: int, seconds: bytes) -> Series:
    samples = np.frombuffer(seconds, SAMPLE).reshape(turns, -1)
    return Series(Who.model_validate_json(who), phase, concurrency, samples)


def _ratio_rows(status: Status) -> Iterator[tuple[object, ...]]:
    result = status.result
    if result is None:
        return
    machine = result.machine
    conditions = Conditions(
        batch=result.batch,
        threads=result.threads,
        frame=result.frame,
        processor=machine.processor,
        cores=machine.cores,
    ).model_dump_json()
    for found in ratios(result):
        names = found.base.model_dump_json(), found.other.model_dump_json()
        mean, low, high = found.ratio.mean, found.ratio.low, found.ratio.high
        yield found.kind, *names, mean, low, high, conditions, machine.onnxruntime


def _summary(database: sqlite3.Connection, benchmark_id: str, created: str, state: State) -> Summary:
    models = database.execute("SELECT model FROM subject WHERE benchmark = ? ORDER BY model", (benchmark_id,))
    query = "SELECT base, other, mean, low, high FROM ratio WHERE benchmark = ? AND kind = 'pruned' ORDER BY place"
    found = [
        Ratio.model_validate(
            {
                "kind": "pruned",
                "base": json.loads(base),
                "other": json.loads(other),
                "ratio": {"mean": mean, "low": low, "high": high},
            }
        )
        for base, other, mean, low, high in database.execute(query, (benchmark_id,))
    ]
    return Summary(id=benchmark_id, created=created, state=state, models=[model for (model,) in models], ratios=found)


def _trend(kind: Kind, base: str, other: str, conditions: str) -> Trend:
    return Trend(
        kind=kind,
        base=Who.model_validate_json(base),
        other=Who.model_validate_json(other),
        conditions=Conditions.model_validate_json(conditions),
        points=[],
    )


def _is_of(trend: Trend, model: str) -> bool:
    names = trend.base.id, trend.other.id
    return any(model in (name, name.split("/")[0]) for name in names)
