"""Reads request bodies: one limit for all of them, and nothing of a frame on disk.

Routes do not declare body parameters, since FastAPI would read the body without this limit and spool files
over 1 MiB to disk.
"""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from typing import TypeVar

from fastapi import Request
from pydantic import BaseModel, ValidationError
from starlette.datastructures import FormData, Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from app import errors
from app.errors import BadBody, BadParameter, BodyTooLarge, UnsupportedMediaType
from app.routes.problems import describe_validation

FILE = "file"
MULTIPART = "multipart/form-data"
BINARY = "application/octet-stream"
JSON = "application/json"
DICOM = "application/dicom"
MAX_FIELDS = 100
# Of a body that only names things: parsed on the event loop, into objects of up to 30 times its length.
MAX_JSON_BYTES = 2**16

T = TypeVar("T", bound=BaseModel)

# What a request that brings a frame can meet, for the documentation of its route.
FRAME_ERRORS = (
    errors.BodyTooLarge,
    errors.BodyTooSlow,
    errors.FrameTooLarge,
    errors.UnsupportedMediaType,
    errors.NotAnImage,
    errors.UnsupportedFrame,
    errors.BadBody,
    errors.CorruptFrame,
    errors.Overloaded,
)

# The same for a request that names things in JSON.
JSON_ERRORS = (
    errors.BodyTooLarge,
    errors.BodyTooSlow,
    errors.UnsupportedMediaType,
    errors.BadBody,
    errors.BadParameter,
)


@dataclass(frozen=True)
class Upload:
    """One file of a multipart body, with the name that the sender gave it: it goes to no log and to no path."""

    filename: str | None
    data: bytes


@dataclass(frozen=True)
class Form:
    """A multipart body: text fields by name, and the files, all of which are called `file`."""

    fields: dict[str, list[str]]
    files: list[Upload]

    @property
    def file(self) -> bytes | None:
        """The one file; None without any."""
        return self.files[0].data if self.files else None


