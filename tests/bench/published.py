"""What benches of quality have in common: the models of a folder, and the frames that the shipped recipe names."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from pruning.calibration import Calibration
from pruning.config import Data, read_recipe
from pruning.data import Pair, read_parts
from pruning.fit import Bytes
from pruning.metrics import Mask, bootstrap, dice
from pruning.runs import read_json
from pruning.sessions import open_session

RECIPE = Path("pruning/configs/polyp-lite0.toml")


Views = Iterator[tuple[Bytes, Mask]]  # frames uint8 [H, W, 3] and their masks, bool [H, W]
Way = Callable[[Bytes], Mask]  # to segment a frame


@dataclass(frozen=True)
class Published:
    """A model as it ships."""

    folder: Path
    manifest: dict[str, Any]
    session: onnxruntime.InferenceSession

    @property
    def name(self) -> str:
        """As a request names it."""
        return str(self.manifest["name"])

    @property
    def calibration(self) -> Calibration:
        """Its own."""
        return Calibration.of(self.manifest)


def parser(about: str | None) -> argparse.ArgumentParser:
    """Which models, and where the frames are."""
    made = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--models", type=Path, default=Path("models"))
    made.add_argument("--root", type=Path, default=Path(), help="what the data paths of the recipe are relative to")
    made.add_argument("names", nargs="*", help="only these; all otherwise")
    return made


def published(options: argparse.Namespace) -> Iterator[Published]:
    """The models that were asked for, in the order of their folders."""
    for path in sorted(options.models.glob("*/*/manifest.json")):
        manifest = read_json(path)
        if not options.names or manifest["name"] in options.names:
            yield Published(path.parent, manifest, open_session(path.with_name("model.onnx")))


def data() -> Data:
    """The frames that the shipped models are tested on."""
    return read_recipe(RECIPE).data


def both_centres(root: Path, parts: Data) -> tuple[list[Pair], list[Pair]]:
    """The test frames, and those of the second centre."""
    return read_parts(root, (parts.headline,)), read_parts(root, (parts.unseen[0],))


def frames(pairs: list[Pair]) -> Views:
    """The pairs as they are."""
    for pair in pairs:
        frame, mask = pair.read()
        yield frame, mask.astype(bool)


def print_gains(name: str, shown: dict[str, Views], ways: tuple[Way, Way]) -> None:
    """A row for each kind of views: Dice one way, the other way, and the paired difference."""
    for kind, views in shown.items():
        found = np.array([[dice(way(frame), truth) for way in ways] for frame, truth in views])
        before, after = found.mean(0)
        gain = bootstrap(found[:, 1] - found[:, 0])
        paired = f"{gain.mean:+.3f} [{gain.low:+.3f}, {gain.high:+.3f}]"
        print(f"| `{name}` | {kind} | {before:.3f} | {after:.3f} | {paired} |", flush=True)
