"""`/v1/models`: what is loaded, what was refused, what each model promises; and loading and unloading.

Every change answers once it is done, with what became of the folders that it named. The changes need an admin key.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal

from anyio import to_thread
from fastapi import APIRouter, Path, Request
from pydantic import BaseModel, ConfigDict, Field

from app import errors
from app.errors import BadParameter, NoModelReady, UnknownModel
from app.manifest import Manifest
from app.registry import Entry, Registry
from app.routes.body import JSON, JSON_ERRORS, read_json
from app.routes.problems import documented
from app.routes.services import Serviced, Services

Part = Annotated[str, Path(max_length=64)]
router = APIRouter(tags=["models"])


class ModelEntry(BaseModel):
    """One model folder."""

    id: Annotated[str, Field(examples=["polyp-lite0-pruned/1"])]
    name: str
    version: str
    state: Literal["ready", "refused", "unloaded"]
    default: Annotated[bool, Field(description="whether requests that name no model get this one")] = False
    provider: Annotated[str | None, Field(description="where it runs, if ready")] = None
    reason: Annotated[
        str | None,
        Field(description="why it was refused, or is out of service; if ready, why its folder was at its last load"),
    ] = None
    manifest: Annotated[Manifest | None, Field(description="what the folder promises, if ready")] = None


class ModelList(BaseModel):
    """All model folders, ready ones first."""

    models: list[ModelEntry]


class DefaultModel(BaseModel):
    """Which model requests get that name none."""

    model_config = ConfigDict(extra="forbid")

    model: Annotated[str, Field(max_length=129, description="`name` or `name/version`")]


@router.get("/v1/models")
async def list_models(services: Serviced) -> ModelList:
    """List every model folder."""
    return ModelList(models=_entries(services.registry))


@router.get("/v1/models/{name}", responses=documented(UnknownModel, BadParameter))
async def get_model(name: Part, services: Serviced) -> ModelEntry:
    """Describe the version of a model that serves: the highest ready one, or another if none is."""
    entries = _of(services.registry, name)
    ready = [entry for entry in entries if entry.state == "ready"]
    return (ready or entries)[-1]


@router.get("/v1/models/{name}/{version}", responses=documented(UnknownModel, BadParameter))
async def get_model_version(name: Part, version: Part, services: Serviced) -> ModelEntry:
    """Describe one version of a model."""
    return _of(services.registry, f"{name}/{version}")[0]


LOADED = documented(UnknownModel, errors.ModelRefused, BadParameter)
UNLOADED = documented(UnknownModel, errors.ModelIsDefault, BadParameter)


DEFAULT_BODY: dict[str, Any] = {
    "requestBody": {"required": True, "content": {JSON: {"schema": DefaultModel.model_json_schema()}}}
}
DEFAULTED = documented(UnknownModel, *JSON_ERRORS, NoModelReady)


@router.put("/v1/models/default", responses=DEFAULTED, openapi_extra=DEFAULT_BODY)
async def set_default(request: Request, services: Serviced) -> ModelEntry:
    """Choose the model of requests that name none, until the service ends; needs an admin key."""
    default = await read_json(request, DefaultModel)
    await to_thread.run_sync(services.repository.set_default, default.model)
    return next(entry for entry in _entries(services.registry) if entry.default)


@router.post("/v1/models/rescan", responses=documented(errors.ModelRefused))
async def rescan(services: Serviced) -> ModelList:
    """Load folders that are new or were refused; needs an admin key."""
    await to_thread.run_sync(services.repository.rescan)
    return ModelList(models=_entries(services.registry))


@router.post("/v1/models/{name}/load", responses=LOADED)
async def load(name: Part, services: Serviced) -> ModelList:
    """Load every version of a model, also where it is loaded already; needs an admin key."""
    return await _change(services, name, lambda: services.repository.load(name))


@router.post("/v1/models/{name}/{version}/load", responses=LOADED)
async def load_version(name: Part, version: Part, services: Serviced) -> ModelList:
    """Load a version, also if it is loaded already; needs an admin key.

    It proves itself as at start-up, and replaces what was loaded only then.
    """
    return await _change(services, f"{name}/{version}", lambda: services.repository.load(name, version))


@router.post("/v1/models/{name}/unload", responses=UNLOADED)
async def unload(name: Part, services: Serviced) -> ModelList:
    """Unload every version of a model; needs an admin key. The default model is not unloaded."""
    return await _change(services, name, lambda: services.repository.unload(name))


@router.post("/v1/models/{name}/{version}/unload", responses=UNLOADED)
async def unload_version(name: Part, version: Part, services: Serviced) -> ModelList:
    """Unload a version; needs an admin key. Requests in flight finish with it."""
    return await _change(services, f"{name}/{version}", lambda: services.repository.unload(name, version))


async def _change(services: Services, reference: str, change: Callable[[], None]) -> ModelList:
    await to_thread.run_sync(change)  # not in_worker: a load waits for other loads, and frames must not wait for it
    return ModelList(models=_of(services.registry, reference))


def _of(registry: Registry, reference: str) -> list[ModelEntry]:
    entries = [entry for entry in _entries(registry) if reference in (entry.name, entry.id)]
    if not entries:
        raise UnknownModel(f"No model {reference!r} is here: /v1/models lists them.")
    return entries


def _entries(registry: Registry) -> list[ModelEntry]:
    return [_entry(registry, entry) for entry in registry.entries()]


def _entry(registry: Registry, entry: Entry) -> ModelEntry:
    model = entry.model
    return ModelEntry(
        id=entry.id,
        name=entry.name,
        version=entry.version,
        state=entry.state,
        default=model is not None and registry.is_default(model),
        provider=model.engine.provider if model else None,
        reason=(model.engine.fault if model else None) or entry.reason,
        manifest=model.manifest if model else None,
    )
