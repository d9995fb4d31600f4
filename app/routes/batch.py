"""`POST /v1/segment/batch`: several frames in, an answer for each, in their order."""

from __future__ import annotations

import base64
import logging
from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field

from app import errors, outputs
from app.clock import Clock
from app.errors import BadBody, PolypruneError, TooManyFrames
from app.model import Model
from app.outputs import OUTPUTS, Name, SegmentQuery
from app.render import FeatureCollection, Report
from app.routes.body import FILE, MULTIPART, Upload, read_frames
from app.routes.direct import Direct
from app.routes.problems import Problem, describe, documented
from app.routes.segment import BINARY_SCHEMA, MODEL_HEADERS, model_headers, work
from app.routes.services import Serviced, Services

PATH = "/v1/segment/batch"
router = APIRouter(tags=["segmentation"], route_class=Direct)
log = logging.getLogger(__name__)


class BatchQuery(SegmentQuery):
    """As for one frame, but the answer is JSON whatever `Accept` says, and so are the results by default."""

    output: Annotated[Name, Field(description="what each result holds")] = "json"


class FrameResult(BaseModel):
    """One frame's answer: exactly one of `report`, `geojson`, `data_url` and `error`."""

    index: Annotated[int, Field(ge=0, description="place in the request, from 0")]
    filename: Annotated[str | None, Field(description="as it was sent")] = None
    report: Annotated[Report | None, Field(description="with output=json")] = None
    geojson: Annotated[FeatureCollection | None, Field(description="with output=geojson")] = None
    data_url: Annotated[
        str | None, Field(description="with every other output: the file as `data:image/png;base64,...` (RFC 2397)")
    ] = None
    error: Annotated[Problem | None, Field(description="why this frame has no answer; the others are not touched")] = (
        None
    )


class BatchAnswer(BaseModel):
    """All results, in the order of the files."""

    results: list[FrameResult]


BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": f"Fields named `{FILE}`, one for each frame; what a frame may be is said at `/v1/segment`.",
        "content": {
            MULTIPART: {
                "schema": {
                    "type": "object",
                    "required": [FILE],
                    "properties": {FILE: {"type": "array", "items": BINARY_SCHEMA}},
                }
            }
        },
    }
}
EXAMPLE = {
    "results": [
        {"index": 0, "filename": "a.jpg", "report": OUTPUTS["json"].example},
        {
            "index": 1,
            "filename": "b.jpg",
            "error": {**describe(errors.CorruptFrame(errors.CorruptFrame.example)), "instance": PATH},
        },
    ]
}
ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {
        "model": BatchAnswer,
        "description": "One result for each file, in their order.",
        "headers": MODEL_HEADERS,
        "content": {outputs.JSON: {"example": EXAMPLE}},
    },
    **documented(
        errors.UnknownModel,
        errors.BodyTooLarge,
        errors.BodyTooSlow,
        errors.TooManyFrames,
        errors.UnsupportedMediaType,
        errors.BadBody,
        errors.BadParameter,
        errors.NoModelReady,
    ),
}


@router.post(PATH, response_class=StreamingResponse, responses=ANSWERS, openapi_extra=BODY)
async def segment_batch(
    request: Request, query: Annotated[BatchQuery, Query()], services: Serviced
) -> StreamingResponse:
    """Segment several frames; one that fails has its problem document in its place and fails no other.

    The answer is one JSON document for every output, files as data URLs in it: a page sets `img.src` to one, and
    no client needs a ZIP or a multipart reader to get results and errors in their order. Base64 costs a third
    more bytes.

    Frames are worked on one after the other, so that a batch takes one worker and leaves the rest to others, and
    each result is sent once it is there. All frames together may have as many bytes as any other request.
    """
    name = outputs.choose(query, [])
    model = services.registry.resolve(query.model)
    uploads = await read_frames(request, services.settings.max_body_bytes)
    most = services.settings.max_frames
    if len(uploads) > most:
        raise TooManyFrames(f"The batch has {len(uploads)} frames, and at most {most} are taken: send several batches.")
    batch = Batch(model, name, query, services, request.url.path)
    return StreamingResponse(batch.document(uploads), media_type=outputs.JSON, headers=model_headers(model, Clock()))


class Batch:
    """Answers the frames of one request."""

    def __init__(self, model: Model, name: Name, query: BatchQuery, services: Services, path: str) -> None:
        self._model = model
        self._name = name
        self._query = query
        self._services = services
        self._path = path

    async def document(self, uploads: list[Upload]) -> AsyncIterator[bytes]:
        """The JSON of a BatchAnswer, piece by piece: only one result is in memory at a time."""
        yield b'{"results":['
        for index, upload in enumerate(uploads):
            result = await self._answer(index, upload)
            yield (b"," if index else b"") + result
        yield b"]}"

    async def _answer(self, index: int, upload: Upload) -> bytes:
        clock = Clock()
        try:
            return await self._services.in_worker(lambda: self._work(index, upload, clock))
        except PolypruneError as error:
            problem = describe(error)
        except Exception as error:  # a bug on this frame; it must not cost the others theirs
            log.exception("frame %d of a batch failed", index)
            problem = describe(error)
        return _result(index, upload, error=Problem.model_validate({"instance": self._path, **problem}))

    def _work(self, index: int, upload: Upload, clock: Clock) -> bytes:
        if not upload.data:
            raise BadBody("The frame has no bytes: send an image file.")
        content = work(upload.data, self._model, self._name, self._query, clock, self._services)
        return _result(index, upload, **self._member(content))

    def _member(self, content: bytes) -> dict[str, Any]:
        media_type = OUTPUTS[self._name].media_type_for(self._query)
        if media_type == outputs.JSON:
            return {"report": Report.model_validate_json(content)}
        if media_type == outputs.GEOJSON:
            return {"geojson": FeatureCollection.model_validate_json(content)}
        return {"data_url": f"data:{media_type};base64,{base64.b64encode(content).decode()}"}


def _result(index: int, upload: Upload, **member: Any) -> bytes:
    result = FrameResult(index=index, filename=upload.filename, **member)
    return result.model_dump_json(exclude_none=True).encode()
