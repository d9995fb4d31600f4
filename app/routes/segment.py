"""`POST /v1/segment`: a frame in, its polyp mask out."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from app import errors, outputs
from app.clock import Clock
from app.model import Model
from app.outputs import OUTPUTS, SegmentQuery
from app.routes.body import BINARY, DICOM, FILE, FRAME_ERRORS, MULTIPART, read_frame
from app.routes.direct import Direct
from app.routes.problems import documented
from app.routes.services import Serviced, Services
from app.segment import segment

router = APIRouter(tags=["segmentation"], route_class=Direct)
BINARY_SCHEMA = {"type": "string", "format": "binary"}
BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": "A JPEG, PNG, TIFF, BMP or WebP file, of several pages the first; or a DICOM image.",
        "content": {
            MULTIPART: {"schema": {"type": "object", "required": [FILE], "properties": {FILE: BINARY_SCHEMA}}},
            "image/*": {"schema": BINARY_SCHEMA},
            DICOM: {"schema": BINARY_SCHEMA},
            BINARY: {"schema": BINARY_SCHEMA},
        },
    }
}
FALLBACK = "X-Polyprune-Fallback"
MODEL_HEADERS = {
    "X-Polyprune-Model": {"description": "name/version that answered", "schema": {"type": "string"}},
    "X-Polyprune-Provider": {"description": "where the network ran", "schema": {"type": "string"}},
}
FALLBACK_HEADER = {
    FALLBACK: {
        "description": "`out-of-memory` or `device-lost`: the GPU failed, and the network ran on the CPU",
        "schema": {"type": "string"},
    }
}
TIMING = {"Server-Timing": {"description": "milliseconds by stage", "schema": {"type": "string"}}}
SCHEMAS = {outputs.JSON: "Report", outputs.GEOJSON: "FeatureCollection"}


def _content() -> dict[str, Any]:
    content: dict[str, Any] = {}
    for name, output in OUTPUTS.items():
        schema = SCHEMAS.get(output.media_type)
        entry = content.setdefault(
            output.media_type,
            {"schema": {"$ref": f"#/components/schemas/{schema}"} if schema else BINARY_SCHEMA, "examples": {}},
        )
        entry["examples"][name] = {"summary": output.summary, "value": output.example}
    return content


ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "What `output` or `Accept` chose, at the frame's own size and upright.",
        "headers": MODEL_HEADERS | FALLBACK_HEADER | TIMING,
        "content": _content(),
    },
    **documented(
        errors.UnknownModel,
        errors.NotAcceptable,
        *FRAME_ERRORS,
        errors.TooManyFrames,
        errors.NotDicom,
        errors.IncompleteDicom,
        errors.BadParameter,
        errors.NoModelReady,
        errors.NetworkFailed,
        errors.ModelOutOfService,
    ),
}


@router.post("/v1/segment", response_class=Response, responses=ANSWERS, openapi_extra=BODY)
async def segment_frame(request: Request, query: Annotated[SegmentQuery, Query()], services: Serviced) -> Response:
    """Segment one frame.

    A frame with an EXIF orientation is turned upright first, and the mask is that of the upright frame.
    """
    name = outputs.choose(query, request.headers.getlist("accept"))
    model = services.registry.resolve(query.model)
    services.expect_worker()
    data = await read_frame(request, services.settings.max_body_bytes)
    clock = Clock()
    content = await services.in_worker(lambda: work(data, model, name, query, clock, services))
    headers = {**model_headers(model, clock), "Server-Timing": clock.header()}
    return Response(content, media_type=OUTPUTS[name].media_type_for(query), headers=headers)


def work(data: bytes, model: Model, name: outputs.Name, query: SegmentQuery, clock: Clock, services: Services) -> bytes:
    """One frame's file to the bytes of its output, with all that is counted and timed."""
    clock.mark("queue")
    output = OUTPUTS[name]
    segmentation = segment(
        data,
        model,
        clock,
        marking=query,
        whole=output.whole,
        max_pixels=services.settings.max_pixels,
        number=query.frame,
        every=output.every,
        max_frames=services.settings.max_frames,
    )
    with clock.stage("render"):
        content = output.render(segmentation, model, clock, query)
    services.metrics.frame_done(model.id, name, clock)
    return content


def model_headers(model: Model, clock: Clock) -> dict[str, str]:
    """Which model answered, where it ran, and why there if that was not where it should."""
    ran = {"X-Polyprune-Model": model.id, "X-Polyprune-Provider": clock.provider or model.engine.provider}
    return ran | ({FALLBACK: clock.fallback} if clock.fallback else {})
