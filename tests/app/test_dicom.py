"""DICOM objects of every kind to pixels, and what is refused."""

from __future__ import annotations

import io
import struct
import tracemalloc
from typing import Any

import cv2
import httpx
import jpeg_ls
import numpy as np
import pytest
import simplejpeg
from PIL import Image
from pydicom import Dataset
from pydicom.dataset import FileDataset
from pydicom.encaps import encapsulate
from pydicom.pixels.processing import convert_color_space
from pydicom.uid import (
    HEVCMP51,
    HTJ2K,
    JPEG2000,
    MPEG2MPML,
    MPEG4HP41,
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)

from app.dicom import read
from app.errors import BadParameter, CorruptFrame, FrameTooLarge, TooManyFrames, UnsupportedFrame
from app.frames import Frame
from tests.dicom import SECONDARY_CAPTURE, compressed, encapsulated, file, image, pixel_spacing
from tests.synthetic import SIZE, colonoscopy, decode, encode

URL = "/v1/segment"
HEADERS = {"content-type": "application/dicom"}
LIMIT = 2**24
NATIVE = [ImplicitVRLittleEndian, ExplicitVRLittleEndian, DeflatedExplicitVRLittleEndian]
LOSSLESS = [JPEGLSLossless, JPEG2000Lossless, RLELossless]

# As `app.dicom.privacy` sets in the service; pytest puts its own filters back before each test.
pytestmark = pytest.mark.filterwarnings("ignore:::pydicom")


def frames_of(source: FileDataset | bytes, **options: Any) -> list[Frame]:
    data = source if isinstance(source, bytes) else file(source)
    settings = {"number": None, "every": False, "max_pixels": LIMIT, "max_frames": 64, **options}
    return list(read.read(data, **settings))


def pixels_of(source: FileDataset | bytes, **options: Any) -> np.ndarray:
    (frame,) = frames_of(source, **options)
    assert frame.pixels.dtype == np.uint8
    assert frame.pixels.flags.c_contiguous
    return frame.pixels


def movie(count: int = 3, height: int = 33, width: int = 45) -> np.ndarray:
    """Noise; the JPEG 2000 encoder takes no side under 32."""
    return np.random.default_rng(5).integers(0, 256, (count, height, width, 3), dtype=np.uint8)


# ---- kinds of pixel data


@pytest.mark.parametrize("syntax", NATIVE)
def test_uncompressed_colour_is_exact(syntax: UID) -> None:
    pixels = colonoscopy(91, 121)
    (frame,) = frames_of(image(pixels, TransferSyntaxUID=syntax))
    assert (frame.width, frame.height) == (121, 91)
    np.testing.assert_array_equal(frame.pixels, pixels)


@pytest.mark.parametrize("syntax", LOSSLESS)
def test_lossless_compression_is_exact(syntax: UID) -> None:
    pixels = colonoscopy(91, 121)
    np.testing.assert_array_equal(pixels_of(compressed(pixels, syntax)), pixels)


@pytest.mark.parametrize("syntax", LOSSLESS)
def test_planar_configuration_says_nothing_of_a_codestream(syntax: UID) -> None:
    pixels = colonoscopy(91, 121)
    dataset = compressed(pixels, syntax)
    dataset.PlanarConfiguration = 1
    np.testing.assert_array_equal(pixels_of(dataset), pixels)


@pytest.mark.parametrize("syntax", [*NATIVE, *LOSSLESS])
@pytest.mark.parametrize("number", [None, 1, 2, 3])
def test_frames_by_number(syntax: UID, number: int | None) -> None:
    pixels = movie()
    dataset = image(pixels, TransferSyntaxUID=syntax) if syntax in NATIVE else compressed(pixels, syntax)
    np.testing.assert_array_equal(pixels_of(dataset, number=number), pixels[(number or 1) - 1])


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, RLELossless])
def test_every_frame(syntax: UID) -> None:
    pixels = movie()
    dataset = image(pixels) if syntax in NATIVE else compressed(pixels, syntax)
    np.testing.assert_array_equal([frame.pixels for frame in frames_of(dataset, every=True)], pixels)


