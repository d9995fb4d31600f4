"""`golden.npz`: the frame that a model is proven with, and what came out of it where the model was made."""

from __future__ import annotations

import io
import tokenize
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy_format
from numpy.typing import NDArray

from app import files
from app.errors import ModelRefused
from app.manifest import InputSpec

# Both arrays of the largest network, 4096 x 4096 x (3 + 4) bytes, are 112 MiB.
MAX_BYTES = 2**27
MAX_HEADER_BYTES = 4096  # of an array; numpy writes 128

npy: Any = npy_format  # its type stubs lack the limit of a header

# What `zipfile` and numpy raise for bytes that are damaged; the last two when a header is no Python literal.
UNREADABLE = (
    *(ValueError, KeyError, EOFError, NotImplementedError, RuntimeError, zipfile.BadZipFile, zlib.error),
    *(SyntaxError, tokenize.TokenError),
)


@dataclass(frozen=True)
class Golden:
    """A synthetic frame uint8 [H, W, 3] RGB at the network's size and its probability float32 [H, W]."""

    frame: NDArray[np.uint8]
    probability: NDArray[np.float32]


def read_golden(folder: Path, spec: InputSpec) -> Golden:
    """`golden.npz`; an array of another type or shape is refused by its header, before it is unpacked.

    Raises:
        ModelRefused: with what was expected and what was found.
    """
    data = files.read(folder / "golden.npz", MAX_BYTES)
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return Golden(
                _array(archive, "frame", np.dtype(np.uint8), (*spec.size, 3)),
                _array(archive, "probability", np.dtype(np.float32), spec.size),
            )
    except UNREADABLE as error:
        raise ModelRefused(f"golden.npz is not readable: {error}") from error


def _array(archive: zipfile.ZipFile, name: str, dtype: np.dtype[np.generic], shape: tuple[int, ...]) -> NDArray[Any]:
    with archive.open(f"{name}.npy") as file:
        found_shape, column_major, found = _header(file)
        expect(f"golden.npz {name}", found, found_shape, dtype, shape)
        length = int(np.prod(shape)) * dtype.itemsize
        values = file.read(length + 1)  # and no more, whatever the archive says
    if len(values) != length:
        raise ValueError(f"{name} has other than the {length} bytes that its header promises")
    return np.frombuffer(values, dtype).reshape(shape, order="F" if column_major else "C")


def _header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[np.generic]]:
    version = npy.read_magic(file)
    read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, column_major, dtype = read(file, max_header_size=MAX_HEADER_BYTES)
    if dtype.hasobject:
        raise ValueError("Object arrays are pickles, which run code, and are not read")
    return shape, column_major, dtype


def expect(
    what: str,
    found: np.dtype[np.generic],
    found_shape: tuple[int, ...],
    dtype: np.dtype[np.generic],
    shape: tuple[int, ...],
) -> None:
    """Raise ModelRefused for an array of another type or shape."""
    if found != dtype or found_shape != shape:
        raise ModelRefused(f"{what} is {found} {list(found_shape)}, expected {dtype} {list(shape)}.")
