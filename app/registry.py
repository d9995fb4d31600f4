"""All model folders under one roof: which are ready, which were refused and why."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from app.engine import Preference
from app.errors import ModelRefused, NoModelReady, UnknownModel
from app.model import Model, load

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Refusal:
    """A folder that may not serve: its `name/version` and the reason."""

    id: str
    reason: str


class Registry:
    """Looks models up by `name`, `name/version`, or not at all for the default.

    What a request names is only ever looked up in a dictionary, and never becomes a path.
    """

    def __init__(self, ready: list[Model], refused: list[Refusal], default: str | None = None) -> None:
        # Oldest first, so that a bare name ends up with its highest version.
        self.ready = sorted(ready, key=lambda model: (model.manifest.name, int(model.manifest.version)))
        self.refused = sorted(refused, key=lambda refusal: refusal.id)
        self._models = {model.id: model for model in self.ready}
        self._models |= {model.manifest.name: model for model in self.ready}
        self._default = default or _preferred(self.ready)

    def resolve(self, reference: str | None = None) -> Model:
        """The ready model of this name.

        Raises:
            NoModelReady: there is none at all, or the configured default is not among them.
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
            f"The default model {self._default!r} is not ready: name another with model=, or see /readyz."
        )

    def is_default(self, model: Model) -> bool:
        """Whether requests that name no model get this one."""
        return self._models.get(self._default) is model

    def serving(self) -> list[Model]:
        """The highest version of each name."""
        return [model for model in self.ready if self._models[model.manifest.name] is model]

    def versions(self, name: str) -> tuple[list[Model], list[Refusal]]:
        """Every version of a name, ready and refused; two empty lists for a name nobody has heard of."""
        ready = [model for model in self.ready if model.manifest.name == name]
        return ready, [refusal for refusal in self.refused if refusal.id.split("/")[0] == name]

    def _explain(self, reference: str) -> str:
        reasons = [r.reason for r in self.refused if reference in (r.id, r.id.split("/")[0])]
        why = f"was refused ({reasons[0]})" if reasons else "is not here"
        return f"Model {reference!r} {why}. Ready: {', '.join(model.id for model in self.ready)}"


def scan(models_dir: Path, *, threads: int, preference: Preference, default: str | None = None) -> Registry:
    """Load every `<name>/<version>/` in the folder; one that fails its proof stops no other."""
    ready: list[Model] = []
    refused: list[Refusal] = []
    for folder in _version_folders(models_dir):
        name = f"{folder.parent.name}/{folder.name}"
        try:
            ready.append(_load_inside(models_dir, folder, threads=threads, preference=preference))
            log.info("model %s is ready on %s", name, ready[-1].engine.provider)
        except ModelRefused as error:
            refused.append(Refusal(name, str(error)))
            log.error("model %s is refused: %s", name, error)
        except Exception as error:  # a folder broken in a way nobody thought of costs itself only
            refused.append(Refusal(name, f"loading failed: {error!r}"))
            log.exception("model %s is refused", name)
    if not ready:
        log.error("no model is ready in %s", models_dir.resolve())
    return Registry(ready, refused, default)


def _load_inside(models_dir: Path, folder: Path, *, threads: int, preference: Preference) -> Model:
    root = models_dir.resolve()
    for path in (folder, *(folder / name for name in ("manifest.json", "model.onnx", "golden.npz"))):
        if not path.resolve().is_relative_to(root):
            raise ModelRefused(f"{path.name} is a link that leaves {root}: copy it into the folder.")
    return load(folder, threads=threads, preference=preference)


def _version_folders(models_dir: Path) -> Iterator[Path]:
    if not models_dir.is_dir():
        log.error("the models folder %s does not exist: set POLYPRUNE_MODELS_DIR", models_dir.resolve())
        return
    for name in sorted(_folders(models_dir)):
        yield from sorted(_folders(name))


def _folders(parent: Path) -> list[Path]:
    return [path for path in parent.iterdir() if path.is_dir() and not path.name.startswith(".")]


def _preferred(ready: list[Model]) -> str:
    """The first pruned model by name, else the first: pruned ones are what this service is for.

    Empty where nothing is ready.
    """
    pruned = [model for model in ready if model.manifest.variant == "pruned"]
    return next((model.manifest.name for model in pruned or ready), "")
