"""The soak's verdict on data of which it is known whether it grows, and a real one of some seconds."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.bench.growth import Slope, slope
from tests.process import ROOT

TIMES = np.linspace(0, 1, 200)


def test_a_straight_line_is_its_own_slope() -> None:
    found = slope(TIMES, 3 + 2 * TIMES)
    assert found.mean == pytest.approx(2)
    assert (found.low, found.high) == pytest.approx((2, 2))
    assert found.grows


def test_growth_shows_through_noise() -> None:
    noise = np.random.default_rng(0).normal(0, 1, len(TIMES))
    found = slope(TIMES, 5 * TIMES + noise)
    assert found.low < 5 < found.high
    assert found.grows


def test_what_does_not_change_does_not_grow() -> None:
    assert slope(TIMES, np.full(len(TIMES), 7.1)) == Slope(0, 0, 0)


def test_the_interval_holds_for_a_memory_that_wanders() -> None:
    """Of series without a trend, the 95% interval may call 2.5% growing; plain least squares calls 30% of these so."""
    random = np.random.default_rng(1)
    series = np.zeros((300, len(TIMES)))
    for step in range(1, len(TIMES)):
        series[:, step] = 0.9 * series[:, step - 1] + random.normal(0, 1, 300)
    called = np.mean([slope(TIMES, values).grows for values in series])
    assert called < 0.08


def test_one_wave_is_no_growth() -> None:
    """A memory that falls, rises and falls back: least squares has a slope, and too few independent samples for it."""
    found = slope(TIMES, -np.sin(2 * np.pi * TIMES))
    assert found.mean > 0
    assert not found.grows


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")
def test_some_seconds_of_it(tmp_path: Path, models_dir: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "tests.bench.soak",
        "--models",
        str(models_dir),
        "--csv",
        str(tmp_path / "soak.csv"),
    ]
    done = subprocess.run(
        [*command, "--minutes", "0.1", "--every", "0.5"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert "answered" in done.stdout, done.stderr
    assert "failed" not in done.stdout.splitlines()[-5], done.stdout
    with (tmp_path / "soak.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) >= 10
    assert all(float(row["memory_mb"]) > 10 and int(row["descriptors"]) > 3 and int(row["threads"]) > 1 for row in rows)
    assert sum(float(row["rate"]) for row in rows) > 0
    assert {row["failed"] for row in rows} == {"0"}
    for outcome in ("left", "refused"):
        assert outcome in done.stdout
