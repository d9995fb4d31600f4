"""A benchmark as CSV and as a page."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from html.parser import HTMLParser

import httpx
import numpy as np
import pytest

from app.benchmark import charts
from app.benchmark.charts import HEIGHT, WIDTH, Axis
from app.benchmark.page import STYLE_SOURCE, page
from app.benchmark.result import Result, Series, Status, Who
from tests.app.test_benchmark import ENDLESS, URL, finish
from tests.app.test_problems import check
from tests.conftest import Serve

STAGES = ["network", "end_to_end"]


@pytest.fixture(scope="module")
def exported(client: httpx.Client) -> str:
    """The path of a benchmark that is done: 2 models in 2 stages, 4 rounds, and a sweep up to 2."""
    started = client.post(URL, json={"iterations": 4, "warmup": 1, "stages": STAGES, "concurrency": 2})
    finish(client, started)
    return started.headers["location"]


def test_table_has_a_row_for_each_run(client: httpx.Client, exported: str) -> None:
    response = client.get(f"{exported}.csv")
    assert response.headers["content-type"].startswith("text/csv")
    assert response.headers["content-disposition"].endswith('.csv"')
    rows = list(csv.DictReader(io.StringIO(response.text)))
    rounds = [row for row in rows if row["phase"] == "rounds"]
    sweep = [row for row in rows if row["phase"] == "sweep"]
    assert len(rounds) == 4 * 4  # rounds x contenders
    assert len(sweep) == 4 * 5 * (4 + 8)  # contenders x turns x (burst of 1, burst of 2)
    assert {(row["model"], row["stage"]) for row in rows} == {
        (model, stage) for model in ("red-dense/1", "red-pruned/1") for stage in STAGES
    }
    result = client.get(exported).json()["result"]
    times = [float(row["milliseconds"]) for row in rounds if (row["model"], row["stage"]) == ("red-dense/1", "network")]
    assert np.percentile(times, 50) == pytest.approx(result["models"][0]["latency_ms"]["p50"], abs=1e-3)


class Reader(HTMLParser):
    """Tags, and all that a browser would fetch or run."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.suspects: list[tuple[str, str | None]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.suspects += [pair for pair in attrs if pair[0] in ("src", "href", "style") or pair[0].startswith("on")]


def test_page_needs_nothing_else(client: httpx.Client, exported: str) -> None:
    response = client.get(f"{exported}.html")
    assert response.headers["content-type"].startswith("text/html")
    policy = response.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'")
    assert STYLE_SOURCE in policy
    assert "unsafe" not in policy
    reader = Reader()
    reader.feed(response.text)
    assert not reader.suspects
    assert not {"script", "link", "img", "iframe"} & set(reader.tags)
    assert reader.tags.count("svg") == 4 + 2  # a histogram for each contender, an ECDF for each stage
    assert "several frames at once" in response.text.lower()


def test_page_of_names_that_are_markup() -> None:
    result = Result.model_validate(
        {
            "models": [],
            "comparisons": [],
            "iterations": 2,
            "batch": 1,
            "threads": 1,
            "frame": "<script>1</script>",
            "method": "m",
            "machine": dict.fromkeys(("processor", "system", "python", "onnxruntime", "numpy"), "&") | {"cores": 1},
        }
    )
    evil = "<img src=x>"
    status = Status(id="1", state="done", progress=1, created="now", models=[evil], result=result)
    text = page(status, result, [Series(Who(id=evil, provider="CPU"), "rounds", 1, np.ones((3, 1)))]).decode()
    assert "<script" not in text
    assert "<img" not in text
    assert "&lt;img src=x&gt;" in text


@pytest.fixture
def endless(serve: Serve) -> Iterator[httpx.Client]:
    return serve(benchmark_max_iterations=ENDLESS, benchmark_max_seconds=1e6)


def test_what_is_not_done_is_not_exported(endless: httpx.Client) -> None:
    path = endless.post(URL, json={"iterations": ENDLESS}).headers["location"]
    for kind in ("csv", "html"):
        check(endless.get(f"{path}.{kind}"), 409, "no-result")
        check(endless.get(f"{URL}/absent.{kind}"), 404, "unknown-benchmark")
    assert endless.get(URL).json()["running"] == path.rsplit("/", 1)[1]


def numbers(path: str) -> list[float]:
    return [float(number) for number in re.findall(r"[\d.]+", path)]


def test_ecdf_by_hand() -> None:
    """1, 2, 2 and 4 ms over an axis of 8: up by a quarter, by a half, by a quarter."""
    drawn = charts.ecdf(np.array([1.0, 2.0, 2.0, 4.0]), Axis(8.0))
    x = [WIDTH * time / 8 for time in (1, 2, 2, 4)]
    y = [HEIGHT * share for share in (0.75, 0.5, 0.25, 0)]
    steps = [number for pair in zip(x, y, strict=True) for number in pair]
    assert numbers(drawn) == pytest.approx([x[0], HEIGHT, *steps, WIDTH])


def test_histogram_stands_on_its_axis() -> None:
    drawn = charts.histogram(np.array([1.0, 1.0, 1.0, 2.0]), Axis(4.0))
    values = numbers(drawn)
    assert (values[0], values[1], values[-1]) == (WIDTH / 4, HEIGHT, HEIGHT)
    assert min(values[1::2]) == 0  # the most frequent is as high as the box


def test_axis_ends_after_the_slowest_but_one_in_a_hundred() -> None:
    values = np.append(np.linspace(1, 2, 999), 500.0)
    axis = Axis.over([values, values / 2])
    assert 2 < axis.end < 3
    assert axis.x(500) == WIDTH
    assert [tick.text for tick in axis.ticks] == ["0.5", "1", "1.5", "2"]


@pytest.mark.parametrize("milliseconds", [np.full(5, 3.0), np.array([0.001, 0.002]), np.array([1e5, 2e5])])
def test_any_times_are_drawn(milliseconds: np.ndarray) -> None:
    axis = Axis.over([milliseconds])
    assert 1 <= len(axis.ticks) <= 2 * charts.TICKS
    assert np.isfinite(numbers(charts.ecdf(milliseconds, axis) + charts.histogram(milliseconds, axis))).all()
