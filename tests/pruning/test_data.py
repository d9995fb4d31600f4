from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import ExifTags, Image

from app.frames import decode
from pruning.data import Pair, carve, load_frames, read_pairs
from pruning.errors import DatasetError
from pruning.fit import fit_mask
from tests.pruning.dataset import write_dataset, write_pair


def test_a_split_gives_its_frames_in_its_order(tmp_path):
    write_dataset(tmp_path, 6)
    (tmp_path / "some.txt").write_text("f3\n\nf1\n")
    frames = load_frames(read_pairs(tmp_path, tmp_path / "some.txt"), 64)
    assert frames.stems == ["f3", "f1"]
    assert frames.images.shape == (2, 3, 64, 64)
    assert frames.images.dtype == torch.uint8
    assert frames.masks.unique().tolist() == [0, 1]


def test_a_mask_value_of_128_is_polyp_and_127_is_not(tmp_path):
    write_pair(tmp_path, "a")
    grey = np.full((80, 96), 127, np.uint8)
    grey[:, :48] = 128
    cv2.imwrite(str(tmp_path / "masks" / "a.png"), grey)
    _, mask = read_pairs(tmp_path)[0].read()
    assert mask[:, :48].all()
    assert not mask[:, 48:].any()


@pytest.mark.parametrize("size", [64, 256, 320])
def test_a_mask_is_fitted_without_a_shift(size):
    """What lies in the middle of a frame lies in the middle of what is learned."""
    frame, mask = np.full((300, 500, 3), 200, np.uint8), np.zeros((300, 500), np.uint8)
    mask[103:197, 151:349] = 1
    fitted = fit_mask(mask, frame, size)
    assert np.array_equal(fitted, fitted[::-1, ::-1])
    assert fitted.mean() == pytest.approx(mask.mean(), rel=0.05)
    assert fitted.dtype == np.uint8


@pytest.mark.parametrize("palette", [None, [0, 0, 0, 128, 0, 0]], ids=["0 and 1", "a palette"])
def test_a_mask_that_would_be_empty_for_its_values_is_refused(tmp_path, palette):
    write_pair(tmp_path, "a")
    path = tmp_path / "masks/a.png"
    mask = Image.fromarray((cv2.imread(str(path), cv2.IMREAD_GRAYSCALE) > 0).astype(np.uint8))
    if palette:
        mask.putpalette(palette)  # class 1 is dark red, as in PASCAL VOC
    mask.save(path)
    highest = 38 if palette else 1
    with pytest.raises(DatasetError, match=f"a: the highest value of its mask is {highest}, and polyp is 128 or more"):
        load_frames(read_pairs(tmp_path), 64)


def test_a_black_mask_is_a_frame_without_a_polyp(tmp_path):
    write_pair(tmp_path, "a", empty=True)
    assert not load_frames(read_pairs(tmp_path), 64).masks.any()


def oriented(orientation):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    return exif.tobytes()


@pytest.mark.parametrize(
    ("exif", "size"),
    [
        (oriented(1), (80, 96)),
        (oriented(3), (80, 96)),
        (oriented(6), (96, 80)),
        (oriented(8), (96, 80)),
        (b"Exif\0\0no TIFF", (80, 96)),
    ],
    ids=["upright", "upside down", "to the right", "to the left", "damaged"],
)
def test_a_frame_is_learned_from_upright_as_the_service_sees_it(tmp_path, exif, size):
    write_pair(tmp_path, "a", size)
    (tmp_path / "images/a.jpg").unlink()
    stored = np.random.default_rng(0).integers(0, 256, (80, 96, 3), np.uint8)
    Image.fromarray(stored).save(tmp_path / "images/a.png", exif=exif)
    frame, _ = read_pairs(tmp_path)[0].read()
    served = decode((tmp_path / "images/a.png").read_bytes(), max_pixels=stored.size)
    np.testing.assert_array_equal(frame, served.pixels)


