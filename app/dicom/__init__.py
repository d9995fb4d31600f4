"""DICOM objects in, DICOM Segmentations out.

    bytes -> header (limits, attributes) -> pixels (one frame, RGB) -> read (`Frame`)
    masks + `Instance` -> seg (Segmentation object)

Importing this package is cheap, and its modules load pydicom and highdicom, which take longer than the rest of
a start (docs/pacs.md has the figures): they are imported by the first request that brings a DICOM object.
"""

from __future__ import annotations

MEDIA_TYPE = "application/dicom"


def is_dicom(data: bytes) -> bool:
    """Whether these bytes are a DICOM file (PS3.10, section 7.1: `DICM` after a preamble of 128 bytes)."""
    return data[128:132] == b"DICM"
