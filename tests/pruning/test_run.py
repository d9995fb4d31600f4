"""The commands of docs/research.md on synthetic frames, and what the service makes of the models."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from app import registry
from pruning import cli, comparison, quantise
from tests.pruning.dataset import write_dataset, write_pair

RECIPE = """
name = "tiny"
[network]
factory = "unet"
arguments = { width = 8, depth = 3 }
size = 64
[data]
root = "data"
train = "data/train.txt"
test = "data/test.txt"
negatives = "negatives"
unseen = ["data"]
validation_share = 0.2
[[train]]
size = 32
epochs = 4
batch = 4
learning_rate = 1e-2
ema = 0.5
[[train]]
epochs = 4
batch = 4
learning_rate = 1e-2
ema = 0.5
[prune]
steps = [0.75, 0.5]
frames = 8
grid = 4
floor = 4
[finetune]
epochs = 1
batch = 4
teacher = 0.5
[polish]
epochs = 1
batch = 4
[publish]
dense = "tiny-dense"
pruned = "tiny-pruned"
terms = "synthetic frames"
"""
SCHEMA = Path("models/manifest.schema.json").resolve()
PAGE = Path("docs/research.md").read_text(encoding="utf-8")
RUN, PUBLISH, COMPARE = (
    shlex.split(line, comments=True)[3:] for line in re.findall(r"^python -m pruning .+", PAGE, re.M)
)


def pruning(*arguments, root):
    """The command line in a process of its own, as a user starts it in the folder `root`."""
    environment = {**os.environ, "PYTHONPATH": str(Path.cwd()), "PRUNING_ROOT": str(root)}
    command = [sys.executable, "-m", "pruning", *arguments]
    subprocess.run(command, check=True, env=environment, cwd=root)


@pytest.fixture
def say(finished, monkeypatch, capsys):
    """Calls the command line in this process, in the folder of the finished run: exit code and what it printed."""
    monkeypatch.chdir(finished)
    monkeypatch.setenv("PRUNING_ROOT", str(finished))

    def call(*arguments):
        with pytest.raises(SystemExit) as end:
            cli.main(list(arguments))
        return end.value.code or 0, " ".join(capsys.readouterr().out.split())

    return call


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A folder in which `run` and `publish` were called."""
    root = tmp_path_factory.mktemp("run")
    write_dataset(root / "data", 20)
    write_pair(root / "negatives", "n0", empty=True)
    (root / "my-recipe.toml").write_text(RECIPE)
    (root / "models").mkdir()
    shutil.copy(SCHEMA, root / "models")
    pruning(*RUN, root=root)
    pruning(*PUBLISH, root=root)
    return root


def test_every_station_left_its_file(finished):
    run = finished / "runs/my-recipe"
    for name in (
        "config.toml",
        "stages/1.pt",
        "dense.pt",
        "pruned.pt",
        "history.csv",
        "metrics.json",
        "report.html",
        "export/pruned.onnx",
    ):
        assert (run / name).is_file(), name
    for step in ("1", "2"):
        for name in ("scores.npz", "plan.json", "pruned.pt", "tuned.pt"):
            assert (run / "steps" / step / name).is_file(), name
    assert not list(run.rglob("*.partial"))


def test_the_budget_is_met_and_widths_lie_on_the_grid(finished):
    plan = json.loads((finished / "runs/my-recipe/steps/2/plan.json").read_text())
    dense = json.loads((finished / "runs/my-recipe/metrics.json").read_text())["dense"]
    assert plan["macs"] <= 0.5 * dense["macs"]
    assert all(width % 4 == 0 or width == 1 for width in plan["widths"].values())


def test_the_report_stands_alone(finished):
    html = (finished / "runs/my-recipe/report.html").read_text()
    assert not re.findall(r"""(?:src|href)=["']?https?:|url\(["']?https?:""", html)
    assert html.count("<svg") == 3
    assert html.count("data:image/jpeg;base64,") == 6


def test_a_finished_training_is_not_repeated(finished, say):
    before = (finished / "runs/my-recipe/dense.pt").stat().st_mtime_ns
    code, text = say("train", "my-recipe.toml")
    assert code == 0
    assert "is there already" in text
    assert (finished / "runs/my-recipe/dense.pt").stat().st_mtime_ns == before


def test_published_folders_keep_their_promise_to_the_service(finished):
    found = registry.scan(finished / "models", threads=1, preference="cpu")
    assert [model.id for model in found.ready] == ["tiny-dense/1", "tiny-pruned/1"]
    assert not found.refused
    card = (finished / "models/tiny-pruned/1/MODEL_CARD.md").read_text()
    assert "Research use only" in card
    assert "pruned from `tiny-dense/1`" in card