def test_planar_configuration_1() -> None:
    pixels = colonoscopy(30, 40)
    dataset = image(pixels, PlanarConfiguration=1, PixelData=np.moveaxis(pixels, -1, 0).tobytes())
    np.testing.assert_array_equal(pixels_of(dataset), pixels)


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, RLELossless])
def test_ybr_full(syntax: UID) -> None:
    pixels = colonoscopy(30, 40)
    ybr = convert_color_space(pixels, "RGB", "YBR_FULL")
    options = {"PhotometricInterpretation": "YBR_FULL"}
    dataset = image(ybr, **options) if syntax in NATIVE else compressed(ybr, syntax, **options)
    assert np.abs(pixels_of(dataset).astype(int) - pixels).max() <= 2  # YBR is rounded to 8 bits


def test_ybr_full_422_uncompressed() -> None:
    """Neighbours have the same colour here, so that halving it costs nothing."""
    pixels = np.repeat(colonoscopy(30, 20), 2, axis=1)
    ybr = convert_color_space(pixels, "RGB", "YBR_FULL")
    packed = np.stack([ybr[:, 0::2, 0], ybr[:, 1::2, 0], ybr[:, 0::2, 1], ybr[:, 0::2, 2]], axis=-1)
    dataset = image(pixels, PhotometricInterpretation="YBR_FULL_422", PixelData=packed.tobytes())
    assert np.abs(pixels_of(dataset).astype(int) - pixels).max() <= 2


def jpeg_image(pixels: np.ndarray, photometric: str = "YBR_FULL_422", **changes: Any) -> FileDataset:
    stream = encode(pixels, "JPEG", quality=95)
    options = {"PhotometricInterpretation": photometric, "LossyImageCompression": "01", **changes}
    return encapsulated(pixels, JPEGBaseline8Bit, [stream], **options)


def test_jpeg_baseline_is_close_and_as_small_as_needed() -> None:
    pixels = colonoscopy(800, 1200)
    assert np.abs(pixels_of(jpeg_image(pixels)).astype(int) - pixels).mean() < 3
    (small,) = frames_of(jpeg_image(pixels), at_least=(100, 100))
    assert (small.width, small.height) == (1200, 800)
    assert 100 <= small.pixels.shape[0] <= 200


def test_jpeg_that_is_rgb_inside() -> None:
    """Neither JFIF nor Adobe marker: only the DICOM header tells that nothing was converted."""
    pixels = colonoscopy(64, 96)
    stream = simplejpeg.encode_jpeg(pixels, colorspace="RGB", colorsubsampling="444", quality=95)
    as_if_ybr = bytes(stream)
    ybr_as_rgb = np.asarray(Image.open(io.BytesIO(as_if_ybr)).convert("YCbCr"))
    bare = without_jfif(as_if_ybr)
    dataset = encapsulated(pixels, JPEGBaseline8Bit, [bare], PhotometricInterpretation="RGB")
    assert np.abs(pixels_of(dataset).astype(int) - ybr_as_rgb).mean() < 2


def test_planar_configuration_says_nothing_of_a_jpeg_that_is_rgb_inside() -> None:
    pixels = colonoscopy(64, 96)
    stream = encode(pixels, "JPEG", quality=95, keep_rgb=True)
    options = {"PhotometricInterpretation": "RGB", "PlanarConfiguration": 1}
    found = pixels_of(encapsulated(pixels, JPEGBaseline8Bit, [stream], **options))
    assert np.abs(found.astype(int) - pixels).mean() < 3


def without_jfif(stream: bytes) -> bytes:
    assert stream[2:4] == b"\xff\xe0"
    (length,) = struct.unpack(">H", stream[4:6])
    return stream[:2] + stream[4 + length :]


def test_jpeg_orientation_of_exif_does_not_count() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    pixels = colonoscopy(60, 90)
    stream = encode(pixels, "JPEG", quality=95, exif=exif)
    dataset = encapsulated(pixels, JPEGBaseline8Bit, [stream], PhotometricInterpretation="YBR_FULL_422")
    assert pixels_of(dataset).shape == (60, 90, 3)


def test_jpeg_over_several_fragments() -> None:
    pixels = colonoscopy(60, 90)
    stream = encode(pixels, "JPEG", quality=95)
    stream += b"\0" * (len(stream) % 2)
    dataset = jpeg_image(pixels, PixelData=encapsulate([stream], fragments_per_frame=3))
    assert np.abs(pixels_of(dataset).astype(int) - pixels).mean() < 3


