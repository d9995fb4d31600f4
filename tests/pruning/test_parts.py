"""Parts of a recipe's data: folders, and splits of them."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from pruning.config import Data, Part
from pruning.data import read_parts, read_training
from pruning.errors import DatasetError
from tests.pruning.dataset import write_dataset


def test_a_string_is_a_folder_with_all_its_frames():
    data = Data(root="a", train="a/train.txt", test="a/test.txt", unseen=["b", {"root": "c", "split": "c/test.txt"}])
    assert data.unseen == (Part(root=Path("b")), Part(root=Path("c"), split=Path("c/test.txt")))
    assert [part.split_name for part in data.unseen] == ["all", "test"]
    assert [part.split_name for part in (*data.training, data.headline)] == ["train", "test"]


def test_more_frames_are_learned_from(tmp_path):
    write_dataset(tmp_path / "here", 10)
    write_dataset(tmp_path / "there", 8)
    more = [{"root": "there", "split": "there/test.txt"}]
    data = Data(root="here", train="here/train.txt", test="here/test.txt", more=more)
    stems = [pair.image.relative_to(tmp_path).parts[0] for pair in read_parts(tmp_path, data.training)]
    assert stems == 6 * ["here"] + 4 * ["there"]


def test_what_validates_one_part_does_so_beside_others_too(tmp_path):
    """A network that learned from one part alone can go on with two: it has not seen their validation frames."""
    write_dataset(tmp_path / "here", 30)
    write_dataset(tmp_path / "there", 30)
    alone = Data(root="here", train="here/train.txt", test="here/test.txt", validation_share=0.2)
    both = alone.model_copy(update={"more": (Part(root=Path("there"), split=Path("there/train.txt")),)})
    training, validation = read_training(tmp_path, both)
    own_training, own_validation = read_training(tmp_path, alone)
    assert validation[: len(own_validation)] == own_validation
    assert training[: len(own_training)] == own_training
    assert {pair.image.parts[-3] for pair in validation[len(own_validation) :]} == {"there"}
    assert not {pair.image for pair in training} & {pair.image for pair in validation}


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"test": "data/train.txt"}, "6 bad pairs:(.|\n)*f0.jpg: learned from, and reported on as well"),
        ({"unseen": ["data"]}, "6 bad pairs:(.|\n)*f5.jpg: learned from, and reported on as well"),
        ({"more": [{"root": "./data", "split": "data/train.txt"}]}, "f0.jpg: two parts that are learned from name it"),
    ],
    ids=["tested", "unseen", "twice"],
)
def test_what_is_learned_from_neither_validates_itself_nor_is_reported_on(tmp_path, parts, message):
    write_dataset(tmp_path / "data", 10)
    data = Data.model_validate({"root": "data", "train": "data/train.txt", "test": "data/test.txt", **parts})
    with pytest.raises(DatasetError, match=message):
        read_training(tmp_path, data)


def test_a_misspelt_part_is_an_error():
    with pytest.raises(ValidationError, match="splits"):
        Data(root="a", train="t", test="t", unseen=[{"root": "b", "splits": "s"}])