QUANTISE = ("quantise", "models/tiny-pruned/1", "my-recipe.toml", "--precision")


@pytest.mark.parametrize("precision", ["int8", "fp16"])
def test_a_model_in_lower_precision_has_a_folder_of_its_own_that_proves_itself(finished, say, monkeypatch, precision):
    monkeypatch.setattr(quantise, "MAX_LOSS", 0.5)  # three validation frames say little
    name = f"tiny-pruned-{precision}"
    code, text = say(*QUANTISE, precision)
    assert code == 0, text
    try:
        found = registry.scan(finished / "models", threads=1, preference="cpu")
        assert not found.refused
        manifest = found.resolve(name).manifest
        assert (manifest.precision, manifest.variant, manifest.pruned_from) == (precision, "pruned", "tiny-dense/1")
        assert manifest.quality[0].frames == 4
        assert manifest.false_positives[0].frames == 1
        card = (finished / "models" / name / "1/MODEL_CARD.md").read_text()
        assert f"`tiny-pruned/1` in {precision}" in card
        assert "On the 3 validation frames" in card
        assert "is there already" in say(*QUANTISE, precision)[1]
        again = ("quantise", f"models/{name}/1", "my-recipe.toml")
        assert f"is {precision}: name the fp32 model" in say(*again)[1]
    finally:
        shutil.rmtree(finished / "models" / name)


def test_a_lower_precision_that_segments_worse_is_refused_with_both_figures(finished, say, monkeypatch):
    monkeypatch.setattr(quantise, "MAX_LOSS", -1.0)
    code, text = say(*QUANTISE, "fp16")
    assert code == 1
    assert re.search(r"a Dice of \d\.\d{4} in fp16 and \d\.\d{4} in fp32 on 3 frames of the validation part", text)
    assert "Nothing was written" in text
    assert not (finished / "models/tiny-pruned-fp16").exists()


def test_another_recipe_than_the_models_own_is_refused(finished, say):
    (finished / "another.toml").write_text(RECIPE + "# edited\n")
    code, text = say("quantise", "models/tiny-pruned/1", "another.toml")
    assert code == 1
    assert "name the config.toml of its run" in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("quantise", "models/none/1", "my-recipe.toml"), "name a published folder"),
        (("score", "runs/none"), "cannot read the recipe"),
        (("score", "runs/my-recipe"), "every step of runs/my-recipe is finished"),
        (("train", "other.toml", "--run", "runs/my-recipe"), "holds a run of another recipe"),
        (("publish", "runs/my-recipe", "--models", "elsewhere"), "manifest.schema.json is missing"),
    ],
)
def test_an_error_is_one_message_that_tells_what_to_do(finished, say, arguments, message):
    (finished / "other.toml").write_text(RECIPE.replace("epochs = 4", "epochs = 5"))
    code, text = say(*arguments)
    assert code == 1
    assert text.startswith("error: ")
    assert message in text


def test_an_unreachable_budget_is_refused_before_anything_is_removed(finished, say):
    (finished / "small.toml").write_text(RECIPE.replace("[0.75, 0.5]", "[0.001]"))
    run = finished / "runs/small"
    run.mkdir(parents=True)
    shutil.copy(finished / "runs/my-recipe/dense.pt", run)
    code, text = say("run", "small.toml")
    assert code == 1
    assert "the smallest network on a grid of 4" in text
    assert not (run / "steps/1/pruned.pt").exists()


def test_compare_prunes_by_every_criterion_to_equal_macs_and_goes_on_where_it_stopped(finished, say):
    assert say(*COMPARE)[0] == 0
    path = finished / "runs/my-recipe/compare-0.5.json"
    results = json.loads(path.read_text())
    budget = 0.5 * json.loads((finished / "runs/my-recipe/metrics.json").read_text())["dense"]["macs"]
    assert set(results) == set(comparison.CRITERIA)
    assert all(0.9 * budget < result["macs"] <= budget for result in results.values())
    assert all(len(result["before"]) == len(result["after"]) == 4 for result in results.values())

    kept = {**results, "l1": {**results["l1"], "parameters": 12_340_000}}
    del kept["random"]
    path.write_text(json.dumps(kept))
    _, shown = say(*COMPARE)
    assert "12.34" in shown  # taken as it was found
    assert json.loads(path.read_text()) == {**kept, "random": results["random"]}
