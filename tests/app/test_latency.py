"""The arithmetic of measurements; no time is asserted."""

from __future__ import annotations

import numpy as np
import pytest

from app import latency


def always(_: int) -> bool:
    return True


def test_runs_take_turns_and_each_round_starts_with_another() -> None:
    calls: list[str] = []
    runs = [lambda: calls.append("a"), lambda: calls.append("b"), lambda: calls.append("c")]
    seconds = latency.interleave(runs, iterations=2, warmup=1, proceed=always)
    assert "".join(calls) == "abcbcacab"
    assert seconds.shape == (2, 3)
    assert (seconds >= 0).all()


def test_early_end_keeps_what_is_done() -> None:
    seconds = latency.interleave([int], iterations=50, warmup=3, proceed=lambda done: done < 10)
    assert seconds.shape == (7, 1)


def test_early_end_within_the_warm_up_leaves_nothing() -> None:
    assert latency.interleave([int, int], iterations=5, warmup=3, proceed=lambda done: done < 2).shape == (0, 2)


def test_summary_is_in_milliseconds_and_frames() -> None:
    summary = latency.summarise(np.array([0.010, 0.020, 0.030]), batch=4)
    assert summary.p50 == pytest.approx(20)
    assert summary.p99 == pytest.approx(29.8)
    assert summary.mean.mean == pytest.approx(20)
    assert 10 <= summary.mean.low <= 20 <= summary.mean.high <= 30
    assert summary.frames_per_second == pytest.approx(200)


def test_histogram_leaves_out_the_slowest_percent() -> None:
    """1000 runs of 1 to 2 ms, evenly, and one of 50: 21 bins of about 1/21 ms, and 11 runs beyond."""
    seconds = np.append(np.linspace(1e-3, 2e-3, 1000), 50e-3)
    histogram = latency.summarise(seconds, batch=1).histogram
    assert len(histogram.counts) == 21
    assert histogram.low == pytest.approx(1)
    assert histogram.low + 21 * histogram.step == pytest.approx(np.percentile(seconds, 99) * 1e3)
    assert max(histogram.counts) - min(histogram.counts) <= 2
    assert (sum(histogram.counts), histogram.above) == (991, 10)


def test_histogram_of_equal_runs_has_them_all() -> None:
    histogram = latency.histogram(np.full(8, 3.0))
    assert (sum(histogram.counts), max(histogram.counts), histogram.above) == (8, 8, 0)


def test_speedup_is_within_rounds() -> None:
    """The machine slows down tenfold on the way; each round still says 2."""
    fast = np.array([0.01, 0.02, 0.05, 0.1])
    speedup = latency.speedup(2 * fast, fast)
    assert (speedup.mean, speedup.low, speedup.high) == (pytest.approx(2),) * 3


def test_speedup_of_twice_and_half_is_none() -> None:
    assert latency.speedup(np.array([2.0, 1.0]), np.array([1.0, 2.0])).mean == pytest.approx(1)


def test_interval_covers_the_mean_about_as_often_as_it_says() -> None:
    """90 samples of 40 values each: a 95% interval misses 0 in few of them."""
    samples = np.random.default_rng(1).normal(size=(90, 40))
    estimates = [latency.estimate(sample) for sample in samples]
    covered = sum(estimate.low <= 0 <= estimate.high for estimate in estimates)
    assert covered >= 0.88 * 90


def test_an_interval_is_one_of_95_percent() -> None:
    found = latency.estimate(np.random.default_rng(1).normal(size=2000))
    assert (found.high - found.low) / 2 * np.sqrt(2000) == pytest.approx(1.96, abs=0.1)
