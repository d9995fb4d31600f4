"""One frame of a DICOM image -> RGB, after its own codestream's header was compared with the DICOM header."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom import Dataset
from pydicom.encaps import encapsulate, get_frame
from pydicom.pixels.decoders.base import get_decoder
from pydicom.pixels.processing import apply_color_lut, apply_modality_lut, apply_windowing
from pydicom.uid import UID, ExplicitVRLittleEndian

from app import frames
from app.dicom.header import JPEG, JPEG_2000, MAX_VALUE_BYTES, NATIVE, RLE, Header
from app.errors import CorruptFrame, UnsupportedFrame

COLOURS = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_RCT", "YBR_ICT")
GREYS = ("MONOCHROME1", "MONOCHROME2")
PALETTE = "PALETTE COLOR"
SAMPLES = {**dict.fromkeys(COLOURS, 3), **dict.fromkeys((*GREYS, PALETTE), 1)}

PALETTE_KEYWORDS = [
    f"{colour}PaletteColorLookupTable{part}" for colour in ("Red", "Green", "Blue") for part in ("Descriptor", "Data")
]
WINDOW_KEYWORDS = ["WindowCenter", "WindowWidth", "VOILUTFunction", "RescaleSlope", "RescaleIntercept"]
TABLES = ("ModalityLUTSequence", "VOILUTSequence")

START_OF_FRAME = {*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC}  # ITU-T T.81, table B.1; F7 is JPEG-LS's


def decode(header: Header, number: int, *, max_pixels: int, at_least: tuple[int, int] | None) -> NDArray[np.uint8]:
    """Frame `number` (from 1) as RGB uint8 [h, w, 3].

    Args:
        at_least: as `frames.decode`.

    Raises:
        UnsupportedFrame, CorruptFrame, FrameTooLarge.
    """
    _check_colour(header)
    if header.syntax in NATIVE:
        return _rgb(header, _native(header, number), header.syntax)
    stream = _codestream(header, number)
    if header.syntax in RLE:
        return _rgb(header, _rle(header, stream), ExplicitVRLittleEndian)
    _check_codestream(header, stream)
    if header.syntax in JPEG and _is_plain(header):
        return frames.decode_jpeg(stream, max_pixels=max_pixels, at_least=at_least)
    return _rgb(header, _image_dataset(header, encapsulate([stream])), header.syntax)


def _check_colour(header: Header) -> None:
    if SAMPLES.get(header.photometric) != header.samples:
        raise UnsupportedFrame(
            f"{header.samples} sample(s) a pixel of this photometric interpretation are not read: send RGB, YBR_FULL, "
            "YBR_FULL_422, YBR_RCT, YBR_ICT, MONOCHROME1, MONOCHROME2 or PALETTE COLOR."
        )
    for keyword in TABLES:
        if header.samples == 1 and keyword in header.dataset:
            raise UnsupportedFrame(f"A {keyword} is not applied here: send the frame with a window instead.")
    if header.syntax in JPEG and header.bits_stored != 8:
        raise UnsupportedFrame("JPEG Extended of 12 bits is not read: convert it to JPEG 2000 or uncompressed.")


def _is_plain(header: Header) -> bool:
    """Whether the fast JPEG decoder gives what the DICOM header asks for.

    It takes the colour space from the JPEG alone, which says nothing in most RGB ones.
    """
    if header.samples == 3:
        return header.photometric != "RGB"
    return header.photometric == "MONOCHROME2" and not _window(header)


def _native(header: Header, number: int) -> Dataset:
    pixels = header.rows * header.columns
    halved = header.photometric == "YBR_FULL_422"  # PS3.3, section C.7.6.3.1.2: two pixels share Cb and Cr
    length = pixels * (2 if halved else header.samples) * header.bits_allocated // 8
    data = header.dataset.PixelData
    if len(data) < length * header.frames:
        raise CorruptFrame(
            f"The Pixel Data has {len(data)} bytes, and the header promises {length * header.frames}: send all of it."
        )
    frame = data[(number - 1) * length : number * length]
    return _image_dataset(header, frame + b"\0" * (length % 2))


def _codestream(header: Header, number: int) -> bytes:
    data = header.dataset
    offsets = None
    if "ExtendedOffsetTable" in data and "ExtendedOffsetTableLengths" in data:
        offsets = (data.ExtendedOffsetTable, data.ExtendedOffsetTableLengths)
    return get_frame(data.PixelData, number - 1, number_of_frames=header.frames, extended_offsets=offsets)


def _rle(header: Header, stream: bytes) -> Dataset:
    """RLE (PS3.5, annex G), by Pillow's PackBits: no segment gives more bytes than the frame has pixels."""
    count, *offsets = struct.unpack_from("<16I", stream)
    size = header.bits_allocated // 8
    if count != header.samples * size:
        raise CorruptFrame(f"The RLE frame has {count} segments, and {header.samples * size} are needed.")
    ends = [*offsets[1:count], len(stream)]
    pixels = header.rows * header.columns
    planes = [
        Image.frombytes("L", (pixels, 1), stream[start:end], "packbits", "L").tobytes()
        for start, end in zip(offsets[:count], ends, strict=True)
    ]
    # A sample's segments run from its most significant byte: [samples, bytes, pixels] -> little endian samples.
    values = np.frombuffer(b"".join(planes), np.uint8).reshape(header.samples, size, pixels)
    little = values[:, ::-1].transpose(0, 2, 1).tobytes()
    dataset = _image_dataset(header, little + b"\0" * (len(little) % 2))
    if header.samples > 1:
        dataset.PlanarConfiguration = 1
    return dataset


