"""`output=dicom-seg`: a Segmentation that other DICOM software reads, and that says what it is of."""

from __future__ import annotations

import hashlib
import io
import shutil
import subprocess
from pathlib import Path
from typing import Any

import highdicom
import httpx
import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.dataset import FileDataset
from pydicom.uid import JPEG2000, JPEG2000Lossless

from tests.app.test_stream import ask, open_stream
from tests.conftest import Serve
from tests.dicom import (
    NAME,
    PATIENT,
    SECONDARY_CAPTURE,
    TRUE_COLOR_SECONDARY_CAPTURE,
    VIDEO_ENDOSCOPIC,
    VL_ENDOSCOPIC,
    compressed,
    file,
    image,
)
from tests.synthetic import SIZE, colonoscopy, decode, encode, red_graph

URL = "/v1/segment"
HEADERS = {"content-type": "application/dicom"}
VALIDATOR = shutil.which("dciodvfy")

# As `app.dicom.privacy` sets in the service; pytest puts its own filters back before each test.
pytestmark = pytest.mark.filterwarnings("ignore:::pydicom", "ignore:::highdicom")


def post(client: httpx.Client, source: FileDataset, output: str = "dicom-seg", **params: Any) -> httpx.Response:
    return client.post(URL, params={"output": output, **params}, content=file(source), headers=HEADERS)


def segmentation_of(client: httpx.Client, source: FileDataset, **params: Any) -> FileDataset:
    answer = post(client, source, **params)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/dicom"
    return dcmread(io.BytesIO(answer.content))


def masks_of(client: httpx.Client, source: FileDataset, numbers: list[int]) -> np.ndarray:
    """The service's own mask PNGs, bool [frames, rows, columns]."""
    return np.stack([decode(post(client, source, "mask", frame=number).content) == 255 for number in numbers])


def movie(count: int = 3) -> np.ndarray:
    """A polyp in every other frame, each somewhere else; sides that fill no whole bytes."""
    pixels = np.zeros((count, 41, 53, 3), np.uint8)
    for number in range(0, count, 2):
        pixels[number, 3 * number : 3 * number + 9, 5:25, 0] = 255
    return pixels


def valid(content: bytes, folder: Path) -> None:
    """Judged by dciodvfy of dicom3tools: not one error, and no warning but of what the source itself lacks."""
    if VALIDATOR is None:
        pytest.skip("needs dciodvfy: install dicom3tools")
    path = folder / "seg.dcm"
    path.write_bytes(content)
    judged = subprocess.run([VALIDATOR, "-new", path], capture_output=True, text=True, check=False)
    lines = judged.stderr.splitlines()
    complaints = [line for line in lines if line.startswith(("Error", "Warning")) and "to build DICOMDIR" not in line]
    assert (complaints, judged.returncode) == ([], 0)


SOURCES = {
    "endoscopic": lambda: image(colonoscopy(91, 121)),
    "compressed": lambda: compressed(colonoscopy(91, 121), JPEG2000Lossless),
    "capture": lambda: image(colonoscopy(), SOPClassUID=SECONDARY_CAPTURE, Modality="OT"),
    "spacing": lambda: image(colonoscopy(), PixelSpacing=[0.5, 0.25]),
    "empty": lambda: image(np.zeros((50, 60, 3), np.uint8)),
    "frames": lambda: image(movie(), SOPClassUID=TRUE_COLOR_SECONDARY_CAPTURE),
    "nameless": lambda: image(colonoscopy(), PatientName="", PatientID="", PatientBirthDate=None, StudyDate=None),
    "private class": lambda: image(colonoscopy(), SOPClassUID="1.2.3.4.5"),
}


@pytest.mark.parametrize("kind", SOURCES)
def test_is_valid_by_an_independent_judge(client: httpx.Client, kind: str, tmp_path: Path) -> None:
    valid(post(client, SOURCES[kind]()).content, tmp_path)


