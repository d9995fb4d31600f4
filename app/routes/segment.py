"""`POST /v1/segment`: a frame in, its polyp mask out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from app import errors, render
from app.clock import Clock
from app.lesions import Segmentation
from app.model import Model
from app.routes.body import BINARY, DICOM, FILE, FRAME_ERRORS, MULTIPART, read_frame
from app.routes.problems import documented
from app.routes.services import Serviced, Services
from app.segment import segment

Output = Literal["mask", "overlay", "json", "dicom-seg"]
router = APIRouter(tags=["segmentation"])


class SegmentQuery(BaseModel):
    """Parameters of a segmentation; any other is refused, since it is likely misspelt."""

    model_config = ConfigDict(extra="forbid")

    model: Annotated[str | None, Field(description="`name` or `name/version`; see /v1/models")] = None
    threshold: Annotated[
        float | None,
        Field(ge=0, le=1, description="probability from which on a pixel is polyp; the model's own where unset"),
    ] = None
    output: Annotated[
        Output,
        Field(
            description="mask: PNG of 0 and 255; overlay: JPEG; json: lesions, RLE and timings; dicom-seg: a DICOM "
            "Segmentation of the DICOM object that was sent"
        ),
    ] = "mask"
    frame: Annotated[
        int | None,
        Field(ge=1, description="number of a DICOM object's frame; unset: the first, or for dicom-seg all of them"),
    ] = None


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
HEADERS = {
    "X-Polyprune-Model": {"description": "name/version that answered", "schema": {"type": "string"}},
    "X-Polyprune-Provider": {"description": "where the network ran", "schema": {"type": "string"}},
    "Server-Timing": {"description": "milliseconds by stage", "schema": {"type": "string"}},
}
ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The mask at the frame's own size and upright, the overlay, or the report.",
        "headers": HEADERS,
        "content": {
            "image/png": {"schema": BINARY_SCHEMA},
            "image/jpeg": {"schema": BINARY_SCHEMA},
            "application/json": {"schema": {"$ref": "#/components/schemas/Report"}},
            DICOM: {"schema": BINARY_SCHEMA},
        },
    },
    **documented(
        errors.UnknownModel,
        *FRAME_ERRORS,
        errors.TooManyFrames,
        errors.NotDicom,
        errors.IncompleteDicom,
        errors.BadParameter,
        errors.NoModelReady,
    ),
}


@router.post("/v1/segment", response_class=Response, responses=ANSWERS, openapi_extra=BODY)
async def segment_frame(request: Request, query: Annotated[SegmentQuery, Query()], services: Serviced) -> Response:
    """Segment one frame.

    A frame with an EXIF orientation is turned upright first, and the mask is that of the upright frame.
    """
    model = services.registry.resolve(query.model)
    data = await read_frame(request, services.settings.max_body_bytes)
    clock = Clock()
    return await services.in_worker(lambda: _answer(data, model, query, clock, services))


def _answer(data: bytes, model: Model, query: SegmentQuery, clock: Clock, services: Services) -> Response:
    clock.mark("queue")
    segmentation = segment(
        data,
        model,
        clock,
        threshold=query.threshold,
        whole=query.output == "overlay",
        max_pixels=services.settings.max_pixels,
        number=query.frame,
        every=query.output == "dicom-seg",
        max_frames=services.settings.max_frames,
    )
    media_type, renderer = RENDERERS[query.output]
    with clock.stage("render"):
        content = renderer(segmentation, model, clock)
    services.metrics.frame_done(model.id, query.output, clock)
    headers = {
        "X-Polyprune-Model": model.id,
        "X-Polyprune-Provider": model.engine.provider,
        "Server-Timing": clock.header(),
    }
    return Response(content, media_type=media_type, headers=headers)


def _mask(segmentation: Segmentation, _model: Model, _clock: Clock) -> bytes:
    return render.mask_png(segmentation)


def _overlay(segmentation: Segmentation, _model: Model, _clock: Clock) -> bytes:
    return render.overlay_jpeg(segmentation)


def _report(segmentation: Segmentation, model: Model, clock: Clock) -> bytes:
    return render.report(segmentation, model, clock).model_dump_json().encode()


def _dicom_seg(segmentation: Segmentation, model: Model, _clock: Clock) -> bytes:
    from app.dicom import seg  # noqa: PLC0415  (as in app/segment.py)

    return seg.write(segmentation, model)


RENDERERS: dict[Output, tuple[str, Callable[[Segmentation, Model, Clock], bytes]]] = {
    "mask": ("image/png", _mask),
    "overlay": ("image/jpeg", _overlay),
    "json": ("application/json", _report),
    "dicom-seg": (DICOM, _dicom_seg),
}