def test_every_bad_pair_is_named_in_one_error(tmp_path):
    write_dataset(tmp_path, 8)
    write_pair(tmp_path / "other", "f1", size=(40, 40))
    (tmp_path / "other/masks/f1.png").replace(tmp_path / "masks/f1.png")
    whole = (tmp_path / "images/f2.jpg").read_bytes()
    (tmp_path / "images/f2.jpg").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "masks/f3.png").write_text("no picture")
    with pytest.raises(DatasetError) as error:
        load_frames(read_pairs(tmp_path, tmp_path / "train.txt"), 64)
    message = str(error.value)
    assert message.startswith("3 bad pairs")
    assert "f1: the frame is 96×80 but its mask is 40×40" in message
    assert "f2: cannot decode" in message
    assert "f3: cannot decode" in message


def test_missing_masks_and_frames_are_named_before_anything_is_decoded(tmp_path):
    write_dataset(tmp_path, 6)
    (tmp_path / "masks/f0.png").unlink()
    (tmp_path / "images/f1.jpg").unlink()
    with pytest.raises(DatasetError, match=r"2 bad pairs:(.|\n)*f1: no file in .*images(.|\n)*f0: no file in .*masks"):
        read_pairs(tmp_path, tmp_path / "train.txt")


@pytest.mark.parametrize("missing", ["images", "masks"])
def test_a_missing_folder_is_named(tmp_path, missing):
    write_pair(tmp_path, "a")
    (tmp_path / missing).rename(tmp_path / "elsewhere")
    with pytest.raises(DatasetError, match=missing):
        read_pairs(tmp_path)


def test_a_missing_or_empty_split_is_named(tmp_path):
    write_pair(tmp_path, "a")
    with pytest.raises(DatasetError, match=r"cannot read the split .*none\.txt"):
        read_pairs(tmp_path, tmp_path / "none.txt")
    (tmp_path / "empty.txt").write_text("\n")
    with pytest.raises(DatasetError, match=r"empty\.txt names no frame"):
        read_pairs(tmp_path, tmp_path / "empty.txt")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_a_split_may_be_written_on_windows(tmp_path, encoding):
    for stem in ("Straße 1", "é"):
        write_pair(tmp_path, stem)
    (tmp_path / "some.txt").write_bytes("Straße 1\r\n\r\né\r\n".encode(encoding))
    assert [pair.stem for pair in read_pairs(tmp_path, tmp_path / "some.txt")] == ["Straße 1", "é"]


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16"])
def test_a_split_in_another_encoding_is_named(tmp_path, encoding):
    write_pair(tmp_path, "é")
    (tmp_path / "some.txt").write_bytes("é\n".encode(encoding))
    with pytest.raises(DatasetError, match=r"some\.txt is not UTF-8: save it"):
        read_pairs(tmp_path, tmp_path / "some.txt")


@pytest.mark.parametrize("folder", ["images", "masks"])
def test_two_files_of_one_stem_are_refused(tmp_path, folder):
    write_dataset(tmp_path, 6)
    (tmp_path / folder / "f1.bmp").write_bytes(b"")
    with pytest.raises(DatasetError, match=rf"1 bad pairs:\n  f1: f1\.bmp and f1\.\w+ in .*{folder}; which"):
        read_pairs(tmp_path, tmp_path / "train.txt")
    (tmp_path / "some.txt").write_text("f0\nf2\n")
    assert len(read_pairs(tmp_path, tmp_path / "some.txt")) == 2


def test_a_frame_that_a_split_names_twice_is_refused(tmp_path):
    """It could be learned from and validate, and a report by frame would lose it."""
    write_dataset(tmp_path, 6)
    (tmp_path / "some.txt").write_text("f3\nf1\nf3\n")
    with pytest.raises(DatasetError, match=r"1 bad pairs:\n  f3: .*some\.txt names it 2 times"):
        read_pairs(tmp_path, tmp_path / "some.txt")


def test_validation_is_carved_without_overlap_and_is_the_same_every_time():
    pairs = [Pair(f"f{index}", Path(), Path()) for index in range(20)]
    training, validation = carve(pairs, 0.25)
    assert len(validation) == 5
    assert sorted(training + validation, key=str) == sorted(pairs, key=str)
    assert carve(pairs, 0.25) == (training, validation)


def test_a_part_that_is_too_small_to_carve_is_refused():
    with pytest.raises(DatasetError, match="1 frames are too few"):
        carve([Pair("a", Path(), Path())], 0.25)
