"""Frames and masks from disk.

    <root>/images/<stem>.<ext>    RGB after decoding, upright by its EXIF orientation, as the service decodes frames
    <root>/masks/<stem>.<ext>     grey; a value of 128 or more is polyp, and a mask of less that is not all 0 is refused
    a split file                  one stem a line, in UTF-8, with a byte order mark or without

Every pair is decoded before training starts, and all that are bad are named in one error.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError

from pruning.config import Data, Part
from pruning.errors import DatasetError
from pruning.fit import Bytes, fit, fit_mask

POLYP = 128  # of 255 in a mask: the least that is polyp


@dataclass(frozen=True)
class Pair:
    """One frame on disk and its mask; both have the same size."""

    stem: str
    image: Path
    mask: Path

    def read(self) -> tuple[Bytes, Bytes]:
        """Frame uint8 [H, W, 3] RGB and mask uint8 [H, W] of 0 and 1, at native resolution.

        Raises:
            DatasetError: one of them cannot be decoded, their sizes differ, or the mask has values but none of polyp.
        """
        frame, mask = _decode(self.image, "RGB"), _decode(self.mask, "L")
        if frame.shape[:2] != mask.shape:
            raise DatasetError(
                f"{self.stem}: the frame is {frame.shape[1]}×{frame.shape[0]} but its mask is "
                f"{mask.shape[1]}×{mask.shape[0]}; both must have the same size"
            )
        if 0 < mask.max() < POLYP:
            raise DatasetError(
                f"{self.stem}: the highest value of its mask is {mask.max()}, and polyp is {POLYP} or more: "
                "write 0 and 255, grey, without a palette"
            )
        return frame, (mask >= POLYP).astype(np.uint8)


@dataclass(frozen=True)
class Frames:
    """Pairs in memory at the network's size.

    images: uint8 [N, 3, S, S] RGB; masks: uint8 [N, 1, S, S] of 0 and 1; stems: N names.
    """

    images: torch.Tensor
    masks: torch.Tensor
    stems: list[str]

    def __len__(self) -> int:
        return len(self.stems)

    def subset(self, index: torch.Tensor) -> Frames:
        """The frames at `index`, int64 [M]."""
        return Frames(self.images[index], self.masks[index], [self.stems[i] for i in index.tolist()])

    def and_also(self, others: Frames) -> Frames:
        """These, then the others, of the same size."""
        images, masks = torch.cat([self.images, others.images]), torch.cat([self.masks, others.masks])
        return Frames(images, masks, self.stems + others.stems)

    def batches(self, size: int) -> Iterator[Frames]:
        """All frames in order, `size` at a time; the last batch may be smaller."""
        for index in torch.arange(len(self)).split(size):
            yield self.subset(index)


def read_pairs(root: Path, split: Path | None = None) -> list[Pair]:
    """List the pairs under `root`, those of the split file if one is given, in its order.

    Raises:
        DatasetError: a folder or split is missing, empty or no UTF-8, or a frame or mask of it is missing, in two files
            or named twice.
    """
    images, masks = _by_stem(root / "images"), _by_stem(root / "masks")
    stems = _read_split(split) if split else sorted(images)
    faults = [f"{stem}: {split} names it {count} times" for stem, count in Counter(stems).items() if count > 1]
    for folder, found in (("images", images), ("masks", masks)):
        faults += [f"{stem}: no file in {root / folder}" for stem in stems if stem not in found]
        faults += [
            f"{stem}: {' and '.join(path.name for path in found[stem])} in {root / folder}; which one is meant?"
            for stem in stems
            if len(found.get(stem, ())) > 1
        ]
    _refuse(faults)
    if not stems:
        raise DatasetError(f"{split or root / 'images'} names no frame")
    return [Pair(stem, *images[stem], *masks[stem]) for stem in stems]


def read_parts(root: Path, parts: tuple[Part, ...]) -> list[Pair]:
    """The pairs of all parts, whose paths are relative to `root`, in their order.

    Raises:
        DatasetError: as `read_pairs`.
    """
    return [pair for part in parts for pair in read_pairs(root / part.root, part.split and root / part.split)]


def load_frames(pairs: list[Pair], size: int) -> Frames:
    """Decode every pair and fit it to `size` × `size`, as the app fits frames.

    Raises:
        DatasetError: names every pair that cannot be read.
    """
    images = torch.empty(len(pairs), 3, size, size, dtype=torch.uint8)
    masks = torch.empty(len(pairs), 1, size, size, dtype=torch.uint8)
    for index, frame, mask in _read_all(pairs):
        images[index] = torch.from_numpy(fit(frame, size)).permute(2, 0, 1)
        masks[index, 0] = torch.from_numpy(fit_mask(mask, frame, size))
    return Frames(images, masks, [pair.stem for pair in pairs])


def check_reported(root: Path, data: Data) -> None:
    """Decode all that is only reported on, which no training does: else a bad pair would show after it.

    Raises:
        DatasetError: as `read_pairs`, or it names every pair that cannot be read.
    """
    negatives = read_pairs(root / data.negatives) if data.negatives else []
    for _ in _read_all(read_parts(root, data.reported) + negatives):
        pass


def read_training(root: Path, data: Data) -> tuple[list[Pair], list[Pair]]:
    """(training, validation) pairs of all that is learned from, each part carved by itself.

    Raises:
        DatasetError: as `read_pairs`, a part is too small, or a frame is in two parts or reported on as well.
    """
    _keep_apart(read_parts(root, data.training), read_parts(root, data.reported))
    carved = [carve(read_parts(root, (part,)), data.validation_share) for part in data.training]
    training, validation = ([pair for part in side for pair in part] for side in zip(*carved, strict=True))
    return training, validation


def carve(pairs: list[Pair], share: float) -> tuple[list[Pair], list[Pair]]:
    """Split pairs at random into (training, validation); validation gets `share`, at least one pair.

    The split is the same for every seed, and whatever other parts there are: what one run learned from must not
    choose the epoch of one that goes on from it.

    Raises:
        DatasetError: nothing would be left to train on.
    """
    order = torch.randperm(len(pairs), generator=torch.Generator().manual_seed(0)).tolist()
    count = max(1, round(share * len(pairs)))
    if count >= len(pairs):
        raise DatasetError(f"{len(pairs)} frames are too few to carve a validation part from")
    return [pairs[index] for index in sorted(order[count:])], [pairs[index] for index in sorted(order[:count])]


def _keep_apart(learned: list[Pair], reported: list[Pair]) -> None:
    """Raises DatasetError where a frame is learned from twice, and could validate itself, or reported on as well."""
    found = Counter(pair.image.resolve() for pair in learned)
    shown = {pair.image.resolve() for pair in reported}
    faults = [f"{image}: two parts that are learned from name it" for image, count in found.items() if count > 1]
    _refuse([*faults, *(f"{image}: learned from, and reported on as well" for image in found if image in shown)])


def _read_all(pairs: list[Pair]) -> Iterator[tuple[int, Bytes, Bytes]]:
    """Place, frame and mask of each pair that can be read; raises DatasetError at the end, naming all that cannot."""
    faults = []
    for index, pair in enumerate(pairs):
        try:
            frame, mask = pair.read()
        except DatasetError as error:
            faults.append(str(error))
        else:
            yield index, frame, mask
    _refuse(faults)


def _by_stem(folder: Path) -> dict[str, list[Path]]:
    if not folder.is_dir():
        raise DatasetError(f"{folder} is not a folder; a data set is a folder with images/ and masks/")
    files: dict[str, list[Path]] = {}
    for path in sorted(folder.iterdir()):
        if path.is_file():
            files.setdefault(path.stem, []).append(path)
    return files


def _read_split(path: Path) -> list[str]:
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        raise DatasetError(f"cannot read the split {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise DatasetError(f"{path} is not UTF-8: save it as UTF-8, one stem a line") from error
    return [line.strip() for line in lines if line.strip()]


def _decode(path: Path, mode: str) -> Bytes:
    try:
        with Image.open(path) as image:
            return np.asarray(_upright(image).convert(mode))
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise DatasetError(f"{path.stem}: cannot decode {path}: {error}") from error


def _upright(image: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image)
    except (SyntaxError, ValueError, struct.error):  # damaged EXIF: the pixels are whole
        return image


def _refuse(faults: list[str]) -> None:
    if faults:
        shown = "\n  ".join(faults[:20])
        more = f"\n  and {len(faults) - 20} more" if len(faults) > 20 else ""
        raise DatasetError(f"{len(faults)} bad pairs:\n  {shown}{more}")
