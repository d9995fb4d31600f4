"""`/v2`: the Open Inference Protocol (KServe v2) with the extensions that Triton's clients call.

A tensor at the network's own size goes in and the probability comes out: no decoding, no fitting, no mask.
Failures under `/v2` are `{"error": ...}`, as the protocol has it; `app.routes.problems` sees to that.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from anyio import to_thread
from fastapi import APIRouter, Depends, Path, Request, Response
from pydantic import BaseModel, Field

from app import __version__, compression, errors, tensors
from app.clock import Clock
from app.engine import CUDA
from app.errors import BadInference, BadParameter, NoModelReady, PolypruneError, UnknownModel
from app.model import Model
from app.routes.body import BINARY, JSON, read_bytes, read_json
from app.routes.services import Serviced, Services

HEADER_LENGTH = "Inference-Header-Content-Length"
PLATFORM = "onnxruntime_onnx"
EXTENSIONS = ["binary_tensor_data", "model_configuration", "model_repository", "statistics"]


class Failure(BaseModel):
    """Every failure under `/v2`."""

    error: Annotated[str, Field(description="what was expected, what came, and what to do")]


def failures(*kinds: type[PolypruneError]) -> dict[int | str, dict[str, Any]]:
    """OpenAPI responses of a route for these errors."""
    return {kind.status: {"model": Failure, "description": kind.title} for kind in kinds}


class Server(BaseModel):
    """Which server this is."""

    name: str = "polyprune"
    version: str = __version__
    extensions: list[str] = EXTENSIONS


class Live(BaseModel):
    """The process answers."""

    live: Literal[True] = True


class Ready(BaseModel):
    """Requests are served."""

    ready: Literal[True] = True


class ModelReady(Ready):
    """This model's are."""

    name: str


class Tensor(BaseModel):
    """An input or an output; -1 is the number of frames."""

    name: str
    datatype: str
    shape: list[int]


class Metadata(BaseModel):
    """A model's tensors."""

    name: str
    versions: list[str]
    platform: str = PLATFORM
    inputs: list[Tensor]
    outputs: list[Tensor]


class ModelStats(BaseModel):
    """Triton's statistics extension: counts and nanoseconds since the start."""

    model_stats: list[dict[str, Any]]


class IndexQuery(BaseModel):
    """Which folders to list."""

    ready: bool = False


class IndexEntry(BaseModel):
    """A version folder."""

    name: str
    version: str
    state: Literal["READY", "UNAVAILABLE"]
    reason: str = ""


class ControlRequest(BaseModel):
    """A load's or an unload's body, which may be left out."""

    parameters: dict[str, Any] = {}


async def _named(request: Request, services: Serviced) -> Model:
    """The ready model of the path: `name`, or `name` and `version`."""
    return services.registry.resolve("/".join(request.path_params.values()))


async def _name(name: Annotated[str, Path(max_length=64)]) -> str:
    return name


async def _version(version: Annotated[str, Path(max_length=64)]) -> str:
    return version


Named = Annotated[Model, Depends(_named)]
LOOKED_UP = failures(UnknownModel, BadParameter, NoModelReady)
router = APIRouter(tags=["Open Inference Protocol"])
of_model = APIRouter()  # mounted below, once for a name and once for a version of it


@router.get("/v2")
async def server() -> Server:
    """Describe the server."""
    return Server()


@router.get("/v2/health/live")
async def live() -> Live:
    """Answer while the process lives."""
    return Live()


@router.get("/v2/health/ready", responses=failures(NoModelReady))
async def ready(services: Serviced) -> Ready:
    """Answer 200 once the default model has proven itself, like `/readyz`."""
    services.registry.resolve()
    return Ready()


@of_model.get("", responses=LOOKED_UP)
async def metadata(model: Named, services: Serviced) -> Metadata:
    """Describe a model's tensors."""
    size = model.manifest.input
    versions = services.registry.versions(model.manifest.name)
    return Metadata(
        name=model.manifest.name,
        versions=[version.manifest.version for version in versions],
        inputs=[Tensor(name=tensors.INPUT, datatype="UINT8", shape=[-1, size.height, size.width, 3])],
        outputs=[Tensor(name=tensors.OUTPUT, datatype="FP32", shape=[-1, size.height, size.width])],
    )


@of_model.get("/ready", responses=LOOKED_UP)
async def model_ready(model: Named) -> ModelReady:
    """Answer 200 if the model is ready."""
    return ModelReady(name=model.manifest.name)


@of_model.get("/config", responses=LOOKED_UP)
async def config(model: Named, services: Serviced) -> dict[str, Any]:
    """Describe the model as Triton's ModelConfig, in which the batch is no dimension."""
    size = model.manifest.input
    kind = "KIND_GPU" if model.engine.provider == CUDA else "KIND_CPU"
    return {
        "name": model.manifest.name,
        "platform": PLATFORM,
        "backend": "onnxruntime",
        "max_batch_size": services.settings.kserve_max_batch,
        "input": [{"name": tensors.INPUT, "data_type": "TYPE_UINT8", "dims": [size.height, size.width, 3]}],
        "output": [{"name": tensors.OUTPUT, "data_type": "TYPE_FP32", "dims": [size.height, size.width]}],
        "instance_group": [{"kind": kind, "count": int(services.workers.total_tokens)}],
        "default_model_filename": "model.onnx",
    }


@router.get("/v2/models/stats")
async def all_statistics(services: Serviced) -> ModelStats:
    """Count what each ready model did for requests of this protocol."""
    return _statistics(services.registry.ready, services)


@of_model.get("/stats", responses=LOOKED_UP)
async def statistics(request: Request, model: Named, services: Serviced) -> ModelStats:
    """Count what a model did for requests of this protocol: every ready version of it, or the one named."""
    versions = services.registry.versions(model.manifest.name)
    return _statistics([model] if "version" in request.path_params else versions, services)