@pytest.mark.parametrize("kind", ["endoscopic", "compressed", "capture", "spacing", "empty"])
def test_mask_of_a_single_frame(client: httpx.Client, kind: str) -> None:
    source = SOURCES[kind]()
    answer = post(client, source)
    expected = masks_of(client, source, [1])
    read = highdicom.seg.segread(io.BytesIO(answer.content))
    by_highdicom = read.get_pixels_by_source_instance([source.SOPInstanceUID], combine_segments=True)
    np.testing.assert_array_equal(by_highdicom, expected)
    np.testing.assert_array_equal(dcmread(io.BytesIO(answer.content)).pixel_array, expected[0])
    assert expected.any() == (kind != "empty")


def test_masks_of_all_frames(client: httpx.Client) -> None:
    source = image(movie(5), SOPClassUID=TRUE_COLOR_SECONDARY_CAPTURE)
    answer = post(client, source)
    numbers = [1, 2, 3, 4, 5]
    expected = masks_of(client, source, numbers)
    read = highdicom.seg.segread(io.BytesIO(answer.content))
    by_highdicom = read.get_pixels_by_source_frame(source.SOPInstanceUID, numbers, combine_segments=True)
    np.testing.assert_array_equal(by_highdicom, expected)
    np.testing.assert_array_equal(dcmread(io.BytesIO(answer.content)).pixel_array, expected)
    assert [bool(mask.any()) for mask in expected] == [True, False, True, False, True]


def test_mask_of_one_frame_of_many(client: httpx.Client, tmp_path: Path) -> None:
    source = image(movie(5), SOPClassUID=VIDEO_ENDOSCOPIC)
    answer = post(client, source, frame=3)
    read = highdicom.seg.segread(io.BytesIO(answer.content))
    found = read.get_pixels_by_source_frame(source.SOPInstanceUID, [3], combine_segments=True)
    np.testing.assert_array_equal(found, masks_of(client, source, [3]))
    assert read.NumberOfFrames == 1
    valid(answer.content, tmp_path)


@pytest.mark.parametrize("kind", ["endoscopic", "frames", "private class"])
def test_refers_to_its_source(client: httpx.Client, kind: str) -> None:
    source = SOURCES[kind]()
    written = segmentation_of(client, source)
    assert written.StudyInstanceUID == source.StudyInstanceUID
    (series,) = written.ReferencedSeriesSequence
    assert series.SeriesInstanceUID == source.SeriesInstanceUID
    items = [*series.ReferencedInstanceSequence, *written.SourceImageSequence]
    frames = [f.DerivationImageSequence[0].SourceImageSequence[0] for f in written.PerFrameFunctionalGroupsSequence]
    for item in (*items, *frames):
        assert item.ReferencedSOPInstanceUID == source.SOPInstanceUID
        assert item.ReferencedSOPClassUID == source.SOPClassUID
    if kind == "frames":
        assert [item.ReferencedFrameNumber for item in frames] == [1, 2, 3]


def test_uids_are_new_each_time(client: httpx.Client) -> None:
    source = image(colonoscopy())
    written = [segmentation_of(client, source) for _ in range(2)]
    for keyword in ("SOPInstanceUID", "SeriesInstanceUID"):
        assert len({getattr(dataset, keyword) for dataset in (source, *written)}) == 3


def test_patient_and_study_are_the_sources(client: httpx.Client) -> None:
    more = {"PatientAge": "067Y", "IssuerOfPatientID": "Hospital", "StudyDescription": "Colonoscopy"}
    written = segmentation_of(client, image(colonoscopy(), **more))
    for keyword, value in {**PATIENT, **more}.items():
        assert str(written[keyword].value) == value


