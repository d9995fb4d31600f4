"""All model folders under one roof: which are ready, which were refused and why, which were unloaded.

A registry never changes. Loading and unloading make a new one, which takes the old one's place in a single
assignment (see `app.repository`), so that a request works with one picture from its beginning to its end.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from app.device import Preference
from app.errors import NoModelReady, UnknownModel
from app.loader import UNLISTED, Loader, Refusal
from app.model import Model

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Entry:
    """One version folder: the model if it is ready, and the reason of its last refusal where there is one."""

    id: str
    state: Literal["ready", "refused", "unloaded"]
    model: Model | None = None
    reason: str | None = None

    @property
    def name(self) -> str:
        """The model's name, without the version."""
        return self.id.split("/")[0]

    @property
    def version(self) -> str:
        """The folder's name: a number, if it is ready."""
        return self.id.split("/")[1]


class Registry:
    """Looks models up by `name`, `name/version`, or not at all for the default.

    What a request names is only ever looked up in a dictionary, and never becomes a path.
    """

    def __init__(
        self,
        ready: Iterable[Model],
        refused: Iterable[Refusal],
        default: str | None = None,
        unloaded: Iterable[str] = (),
    ) -> None:
        # Oldest first, so that a bare name ends up with its highest version.
        self.ready = sorted(ready, key=lambda model: (model.manifest.name, int(model.manifest.version)))
        self.refused = sorted(refused, key=lambda refusal: refusal.id)
        self.unloaded = sorted(unloaded)
        self._models = {model.id: model for model in self.ready}
        self._models |= {model.manifest.name: model for model in self.ready}
        self._default = default or self._preferred()

    def resolve(self, reference: str | None = None) -> Model:
        """The ready model of this name.

        Raises:
            NoModelReady: there is none at all, or the default is not among them.
            UnknownModel: others are ready, this one is not.
        """
        if not self.ready:
            raise NoModelReady("No model is ready: see /readyz for what was refused and why.")
        model = self._models.get(self._default if reference is None else reference)
        if model is not None:
            return model
        if reference is not None:
            raise UnknownModel(self._explain(reference))
        raise NoModelReady(
            f"The default model is not ready. {self._explain(self._default)}: name one of them with model=; or the "
            "operator chooses one with PUT /v1/models/default or POLYPRUNE_DEFAULT_MODEL."
        )

    def preferred_pruned(self) -> Model:
        """The pruned model to compare with where none is named.

        Raises:
            NoModelReady: there is no model at all.
            UnknownModel: there is no pruned one.
        """
        pruned = [model for model in self.serving() if model.manifest.variant == "pruned"]
        if pruned:
            return min(pruned, key=self._preference)
        self.resolve()  # says why, if nothing is ready
        raise UnknownModel("No pruned model is ready: name two models with dense= and pruned=; /v1/models lists them.")

    def is_default(self, model: Model) -> bool:
        """Whether requests that name no model get this one."""
        return self._models.get(self._default) is model

    def serving(self) -> list[Model]:
        """The highest version of each name."""
        return [model for model in self.ready if self._models[model.manifest.name] is model]

    def versions(self, name: str) -> list[Model]:
        """The ready versions of a name, the highest last."""
        return [model for model in self.ready if model.manifest.name == name]

    def entries(self) -> list[Entry]:
        """Each version folder once: the ready ones, then the refused, then the unloaded."""
        reasons = {refusal.id: refusal.reason for refusal in self.refused}
        ready = [Entry(model.id, "ready", model, reasons.pop(model.id, None)) for model in self.ready]
        refused = [Entry(id_, "refused", reason=reason) for id_, reason in reasons.items()]
        return ready + refused + [Entry(id_, "unloaded") for id_ in self.unloaded]

    def tried(self, outcomes: Collection[Model | Refusal]) -> Registry:
        """With these loads done. A model that is ready stays so when its folder is refused later."""
        models = [outcome for outcome in outcomes if isinstance(outcome, Model)]
        ids = {outcome.id for outcome in outcomes}
        replaced = {model.id for model in models}
        return Registry(
            [model for model in self.ready if model.id not in replaced] + models,
            [refusal for refusal in self.refused if refusal.id not in ids]
            + [outcome for outcome in outcomes if isinstance(outcome, Refusal)],
            self._default,
            set(self.unloaded) - ids,
        )

    def without(self, ids: Collection[str]) -> Registry:
        """With these unloaded."""
        return Registry(
            [model for model in self.ready if model.id not in ids],
            [refusal for refusal in self.refused if refusal.id not in ids],
            self._default,
            {*self.unloaded, *ids},
        )

    def found(self, ids: Collection[str]) -> Registry:
        """With nothing said of folders that are gone; what is ready serves on from memory.

        What was unloaded stays so where its folder cannot be listed, too: it may be there.
        """
        refused = [refusal for refusal in self.refused if refusal.id in ids]
        unloaded = {id_ for id_ in self.unloaded if id_ in ids or f"{id_.split('/')[0]}/{UNLISTED}" in ids}
        return Registry(self.ready, refused, self._default, unloaded)

    def with_default(self, reference: str) -> Registry:
        """With another default. Raises as `resolve` does."""
        self.resolve(reference)
        return Registry(self.ready, self.refused, reference, self.unloaded)

    def _preferred(self) -> str:
        """Name of the model for requests that name none; empty where nothing is ready."""
        return min(self.serving(), key=self._preference).manifest.name if self.ready else ""

    def _preference(self, model: Model) -> tuple[bool, bool, bool, float]:
        """Smallest for the best. Equals go by name.

        A lower precision is never chosen silently, and pruned ones are what this service is for: first those pruned
        from a dense network that is ready too, so that both can be compared. Of these the highest Dice on the
        manifest's first data set.
        """
        manifest = model.manifest
        origin = self._models.get(manifest.pruned_from or "")
        of_dense = origin is not None and origin.manifest.variant == "dense"
        dice = manifest.quality[0].dice.mean if manifest.quality else 0.0
        return manifest.precision != "fp32", manifest.variant != "pruned", not of_dense, -dice

    def _explain(self, reference: str) -> str:
        reasons = [r.reason for r in self.refused if reference in (r.id, r.id.split("/")[0])]
        why = f"was refused ({reasons[0]})" if reasons else "is not here"
        return f"Model {reference!r} {why}. Ready: {', '.join(model.id for model in self.ready)}"


def scan(models_dir: Path, *, threads: int, preference: Preference, default: str | None = None) -> Registry:
    """Load every `<name>/<version>/` in the folder; one that fails its proof stops no other."""
    return load_all(Loader(models_dir, threads, preference), default)


def load_all(loader: Loader, default: str | None = None) -> Registry:
    """As `scan`, with a loader that has more to say."""
    outcomes = [loader.attempt(name, folder) for name, folder in loader.listing().items()]
    registry = Registry([], [], default).tried(outcomes)
    try:
        registry.resolve()
    except NoModelReady as error:
        log.error("%s: %s", loader.models_dir.resolve(), error)
    return registry