def test_grey_jpeg() -> None:
    grey = np.ascontiguousarray(colonoscopy(60, 90)[..., 0])
    dataset = jpeg_image(grey, "MONOCHROME2")
    assert np.abs(pixels_of(dataset).astype(int) - grey[..., None]).mean() < 2


@pytest.mark.parametrize("syntax", [JPEG2000, JPEGLSNearLossless])
def test_lossy_compression_is_close(syntax: UID) -> None:
    pixels = colonoscopy(91, 121)
    if syntax == JPEG2000:
        dataset = image(pixels)
        dataset.compress(syntax, j2k_cr=[5], generate_instance_uid=False)
    else:
        stream = jpeg_ls.encode_array(pixels, lossy_error=3, interleave_mode=2)
        dataset = encapsulated(pixels, syntax, [bytes(stream)])
    assert np.abs(pixels_of(dataset).astype(int) - pixels).mean() < 3


def test_reversible_colour_transform_of_jpeg_2000() -> None:
    pixels = colonoscopy(64, 96)
    dataset = image(pixels)
    dataset.PhotometricInterpretation = "RGB"
    dataset.compress(JPEG2000Lossless, generate_instance_uid=False)
    assert dataset.PhotometricInterpretation in ("RGB", "YBR_RCT")
    dataset.PhotometricInterpretation = "YBR_RCT"
    np.testing.assert_array_equal(pixels_of(dataset), pixels)


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, *LOSSLESS])
@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_grey(syntax: UID, photometric: str) -> None:
    grey = np.ascontiguousarray(colonoscopy(33, 45)[..., 0])
    options = {"PhotometricInterpretation": photometric, "SOPClassUID": SECONDARY_CAPTURE}
    dataset = image(grey, **options) if syntax in NATIVE else compressed(grey, syntax, **options)
    expected = 255 - grey if photometric == "MONOCHROME1" else grey
    np.testing.assert_array_equal(pixels_of(dataset), np.repeat(expected[..., None], 3, axis=2))


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, *LOSSLESS])
def test_grey_of_12_bits_is_cut_by_its_type_and_never_by_its_own_range(syntax: UID) -> None:
    grey = np.arange(40 * 50, dtype=np.uint16).reshape(40, 50)  # at most 1999 of 4095
    options = {"BitsStored": 12, "HighBit": 11}
    dataset = image(grey, **options) if syntax in NATIVE else compressed(grey, syntax, **options)
    np.testing.assert_array_equal(pixels_of(dataset)[..., 0], grey >> 4)


def test_signed_grey() -> None:
    grey = np.array([[-32768, -1, 0, 32767]], np.int16)
    assert pixels_of(image(grey, PixelRepresentation=1))[0, :, 0].tolist() == [0, 127, 128, 255]


EXACT = {"WindowWidth": 100, "VOILUTFunction": "LINEAR_EXACT"}


def test_window_over_rescaled_values() -> None:
    """Stored 0 to 100 are 10 to 210; the window of 110 +- 50 (exact) starts at 60 and ends at 160."""
    grey = np.array([[0, 25, 50, 75, 100]], np.uint16)
    dataset = image(
        grey,
        RescaleSlope=2,
        RescaleIntercept=10,
        WindowCenter=[110, 7],
        WindowWidth=[100, 7],
        VOILUTFunction="LINEAR_EXACT",
    )
    assert pixels_of(dataset)[0, :, 0].tolist() == [0, 0, 128, 255, 255]


@pytest.mark.parametrize("empty", ["WindowCenter", "WindowWidth"])
def test_an_empty_window_is_none(empty: str) -> None:
    grey = np.array([[0, 100, 255]], np.uint8)
    dataset = image(grey, **{"WindowCenter": 100, "WindowWidth": 50, empty: None})
    assert pixels_of(dataset)[0, :, 0].tolist() == [0, 100, 255]


def test_window_over_signed_values() -> None:
    grey = np.array([[-100, -50, 0, 50, 100]], np.int16)
    dataset = image(grey, PixelRepresentation=1, WindowCenter=0, **EXACT)
    assert pixels_of(dataset)[0, :, 0].tolist() == [0, 0, 128, 255, 255]