@pytest.mark.parametrize(
    ("name", "character_set"),
    [
        ("Müller^Jörg", "ISO_IR 100"),
        ("Yamada^Tarou=山田^太郎=やまだ^たろう", ["", "ISO 2022 IR 87"]),
        ("Люкceмбypг", "ISO_IR 144"),
        ("王^小明", "ISO_IR 192"),
    ],
)
def test_names_in_other_scripts(client: httpx.Client, name: str, character_set: Any) -> None:
    source = image(colonoscopy(), SpecificCharacterSet=character_set, PatientName=name, StudyDescription="plain")
    assert str(segmentation_of(client, source).PatientName) == name


def test_numbers_and_several_values_are_the_sources(client: httpx.Client, tmp_path: Path) -> None:
    loss = {"LossyImageCompressionRatio": [10.5, 2], "LossyImageCompressionMethod": ["ISO_10918_1", "ISO_15444_1"]}
    person = {"PatientWeight": 70, "PatientBirthDate": "about 1950"}
    source = image(colonoscopy(), LossyImageCompression="01", SoftwareVersions=["2.1", "B 7"], **loss, **person)
    answer = post(client, source)
    written = dcmread(io.BytesIO(answer.content))
    assert (written.PatientWeight, written.PatientBirthDate) == (70, "")
    assert {keyword: written[keyword].value for keyword in loss} == loss
    assert ["2.1", "B 7"] in [item.get("SoftwareVersions") for item in written.ContributingEquipmentSequence]
    valid(answer.content, tmp_path)


def test_values_that_are_none_of_their_kind_are_left_out(client: httpx.Client, tmp_path: Path) -> None:
    odd = {"PatientSex": "X", "PatientBirthDate": "about 1950", "StudyTime": "noon", "PatientAge": "old"}
    answer = post(client, image(colonoscopy(), **odd))
    written = dcmread(io.BytesIO(answer.content))
    assert [written.PatientSex, written.PatientBirthDate, written.StudyTime] == ["", "", ""]
    assert "PatientAge" not in written
    assert written.PatientName == NAME
    valid(answer.content, tmp_path)


def test_what_it_says_of_itself(client: httpx.Client) -> None:
    written = segmentation_of(
        client, image(colonoscopy(), Manufacturer="Scope Works"), model="red-dense", threshold=0.25
    )
    (segment,) = written.SegmentSequence
    algorithm = segment.SegmentationAlgorithmIdentificationSequence[0]
    codes = [
        segment.SegmentedPropertyCategoryCodeSequence[0],
        segment.SegmentedPropertyTypeCodeSequence[0],
        algorithm.AlgorithmFamilyCodeSequence[0],
    ]
    assert [(code.CodeValue, code.CodingSchemeDesignator) for code in codes] == [
        ("49755003", "SCT"),
        ("68496003", "SCT"),
        ("123110", "DCM"),
    ]
    assert (segment.SegmentLabel, segment.SegmentAlgorithmType) == ("Polyp", "AUTOMATIC")
    assert (algorithm.AlgorithmName, algorithm.AlgorithmVersion) == ("Polyprune red-dense", "1")
    assert (written.SegmentationType, written.Modality, written.ContentLabel) == ("BINARY", "SEG", "POLYP")
    assert written.Manufacturer == "Polyprune"
    assert "0.25" in written.ContentDescription
    assert "Scope Works" in [item.Manufacturer for item in written.ContributingEquipmentSequence]
    assert "FrameOfReferenceUID" not in written


def test_graph_and_place_are_told(client: httpx.Client) -> None:
    written = segmentation_of(client, image(movie(5), SOPClassUID=VIDEO_ENDOSCOPIC), frame=3, model="red-dense")
    assert written.DeviceSerialNumber == hashlib.sha256(red_graph()).hexdigest()
    content = written.PerFrameFunctionalGroupsSequence[0].FrameContentSequence[0]
    assert (list(content.DimensionIndexValues), content.TemporalPositionIndex) == ([1, 1], 1)


