"""The page's sample frame: a colon that does not exist, with two polyps, lit from the endoscope's tip.

python -m tests.web.sample     # writes app/web/sample.jpg again
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from tests.synthetic import encode

SAMPLE = Path("app/web/sample.jpg")
HEIGHT, WIDTH = 512, 640
QUALITY = 92

LUMEN = (0.66, 0.34)  # where the colon goes on: x and y over the frame's height
POLYPS = (((0.60, 0.64), (0.165, 0.135)), ((1.03, 0.52), (0.062, 0.055)))  # middle, radii
MUCOSA = np.array((226, 140, 116), np.float32)  # RGB
ADENOMA = np.array((222, 112, 96), np.float32)

Plane = NDArray[np.float32]
Pair = tuple[float, float]


def colon(height: int = HEIGHT, width: int = WIDTH) -> NDArray[np.uint8]:
    """A frame uint8 [height, width, 3], RGB."""
    y, x = (plane.astype(np.float32) / height for plane in np.mgrid[:height, :width])
    noise = np.random.default_rng(3)
    polyp = np.maximum.reduce([_polyp(x, y, middle, radii, noise) for middle, radii in POLYPS])
    depth = _tunnel(x, y, noise)
    relief = 0.55 * depth + 0.1 * np.clip(polyp, 0, None) ** 0.8 + 0.0022 * _grain(noise, x.shape, 7)
    light, gleam = _lit(relief, x, y)
    inside = np.clip(polyp * 4, 0, 1)[..., None]
    colour = MUCOSA * (1 - inside) + ADENOMA * inside
    colour = colour * (1 + 0.07 * _grain(noise, x.shape, 40)[..., None] + 0.045 * _grain(noise, x.shape, 5)[..., None])
    colour -= 34 * (_vessels(x.shape) * (1 - inside[..., 0]))[..., None] * np.array((0.5, 1, 0.9), np.float32)
    pixels = colour * light[..., None] + 235 * gleam[..., None]
    return _through_the_lens(pixels, x, y, noise)


def _polyp(x: Plane, y: Plane, middle: Pair, radii: Pair, noise: np.random.Generator) -> Plane:
    """Above 0 inside, 1 at the top: an ellipse with a lobed rim."""
    dx, dy = (x - middle[0]) / radii[0], (y - middle[1]) / radii[1]
    angle = np.arctan2(dy, dx)
    rim = 1 + 0.05 * np.sin(3 * angle + 1) + 0.035 * np.sin(5 * angle)
    return 1 - (dx**2 + dy**2) / rim**2 + 0.05 * _grain(noise, x.shape, 18)


def _tunnel(x: Plane, y: Plane, noise: np.random.Generator) -> Plane:
    """Nearness of the wall, 0 in the lumen, with folds around it."""
    dx, dy = x - LUMEN[0], (y - LUMEN[1]) * 1.12
    angle = np.arctan2(dy, dx)
    distance = np.hypot(dx, dy) * (1 + 0.1 * np.sin(2 * angle + 0.6) + 0.05 * np.sin(3 * angle))
    distance = distance + 0.012 * _grain(noise, x.shape, 60)
    folds = sum(
        0.075 * np.exp(-(((distance - ring) / thick) ** 2)) * (0.65 + 0.35 * np.sin(angle * lobes + lobes))
        for ring, thick, lobes in ((0.14, 0.028, 2), (0.27, 0.035, 3), (0.44, 0.045, 2), (0.66, 0.05, 3))
    )
    return (np.tanh(distance * 2.6) + folds).astype(np.float32)


def _lit(relief: Plane, x: Plane, y: Plane) -> tuple[Plane, Plane]:
    """Diffuse light and gleam of the relief, with the lamp a little above the middle of the lens."""
    soft = cv2.GaussianBlur(relief, (0, 0), 1.6)
    slope_y, slope_x = np.gradient(soft, 1 / relief.shape[0])
    normal = np.stack([-slope_x, -slope_y, np.full_like(relief, 1.15)])
    normal /= np.linalg.norm(normal, axis=0)
    lamp = np.stack([0.60 - x, 0.36 - y, np.full_like(x, 0.75)])
    lamp /= np.linalg.norm(lamp, axis=0)
    facing = np.clip((normal * lamp).sum(axis=0), 0, 1)
    near = np.clip(np.clip(relief / 0.55, 0, None) ** 1.15, 0.02, 1.5)
    return (0.14 + 0.96 * facing**1.2) * near, np.clip(facing, 0, 1) ** 300 * np.clip(near, 0, 1)


def _grain(noise: np.random.Generator, shape: tuple[int, ...], pixels: float) -> Plane:
    """Smooth noise with a grain of about so many pixels, mean 0 and deviation 1."""
    plane = cv2.GaussianBlur(noise.standard_normal(shape).astype(np.float32), (0, 0), pixels)
    return (plane - plane.mean()) / plane.std()


def _vessels(shape: tuple[int, ...]) -> Plane:
    """Fine branching lines, 0 to 1."""
    drawn = np.zeros(shape, np.float32)
    walk = np.random.default_rng(11)
    for _ in range(46):
        place, heading = walk.uniform((0, 0), shape[::-1]), walk.uniform(0, 2 * np.pi)
        for _ in range(int(walk.integers(25, 70))):
            heading += walk.normal(0, 0.22)
            step = place + 5 * np.array((np.cos(heading), np.sin(heading)))
            cv2.line(drawn, place.astype(int).tolist(), step.astype(int).tolist(), 1.0, 1, cv2.LINE_AA)
            place = step
    return cv2.GaussianBlur(drawn, (0, 0), 1.1)


def _through_the_lens(pixels: NDArray[np.float32], x: Plane, y: Plane, noise: np.random.Generator) -> NDArray[np.uint8]:
    """Fall-off to the sides, the black corners of an endoscope's picture, and the sensor's noise."""
    middle = x[0, -1] / 2, 0.5
    radius = np.hypot(x - middle[0], y - middle[1])
    fall = 1 - 0.55 * np.clip(radius / 0.75, 0, 1) ** 2.4
    corner = np.abs(x - middle[0]) + np.abs(y - middle[1])
    edge = np.maximum.reduce([(np.abs(x - middle[0]) - 0.59) * 90, (corner - 0.86) * 64, (np.abs(y - 0.5) - 0.49) * 90])
    seen = np.nan_to_num(np.clip(-edge, 0, 1))
    pixels = (pixels * fall[..., None] + noise.normal(0, 2.2, pixels.shape)) * seen[..., None]
    return np.clip(pixels, 0, 255).astype(np.uint8)


def video(path: Path, frames: int = 40, rate: float = 20) -> Path:
    """Write a WebM (VP8) in which the frame drifts to and fro."""
    still = colon()[..., ::-1]  # BGR
    # OpenCV's FFmpeg writes VP8 only under the tag that WebM does not use, and says so.
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"VP80"), rate, (WIDTH, HEIGHT))
    for number in range(frames):
        drift = 40 * np.sin(2 * np.pi * number / frames)
        writer.write(cv2.warpAffine(still, np.array([[1, 0, drift], [0, 1, drift / 3]]), (WIDTH, HEIGHT)))
    writer.release()
    return path


if __name__ == "__main__":
    SAMPLE.write_bytes(encode(colon(), "JPEG", quality=QUALITY))