def test_window_of_a_grey_jpeg() -> None:
    grey = np.repeat(np.array([[0, 100, 200]], np.uint8), 16, axis=1).repeat(16, axis=0)
    found = pixels_of(jpeg_image(grey, "MONOCHROME2", WindowCenter=100, **EXACT))[8, 8::16, 0].astype(int)
    assert np.abs(found - [0, 128, 255]).max() <= 3


def test_grey_of_4_bits() -> None:
    grey = np.array([[0, 5, 15]], np.uint8)
    assert pixels_of(image(grey, BitsStored=4, HighBit=3))[0, :, 0].tolist() == [0, 85, 255]


def test_window_inverted() -> None:
    grey = np.array([[0, 100, 200]], np.uint8)
    options = {"WindowCenter": 100, **EXACT}
    dataset = image(grey, PhotometricInterpretation="MONOCHROME1", **options)
    assert pixels_of(dataset)[0, :, 0].tolist() == [255, 127, 0]


@pytest.mark.parametrize("bits", [8, 16])
def test_palette(bits: int) -> None:
    table = np.array([[10, 20, 30], [200, 100, 50]], np.uint16)
    index = np.array([[0, 1, 1], [1, 0, 0]], np.uint8)
    entries = table if bits == 8 else table * 257
    dataset = image(index, PhotometricInterpretation="PALETTE COLOR")
    for channel, colour in enumerate(("Red", "Green", "Blue")):
        setattr(dataset, f"{colour}PaletteColorLookupTableDescriptor", [2, 0, bits])
        data = entries[:, channel].astype(np.uint8 if bits == 8 else "<u2").tobytes()
        setattr(dataset, f"{colour}PaletteColorLookupTableData", data)
    np.testing.assert_array_equal(pixels_of(dataset), table[index])


def test_rle_of_runs_across_rows_and_16_bits() -> None:
    grey = np.zeros((300, 5), np.uint16)
    grey[150:] = 0x1234
    stream = compressed(grey, RLELossless)
    np.testing.assert_array_equal(pixels_of(stream)[..., 0], grey >> 8)
    run = bytes([0x81, 7] * 3 + [0xF8, 9])  # 128 sevens three times, in rows of 49; then 9 nines
    one_segment = struct.pack("<16I", 1, 64, *[0] * 14) + run
    dataset = encapsulated(np.zeros((8, 49), np.uint8), RLELossless, [one_segment])
    assert pixels_of(dataset)[..., 0].ravel().tolist() == [7] * 384 + [9] * 8


# ---- spacing


@pytest.mark.parametrize("attribute", ["PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing"])
def test_spacing(attribute: str) -> None:
    (frame,) = frames_of(image(colonoscopy(), **{attribute: [0.5, 0.25]}))
    assert frame.spacing is not None
    assert (frame.spacing.row, frame.spacing.column, frame.spacing.attribute) == (0.5, 0.25, attribute)


def test_the_surest_spacing_counts() -> None:
    several = {"PixelSpacing": [0.5, 0.25], "ImagerPixelSpacing": [2, 2], "NominalScannedPixelSpacing": [3, 3]}
    for attribute in list(several):
        (frame,) = frames_of(image(colonoscopy(), **several))
        assert frame.spacing is not None
        assert frame.spacing.attribute == attribute
        del several[attribute]


def test_spacing_of_all_frames() -> None:
    for frame in frames_of(image(movie(), SharedFunctionalGroupsSequence=[pixel_spacing(0.5, 0.25)]), every=True):
        assert frame.spacing is not None
        assert (frame.spacing.row, frame.spacing.column) == (0.5, 0.25)


@pytest.mark.parametrize("spacing", [None, [0, 0.1], [-1, 1], [1], ["inf", "1"]])
def test_no_spacing(spacing: list[Any] | None) -> None:
    (frame,) = frames_of(image(colonoscopy(), PixelSpacing=spacing))
    assert frame.spacing is None


# ---- refused


def refused(
    source: FileDataset | bytes,
    error: type[Exception] | tuple[type[Exception], ...],
    words: str | None = None,
    **options: Any,
) -> None:
    with pytest.raises(error, match=words):
        frames_of(source, **options)


def test_frame_that_is_not_there() -> None:
    refused(image(movie(3)), BadParameter, "at most 3", number=4)
    refused(image(colonoscopy()), BadParameter, "at most 1", number=2)


def test_too_many_frames() -> None:
    refused(image(movie(3)), TooManyFrames, "3 frames, and at most 2", every=True, max_frames=2)
    assert len(frames_of(image(movie(3)), every=True, max_frames=2, number=3)) == 1


