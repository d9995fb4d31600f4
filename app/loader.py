"""From a folder `models/<name>/<version>/` to a model or to the reason why not, at start-up and at run time."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from pathlib import Path

from app import machine
from app.device import DEFAULT, DeviceOptions, Preference
from app.errors import ModelRefused
from app.model import Model, load

UNLISTED = "?"  # the version of a model whose versions cannot be listed

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Refusal:
    """A folder that may not serve: its `name/version` and the reason."""

    id: str
    reason: str


@dataclass(frozen=True)
class Loader:
    """Reads the version folders of one models folder."""

    models_dir: Path
    threads: int
    preference: Preference
    options: DeviceOptions = DEFAULT

    def listing(self) -> dict[str, Path]:
        """The version folders by `name/version`, sorted; they alone may be loaded, so that no name is a path."""
        if not self.models_dir.is_dir():
            log.error("the models folder %s does not exist: set POLYPRUNE_MODELS_DIR", self.models_dir.resolve())
            return {}
        try:
            names = _folders(self.models_dir)
        except OSError as error:
            log.error("the models folder %s cannot be listed: %s", self.models_dir.resolve(), error.strerror)
            return {}
        folders = [folder for name in names for folder in _versions(name)]
        return {_readable(f"{folder.parent.name}/{folder.name}"): folder for folder in folders}

    def attempt(self, name: str, folder: Path) -> Model | Refusal:
        """Load one version with its whole proof; whatever is wrong with it costs itself only."""
        try:
            return self._outcome(name, folder)
        finally:
            # A session leaves behind what its optimizer needed: of 245 MB with a model of 4 M parameters 24.
            machine.give_back_memory()

    def _outcome(self, name: str, folder: Path) -> Model | Refusal:
        try:
            model = self._load(folder)
        except ModelRefused as error:
            log.error("model %s is refused: %s", name, error)
            return Refusal(name, str(error))
        except Exception as error:  # broken in a way nobody thought of
            log.exception("model %s is refused", name)
            return Refusal(name, f"loading failed: {error!r}")
        log.info("model %s is ready on %s", name, model.engine.provider)
        return model

    def _load(self, folder: Path) -> Model:
        if any(part != _readable(part) for part in folder.parts[-2:]):
            raise ModelRefused("the folder's name is not UTF-8: rename it.")
        root = self.models_dir.resolve()
        for path in (folder, *(folder / name for name in ("manifest.json", "model.onnx", "golden.npz"))):
            if not path.resolve().is_relative_to(root):
                raise ModelRefused(f"{path.name} is a link that leaves {root}: copy it into the folder.")
        return load(folder, threads=self.threads, preference=self.preference, options=self.options)


def _readable(name: str) -> str:
    """The name of a file with a question mark for what is not UTF-8 in it, which no answer and no metric can hold."""
    return name.encode(errors="replace").decode()


def _versions(name: Path) -> list[Path]:
    """A model's version folders; one of no version where they cannot be listed, for the model to be seen as refused."""
    try:
        return _folders(name)
    except OSError:
        return [name / UNLISTED]


def _folders(parent: Path) -> list[Path]:
    """Its folders, and what may be some: links that lead nowhere, or where this process may not look."""
    entries = [path for path in parent.iterdir() if not path.name.startswith(".")]
    return sorted(path for path in entries if os.path.isdir(path) or not os.path.exists(path))
