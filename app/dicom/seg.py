"""Masks -> a DICOM Segmentation (PS3.3, section A.51) that refers to the object they are of.

Every mask lies on the pixels of one source frame, which its Derivation Image functional group names (section
C.7.6.16.2.6). Endoscopes have no coordinate system, so that none is made up: no Frame of Reference is written.
"""

from __future__ import annotations

import io
import re
from contextlib import suppress
from copy import deepcopy

import numpy as np
from highdicom import AlgorithmIdentificationSequence, PixelMeasuresSequence
from highdicom.seg import SegmentAlgorithmTypeValues, SegmentationTypeValues, SegmentDescription
from highdicom.seg import Segmentation as SegmentationObject
from numpy.typing import NDArray
from pydicom import Dataset, config
from pydicom.pixels.utils import pack_bits
from pydicom.sr.coding import Code
from pydicom.tag import Tag
from pydicom.uid import ExplicitVRLittleEndian, generate_uid
from pydicom.valuerep import validate_value

from app import __version__
from app.dicom.privacy import wordless
from app.dicom.read import Instance
from app.errors import IncompleteDicom, NotDicom
from app.frames import Spacing
from app.lesions import Segmentation
from app.model import Model

NAME = "Polyprune"
CATEGORY = Code("49755003", "SCT", "Morphologically Abnormal Structure")  # PS3.16, CID 7150
TYPE = Code("68496003", "SCT", "Polyp of colon")  # PS3.16, annex D; CID 7194 is extensible
FAMILY = Code("123110", "DCM", "Artificial Intelligence")  # PS3.16, CID 7162
SERIES_NUMBER = 1001  # a series of its own, apart from the low numbers that modalities count

# highdicom wants a class that it knows, and of a multi-frame one geometry that endoscopes lack: Secondary Capture,
# whose identity modules are the same (PS3.3, section A.8.1), stands in, and `_name_class` puts the class right.
STAND_IN = "1.2.840.10008.5.1.4.1.1.7"
# Without these nothing can refer to an object.
REQUIRED = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")
# Of PS3.3, sections C.7.1.1 (Patient), C.7.2.1 (Study), C.7.2.2 (Patient Study) and C.7.1.3 (Clinical Trial).
IDENTITY = (
    "PatientName", "PatientID", "IssuerOfPatientID", "PatientBirthDate", "PatientBirthTime", "PatientSex",
    "OtherPatientIDs", "PatientIdentityRemoved", "DeidentificationMethod", "StudyDate", "StudyTime", "StudyID",
    "AccessionNumber", "ReferringPhysicianName", "StudyDescription", "PatientAge", "PatientSize", "PatientWeight",
    "ClinicalTrialSponsorName", "ClinicalTrialProtocolID", "ClinicalTrialSubjectID",
)  # fmt: skip
EMPTY_IF_UNKNOWN = (
    "PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "StudyID",
    "AccessionNumber", "ReferringPhysicianName",
)  # fmt: skip
# The endoscope, for Contributing Equipment (section C.12.1.1.5).
EQUIPMENT = ("Manufacturer", "ManufacturerModelName", "DeviceSerialNumber", "SoftwareVersions", "InstitutionName")
LOSS = ("LossyImageCompression", "LossyImageCompressionRatio", "LossyImageCompressionMethod")
SEXES = ("M", "F", "O")
# Value representations that readers parse; longer or stranger text than allowed is better than a lost name.
STRICT = ("AS", "CS", "DA", "DS", "TM")
MAX_TEXT = 1024
UID_FORM = re.compile(r"[0-9.]{1,64}")


def write(segmentation: Segmentation, model: Model) -> bytes:
    """A Segmentation object, as a file: one binary segment, a frame for each mask, empty ones too.

    Raises:
        NotDicom: the frame is from another kind of file.
        IncompleteDicom: the source cannot be referred to.
    """
    source = segmentation.frame.source
    if not isinstance(source, Instance):
        raise NotDicom(NotDicom.example)
    with wordless(IncompleteDicom, "No Segmentation could be made for the DICOM object: its attributes are damaged"):
        masks = np.stack([segmentation.mask, *segmentation.further]) // 255  # [frames, rows, columns]
        written = _single(source, segmentation, model, masks[0])
        written.PatientOrientation = None  # section C.7.6.1.1.1: unknown, and so empty, without coordinates
        _name_class(written, str(source.dataset.SOPClassUID))
        _number_frames(written, source)
        _add_masks(written, masks)
        file = io.BytesIO()
        written.save_as(file, enforce_file_format=True)
    return file.getvalue()


def _single(source: Instance, segmentation: Segmentation, model: Model, mask: NDArray[np.uint8]) -> SegmentationObject:
    origin = _origin(source.dataset, segmentation)
    return SegmentationObject(
        source_images=[origin],
        pixel_array=mask,
        segmentation_type=SegmentationTypeValues.BINARY,
        segment_descriptions=[_polyp(model)],
        series_instance_uid=generate_uid(prefix=None),
        series_number=SERIES_NUMBER,
        sop_instance_uid=generate_uid(prefix=None),
        instance_number=1,
        manufacturer=NAME,
        manufacturer_model_name=NAME,
        software_versions=__version__,
        device_serial_number=model.manifest.sha256,  # names the network's graph, to the bit
        transfer_syntax_uid=ExplicitVRLittleEndian,
        pixel_measures=_measures(segmentation.frame.spacing),
        omit_empty_frames=False,
        content_label="POLYP",
        content_description=f"Threshold {segmentation.threshold:.4g}. Research use only",
        series_description=f"{NAME} {model.id}",
        specific_character_set=origin.get("SpecificCharacterSet"),
    )


