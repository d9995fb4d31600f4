"""Parts of a recipe's data: folders, and splits of them."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from pruning.config import Data, Part
from pruning.data import read_parts
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


def test_a_misspelt_part_is_an_error():
    with pytest.raises(ValidationError, match="splits"):
        Data(root="a", train="t", test="t", unseen=[{"root": "b", "splits": "s"}])