def _statistics(models: list[Model], services: Services) -> ModelStats:
    return ModelStats(
        model_stats=[services.statistics.of(model.manifest.name, model.manifest.version) for model in models]
    )


INFER: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": f"JSON, or JSON and after it tensors as bytes; `{HEADER_LENGTH}` then says how long the JSON "
        "is. The body may have Content-Encoding gzip or deflate.",
        "content": {
            JSON: {"schema": tensors.InferenceRequest.model_json_schema(ref_template="#/components/schemas/{model}")},
            BINARY: {"schema": {"type": "string", "format": "binary"}},
        },
    }
}
INFERRED: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The probability: as JSON, or as bytes after the JSON where binary data was asked for.",
        "headers": {HEADER_LENGTH: {"description": "bytes of JSON", "schema": {"type": "string"}}},
        "content": {JSON: {}, BINARY: {"schema": {"type": "string", "format": "binary"}}},
    },
    **LOOKED_UP,
    **failures(BadInference, errors.BodyTooLarge, errors.UnsupportedMediaType),
}


@of_model.post("/infer", response_class=Response, responses=INFERRED, openapi_extra=INFER)
async def infer(request: Request, model: Named, services: Serviced) -> Response:
    """Run the network on a batch of frames at its own size."""
    clock = Clock()
    try:
        body = await read_bytes(request, services.settings.max_body_bytes)
        return await services.in_worker(lambda: _infer(request, body, model, clock, services))
    except PolypruneError:
        services.statistics.failed(model.id, clock)
        raise


def _infer(request: Request, body: bytes, model: Model, clock: Clock, services: Services) -> Response:
    clock.mark("queue")
    limits = services.settings
    with clock.stage("decode"):
        plain = compression.inflate(body, request.headers.get("content-encoding", ""), limits.max_body_bytes)
        asked = tensors.parse(plain, _header_length(request), model.manifest.input, limits.kserve_max_batch)
    with clock.stage("network"):
        probability = model.engine.run(asked.frames)  # [N, H, W]
    with clock.stage("render"):
        content, length = tensors.answer(asked, model.manifest.name, model.manifest.version, probability)
        headers = {} if length is None else {HEADER_LENGTH: str(length)}
        content, coding = _compressed(content, request)
    services.statistics.succeeded(model.id, len(asked.frames), clock)
    services.metrics.frames.labels(model.id, "tensor").inc(len(asked.frames))
    headers |= coding | {
        "X-Polyprune-Model": model.id,
        "X-Polyprune-Provider": model.engine.provider,
        "Server-Timing": clock.header(),
    }
    return Response(content, media_type=JSON if length is None else BINARY, headers=headers)


def _header_length(request: Request) -> int | None:
    value = request.headers.get(HEADER_LENGTH)
    if value is not None and not (value.isdecimal() and len(value) < 12):
        raise BadInference(f"{HEADER_LENGTH} has to be the length of the JSON in bytes, got {value[:64]!r}.")
    return None if value is None else int(value)


def _compressed(content: bytes, request: Request) -> tuple[bytes, dict[str, str]]:
    headers = {"Vary": "Accept-Encoding"}
    coding = compression.choose(request.headers.get("accept-encoding", ""))
    if coding is None:
        return content, headers
    return compression.deflate(content, coding), {**headers, "Content-Encoding": coding}


@router.post("/v2/repository/index", responses=failures(errors.BadBody, errors.BodyTooLarge))
async def index(request: Request, services: Serviced) -> list[IndexEntry]:
    """List the version folders: ready, refused or unloaded."""
    query = await read_json(request, services.settings.max_body_bytes, IndexQuery)
    registry = services.registry
    entries = [IndexEntry(**_parts(model.id), state="READY") for model in registry.ready]
    if query.ready:
        return entries
    known = {model.id for model in registry.ready}
    reasons = {refusal.id: refusal.reason for refusal in registry.refused} | dict.fromkeys(
        registry.unloaded, "unloaded"
    )
    absent = [
        IndexEntry(**_parts(name), state="UNAVAILABLE", reason=reason)
        for name, reason in reasons.items()
        if name not in known
    ]
    return entries + absent


def _parts(name: str) -> dict[str, Any]:
    return dict(zip(("name", "version"), name.split("/"), strict=True))


CONTROLLED = failures(BadInference, UnknownModel, errors.ModelRefused, errors.ModelIsDefault, errors.BodyTooLarge)


@router.post("/v2/repository/models/{name}/load", responses=CONTROLLED)
async def load(request: Request, name: Annotated[str, Depends(_name)], services: Serviced) -> dict[str, Any]:
    """Load every version of a model, also where it is loaded already; needs an admin key."""
    control = await read_json(request, services.settings.max_body_bytes, ControlRequest)
    if control.parameters:
        raise BadInference("A model is what its folder says: load takes no config and no files.")
    await to_thread.run_sync(services.repository.load, name)
    return {}


@router.post("/v2/repository/models/{name}/unload", responses=CONTROLLED)
async def unload(request: Request, name: Annotated[str, Depends(_name)], services: Serviced) -> dict[str, Any]:
    """Unload every version of a model; needs an admin key. The default model is not unloaded."""
    await read_json(request, services.settings.max_body_bytes, ControlRequest)
    await to_thread.run_sync(services.repository.unload, name)
    return {}


router.include_router(of_model, prefix="/v2/models/{name}", dependencies=[Depends(_name)])
router.include_router(
    of_model, prefix="/v2/models/{name}/versions/{version}", dependencies=[Depends(_name), Depends(_version)]
)
