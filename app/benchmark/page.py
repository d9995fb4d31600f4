"""A benchmark as one HTML page that needs nothing else: no script, no font, no picture from anywhere."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources

import numpy as np
from numpy.typing import NDArray

from app.benchmark import charts
from app.benchmark.charts import Axis
from app.benchmark.result import Result, Series, Status, Who, ratios
from app.benchmark.spec import Stage

PARTS = resources.files(__package__) / "templates"
STYLE = (PARTS / "page.css").read_text(encoding="utf-8")
# A page that is served may use this style and nothing else (CSP 3, section 2.3.1).
STYLE_SOURCE = f"'sha256-{base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()}'"

STAGES: dict[Stage, str] = {"network": "The network alone", "end_to_end": "End to end, from the file to the mask"}
KINDS = {"pruned": "pruned for dense", "precision": "precision", "provider": "provider", "stage": "around the network"}


@dataclass(frozen=True)
class Curve:
    """One contender's distribution, as paths."""

    name: str
    colour: int  # place in the page's palette
    histogram: str
    ecdf: str
    median: float  # its place on the axis
    median_ms: float
    runs: int
    beyond: int  # runs to the right of the axis


@dataclass(frozen=True)
class Figure:
    """The distributions of one stage, over one axis."""

    title: str
    axis: Axis
    curves: list[Curve]


def page(status: Status, result: Result, series: Sequence[Series]) -> bytes:
    """The page, UTF-8; what it shows of names is escaped."""
    from jinja2 import Environment, StrictUndefined  # noqa: PLC0415  (a service that exports no page need not load it)

    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined)
    template = environment.from_string((PARTS / "page.html.j2").read_text(encoding="utf-8"))
    return template.render(
        status=status,
        result=result,
        ratios=ratios(result),
        figures=figures(series),
        kinds=KINDS,
        name=name,
        style=STYLE,
        box=(charts.WIDTH, charts.HEIGHT),
    ).encode()


def figures(series: Sequence[Series]) -> list[Figure]:
    """The rounds, a figure for each stage; all over the same axis, so that the stages can be compared."""
    rounds = [(of.who, of.seconds.ravel() * 1e3) for of in series if of.phase == "rounds"]
    axis = Axis.over([times for _, times in rounds])
    found = []
    for stage, title in STAGES.items():
        curves = [_curve(who, times, axis, place) for place, (who, times) in enumerate(_of(rounds, stage))]
        if curves:
            found.append(Figure(title, axis, curves))
    return found


def name(who: Who) -> str:
    """A contender's name without its stage."""
    return f"{who.id}, {who.provider.replace('ExecutionProvider', '')}"


def _of(rounds: list[tuple[Who, NDArray[np.floating]]], stage: Stage) -> list[tuple[Who, NDArray[np.floating]]]:
    return [(who, times) for who, times in rounds if who.stage == stage]


def _curve(who: Who, milliseconds: NDArray[np.floating], axis: Axis, place: int) -> Curve:
    median = float(np.median(milliseconds))
    return Curve(
        name=name(who),
        colour=place % 8,
        histogram=charts.histogram(milliseconds, axis),
        ecdf=charts.ecdf(milliseconds, axis),
        median=axis.x(median),
        median_ms=median,
        runs=len(milliseconds),
        beyond=int(np.count_nonzero(milliseconds > axis.end)),
    )
