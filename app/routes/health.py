"""Is the process alive, can it serve, and how does it fare: `/healthz`, `/readyz`, `/metrics`."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import BaseModel, Field

from app import cuda
from app.device import ON_GPU
from app.errors import DeviceLost, Draining, ModelOutOfService, NoModelReady
from app.routes.problems import documented
from app.routes.services import Serviced

router = APIRouter(tags=["operation"])


class Health(BaseModel):
    """The process answers."""

    status: Literal["ok"] = "ok"


class OutOfService(BaseModel):
    """A model whose sessions failed; new ones are being tried."""

    id: str
    reason: str


class RefusedFolder(BaseModel):
    """A model folder that failed its proof."""

    id: str
    reason: str


class Readiness(BaseModel):
    """Requests that name no model are served."""

    status: Literal["ready"] = "ready"
    default: Annotated[str, Field(description="name/version that serves where none is named")]
    ready: list[str]
    providers: Annotated[dict[str, str], Field(description="where each ready model really runs")]
    out_of_service: list[OutOfService]
    refused: list[RefusedFolder]


@router.head("/healthz", include_in_schema=False)
@router.get("/healthz", responses=documented(DeviceLost))
async def health(services: Serviced) -> Health:
    """Answer 200 while the process can do its work; a process whose GPU is lost cannot ever again."""
    if any(model.engine.provider in ON_GPU for model in services.registry.ready) and not cuda.alive():
        raise DeviceLost(DeviceLost.example)
    return Health()


@router.head("/readyz", include_in_schema=False)
@router.get("/readyz", responses=documented(NoModelReady, ModelOutOfService, Draining))
async def readiness(services: Serviced) -> Readiness:
    """Answer 200 from when the default model has proven itself until the service is told to stop.

    The answer, or the problem if no model is ready, names what was refused, and why.
    """
    registry = services.registry
    refused = [RefusedFolder(id=refusal.id, reason=refusal.reason) for refusal in registry.refused]
    try:
        default = services.check_ready().id
    except NoModelReady as error:
        raise NoModelReady(str(error), refused=[folder.model_dump() for folder in refused]) from error
    out = [OutOfService(id=model.id, reason=fault) for model in registry.ready if (fault := model.engine.fault)]
    providers = {model.id: model.engine.provider for model in registry.ready}
    return Readiness(default=default, ready=list(providers), providers=providers, out_of_service=out, refused=refused)


@router.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
async def metrics(services: Serviced) -> Response:
    """Give counters and histograms in Prometheus's text format."""
    return Response(services.metrics.exposition(), media_type=CONTENT_TYPE_LATEST)
