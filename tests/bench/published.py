"""What benches of quality have in common: the models of a folder, and the frames that the shipped recipe names."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnxruntime

from pruning.calibration import Calibration
from pruning.config import Data, read_recipe
from pruning.data import Pair
from pruning.fit import Bytes
from pruning.metrics import Mask
from pruning.runs import read_json
from pruning.sessions import open_session

RECIPE = Path("pruning/configs/polyp-lite0.toml")


@dataclass(frozen=True)
class Published:
    """A model as it ships."""

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
            yield Published(manifest, open_session(path.with_name("model.onnx")))


def data() -> Data:
    """The frames that the shipped models are tested on."""
    return read_recipe(RECIPE).data


def frames(pairs: list[Pair]) -> Iterator[tuple[Bytes, Mask]]:
    """Frames uint8 [H, W, 3] and their masks, bool [H, W]."""
    for pair in pairs:
        frame, mask = pair.read()
        yield frame, mask.astype(bool)
