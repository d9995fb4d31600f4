from pathlib import Path

import pytest

from pruning.config import read_recipe
from pruning.errors import RecipeError

CONFIGS = Path("pruning/configs")


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.toml")), ids=lambda path: path.stem)
def test_every_recipe_of_the_project_can_be_read(path):
    assert read_recipe(path).name == path.stem


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("steps = [0.72, 0.6, 0.5]", "steps = [0.5, 0.8]", "steps must fall"),
        ("steps = [0.72, 0.6, 0.5]", "steps = []", "steps must fall"),
        ('criterion = "taylor-abs"', 'criterion = "taylor"', "prune.criterion"),
        ('criterion = "taylor-abs"', 'budget = "seconds"', "prune.budget"),
        ('criterion = "taylor-abs"', 'criterion = "l1"\ngradient = "random"', "uses no gradient"),
        ('criterion = "taylor-abs"', 'gradient = "random"\nnormalise_gradient = false', "norm 1 by definition"),
        ('criterion = "taylor-abs"', 'criterion = "l1"\nreduction = "pixel"', "no reduction per pixel"),
        ("size = 320", "size = 330", "network.size"),
        ("seed = 0", "sede = 0", "sede: Extra inputs"),
        ("seed = 0", 'seed = 0\nstart = "runs/other"', "either with .* or with start"),
        ('name = "polyp-lite0"', "name =", "is not TOML"),
        ('dense = "polyp-lite0-dense"', 'dense = "Polyp Dense"', "publish.dense"),
        ('dense = "polyp-lite0-dense"', 'dense = "polyp-lite0-pruned"', "cannot name both"),
    ],
)
def test_impossible_settings_are_refused_by_name(tmp_path, old, new, message):
    text = (CONFIGS / "polyp-lite0.toml").read_text()
    assert old in text
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(text.replace(old, new, 1))
    with pytest.raises(RecipeError, match=message):
        read_recipe(recipe)


def test_a_missing_recipe_is_named(tmp_path):
    with pytest.raises(RecipeError, match=r"none\.toml"):
        read_recipe(tmp_path / "none.toml")


def test_a_recipe_may_begin_with_a_byte_order_mark_and_in_another_encoding_is_named(tmp_path):
    text = (CONFIGS / "polyp-lite0.toml").read_text().replace('terms = "', 'terms = "données: ', 1)
    assert "données" in text
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(text, encoding="utf-8-sig")
    assert "données" in read_recipe(recipe).publish.terms
    recipe.write_text(text, encoding="latin-1")
    with pytest.raises(RecipeError, match=r"recipe\.toml is not UTF-8"):
        read_recipe(recipe)
