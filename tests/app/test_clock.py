"""The times of a frame's stages."""

from __future__ import annotations

import time

from app.clock import Clock


def test_a_stage_inside_of_another_is_not_counted_twice() -> None:
    clock = Clock()
    with clock.stage("render"):
        with clock.stage("lesions"):
            time.sleep(0.05)
        with clock.stage("lesions"):
            time.sleep(0.05)
    with clock.stage("render"):
        pass
    passed = clock.age() * 1e3
    assert list(clock.timings) == ["lesions", "render"]
    assert all(duration >= 0 for duration in clock.timings.values())
    assert sum(clock.timings.values()) <= passed
