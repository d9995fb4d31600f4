"""`POST /v1/compare`: one frame through a dense and a pruned model, and where their masks differ."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response
from pydantic import Field

from app import errors, outputs, render
from app.clock import Clock
from app.decoding import decode_first, whole
from app.errors import BadParameter
from app.marking import Marking
from app.model import Model
from app.outputs import OUTPUTS
from app.registry import Registry
from app.render import MEDIA_TYPES, Format
from app.render.pair import LEGEND, Pair
from app.routes.body import FRAME_ERRORS, read_frame
from app.routes.direct import Direct
from app.routes.problems import documented
from app.routes.segment import BINARY_SCHEMA, BODY, TIMING
from app.routes.services import Serviced, Services
from app.segment import segment_frame

router = APIRouter(tags=["segmentation"], route_class=Direct)


class CompareQuery(Marking):
    """Parameters of a comparison; any other is refused, since it is likely misspelt."""

    dense: Annotated[
        str | None, Field(description="`name` or `name/version`; unset: the one that `pruned` was pruned from")
    ] = None
    pruned: Annotated[
        str | None,
        Field(description="`name` or `name/version`; unset: the one of best Dice that was pruned from a dense one"),
    ] = None
    output: Annotated[Literal["json", "picture"], Field(description=f"picture: {LEGEND}")] = "json"
    format: Annotated[Format, Field(description="picture: kind of file")] = "jpeg"


REPORT = OUTPUTS["json"].example
EXAMPLE = {
    "frame": REPORT["frame"],
    "dense": {**REPORT, "model": "polyp-lite0-dense", "timings": {"fit": 0.1, "network": 52.7, "mask": 0.2}},
    "pruned": {**REPORT, "timings": {"fit": 0.1, "network": 29.3, "mask": 0.2}},
    "difference": {"size": [3, 4], "counts": "<"},
    "difference_pixels": 0,
    "agreement": {"dice": 1.0, "dense_pixels": 4, "pruned_pixels": 4},
    "network_ms": {"dense": 52.7, "pruned": 29.3},
    "timings": {"queue": 0.1, "decode": 0.9, "dense": 53.1, "pruned": 29.7},
}
ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Both reports with their difference, or a picture of it.",
        "headers": {
            "X-Polyprune-Dense": {"description": "name/version", "schema": {"type": "string"}},
            "X-Polyprune-Pruned": {"description": "name/version", "schema": {"type": "string"}},
            **TIMING,
        },
        "content": {
            outputs.JSON: {"schema": {"$ref": "#/components/schemas/PairReport"}, "example": EXAMPLE},
            "image/jpeg": {"schema": BINARY_SCHEMA, "example": outputs.JPEG_START},
            "image/png": {"schema": BINARY_SCHEMA, "example": outputs.PNG_START},
        },
    },
    **documented(
        errors.UnknownModel,
        *FRAME_ERRORS,
        errors.BadParameter,
        errors.NoModelReady,
        errors.NetworkFailed,
        errors.ModelOutOfService,
    ),
}


@router.post("/v1/compare", response_class=Response, responses=ANSWERS, openapi_extra=BODY)
async def compare_models(request: Request, query: Annotated[CompareQuery, Query()], services: Serviced) -> Response:
    """Run two models on one frame, as each would see it alone, and show where their masks differ.

    Dice is 2 |A and B| / (|A| + |B|), and 1 for two empty masks. Times are of this one run: `/benchmark` measures.
    """
    if query.output != "picture" and "format" in query.model_fields_set:
        raise BadParameter("format: belongs to output=picture, not to output=json: leave it out.")
    dense, pruned = choose(services.registry, query)
    services.expect_worker()
    data = await read_frame(request, services.settings.max_body_bytes)
    clock = Clock()
    content = await services.in_worker(lambda: _work(data, dense, pruned, query, clock, services))
    headers = {"X-Polyprune-Dense": dense.id, "X-Polyprune-Pruned": pruned.id, "Server-Timing": clock.header()}
    media_type = MEDIA_TYPES[query.format] if query.output == "picture" else outputs.JSON
    return Response(content, media_type=media_type, headers=headers)


def choose(registry: Registry, query: CompareQuery) -> tuple[Model, Model]:
    """The dense and the pruned model.

    Raises:
        NoModelReady, UnknownModel: there is none, or not this one.
        BadParameter: it is open which dense model is meant.
    """
    pruned = registry.resolve(query.pruned) if query.pruned is not None else registry.preferred_pruned()
    origin = pruned.manifest.pruned_from if query.dense is None else query.dense
    if origin is None:
        raise BadParameter(f"dense: {pruned.id} does not say which model it was pruned from: name one.")
    return registry.resolve(origin), pruned


def _work(data: bytes, dense: Model, pruned: Model, query: CompareQuery, clock: Clock, services: Services) -> bytes:
    clock.mark("queue")
    most = services.settings.max_pixels
    with clock.stage("decode"):
        sizes = {model.manifest.input.size for model in (dense, pruned)}
        frames = {size: decode_first(data, max_pixels=most, at_least=size) for size in sizes}
    own = (Clock(), Clock())
    with clock.stage("dense"):
        of_dense = segment_frame(frames[dense.manifest.input.size], dense, own[0], marking=query)
    with clock.stage("pruned"):
        of_pruned = segment_frame(frames[pruned.manifest.input.size], pruned, own[1], marking=query)
    for model, timed in zip((dense, pruned), own, strict=True):
        services.metrics.frame_done(model.id, "compare", timed)
    if query.output == "picture":
        with clock.stage("decode"):
            of_dense = replace(of_dense, frame=whole(of_dense.frame, data, max_pixels=most))
        with clock.stage("render"):
            return render.pair_picture(Pair(of_dense, of_pruned), query.format)
    with clock.stage("render"):
        reports = (render.report(of_dense, dense, own[0]), render.report(of_pruned, pruned, own[1]))
        return render.pair_report(Pair(of_dense, of_pruned), *reports, clock).model_dump_json().encode()
