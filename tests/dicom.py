"""DICOM objects made up on the spot, in every transfer syntax that can be written here."""

from __future__ import annotations

import io
from typing import Any

from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import UID, ExplicitVRLittleEndian, generate_uid

from app.dicom import privacy  # noqa: F401  (values that break rules are written without a warning from here on)

VL_ENDOSCOPIC = "1.2.840.10008.5.1.4.1.1.77.1.1"
VIDEO_ENDOSCOPIC = "1.2.840.10008.5.1.4.1.1.77.1.1.1"
SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
TRUE_COLOR_SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7.4"

NAME = "Zorglub^Marked^Person"
PATIENT = {
    "PatientName": NAME,
    "PatientID": "MRN-4711-MARKED",
    "PatientBirthDate": "19581112",
    "PatientSex": "F",
    "StudyDate": "20250304",
    "StudyTime": "101112",
    "StudyID": "S42",
    "AccessionNumber": "A4711",
    "ReferringPhysicianName": "Bystander^Marked",
}


def image(pixels: NDArray[Any], **changes: Any) -> FileDataset:
    """An uncompressed image of [rows, columns], [rows, columns, 3] or [frames, rows, columns, 3]; some values changed.

    A change to None leaves the attribute out.
    """
    colour = pixels.ndim > 2 and pixels.shape[-1] == 3
    rows, columns = pixels.shape[-3:-1] if colour else pixels.shape[-2:]
    bits = pixels.dtype.itemsize * 8
    dataset = _file(changes.pop("TransferSyntaxUID", ExplicitVRLittleEndian))
    values: dict[str, Any] = {
        "SOPClassUID": VL_ENDOSCOPIC,
        "SOPInstanceUID": dataset.file_meta.MediaStorageSOPInstanceUID,
        "StudyInstanceUID": generate_uid(),
        "SeriesInstanceUID": generate_uid(),
        **PATIENT,
        "Modality": "ES",
        "Manufacturer": "Made up",
        "SeriesNumber": 1,
        "InstanceNumber": 1,
        "ImageType": ["ORIGINAL", "PRIMARY"],
        "SamplesPerPixel": 3 if colour else 1,
        "PhotometricInterpretation": "RGB" if colour else "MONOCHROME2",
        "PlanarConfiguration": 0 if colour else None,
        "Rows": rows,
        "Columns": columns,
        "NumberOfFrames": pixels.shape[0] if pixels.ndim == (4 if colour else 3) else None,
        "BitsAllocated": bits,
        "BitsStored": bits,
        "HighBit": bits - 1,
        "PixelRepresentation": 0,
        "LossyImageCompression": "00",
        "PixelData": pixels.tobytes() + b"\0" * (pixels.nbytes % 2),
        **changes,
    }
    for keyword, value in values.items():
        if value is not None:
            setattr(dataset, keyword, value)
    return dataset


def encapsulated(pixels: NDArray[Any], syntax: UID, streams: list[bytes], **changes: Any) -> FileDataset:
    """An image whose frames are these codestreams."""
    return image(pixels, **{"TransferSyntaxUID": syntax, "PixelData": encapsulate(streams), **changes})


def compressed(pixels: NDArray[Any], syntax: UID, **changes: Any) -> FileDataset:
    """An image compressed by pydicom."""
    dataset = image(pixels, **changes)
    dataset.compress(syntax, generate_instance_uid=False)
    return dataset


def file(dataset: FileDataset) -> bytes:
    """The bytes of a DICOM file."""
    written = io.BytesIO()
    dataset.save_as(written, enforce_file_format=True)
    return written.getvalue()


def pixel_spacing(row: float, column: float) -> Dataset:
    """Shared functional groups with this spacing."""
    measures, shared = Dataset(), Dataset()
    measures.PixelSpacing = [row, column]
    shared.PixelMeasuresSequence = [measures]
    return shared


def _file(syntax: UID) -> FileDataset:
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = syntax
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.MediaStorageSOPClassUID = VL_ENDOSCOPIC
    return FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
