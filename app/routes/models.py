"""`GET /v1/models`: what is loaded, what was refused, and what each model promises."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Path
from pydantic import BaseModel, Field

from app.errors import BadParameter, UnknownModel
from app.manifest import Manifest
from app.model import Model
from app.registry import Refusal, Registry
from app.routes.problems import documented
from app.routes.services import Serviced

Part = Annotated[str, Path(max_length=64)]
router = APIRouter(tags=["models"])


class ModelEntry(BaseModel):
    """One model folder."""

    id: Annotated[str, Field(examples=["polyp-lite0-pruned/1"])]
    name: str
    version: str
    state: Literal["ready", "refused"]
    default: Annotated[bool, Field(description="whether requests that name no model get this one")] = False
    provider: Annotated[str | None, Field(description="where it runs, if ready")] = None
    reason: Annotated[str | None, Field(description="why it was refused")] = None
    manifest: Annotated[Manifest | None, Field(description="what the folder promises, if ready")] = None


class ModelList(BaseModel):
    """All model folders, ready ones first."""

    models: list[ModelEntry]


@router.get("/v1/models")
async def list_models(services: Serviced) -> ModelList:
    """List every model folder."""
    registry = services.registry
    return ModelList(models=_entries(registry, registry.ready, registry.refused))


@router.get("/v1/models/{name}", responses=documented(UnknownModel, BadParameter))
async def get_model(name: Part, services: Serviced) -> ModelEntry:
    """Describe the version of a model that serves: the highest ready one, or a refused one if none is."""
    ready, refused = services.registry.versions(name)
    return _last(name, _entries(services.registry, ready[-1:], refused if not ready else []))


@router.get("/v1/models/{name}/{version}", responses=documented(UnknownModel, BadParameter))
async def get_model_version(name: Part, version: Part, services: Serviced) -> ModelEntry:
    """Describe one version of a model."""
    ready, refused = services.registry.versions(name)
    entries = _entries(services.registry, ready, refused)
    return _last(f"{name}/{version}", [entry for entry in entries if entry.version == version])


def _last(reference: str, entries: list[ModelEntry]) -> ModelEntry:
    if not entries:
        raise UnknownModel(f"No model {reference!r} is here: /v1/models lists them.")
    return entries[-1]


def _entries(registry: Registry, ready: list[Model], refused: list[Refusal]) -> list[ModelEntry]:
    return [_ready(registry, model) for model in ready] + [_refused(refusal) for refusal in refused]


def _ready(registry: Registry, model: Model) -> ModelEntry:
    return ModelEntry(
        id=model.id,
        name=model.manifest.name,
        version=model.manifest.version,
        state="ready",
        default=registry.is_default(model),
        provider=model.engine.provider,
        manifest=model.manifest,
    )


def _refused(refusal: Refusal) -> ModelEntry:
    name, version = refusal.id.split("/")
    return ModelEntry(id=refusal.id, name=name, version=version, state="refused", reason=refusal.reason)
