"""`/v2/repository`: Triton's model repository extension, the other door to what `app.routes.models` does."""

from __future__ import annotations

from typing import Any, Literal

from anyio import to_thread
from fastapi import APIRouter, Request
from pydantic import BaseModel

from app.errors import BadParameter, ModelIsDefault, ModelRefused, UnknownModel
from app.registry import Entry
from app.routes.body import JSON_ERRORS, read_json
from app.routes.models import Part
from app.routes.problems import failures
from app.routes.services import Serviced

State = Literal["READY", "UNAVAILABLE"]  # of Triton's, the ones that a folder can be in here
router = APIRouter(tags=["Open Inference Protocol"])


class IndexQuery(BaseModel):
    """Which folders to list."""

    ready: bool = False


class IndexEntry(BaseModel):
    """A version folder."""

    name: str
    version: str
    state: State
    reason: str


class ControlRequest(BaseModel):
    """A load's or an unload's body, which may be left out."""

    parameters: dict[str, Any] = {}


@router.post("/v2/repository/index", responses=failures(*JSON_ERRORS))
async def index(request: Request, services: Serviced) -> list[IndexEntry]:
    """List the version folders: ready, out of service, refused or unloaded."""
    query = await read_json(request, IndexQuery)
    listed = [_listed(entry) for entry in services.registry.entries()]
    return [entry for entry in listed if entry.state == "READY" or not query.ready]


def _listed(entry: Entry) -> IndexEntry:
    fault = entry.model.engine.fault if entry.model else None
    state: State = "READY" if entry.model and fault is None else "UNAVAILABLE"
    reason = "unloaded" if entry.state == "unloaded" else fault or entry.reason or ""
    return IndexEntry(name=entry.name, version=entry.version, state=state, reason=reason)


CONTROLLED = failures(UnknownModel, ModelRefused, ModelIsDefault, *JSON_ERRORS)


@router.post("/v2/repository/models/{name}/load", responses=CONTROLLED)
async def load(request: Request, name: Part, services: Serviced) -> dict[str, Any]:
    """Load every version of a model, also where it is loaded already; needs an admin key."""
    control = await read_json(request, ControlRequest)
    if control.parameters:
        raise BadParameter("A model is what its folder says: load takes no config and no files.")
    await to_thread.run_sync(services.repository.load, name)
    return {}


@router.post("/v2/repository/models/{name}/unload", responses=CONTROLLED)
async def unload(request: Request, name: Part, services: Serviced) -> dict[str, Any]:
    """Unload every version of a model; needs an admin key. The default model is not unloaded."""
    await read_json(request, ControlRequest)
    await to_thread.run_sync(services.repository.unload, name)
    return {}