def test_too_many_pixels_in_all() -> None:
    dataset = image(np.zeros((2, 2), np.uint8), Rows=4096, Columns=4096, NumberOfFrames=9)
    refused(dataset, TooManyFrames, "at most 8", every=True)


@pytest.mark.parametrize(("rows", "columns"), [(65535, 65535), (1, 20000), (4097, 4096)])
@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, *LOSSLESS])
def test_size_by_the_header_alone(syntax: UID, rows: int, columns: int) -> None:
    dataset = image(colonoscopy()) if syntax in NATIVE else compressed(colonoscopy(), syntax)
    dataset.Rows, dataset.Columns = rows, columns
    refused(dataset, FrameTooLarge, f"{columns} x {rows}")


@pytest.mark.parametrize("syntax", [JPEGLSLossless, JPEG2000Lossless, JPEGBaseline8Bit])
def test_codestream_of_another_size(syntax: UID) -> None:
    """A small frame by its DICOM header, and a huge one by its codestream's."""
    dataset = jpeg_image(colonoscopy()) if syntax == JPEGBaseline8Bit else compressed(colonoscopy(), syntax)
    dataset.Rows, dataset.Columns = 64, 64
    refused(dataset, CorruptFrame, "128 x 96 with 3 component")


@pytest.mark.parametrize("syntax", [JPEGLSLossless, JPEG2000Lossless, JPEGBaseline8Bit])
def test_codestream_that_lies_in_its_header(syntax: UID) -> None:
    pixels = colonoscopy()
    dataset = jpeg_image(pixels) if syntax == JPEGBaseline8Bit else compressed(pixels, syntax)
    size = struct.pack(">II", 128, 96) if syntax == JPEG2000Lossless else struct.pack(">HH", 96, 128)
    lie = struct.pack(">II", 65500, 65500) if syntax == JPEG2000Lossless else struct.pack(">HH", 65500, 65500)
    data = file(dataset)
    assert data.count(size)
    before = tracked(lambda: refused(data.replace(size, lie), CorruptFrame, "65500 x 65500"))
    assert before < 2**23


