"""What reads bytes from outside. A target says what came of an input; whatever it raises is a finding."""

from __future__ import annotations

import asyncio
import os
import struct
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from fastapi import Request
from pydantic import ValidationError
from starlette.types import Message

from app import keys, message
from app.decoding import decode, decode_first
from app.errors import KeysRefused, PolypruneError
from app.golden import read_golden
from app.kserve import compression, tensors
from app.limits import Limits
from app.manifest import InputSpec
from app.model import load, read_manifest
from app.routes.body import read_form, read_frames
from app.routes.socket import Ended
from app.routes.stream import changed
from app.settings import PREFIX, Settings
from app.stream import raw
from app.stream.viewer import Options
from tests.fuzz import seeds
from tests.synthetic import SIZE, write_model

MAX_PIXELS = 2**20
MAX_BODY = 2**20
SPEC = InputSpec(height=SIZE, width=SIZE, fit="stretch")


@dataclass(frozen=True)
class Target:
    """A reader, and real input for it."""

    read: Callable[[bytes], str]
    seeds: Callable[[], list[bytes]]
    examples: int  # in the suite


def picture(data: bytes) -> str:
    """Any file, for its first frame."""
    try:
        frame = decode_first(data, max_pixels=MAX_PIXELS, at_least=(SIZE, SIZE))
    except PolypruneError as error:
        return error.slug
    assert frame.pixels.ndim == 3
    assert frame.width * frame.height <= MAX_PIXELS
    return "accepted"


def dicom(data: bytes) -> str:
    """A DICOM object, for all its frames; its magic is repaired, since a mutation of that ends everything."""
    data = data[:128].ljust(128, b"\0") + b"DICM" + data[132:]
    try:
        for frame in decode(data, max_pixels=MAX_PIXELS, every=True, max_frames=8):
            assert frame.pixels.shape == (frame.height, frame.width, 3)
    except PolypruneError as error:
        return error.slug
    return "accepted"


def inference(data: bytes) -> str:
    """A byte for the coding, four for the length of the JSON, then the body."""
    if len(data) < 5:
        return "short"
    coding, length = struct.unpack_from("<BI", data)
    try:
        plain = compression.inflate(data[5:], ("", "gzip", "deflate")[coding % 3], MAX_BODY)
        asked = tensors.parse(plain, length if coding < 128 else None, SPEC, 8)
    except PolypruneError as error:
        return error.slug
    assert asked.frames.shape[1:] == (SIZE, SIZE, 3)
    return "accepted"


def request_of(body: bytes, kind: str, pieces: int) -> Request:
    """A request whose body comes in so many pieces."""
    size = max(1, len(body) // pieces)
    starts = range(0, max(1, len(body)), size)
    events = iter(
        [{"type": "http.request", "body": body[at : at + size], "more_body": at != starts[-1]} for at in starts]
    )

    async def receive() -> Message:
        return next(events)

    headers = [(b"content-type", kind.encode())]
    return Request({"type": "http", "method": "POST", "path": "/", "headers": headers}, receive)


def form(data: bytes) -> str:
    """A multipart body, whole and in pieces, which must come to the same."""
    found = [_form(data, pieces) for pieces in (1, 7)]
    assert found[0] == found[1], found
    return found[0]


def _form(data: bytes, pieces: int) -> str:
    kind = "multipart/form-data; boundary=b"
    try:
        read = asyncio.run(read_form(request_of(data, kind, pieces), MAX_BODY, several=True))
        asyncio.run(read_frames(request_of(data, kind, pieces), MAX_BODY))
    except PolypruneError as error:
        return error.slug
    assert sum(len(upload.data) for upload in read.files) <= len(data)
    return "accepted"


def stream(data: bytes) -> str:
    """A message of a stream's client: as text, as raw pixels, and as the answer that it is not."""
    text = data.decode(errors="replace")
    outcome = "accepted"
    try:
        changed(Options(), text)
    except Ended as ended:
        outcome = str(ended.code)
    try:
        if raw.is_raw(data):
            raw.decode(data, max_pixels=MAX_PIXELS)
    except PolypruneError as error:
        outcome = error.slug
    for unpack, argument in ((message.unpack, data), (message.unpack_text, text)):
        try:
            unpack(argument)  # type: ignore[operator]
        except ValueError:
            continue
    return outcome


def keys_file(data: bytes) -> str:
    """A file of API keys."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "keys"
        path.write_bytes(data)
        try:
            keys.load(path, Limits())
        except KeysRefused:
            return "refused"
    return "accepted"


def setting(data: bytes) -> str:
    """`NAME=value` of the environment."""
    name, _, value = data.replace(b"\0", b"").partition(b"=")
    variable = PREFIX + os.fsdecode(name).upper()
    if "=" in variable:
        return "no name"
    os.environ[variable] = os.fsdecode(value)
    try:
        Settings()
    except ValidationError:
        return "refused"
    finally:
        del os.environ[variable]
    return "accepted"


def _in_folder(name: str, data: bytes, read: Callable[[Path], object]) -> str:
    with tempfile.TemporaryDirectory() as root:
        folder = Path(root) / "evil" / "1"
        folder.mkdir(parents=True)
        (folder / name).write_bytes(data)
        try:
            read(folder)
        except PolypruneError as error:
            return error.slug
    return "accepted"


def manifest(data: bytes) -> str:
    """`manifest.json`."""
    return _in_folder("manifest.json", data, read_manifest)


def golden(data: bytes) -> str:
    """`golden.npz`."""
    return _in_folder("golden.npz", data, lambda folder: read_golden(folder, SPEC))


def graph(data: bytes) -> str:
    """`model.onnx`, with a manifest that promises it."""
    with tempfile.TemporaryDirectory() as root:
        try:
            load(write_model(Path(root), "evil", graph=data), threads=1, preference="cpu")
        except PolypruneError as error:
            return error.slug
    return "accepted"


TARGETS = {
    "picture": Target(picture, seeds.pictures, 200),
    "dicom": Target(dicom, seeds.objects, 100),
    "inference": Target(inference, seeds.inferences, 100),
    "form": Target(form, seeds.forms, 60),
    "stream": Target(stream, seeds.messages, 200),
    "keys": Target(keys_file, seeds.keys_files, 100),
    "setting": Target(setting, seeds.environments, 100),
    "manifest": Target(manifest, seeds.manifests, 100),
    "golden": Target(golden, seeds.goldens, 100),
    "graph": Target(graph, seeds.graphs, 40),
}
