"""Rings along pixel edges, checked against pixel counts and by filling them again with Pillow."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from PIL import Image, ImageDraw

from app.render.rings import Ring, polygons
from tests.synthetic import colonoscopy


def signed_area(ring: Ring) -> float:
    """Shoelace formula: positive for counterclockwise by the numbers."""
    return sum(x * v - u * y for (x, y), (u, v) in pairwise(ring)) / 2


def filled(rings: list[Ring], shape: tuple[int, int]) -> np.ndarray:
    """Even-odd filling at 8 times the size, looked up in the middle of each pixel."""
    canvas = np.zeros((shape[0] * 8, shape[1] * 8), bool)
    for ring in rings:
        image = Image.new("1", canvas.shape[::-1])
        ImageDraw.Draw(image).polygon([(8 * x, 8 * y) for x, y in ring], fill=1)
        canvas ^= np.asarray(image)
    return canvas[4::8, 4::8]


def check(region: np.ndarray) -> list[list[Ring]]:
    found = polygons(region, (0, 0))
    assert sum(signed_area(ring) for rings in found for ring in rings) == region.sum()
    for outer, *holes in found:
        assert signed_area(outer) > 0
        assert all(signed_area(hole) < 0 for hole in holes)
        for ring in (outer, *holes):
            assert ring[0] == ring[-1]
            assert len(set(ring)) == len(ring) - 1  # no point twice: it never meets itself
    np.testing.assert_array_equal(filled([ring for rings in found for ring in rings], region.shape), region)
    return found


def test_one_pixel_is_a_square() -> None:
    assert polygons(np.ones((1, 1), bool), (5, 7)) == [[[(6, 7), (6, 8), (5, 8), (5, 7), (6, 7)]]]


def test_ring_with_a_hole() -> None:
    region = np.ones((4, 5), bool)
    region[1:3, 1:4] = False
    (rings,) = check(region)
    assert [signed_area(ring) for ring in rings] == [20, -6]


def test_parts_that_touch_at_a_corner_are_apart() -> None:
    assert len(check(np.eye(3, dtype=bool))) == 3


def test_hole_that_touches_the_outside_at_a_corner() -> None:
    region = np.ones((3, 3), bool)
    region[0, 0] = region[1, 1] = False
    (rings,) = check(region)
    assert len(rings) == 2


def test_ellipse() -> None:
    (rings,) = check(colonoscopy(96, 128)[..., 0] > 128)
    assert len(rings) == 1


@pytest.mark.parametrize("seed", range(40))
def test_noise(seed: int) -> None:
    generator = np.random.default_rng(seed)
    height, width = generator.integers(1, 14, 2)
    check(generator.random((height, width)) < generator.random())
