"""The page's arithmetic, in the browser, with values worked out by hand or by numpy and OpenCV."""

from __future__ import annotations

import base64
import io

import cv2
import numpy as np
import pytest
from playwright.sync_api import Error, Page

from tests.synthetic import blocks

NPY = """async (text) => {
  const { parse } = await import("/web/npy.js");
  const { data, height, width } = parse(Uint8Array.from(atob(text), (byte) => byte.charCodeAt(0)).buffer);
  return [[...data], height, width];
}"""
FIND = """async ([mask, width]) => {
  const { find } = await import("/web/lesions.js");
  const bytes = Uint8Array.from(mask);
  return find(bytes, Float32Array.from(bytes, (_, index) => (index % 7) / 8), width)
    .map(({ box, area, probability }) => [box, area, probability]);
}"""
DICE = "async ([a, b]) => (await import('/web/mask.js')).dice(Uint8Array.from(a), Uint8Array.from(b))"
RIM = """async ([mask, width, height, contour]) => {
  const { paint } = await import("/web/mask.js");
  const image = paint({ mask: Uint8Array.from(mask), width, height }, { colour: [1, 2, 3], fill: 0, contour });
  return [...image.data].filter((_, index) => index % 4 === 3);
}"""
TIMING = "async (text) => (await import('/web/api.js')).serverTiming(text)"


def npy(array: np.ndarray, version: tuple[int, int] | None = None) -> str:
    file = io.BytesIO()
    np.lib.format.write_array(file, array, version=version)
    return base64.b64encode(file.getvalue()).decode()


@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
def test_npy_files_of_every_version(page: Page, version: tuple[int, int]) -> None:
    array = np.random.default_rng(0).random((3, 5), dtype=np.float32)
    data, height, width = page.evaluate(NPY, npy(array, version))
    assert (height, width) == (3, 5)
    assert np.array_equal(np.array(data, np.float32).reshape(3, 5), array)


@pytest.mark.parametrize("array", [np.zeros((2, 2)), np.zeros((2, 2, 2), np.float32), np.zeros((2, 3), ">f4")])
def test_other_arrays_are_refused(page: Page, array: np.ndarray) -> None:
    with pytest.raises(Error, match=r"Expected a \.npy of '<f4'"):
        page.evaluate(NPY, npy(array))


def test_a_file_cut_short_is_refused(page: Page) -> None:
    whole = base64.b64decode(npy(np.zeros((8, 8), np.float32)))
    with pytest.raises(Error, match="ends too early"):
        page.evaluate(NPY, base64.b64encode(whole[:-1]).decode())


@pytest.mark.parametrize("scale", [1, 4])
def test_lesions_are_opencv_s(page: Page, scale: int) -> None:
    """Random squares: holes, corners that touch, areas inside of areas."""
    mask = (blocks(60, 84, scale)[..., 0] > 0).astype(np.uint8)
    probability = np.float32(np.arange(mask.size).reshape(mask.shape) % 7) / 8
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    wanted = [(*map(int, stats[at]), float(probability[labels == at].mean(dtype=np.float64))) for at in range(1, count)]
    found = page.evaluate(FIND, [mask.ravel().tolist(), 84])
    assert sorted((*box, area, round(mean, 9)) for box, area, mean in found) == sorted(
        (*row[:5], round(row[5], 9)) for row in wanted
    )
    assert [area for _, area, _ in found] == sorted((row[4] for row in wanted), reverse=True)


def test_no_lesion_and_all_lesion(page: Page) -> None:
    assert page.evaluate(FIND, [[0] * 6, 3]) == []
    assert page.evaluate(FIND, [[1] * 6, 3]) == [[[0, 0, 3, 2], 6, pytest.approx(15 / 48)]]


@pytest.mark.parametrize(("a", "b", "dice"), [([1, 1, 0], [0, 1, 1], 0.5), ([0, 0], [0, 0], 1), ([1, 0], [0, 1], 0)])
def test_dice(page: Page, a: list[int], b: list[int], dice: float) -> None:
    assert page.evaluate(DICE, [a, b]) == dice


@pytest.mark.parametrize("contour", [1, 3])
def test_a_contour_lies_within_the_mask(page: Page, contour: int) -> None:
    """A square of 11 within a frame of 15, and a rim of so many pixels."""
    mask = np.zeros((15, 15), np.uint8)
    mask[2:13, 2:13] = 1
    rim = mask.copy()
    rim[2 + contour : 13 - contour, 2 + contour : 13 - contour] = 0
    alpha = page.evaluate(RIM, [mask.ravel().tolist(), 15, 15, contour])
    assert np.array_equal(np.array(alpha).reshape(15, 15) > 0, rim > 0)


def test_server_timing(page: Page) -> None:
    assert page.evaluate(TIMING, "queue;dur=0.021, network;dur=30.5") == {"queue": 0.021, "network": 30.5}