def test_spacing_is_carried_over(client: httpx.Client) -> None:
    written = segmentation_of(client, image(colonoscopy(), PixelSpacing=[0.5, 0.25]))
    (measures,) = written.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence
    assert list(measures.PixelSpacing) == [0.5, 0.25]
    without = segmentation_of(client, image(colonoscopy()))
    assert "PixelMeasuresSequence" not in without.SharedFunctionalGroupsSequence[0]


def test_loss_of_the_source_is_told(client: httpx.Client, tmp_path: Path) -> None:
    source = image(colonoscopy())
    source.compress(JPEG2000, j2k_cr=[5], generate_instance_uid=False)
    source.LossyImageCompression = "01"
    source.LossyImageCompressionRatio = "5"
    source.LossyImageCompressionMethod = "ISO_15444_1"
    answer = post(client, source)
    assert dcmread(io.BytesIO(answer.content)).LossyImageCompression == "01"
    valid(answer.content, tmp_path)


def test_headers_and_stages(client: httpx.Client) -> None:
    headers = post(client, image(movie(3))).headers
    assert headers["x-polyprune-model"] == "red-pruned/1"
    stages = [entry.split(";dur=")[0] for entry in headers["server-timing"].split(", ")]
    assert stages == ["queue", "decode", "fit", "network", "mask", "render"]


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_other_files_have_nothing_to_refer_to(client: httpx.Client, kind: str) -> None:
    answer = client.post(URL, params={"output": "dicom-seg"}, files={"file": encode(colonoscopy(), kind)})
    assert (answer.status_code, answer.json()["type"]) == (422, "urn:polyprune:problem:not-dicom")


@pytest.mark.parametrize("keyword", ["SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID"])
@pytest.mark.parametrize("value", [None, "not a uid"])
def test_source_that_cannot_be_referred_to(client: httpx.Client, keyword: str, value: str | None) -> None:
    source = image(colonoscopy(), **{keyword: value})
    content = post_without_checks(source)
    answer = client.post(URL, params={"output": "dicom-seg"}, content=content, headers=HEADERS)
    assert (answer.status_code, answer.json()["type"]) == (422, "urn:polyprune:problem:incomplete-dicom")
    assert keyword in answer.json()["detail"]
    assert client.post(URL, content=content, headers=HEADERS).status_code == 200


def post_without_checks(source: Dataset) -> bytes:
    written = io.BytesIO()
    source.save_as(written, enforce_file_format=False)
    return written.getvalue()


def test_more_frames_than_are_taken_at_once(serve: Serve) -> None:
    client = serve(max_frames=2)
    answer = post(client, image(movie(3)))
    assert (answer.status_code, answer.json()["type"]) == (413, "urn:polyprune:problem:too-many-frames")
    assert post(client, image(movie(2))).status_code == 200
    assert post(client, image(movie(3)), frame=3).status_code == 200


def test_mask_is_exact_at_the_networks_size(client: httpx.Client) -> None:
    pixels = np.random.default_rng(2).integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)
    written = segmentation_of(client, image(pixels, SOPClassUID=VL_ENDOSCOPIC), model="red-dense")
    np.testing.assert_array_equal(written.pixel_array == 1, pixels[..., 0] >= 128)


def test_every_door_takes_an_object(serve: Serve) -> None:
    """As a picture with the same pixels, also where no Segmentation is asked for."""
    client = serve()
    pixels = colonoscopy()
    scope, picture = file(image(pixels)), encode(pixels)
    masks = [
        [
            client.post("/v1/compare", files={"file": data}).json()["pruned"]["mask"],
            client.post("/v1/segment/batch", files={"file": data}).json()["results"][0]["report"]["mask"],
            streamed(client, data),
        ]
        for data in (scope, picture)
    ]
    assert masks[0] == masks[1]
    assert client.post("/benchmark", data={"iterations": "2"}, files={"file": scope}).status_code == 202


def streamed(client: httpx.Client, data: bytes) -> bytes:
    with open_stream(client, output="bits") as stream:
        return ask(stream, data)[1]