def _measures(spacing: Spacing | None) -> PixelMeasuresSequence | None:
    if spacing is None:
        return None
    # A picture has no thickness, but none must not be zero, and highdicom reads no measures without: a cube's.
    return PixelMeasuresSequence((spacing.row, spacing.column), slice_thickness=min(spacing.row, spacing.column))


def _polyp(model: Model) -> SegmentDescription:
    algorithm = AlgorithmIdentificationSequence(
        name=f"{NAME} {model.manifest.name}", family=FAMILY, version=model.manifest.version, source=NAME
    )
    return SegmentDescription(
        segment_number=1,
        segment_label="Polyp",
        segmented_property_category=CATEGORY,
        segmented_property_type=TYPE,
        algorithm_type=SegmentAlgorithmTypeValues.AUTOMATIC,
        algorithm_identification=algorithm,
    )


def _origin(dataset: Dataset, segmentation: Segmentation) -> Dataset:
    """The source with nothing but what a Segmentation takes over; dates and codes that are none are left out."""
    origin = Dataset()
    for keyword in REQUIRED:
        value = str(dataset.get(keyword, ""))
        if not UID_FORM.fullmatch(value):
            raise IncompleteDicom(
                f"A Segmentation cannot refer to the object, since its {keyword} is missing or no UID: complete it."
            )
        setattr(origin, keyword, value)
    for keyword in (*IDENTITY, *EQUIPMENT, *LOSS):
        _copy(dataset, origin, keyword)
    for keyword in EMPTY_IF_UNKNOWN:
        if keyword not in origin:
            setattr(origin, keyword, "")
    if origin.PatientSex not in SEXES:
        origin.PatientSex = ""
    if not _is_ascii(origin):
        origin.SpecificCharacterSet = "ISO_IR 192"  # UTF-8, whatever the source was written in
    origin.Modality = str(dataset.get("Modality", "")) or "OT"
    origin.Rows, origin.Columns = segmentation.mask.shape
    origin.SOPClassUID = STAND_IN
    return origin


def _copy(dataset: Dataset, origin: Dataset, keyword: str) -> None:
    raw = dataset.get_item(Tag(keyword))
    if raw is None or raw.value is None or len(raw.value) > MAX_TEXT:
        return
    element = dataset[keyword]
    values = [str(value) for value in ([element.value] if element.VM == 1 else element.value or [])]
    if element.VR in STRICT:
        with suppress(ValueError):
            for value in values:
                validate_value(element.VR, value, config.RAISE)
            origin.add(element)
    else:
        origin.add_new(element.tag, element.VR, "\\".join(values))  # decoded, to be encoded again


def _is_ascii(dataset: Dataset) -> bool:
    return all(str(element.value).isascii() for element in dataset)


def _name_class(written: Dataset, sop_class: str) -> None:
    """Refer to the source by its own class."""
    (series,) = written.ReferencedSeriesSequence
    (frame,) = written.PerFrameFunctionalGroupsSequence
    for item in (*series.ReferencedInstanceSequence, *written.SourceImageSequence, *_sources(frame)):
        item.ReferencedSOPClassUID = sop_class


def _sources(frame: Dataset) -> list[Dataset]:
    return [item for derivation in frame.DerivationImageSequence for item in derivation.SourceImageSequence]


def _number_frames(written: Dataset, source: Instance) -> None:
    """A frame for each mask, and in it which frame of a multi-frame source the mask is of.

    highdicom makes the first one; for a source without coordinates it makes no more than one. Frames follow each
    other in time: their rank (Temporal Position Index, section C.7.6.16.2.2) is the second dimension.
    """
    if source.frames == 1:
        return
    index = Dataset()
    index.DimensionOrganizationUID = written.DimensionIndexSequence[0].DimensionOrganizationUID
    index.DimensionIndexPointer = Tag("TemporalPositionIndex")
    index.FunctionalGroupPointer = Tag("FrameContentSequence")
    index.DimensionDescriptionLabel = "Frame of the source"
    written.DimensionIndexSequence.append(index)
    (first,) = written.PerFrameFunctionalGroupsSequence
    written.PerFrameFunctionalGroupsSequence = [
        _numbered(first, number, place) for place, number in enumerate(source.numbers, start=1)
    ]


def _numbered(first: Dataset, number: int, place: int) -> Dataset:
    frame = deepcopy(first)
    for item in _sources(frame):
        item.ReferencedFrameNumber = number
    content = frame.FrameContentSequence[0]
    content.TemporalPositionIndex = place
    content.DimensionIndexValues = [1, place]  # the segment, and the rank
    return frame


def _add_masks(written: Dataset, masks: NDArray[np.uint8]) -> None:
    written.NumberOfFrames = len(masks)
    written.PixelData = pack_bits(masks)
