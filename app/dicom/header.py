"""Bytes of a DICOM file -> `Header`: what is needed to find one frame, checked before any pixel is decoded."""

from __future__ import annotations

import io
import zlib
from dataclasses import dataclass

from pydicom import Dataset, dcmread
from pydicom.dataset import FileMetaDataset
from pydicom.filebase import DicomBytesIO
from pydicom.filereader import read_dataset
from pydicom.filewriter import write_file_meta_info
from pydicom.tag import BaseTag, Tag
from pydicom.uid import (
    HTJ2K,
    JPEG2000,
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)

from app.dicom.privacy import wordless
from app.errors import CorruptFrame, FrameTooLarge, UnsupportedFrame
from app.frames import check_size

NATIVE = (ImplicitVRLittleEndian, ExplicitVRLittleEndian, DeflatedExplicitVRLittleEndian)
JPEG = (JPEGBaseline8Bit, JPEGExtended12Bit)
JPEG_LS = (JPEGLSLossless, JPEGLSNearLossless)
JPEG_2000 = (JPEG2000Lossless, JPEG2000, HTJ2KLossless, HTJ2K)
RLE = (RLELossless,)
READ = (*NATIVE, *JPEG, *JPEG_LS, *JPEG_2000, *RLE)
VIDEO = ("MPEG", "HEVC", "SMPTE")

META_START = 132  # PS3.10, section 7.1: after the preamble and DICM
# Of a deflated object, beside its pixels. Deflate packs 1032 bytes into one at best.
MAX_HEADER_BYTES = 2**20
# Every element is two or three reads. The largest honest headers, of some thousand frames, take about 60 a frame.
MAX_READS = 100_000
# Of a sequence that is looked into, or of a palette: pydicom parses it in one go.
MAX_VALUE_BYTES = 2**18


@dataclass(frozen=True)
class Header:
    """A DICOM image whose claims fit together.

    Attributes:
        dataset: all of it, its values not yet converted.
        syntax: transfer syntax.
        rows, columns, samples, bits_allocated, bits_stored: (0028,xxxx), all checked.
        frames: number of frames, at least 1.
        photometric: photometric interpretation.
    """

    dataset: Dataset
    syntax: UID
    rows: int
    columns: int
    frames: int
    samples: int
    bits_allocated: int
    bits_stored: int
    photometric: str


class MeteredFile(io.BytesIO):
    """A file for MAX_READS reads and no more: millions of tiny elements would cost minutes and gigabytes."""

    reads = 0

    def read(self, size: int | None = -1, /) -> bytes:
        """As BytesIO. Raises EOFError after too many."""
        self.reads += 1
        if self.reads > MAX_READS:
            raise EOFError("too many reads")
        return super().read(size)


def parse(data: bytes, *, max_pixels: int) -> Header:
    """The header of a DICOM file.

    Raises:
        CorruptFrame, UnsupportedFrame, FrameTooLarge: by what the header says; nothing is decoded before.
    """
    with wordless(CorruptFrame, "The DICOM object's header is truncated or damaged: send the whole file."):
        syntax = _syntax(data)
        if syntax == DeflatedExplicitVRLittleEndian:
            data = inflate(data, 3 * max_pixels + MAX_HEADER_BYTES)
        header = _header(_elements(data), syntax)
    check_size(header.columns, header.rows, max_pixels)
    return header


def inflate(data: bytes, limit: int) -> bytes:
    """A file in Deflated Explicit VR Little Endian -> the same in Explicit VR Little Endian (PS3.5, section A.5).

    Raises:
        FrameTooLarge: it inflates to more than `limit` bytes; no more are ever held.
    """
    meta = _meta(data)
    start = META_START + 12 + int(meta.FileMetaInformationGroupLength)
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    plain = inflater.decompress(data[start:], limit)
    if inflater.unconsumed_tail:
        raise FrameTooLarge(f"The deflated DICOM object inflates to more than {limit} bytes: send it uncompressed.")
    if not inflater.eof:
        raise CorruptFrame("The deflated DICOM object ends early: send the whole file.")
    return _preamble(meta) + plain


def short_sequence(dataset: Dataset, keyword: str) -> list[Dataset]:
    """Items of a sequence; none where it is absent or longer than anyone needs."""
    element = dataset.get_item(Tag(keyword))
    if element is None or (isinstance(element.value, bytes) and len(element.value) > MAX_VALUE_BYTES):
        return []
    return list(dataset[keyword].value or [])


def _preamble(meta: FileMetaDataset) -> bytes:
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    file = DicomBytesIO()
    file.write(b"\0" * 128 + b"DICM")
    write_file_meta_info(file, meta, enforce_standard=False)
    return file.getvalue()


def _elements(data: bytes) -> Dataset:
    file = MeteredFile(data)
    try:
        return dcmread(file)
    finally:
        if file.reads > MAX_READS:  # whatever pydicom made of it
            raise CorruptFrame("The DICOM object has too many elements: send one image without private data.")


def _meta(data: bytes) -> FileMetaDataset:
    file = MeteredFile(data)
    file.seek(META_START)
    return FileMetaDataset(read_dataset(file, False, True, stop_when=_not_meta))


def _not_meta(tag: BaseTag, _vr: str | None, _length: int) -> bool:
    return tag.group != 2


def _syntax(data: bytes) -> UID:
    syntax = UID(_meta(data).TransferSyntaxUID)
    if syntax in READ:
        return syntax
    name = syntax.name if syntax.is_transfer_syntax else "unknown"
    if any(word in name for word in VIDEO):
        raise UnsupportedFrame(
            f"DICOM video ({name}) is not read: take frames out of it (ffmpeg) and send those, or stream them."
        )
    raise UnsupportedFrame(
        f"The transfer syntax {name!r} is not read: send it uncompressed, or as JPEG Baseline, JPEG-LS, JPEG 2000 "
        "or RLE (gdcmconv --raw and dcmdjpeg decompress)."
    )


def _header(dataset: Dataset, syntax: UID) -> Header:
    if "PixelData" not in dataset:
        raise CorruptFrame("The DICOM object has no whole Pixel Data (7FE0,0010): send all of a file, and of an image.")
    header = Header(
        dataset=dataset,
        syntax=syntax,
        rows=_positive(dataset, "Rows"),
        columns=_positive(dataset, "Columns"),
        frames=_positive(dataset, "NumberOfFrames", 1),
        samples=_positive(dataset, "SamplesPerPixel"),
        bits_allocated=_positive(dataset, "BitsAllocated"),
        bits_stored=_positive(dataset, "BitsStored"),
        photometric=str(dataset.get("PhotometricInterpretation", "")),
    )
    _check_bits(header)
    return header


def _check_bits(header: Header) -> None:
    if header.bits_allocated not in (8, 16) or header.bits_stored > header.bits_allocated:
        raise UnsupportedFrame(
            f"Samples of {header.bits_stored} bits in {header.bits_allocated} are not read: send 8 or 16."
        )
    if _positive(header.dataset, "HighBit", header.bits_stored - 1) != header.bits_stored - 1:
        raise UnsupportedFrame(
            "Samples whose High Bit is not Bits Stored - 1 are not read: send the object with its samples moved down "
            "to the lowest bits."
        )


def _positive(dataset: Dataset, keyword: str, default: int | None = None) -> int:
    value = dataset.get(keyword)
    number = int(str(value)) if value is not None and str(value) else (default or 0)
    if number < 1:
        raise CorruptFrame(f"The DICOM object's {keyword} is missing or not positive: send an image.")
    return number