def tracked(work: Any) -> int:
    """Peak of bytes that Python and numpy took meanwhile."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_deflate_bomb() -> None:
    dataset = image(np.zeros((8, 8), np.uint8), TransferSyntaxUID=DeflatedExplicitVRLittleEndian)
    dataset.PixelData = b"\0" * 2**28
    data = file(dataset)
    assert len(data) < 2**19
    assert tracked(lambda: refused(data, FrameTooLarge, "inflates", max_pixels=2**20)) < 2**24


def test_rle_bomb_gives_no_more_than_the_frame() -> None:
    segment = bytes([0x81, 255]) * 2**20  # 128 bytes from two
    stream = struct.pack("<16I", 1, 64, *[0] * 14) + segment
    dataset = encapsulated(np.zeros((8, 8), np.uint8), RLELossless, [stream])
    data = file(dataset)
    assert tracked(lambda: frames_of(data)) < 2**24


def test_millions_of_elements() -> None:
    """Empty items in a sequence of undefined length, at 8 bytes each."""
    item = struct.pack("<HHI", 0xFFFE, 0xE000, 0)
    end = struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)
    sequence = struct.pack("<HH2sHI", 0x0009, 0x1001, b"SQ", 0, 0xFFFFFFFF) + item * 500_000 + end
    refused(spliced(sequence), CorruptFrame, "too many elements")


def test_sequences_without_end() -> None:
    opening = struct.pack("<HH2sHI", 0x0009, 0x1001, b"SQ", 0, 0xFFFFFFFF)
    item = struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF)
    refused(spliced((opening + item) * 5000), CorruptFrame)


def spliced(element: bytes) -> bytes:
    """An image with this before its patient."""
    data = file(image(colonoscopy()))
    at = data.index(struct.pack("<HH2s", 0x0010, 0x0010, b"PN"))
    return data[:at] + element + data[at:]


@pytest.mark.parametrize("share", [0.01, 0.1, 0.5, 0.99])
@pytest.mark.parametrize("syntax", [*NATIVE, *LOSSLESS, JPEGBaseline8Bit])
def test_truncated(syntax: UID, share: float) -> None:
    pixels = movie(1, 64, 64)[0]
    if syntax == JPEGBaseline8Bit:
        data = file(jpeg_image(pixels))
    else:
        data = file(image(pixels, TransferSyntaxUID=syntax) if syntax in NATIVE else compressed(pixels, syntax))
    refused(data[: max(140, int(len(data) * share))], CorruptFrame)


@pytest.mark.parametrize("syntax", NATIVE)
def test_fewer_frames_than_promised(syntax: UID) -> None:
    dataset = image(movie(3), TransferSyntaxUID=syntax)
    dataset.NumberOfFrames = 4
    refused(dataset, CorruptFrame, "promises")


def test_encapsulated_with_fewer_frames_than_promised() -> None:
    dataset = compressed(movie(3), RLELossless)
    dataset.NumberOfFrames = 5
    refused(dataset, CorruptFrame, number=5)


@pytest.mark.parametrize("syntax", [MPEG2MPML, MPEG4HP41, HEVCMP51])
def test_video(syntax: UID) -> None:
    refused(encapsulated(movie(3), syntax, [b"\0\0\1\xb3" * 50]), UnsupportedFrame, "video .* is not read: take frames")


@pytest.mark.parametrize("syntax", [JPEGLosslessSV1, UID("1.2.3.4")])
def test_other_transfer_syntaxes(syntax: UID) -> None:
    refused(encapsulated(colonoscopy(), syntax, [b"\xff\xd8"]), UnsupportedFrame, "is not read: send it")


def test_big_endian() -> None:
    data = file(image(colonoscopy())).replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.2\0")
    refused(data, UnsupportedFrame, "'Explicit VR Big Endian' is not read")


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"PixelData": None}, CorruptFrame, "no whole Pixel Data"),
        ({"Rows": None}, CorruptFrame, "Rows is missing"),
        ({"Rows": 0}, CorruptFrame, "Rows is missing or not positive"),
        ({"NumberOfFrames": 0}, CorruptFrame, "NumberOfFrames"),
        ({"BitsAllocated": 32, "BitsStored": 32, "HighBit": 31}, UnsupportedFrame, "32 bits"),
        ({"BitsStored": 9}, UnsupportedFrame, "9 bits in 8"),
        ({"BitsAllocated": 16, "BitsStored": 8, "HighBit": 15}, UnsupportedFrame, "High Bit"),
        ({"PhotometricInterpretation": "CMYK"}, UnsupportedFrame, "photometric"),
        ({"PhotometricInterpretation": None}, UnsupportedFrame, "photometric"),
        ({"PhotometricInterpretation": "MONOCHROME2"}, UnsupportedFrame, "3 sample"),
        ({"SamplesPerPixel": 1}, UnsupportedFrame, "1 sample"),
    ],
)
def test_other_images(changes: dict[str, Any], error: type[Exception], words: str) -> None:
    refused(image(colonoscopy(), **changes), error, words)


def test_lookup_tables_are_refused() -> None:
    grey = np.zeros((4, 4), np.uint8)
    for keyword in ("ModalityLUTSequence", "VOILUTSequence"):
        refused(image(grey, **{keyword: [Dataset()]}), UnsupportedFrame, keyword)
    refused(image(grey, PhotometricInterpretation="PALETTE COLOR"), UnsupportedFrame, "lookup tables")


def test_jpeg_of_12_bits() -> None:
    dataset = encapsulated(np.zeros((8, 8), np.uint16), JPEGExtended12Bit, [b"\xff\xd8"], BitsStored=12, HighBit=11)
    refused(dataset, UnsupportedFrame, "12 bits")


def test_random_damage_is_always_our_own_error() -> None:
    generator = np.random.default_rng(11)
    sources = [
        image(movie(2)),
        compressed(movie(2), RLELossless),
        compressed(movie(2), JPEG2000Lossless),
        compressed(movie(2), JPEGLSLossless),
        jpeg_image(colonoscopy()),
        image(movie(2), TransferSyntaxUID=DeflatedExplicitVRLittleEndian),
    ]
    for data in map(file, sources):
        for _ in range(60):
            damaged = bytearray(data)
            for at in generator.integers(132, min(len(data), 1400), 4):
                damaged[at] = generator.integers(256)
            try:
                frames_of(bytes(damaged))
            except (CorruptFrame, UnsupportedFrame, FrameTooLarge):
                continue


# ---- on a server


@pytest.mark.parametrize("way", ["multipart", "dicom", "octets", "untyped"])
def test_every_way_to_send_it(client: httpx.Client, way: str) -> None:
    data = file(image(colonoscopy(90, 121)))
    if way == "multipart":
        answer = client.post(URL, files={"file": ("frame.dcm", data, "application/dicom")})
    else:
        types = {"dicom": "application/dicom", "octets": "application/octet-stream"}
        headers = {"content-type": types[way]} if way in types else {}
        answer = client.post(URL, content=data, headers=headers)
    assert answer.status_code == 200, answer.text
    plain = client.post(URL, files={"file": encode(colonoscopy(90, 121))})
    np.testing.assert_array_equal(decode(answer.content), decode(plain.content))


def test_mask_of_the_frame_that_was_asked_for(client: httpx.Client) -> None:
    pixels = np.zeros((3, SIZE, SIZE, 3), np.uint8)
    for number in range(3):
        pixels[number, 8 * number : 8 * number + 8, :, 0] = 255
    data = file(image(pixels))
    for number in (1, 2, 3):
        params = {"model": "red-dense", "frame": number}
        answer = client.post(URL, params=params, content=data, headers=HEADERS)
        np.testing.assert_array_equal(decode(answer.content) == 255, pixels[number - 1, ..., 0] == 255)


@pytest.mark.parametrize("output", ["overlay", "json"])
def test_other_outputs(client: httpx.Client, output: str) -> None:
    data = file(compressed(colonoscopy(240, 320), JPEG2000Lossless))
    answer = client.post(URL, params={"output": output}, content=data, headers=HEADERS)
    assert answer.status_code == 200, answer.text


def test_areas_in_square_millimetres_where_the_spacing_is_known(client: httpx.Client) -> None:
    pixels = np.zeros((SIZE, SIZE, 3), np.uint8)
    pixels[8:16, 16:24, 0] = 255
    params = {"output": "json", "model": "red-dense"}
    data = file(image(pixels, PixelSpacing=[0.5, 0.25]))
    report = client.post(URL, params=params, content=data, headers=HEADERS).json()
    assert report["lesions"][0]["area_mm2"] == pytest.approx(64 * 0.5 * 0.25)
    assert report["spacing"] == {"row": 0.5, "column": 0.25, "attribute": "PixelSpacing"}
    plain = client.post(URL, params=params, files={"file": encode(pixels)}).json()
    assert "spacing" not in plain
    assert "area_mm2" not in plain["lesions"][0]


@pytest.mark.parametrize(
    ("frame", "status", "slug"), [(0, 422, "bad-parameter"), (2, 422, "bad-parameter"), ("x", 422, "bad-parameter")]
)
def test_bad_frame_numbers(client: httpx.Client, frame: Any, status: int, slug: str) -> None:
    for data in (file(image(colonoscopy())), encode(colonoscopy())):
        answer = client.post(URL, params={"frame": frame}, content=data)
        assert (answer.status_code, answer.json()["type"]) == (status, f"urn:polyprune:problem:{slug}")


def test_first_frame_of_a_picture_can_be_named(client: httpx.Client) -> None:
    assert client.post(URL, params={"frame": 1}, content=encode(colonoscopy())).status_code == 200


def test_dicom_without_its_magic_is_no_image(client: httpx.Client) -> None:
    data = file(image(colonoscopy()))[132:]
    answer = client.post(URL, content=data, headers=HEADERS)
    assert answer.status_code == 415
    assert answer.json()["detail"].endswith("start like none of them.")


def test_htj2k_is_named_as_read() -> None:
    """It cannot be encoded here; that it gets as far as its codestream is seen by the error."""
    refused(encapsulated(colonoscopy(), HTJ2K, [b"\0" * 64]), CorruptFrame, "SOC and SIZ")


def test_resize_of_a_jpeg_inside(client: httpx.Client) -> None:
    pixels = colonoscopy(480, 640)
    answer = client.post(URL, content=file(jpeg_image(pixels)), headers=HEADERS)
    mask = decode(answer.content)
    assert mask.shape == (480, 640)
    assert np.mean((mask == 255) != (pixels[..., 0] > 128)) < 0.02
    assert cv2.countNonZero(mask) > 0