def _check_codestream(header: Header, stream: bytes) -> None:
    """Raise CorruptFrame unless the codestream claims the DICOM header's own size."""
    if header.syntax in JPEG:
        frames.check_scans(stream)
    size = _jpeg_2000_size(stream) if header.syntax in JPEG_2000 else _jpeg_size(stream)
    promised = (header.rows, header.columns, header.samples)
    if size != promised:
        raise CorruptFrame(
            f"The compressed frame is {size[1]} x {size[0]} with {size[2]} component(s), and the DICOM header says "
            f"{promised[1]} x {promised[0]} with {promised[2]}: send the object as it was made."
        )


def _jpeg_size(stream: bytes) -> tuple[int, int, int]:
    """Height, width and components by the first frame header of a JPEG or JPEG-LS stream."""
    at = 2
    while stream[at : at + 1] == b"\xff":
        marker = stream[at + 1]
        if marker in START_OF_FRAME:
            height, width, components = struct.unpack_from(">HHB", stream, at + 5)
            return height, width, components
        at += 1 if marker == 0xFF else 2 + struct.unpack_from(">H", stream, at + 2)[0]
    raise CorruptFrame("The compressed frame has no header of its own: send the whole file.")


def _jpeg_2000_size(stream: bytes) -> tuple[int, int, int]:
    """Height, width and components by the SIZ marker (ITU-T T.800, section A.5.1)."""
    if not stream.startswith(b"\xff\x4f\xff\x51"):
        raise CorruptFrame("The JPEG 2000 frame does not start with SOC and SIZ: send a bare codestream.")
    right, bottom, left, top = struct.unpack_from(">4I", stream, 8)
    (components,) = struct.unpack_from(">H", stream, 40)
    return bottom - top, right - left, components


def _image_dataset(header: Header, data: bytes) -> Dataset:
    """An image of one frame with nothing but its pixels, so that no decoder sees more."""
    image = Dataset()
    for keyword in ("PixelRepresentation", "PlanarConfiguration"):
        if header.dataset.get(keyword) is not None:
            setattr(image, keyword, int(header.dataset[keyword].value))
    if header.syntax not in NATIVE and header.samples > 1:
        image.PlanarConfiguration = 0  # PS3.5, section 8.2: the codestream alone says how its samples lie
    image.Rows, image.Columns, image.SamplesPerPixel = header.rows, header.columns, header.samples
    image.BitsAllocated, image.BitsStored, image.HighBit = (
        header.bits_allocated,
        header.bits_stored,
        header.bits_stored - 1,
    )
    image.PhotometricInterpretation = header.photometric
    image.PixelData = data
    return image


