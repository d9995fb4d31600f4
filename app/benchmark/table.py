"""A benchmark's raw samples as CSV (RFC 4180), one row for each run, as pandas and R read it."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence

from app.benchmark.result import Series, Status

COLUMNS = ("benchmark", "created", "model", "provider", "stage", "phase", "concurrency", "round", "milliseconds")


def table(status: Status, series: Sequence[Series]) -> bytes:
    """The table, UTF-8.

    `phase` is `rounds` (one run of each contender a round) or `sweep` (a burst of `concurrency` frames at once; `round`
    is its turn, and the time that a frame waited for a worker is in its milliseconds).
    """
    file = io.StringIO()
    writer = csv.writer(file)
    writer.writerow(COLUMNS)
    for of in series:
        writer.writerows(_rows(status, of))
    return file.getvalue().encode()


def _rows(status: Status, series: Series) -> Iterator[tuple[object, ...]]:
    who = series.who
    same = (status.id, status.created, who.id, who.provider, who.stage, series.phase, series.concurrency)
    for turn, seconds in enumerate(series.seconds.tolist(), start=1):
        for run in seconds:
            yield *same, turn, f"{run * 1e3:.4f}"
