"""The messages of `WS /v1/stream`, as both of its ends read and write them (docs/streaming.md).

Nothing else of the service is imported here, since `app.client` shares this module and no other.
"""

from __future__ import annotations

import json
import struct
from typing import Annotated, Any

from pydantic import BaseModel, Field

SUBPROTOCOL = "polyprune.v1"
LENGTH = struct.Struct("<I")  # of the JSON header, in bytes

GOING_AWAY, UNSUPPORTED_DATA, POLICY, TOO_LARGE, INTERNAL = 1001, 1003, 1008, 1009, 1011  # RFC 6455, section 7.4.1
IDLE = 4408  # 4000 to 4999 are for applications; HTTP's 408 is a request that did not come


class TrackedLesion(BaseModel):
    """One connected area of the mask, with an id that follows it from frame to frame."""

    id: Annotated[int, Field(description="the same while the lesion is followed, and never given again")]
    box: Annotated[tuple[int, int, int, int], Field(description="x, y, width, height in pixels")]
    area: Annotated[int, Field(description="pixels, without holes")]
    fraction: Annotated[float, Field(description="area over the frame's area")]
    probability: Annotated[float, Field(description="mean over the lesion's pixels")]
    polygons: Annotated[
        list[list[tuple[int, int]]] | None,
        Field(description="outer boundaries, x and y of pixel centres; with output=json only"),
    ] = None


class Header(BaseModel):
    """What is said about one frame, whatever form its mask has."""

    sequence: Annotated[int, Field(description="0, 1, 2... in the order in which frames arrived")]
    width: int
    height: int
    model: Annotated[str, Field(description="name/version")]
    provider: str
    timings: Annotated[dict[str, float], Field(description="milliseconds by stage")]
    received: Annotated[int, Field(description="frames of this stream until now")]
    answered: Annotated[int, Field(description="of them answered, this one and errors included")]
    dropped: Annotated[int, Field(description="of them passed over for a newer one, or for want of a free worker")]
    lesions: list[TrackedLesion]

    def text(self) -> str:
        """As JSON."""
        return self.model_dump_json(exclude_none=True)


class Failure(BaseModel):
    """A frame that could not be used; the stream goes on."""

    sequence: int
    error: Annotated[dict[str, Any], Field(description="a problem document, RFC 9457")]


def pack(header: Header, payload: bytes) -> bytes:
    """Length of the header's JSON (uint32, little-endian), that JSON, payload."""
    text = header.text().encode()
    return LENGTH.pack(len(text)) + text + payload


def unpack(message: bytes) -> tuple[Header, bytes]:
    """The header and the payload of a binary answer.

    Raises:
        ValueError: it is not of this form (pydantic's ValidationError is one).
    """
    if len(message) < LENGTH.size:
        raise ValueError(f"Expected at least {LENGTH.size} bytes, got {len(message)}: is the other end a stream?")
    end = LENGTH.size + LENGTH.unpack_from(message)[0]
    return Header.model_validate_json(message[LENGTH.size : end]), message[end:]


def unpack_text(message: str) -> Header | Failure:
    """The header, or the failure, of a text answer. Raises ValueError for anything else."""
    entry = json.loads(message)
    kind = Failure if isinstance(entry, dict) and "error" in entry else Header
    return kind.model_validate(entry)
