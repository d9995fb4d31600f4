"""Turns -> figures -> the tables of docs/results/serving.md."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tests.bench.peers.contestant import Load

HEAD = (
    "| clients | | frames/s | over the raw loop (rounds) | p50 ms | p99 ms | CPU ms a frame |",
    "|---|---|---|---|---|---|---|",
)


ENTRIES_HEAD = (
    "| server | version | settings | mask's pixels unlike ours | start to ready | idle, of a core |",
    "|---|---|---|---|---|---|",
)


@dataclass(frozen=True)
class Entry:
    """A server that takes part.

    Attributes:
        settings: what was chosen for it.
        different: share of the mask's pixels that are not ours.
        ready: seconds from its start.
        idle: CPU while nobody asks, as a share of one core.
    """

    name: str
    version: str
    settings: str
    different: float
    ready: float
    idle: float


@dataclass(frozen=True)
class Turn:
    """One contestant's load in one round."""

    name: str
    round: int
    connections: int
    load: Load


@dataclass(frozen=True)
class Row:
    """A contestant with so many clients: medians over the rounds.

    Attributes:
        ratio: of its rate over the limit's, taken within each round: median, least and most.
    """

    name: str
    connections: int
    rate: float
    ratio: tuple[float, float, float]
    p50: float
    p99: float
    cpu: float
    errors: int


def rows(turns: Sequence[Turn], limit: str) -> list[Row]:
    """One row for each number of clients and contestant, in the order of the first round.

    Args:
        limit: name of the contestant that the ratios are over.
    """
    keys = sorted({(turn.connections, turn.name): None for turn in turns}, key=lambda key: key[0])
    return [_row(turns, connections, name, limit) for connections, name in keys]


def markdown(table: Sequence[Row]) -> str:
    """The rows as a table in markdown; errors are told where there were any."""
    return "\n".join([*HEAD, *map(_line, table)])


def entries(servers: Sequence[Entry]) -> str:
    """The servers as a table in markdown."""
    lines = (
        f"| {server.name} | {server.version} | {server.settings} | {server.different:.3%} | {server.ready:.1f} s "
        f"| {server.idle:.1%} |"
        for server in servers
    )
    return "\n".join([*ENTRIES_HEAD, *lines])


def _row(turns: Sequence[Turn], connections: int, name: str, limit: str) -> Row:
    at_once = [turn for turn in turns if turn.connections == connections]
    rates = {turn.round: turn.load.rate for turn in at_once if turn.name == limit}
    own = [turn for turn in at_once if turn.name == name]
    ratios = [turn.load.rate / rates[turn.round] for turn in own]
    loads = [turn.load for turn in own]
    return Row(
        name=name,
        connections=connections,
        rate=_median([load.rate for load in loads]),
        ratio=(_median(ratios), min(ratios), max(ratios)),
        p50=_median([load.p50 for load in loads]),
        p99=_median([load.p99 for load in loads]),
        cpu=_median([load.cpu for load in loads]),
        errors=sum(load.errors for load in loads),
    )


def _line(row: Row) -> str:
    middle, least, most = row.ratio
    errors = f"; {row.errors} errors" if row.errors else ""
    return (
        f"| {row.connections} | {row.name} | {row.rate:.1f}{errors} | {middle:.2f} ({least:.2f} to {most:.2f}) "
        f"| {row.p50:.1f} | {row.p99:.1f} | {row.cpu:.1f} |"
    )


def _median(values: Sequence[float]) -> float:
    return float(np.median(values))