class InMemoryParser(MultiPartParser):
    """Keeps files in memory, whatever their size, since `stream` has the limit; refuses a body cut short."""

    spool_max_size = sys.maxsize

    def __init__(self, headers: Headers, chunks: AsyncGenerator[bytes, None]) -> None:
        super().__init__(headers, self._whole(chunks), max_fields=MAX_FIELDS)
        self._ended = False

    def on_end(self) -> None:
        """Note the last boundary."""
        self._ended = True

    async def _whole(self, chunks: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
        begun = False
        async for chunk in chunks:
            # Newlines before the first boundary are let pass. The parser, given one, looks for the boundary behind
            # whatever follows, as far as the chunk goes: what it found would hang on how the body was cut.
            rest = chunk if begun else chunk.lstrip(b"\r\n")
            begun = begun or bool(rest)
            yield rest
        if not self._ended:
            raise MultiPartException("It ends before its last boundary.")


def media_type(request: Request) -> str:
    """The content type without its parameters, in lower case; empty where none was sent."""
    return request.headers.get("content-type", "").split(";")[0].strip().lower()


async def read_frame(request: Request, limit: int) -> bytes:
    """The frame's file: the multipart field `file`, or the whole body.

    Raises:
        UnsupportedMediaType, BadBody, BodyTooLarge.
    """
    kind = media_type(request)
    if kind == MULTIPART:
        data = _only_files(await read_form(request, limit))[0].data
    elif kind in ("", BINARY, DICOM) or kind.startswith("image/"):
        data = await read_bytes(request, limit)
    else:
        raise UnsupportedMediaType(
            f"Expected {MULTIPART}, image/*, {DICOM} or {BINARY}, got {kind!r}: set Content-Type."
        )
    if not data:
        raise BadBody("The frame has no bytes: send an image file.")
    return data


async def read_bytes(request: Request, limit: int, *, coded: bool = False) -> bytes:
    """The whole body, with its Content-Encoding if the caller undoes it.

    Raises:
        UnsupportedMediaType, BodyTooLarge: as `stream`.
    """
    async with aclosing(stream(request, limit, coded=coded)) as chunks:
        return b"".join([chunk async for chunk in chunks])


async def read_json(request: Request, kind: type[T]) -> T:
    """The body as a JSON object of this kind; no body is an empty object, and the content type does not matter.

    Raises:
        BadBody: not JSON.
        BadParameter: a field is missing, unknown or wrong.
        UnsupportedMediaType: with a Content-Encoding.
        BodyTooLarge: longer than MAX_JSON_BYTES.
    """
    body = await read_bytes(request, MAX_JSON_BYTES)
    try:
        return kind.model_validate(json.loads(body or b"{}"))
    except ValidationError as error:
        raise BadParameter(describe_validation(error)) from error
    except (ValueError, RecursionError) as error:
        raise BadBody(f"The body is not JSON: {error}") from error


async def read_frames(request: Request, limit: int) -> list[Upload]:
    """The files of a batch: every multipart field `file`, in order; one may be empty.

    Raises:
        UnsupportedMediaType, BadBody, BodyTooLarge.
    """
    kind = media_type(request)
    if kind != MULTIPART:
        raise UnsupportedMediaType(f"Expected {MULTIPART}, got {kind!r}: set Content-Type.")
    return _only_files(await read_form(request, limit, several=True))


async def read_form(request: Request, limit: int, *, several: bool = False) -> Form:
    """A multipart body with at most one file, or several, which are called `file`.

    Raises:
        BadBody: malformed, or other files.
        UnsupportedMediaType, BodyTooLarge: as `stream`.
    """
    async with aclosing(stream(request, limit)) as chunks:
        try:
            form = await InMemoryParser(request.headers, chunks).parse()
        except MultiPartException as error:
            raise BadBody(f"The multipart body is malformed: {error.message}") from error
    try:
        return _unpack(form, several=several)
    finally:
        await form.close()


async def stream(request: Request, limit: int, *, coded: bool = False) -> AsyncGenerator[bytes, None]:
    """The body's chunks, as they were sent.

    Args:
        coded: whether a Content-Encoding is let pass, for the caller to undo.

    Raises:
        UnsupportedMediaType: there is one.
        BodyTooLarge: the declared length exceeds the limit (nothing is read then), or the chunks do.
    """
    coding = request.headers.get("content-encoding", "").strip().lower()
    if coding not in ("", "identity") and not coded:
        raise UnsupportedMediaType(f"Expected no Content-Encoding, got {coding!r}: send the body as it is.")
    if int(request.headers.get("content-length", 0)) > limit:
        raise _too_large(limit)
    total = 0
    async with aclosing(request.stream()) as chunks:
        async for chunk in chunks:
            total += len(chunk)
            if total > limit:
                raise _too_large(limit)
            yield chunk


def _unpack(form: FormData, *, several: bool) -> Form:
    files = [(name, part) for name, part in form.multi_items() if isinstance(part, UploadFile)]
    names = [name for name, _ in files]
    if set(names) - {FILE} or (len(names) > 1 and not several):
        expected = "files, all in fields" if several else "one file, in the field"
        raise BadBody(f"Expected {expected} {FILE!r}; got files in {names}.")
    fields: dict[str, list[str]] = {}
    for name, part in form.multi_items():
        if isinstance(part, str):
            fields.setdefault(name, []).append(part)
    return Form(fields, [Upload(part.filename, part.file.read()) for _, part in files])


def _only_files(form: Form) -> list[Upload]:
    if form.fields:
        raise BadBody(
            f"Expected files alone, in fields {FILE!r}; got text in {sorted(form.fields)}. "
            "Parameters belong in the query, and a file needs a filename."
        )
    if not form.files:
        raise BadBody(BadBody.example)
    return form.files


def _too_large(limit: int) -> BodyTooLarge:
    return BodyTooLarge(f"The body is longer than the limit of {limit} bytes: send a compressed or smaller frame.")
