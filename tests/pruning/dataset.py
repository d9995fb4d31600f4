"""A small synthetic data set on disk: one bright ellipse on a dark, reddish ground in every frame."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np


def write_pair(root: Path, stem: str, size: tuple[int, int] = (80, 96), seed: int = 0, empty: bool = False) -> None:
    """Write images/<stem>.jpg and masks/<stem>.png of `size` (height, width) under `root`."""
    random = np.random.default_rng(seed)
    height, width = size
    mask = np.zeros(size, np.uint8)
    if not empty:
        centre = (int(random.uniform(0.3, 0.7) * width), int(random.uniform(0.3, 0.7) * height))
        cv2.ellipse(mask, centre, (width // 5, height // 6), float(random.uniform(0, 180)), 0, 360, 255, -1)
    frame = np.full((height, width, 3), (40, 40, 110), np.uint8)
    frame[mask > 0] = (120, 150, 230)
    frame = np.clip(frame + random.normal(0, 6, frame.shape), 0, 255).astype(np.uint8)
    for folder in ("images", "masks"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(root / "images" / f"{stem}.jpg"), frame)
    cv2.imwrite(str(root / "masks" / f"{stem}.png"), mask)


def write_dataset(root: Path, count: int) -> None:
    """Write frames f0, f1, ... and the splits train.txt (all but the last four) and test.txt (those)."""
    stems = [f"f{index}" for index in range(count)]
    for index, stem in enumerate(stems):
        write_pair(root, stem, seed=index)
    (root / "train.txt").write_text("\n".join(stems[:-4]) + "\n")
    (root / "test.txt").write_text("\n".join(stems[-4:]) + "\n")


def write_tiny(root: Path) -> None:
    """Write what tiny.toml names under `root`: data with twenty frames, there with six, negatives with one."""
    write_dataset(root / "data", 20)
    write_dataset(root / "there", 6)
    write_pair(root / "negatives", "n0", empty=True)