def _rgb(header: Header, image: Dataset, syntax: UID) -> NDArray[np.uint8]:
    samples, _ = get_decoder(syntax).as_array(image)  # [rows, columns] or [rows, columns, 3], RGB by now
    if header.photometric == PALETTE:
        return _looked_up(header, samples)
    if header.samples == 3:
        return np.ascontiguousarray(_to_8_bits(samples, header.bits_stored))
    return np.repeat(_grey(header, samples)[..., None], 3, axis=2)


def _grey(header: Header, samples: NDArray[Any]) -> NDArray[np.uint8]:
    """Uint8 [rows, columns]: the object's own window, or all values that its bits can hold.

    Never the frame's own least and largest value, which would make a dark frame bright.
    """
    if {"WindowCenter", "WindowWidth"} <= set(_window(header)):
        grey = _windowed(header, samples)
    else:
        signed = header.dataset.get("PixelRepresentation", 0) == 1
        grey = _to_8_bits(samples, header.bits_stored, 2 ** (header.bits_stored - 1) if signed else 0)
    return 255 - grey if header.photometric == "MONOCHROME1" else grey


def _window(header: Header) -> list[str]:
    """Those of `WINDOW_KEYWORDS` that the object has; an empty one says nothing."""
    return [word for word in WINDOW_KEYWORDS if word in header.dataset and not header.dataset[word].is_empty]


def _windowed(header: Header, samples: NDArray[Any]) -> NDArray[np.uint8]:
    """The first window over rescaled values (PS3.3, sections C.11.1 and C.11.2)."""
    rules = _image_dataset(header, b"")
    for keyword in _window(header):
        rules[keyword] = header.dataset[keyword]
    slope, intercept = float(rules.get("RescaleSlope", 1)), float(rules.get("RescaleIntercept", 0))
    rules.RescaleSlope, rules.RescaleIntercept = slope, intercept
    shown = apply_windowing(apply_modality_lut(samples, rules), rules)
    # pydicom maps the window to the range of the rescaled values.
    signed = rules.get("PixelRepresentation", 0) == 1
    lowest = -(2 ** (header.bits_stored - 1)) if signed else 0
    least, span = lowest * slope + intercept, (2**header.bits_stored - 1) * slope
    grey: NDArray[np.uint8] = np.clip(np.rint((shown - least) * (255 / span)), 0, 255).astype(np.uint8)
    return grey


def _looked_up(header: Header, samples: NDArray[Any]) -> NDArray[np.uint8]:
    rules = Dataset()
    for keyword in PALETTE_KEYWORDS:
        element = header.dataset.get_item(keyword)
        if element is None or (isinstance(element.value, bytes) and len(element.value) > MAX_VALUE_BYTES):
            raise UnsupportedFrame("PALETTE COLOR needs three plain lookup tables: send the frame as RGB.")
        rules[keyword] = header.dataset[keyword]
    bits = int(rules.RedPaletteColorLookupTableDescriptor[2])
    return np.ascontiguousarray(_to_8_bits(apply_color_lut(samples, rules), bits))


def _to_8_bits(samples: NDArray[Any], bits: int, offset: int = 0) -> NDArray[np.uint8]:
    if bits == 8 and samples.dtype == np.uint8:
        return samples
    values = samples.astype(np.int32) + offset
    if bits > 8:
        values = values >> (bits - 8)
    elif bits < 8:
        values = values * 255 // (2**bits - 1)  # 0 to 15, say, are black to white too
    return np.clip(values, 0, 255).astype(np.uint8)  # a codestream may hold more bits than it was said to
