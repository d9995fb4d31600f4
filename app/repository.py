"""The models folder while the service runs: load, unload, rescan, and which model is the default.

A load reads the folder, lets it prove itself as at start-up, and only then takes the old version's place.
Requests in flight hold their model and finish with it.
"""

from __future__ import annotations

import gc
import logging
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

from app.errors import ModelIsDefault, ModelRefused, NoModelReady, UnknownModel
from app.loader import Loader, Refusal
from app.model import Model
from app.registry import Registry, load_all

T = TypeVar("T")

log = logging.getLogger(__name__)


class Repository:
    """Its `registry` may be read from any thread at any time; changes wait for each other.

    Made, it has loaded every folder once. `default` is `name` or `name/version`, or None for the pruned one.
    """

    def __init__(self, loader: Loader, default: str | None = None) -> None:
        self._loader = loader
        self.registry = load_all(loader, default)
        self._changing = threading.Lock()

    def load(self, name: str, version: str | None = None) -> None:
        """Load one version, or every version of a name, also where it is loaded already.

        Raises:
            UnknownModel: no such folder.
            ModelRefused: at least one did not prove itself. The others are ready, and where one of the same
                version was ready before, that one serves on.
        """
        with self._changing:
            folders = _named(self._loader.listing(), name, version)
            refused = self._try(folders)
        if refused:
            raise ModelRefused("; ".join(self._explain(refusal) for refusal in refused))

    def unload(self, name: str, version: str | None = None) -> None:
        """Stop serving one version, or every version of a name, until it is loaded again.

        Raises:
            UnknownModel: nothing is known of it.
            ModelIsDefault: requests that name no model would have none.
        """
        with self._changing:
            ids = _named({entry.id: None for entry in self.registry.entries()}, name, version).keys()
            left = self.registry.without(ids)
            if _default(self.registry) and not _default(left):
                raise ModelIsDefault(
                    f"{_reference(name, version)!r} is the default model: PUT /v1/models/default another one first."
                )
            self._put(left)
        log.info("unloaded %s", ", ".join(ids))

    def rescan(self) -> None:
        """Load folders that are new or were refused, and leave alone what is ready or was unloaded on purpose.

        Raises:
            ModelRefused: there are no folders, and so likely no mount: what was unloaded is not forgotten.
        """
        with self._changing:
            folders = self._loader.listing()
            if not folders:
                raise ModelRefused("The models folder holds no model folders: nothing was changed. Is it mounted?")
            self.registry = self.registry.found(folders.keys())
            settled = {entry.id for entry in self.registry.entries() if entry.reason is None}
            self._try({name: folder for name, folder in folders.items() if name not in settled})

    def set_default(self, reference: str) -> None:
        """Serve `name` or `name/version` to requests that name no model. Raises UnknownModel, NoModelReady."""
        with self._changing:
            self.registry = self.registry.with_default(reference)
        log.info("the default model is %s", reference)

    def close(self) -> None:
        """End what the models have of their own; frames that wait are served first."""
        for model in self.registry.ready:
            model.engine.close()

    def _try(self, folders: dict[str, Path]) -> list[Refusal]:
        outcomes: list[Model | Refusal] = [self._loader.attempt(name, folder) for name, folder in folders.items()]
        self._put(self.registry.tried(outcomes))
        return [outcome for outcome in outcomes if isinstance(outcome, Refusal)]

    def _put(self, registry: Registry) -> None:
        """In the old one's place, and let go of the models that it alone held.

        The exception of a run that failed holds its model in a circle, and the collector that finds such circles
        counts objects, and not the memory of sessions: it might come late.
        """
        self.registry = registry
        gc.collect()

    def _explain(self, refusal: Refusal) -> str:
        serving = refusal.id in {model.id for model in self.registry.ready}
        return f"{refusal.id}: {refusal.reason}" + (" What was loaded before serves on." if serving else "")


def _reference(name: str, version: str | None) -> str:
    return name if version is None else f"{name}/{version}"


def _default(registry: Registry) -> Model | None:
    try:
        return registry.resolve()
    except NoModelReady:
        return None


def _named(known: Mapping[str, T], name: str, version: str | None) -> dict[str, T]:
    reference = _reference(name, version)
    named = {key: value for key, value in known.items() if reference in (key, key.split("/")[0])}
    if not named:
        raise UnknownModel(f"No folder {reference!r} is in the models folder: /v1/models lists what is known.")
    return named
