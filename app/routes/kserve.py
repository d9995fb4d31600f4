"""`/v2`: the Open Inference Protocol (KServe v2) with the extensions that Triton's clients call.

A tensor at the network's own size goes in and the probability comes out: no decoding, no fitting, no mask.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel

from app import __version__, errors
from app.clock import Clock
from app.device import ON_GPU
from app.errors import BadInference, BadParameter, Draining, NoModelReady, UnknownModel
from app.kserve import compression, tensors
from app.model import Model
from app.routes.body import BINARY, JSON, read_bytes
from app.routes.models import Part
from app.routes.problems import failures
from app.routes.segment import FALLBACK_HEADER, MODEL_HEADERS, TIMING, model_headers
from app.routes.services import Serviced, Services

HEADER_LENGTH = "Inference-Header-Content-Length"
PLATFORM = "onnxruntime_onnx"
EXTENSIONS = ["binary_tensor_data", "model_configuration", "model_repository", "statistics"]


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


async def _named(request: Request, services: Serviced) -> Model:
    """The ready model of the path: `name`, or `name` and `version`."""
    return services.registry.resolve("/".join(request.path_params.values()))


async def _name(name: Part) -> None:
    """Documents and checks the path of the routes that are mounted below."""


async def _version(version: Part) -> None:
    """As `_name`."""


Named = Annotated[Model, Depends(_named)]
LOOKED_UP = failures(UnknownModel, BadParameter, NoModelReady)
READY = failures(UnknownModel, BadParameter, NoModelReady, errors.ModelOutOfService)
router = APIRouter(tags=["Open Inference Protocol"])
# What is known of a model, by its name and by a version of it. A prefix of their own, and not of their mounting: the
# metrics and the log know a route by the path that it was declared with.
OF_NAME = "/v2/models/{name}"
of_name = APIRouter(prefix=OF_NAME, dependencies=[Depends(_name)])
of_version = APIRouter(prefix=OF_NAME + "/versions/{version}", dependencies=[Depends(_name), Depends(_version)])


@router.get("/v2")
async def server() -> Server:
    """Describe the server."""
    return Server()


@router.get("/v2/health/live")
async def live() -> Live:
    """Answer while the process lives."""
    return Live()


@router.get("/v2/health/ready", responses=failures(NoModelReady, errors.ModelOutOfService, Draining))
async def ready(services: Serviced) -> Ready:
    """Answer 200 while the default model is ready and the service is not told to stop, like `/readyz`."""
    services.check_ready()
    return Ready()


@of_name.get("", responses=LOOKED_UP)
@of_version.get("", responses=LOOKED_UP)
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


@of_name.get("/ready", responses=READY)
@of_version.get("/ready", responses=READY)
async def model_ready(model: Named) -> ModelReady:
    """Answer 200 if the model is ready and not out of service."""
    model.engine.check()
    return ModelReady(name=model.manifest.name)


@of_name.get("/config", responses=LOOKED_UP)
@of_version.get("/config", responses=LOOKED_UP)
async def config(model: Named, services: Serviced) -> dict[str, Any]:
    """Describe the model as Triton's ModelConfig, in which the batch is no dimension."""
    size = model.manifest.input
    kind = "KIND_GPU" if model.engine.provider in ON_GPU else "KIND_CPU"
    return {
        "name": model.manifest.name,
        "platform": PLATFORM,
        "backend": "onnxruntime",
        "max_batch_size": services.settings.kserve_max_batch,
        "input": [{"name": tensors.INPUT, "data_type": "TYPE_UINT8", "dims": [size.height, size.width, 3]}],
        "output": [{"name": tensors.OUTPUT, "data_type": "TYPE_FP32", "dims": [size.height, size.width]}],
        "instance_group": [{"kind": kind, "count": services.admission.workers}],
        "default_model_filename": "model.onnx",
    }


@router.get("/v2/models/stats")
async def all_statistics(services: Serviced) -> ModelStats:
    """Count what each ready model did for requests of this protocol."""
    return _statistics(services.registry.ready, services)


@of_name.get("/stats", responses=LOOKED_UP)
@of_version.get("/stats", responses=LOOKED_UP)
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
        "is. If it says 0, the body is the bytes of one frame, and the answer is in binary. The body may have "
        "Content-Encoding gzip or deflate.",
        "content": {
            JSON: {"schema": {"$ref": "#/components/schemas/InferenceRequest"}},
            BINARY: {"schema": {"type": "string", "format": "binary"}},
        },
    }
}
INFERRED: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The probability: as JSON, or as bytes after the JSON where binary data was asked for.",
        "headers": {
            HEADER_LENGTH: {"description": "bytes of JSON", "schema": {"type": "string"}},
            **(MODEL_HEADERS | FALLBACK_HEADER | TIMING),
        },
        "content": {JSON: {}, BINARY: {"schema": {"type": "string", "format": "binary"}}},
    },
    **failures(
        UnknownModel,
        BadParameter,
        NoModelReady,
        errors.NetworkFailed,
        errors.ModelOutOfService,
        BadInference,
        errors.BodyTooLarge,
        errors.BodyTooSlow,
        errors.UnsupportedMediaType,
        errors.Overloaded,
    ),
}


@of_name.post("/infer", response_class=Response, responses=INFERRED, openapi_extra=INFER)
@of_version.post("/infer", response_class=Response, responses=INFERRED, openapi_extra=INFER)
async def infer(request: Request, model: Named, services: Serviced) -> Response:
    """Run the network on a batch of frames at its own size."""
    clock = Clock()
    try:
        services.expect_worker()
        body = await read_bytes(request, services.settings.max_body_bytes, coded=True)
        return await services.in_worker(lambda: _infer(request, body, model, clock, services))
    except Exception:  # whatever it was, it counts
        services.statistics.failed(model.id, clock)
        raise


def _infer(request: Request, body: bytes, model: Model, clock: Clock, services: Services) -> Response:
    clock.mark("queue")
    limits = services.settings
    with clock.stage("decode"):
        plain = compression.inflate(body, request.headers.get("content-encoding", ""), limits.max_body_bytes)
        asked = tensors.parse(plain, _header_length(request), model.manifest.input, limits.kserve_max_batch)
    with clock.stage("network"):
        probability = model.engine.run(asked.frames, clock)  # [N, H, W]
    with clock.stage("render"):
        content, length = tensors.answer(asked, model.manifest.name, model.manifest.version, probability)
        headers = {} if length is None else {HEADER_LENGTH: str(length)}
        content, coding = _compressed(content, request)
    services.statistics.succeeded(model.id, len(asked.frames), clock)
    services.metrics.frames.labels(model.id, "tensor").inc(len(asked.frames))
    headers |= coding | model_headers(model, clock) | {"Server-Timing": clock.header()}
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


router.include_router(of_name)
router.include_router(of_version)
