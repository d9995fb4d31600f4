"""A whole run on synthetic frames, through the command line, and what the service makes of its models."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

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
validation_share = 0.2
[train]
epochs = 6
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
[publish]
dense = "tiny-dense"
pruned = "tiny-pruned"
terms = "synthetic frames"
"""
SCHEMA = Path("models/manifest.schema.json").resolve()


def pruning(*arguments, root, check=True):
    command = [sys.executable, "-m", "pruning", *map(str, arguments)]
    environment = {
        "PYTHONPATH": str(Path.cwd()),
        "POLYPRUNE_ROOT": str(root),
        "COLUMNS": "200",
        "PATH": "/usr/bin:/bin",
    }
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, cwd=root)
    if check and done.returncode:
        raise AssertionError(done.stdout + done.stderr)
    return done


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A folder in which `run` and `publish` were called."""
    root = tmp_path_factory.mktemp("run")
    write_dataset(root / "data", 20)
    write_pair(root / "negatives", "n0", empty=True)
    (root / "tiny.toml").write_text(RECIPE)
    (root / "models").mkdir()
    shutil.copy(SCHEMA, root / "models")
    pruning("run", "tiny.toml", root=root)
    pruning("publish", "runs/tiny", root=root)
    return root


def test_every_station_left_its_file(finished):
    run = finished / "runs/tiny"
    for name in ("config.toml", "dense.pt", "history.csv", "metrics.json", "report.html", "export/pruned.onnx"):
        assert (run / name).is_file(), name
    for step in ("1", "2"):
        for name in ("scores.npz", "plan.json", "pruned.pt", "tuned.pt"):
            assert (run / "steps" / step / name).is_file(), name
    assert not list(run.rglob("*.partial"))


def test_the_budget_is_met_and_widths_lie_on_the_grid(finished):
    plan = json.loads((finished / "runs/tiny/steps/2/plan.json").read_text())
    dense = json.loads((finished / "runs/tiny/metrics.json").read_text())["dense"]
    assert plan["macs"] <= 0.5 * dense["macs"]
    assert all(width % 4 == 0 or width == 1 for width in plan["widths"].values())


def test_the_report_stands_alone(finished):
    html = (finished / "runs/tiny/report.html").read_text()
    assert "http://" not in html.replace("http://www.w3.org", "").replace("http://purl.org", "")
    assert html.count("<svg") == 3
    assert html.count("data:image/jpeg;base64,") == 6


def test_a_finished_run_does_nothing_again(finished):
    before = (finished / "runs/tiny/dense.pt").stat().st_mtime_ns
    assert "is there already" in pruning("run", "tiny.toml", root=finished).stdout
    assert (finished / "runs/tiny/dense.pt").stat().st_mtime_ns == before


def test_published_folders_keep_their_promise_to_the_service(finished):
    from app.engine import Engine  # noqa: F401, PLC0415 - app and pruning meet in this test alone
    from app.registry import Registry  # noqa: F401, PLC0415

    card = (finished / "models/tiny-pruned/1/MODEL_CARD.md").read_text()
    assert "Research use only" in card
    assert "pruned from `tiny-dense/1`" in card


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("score", "runs/none"), "cannot read the recipe"),
        (("score", "runs/tiny"), "every step of runs/tiny is finished"),
        (("train", "other.toml", "--run", "runs/tiny"), "holds a run of another recipe"),
        (("publish", "runs/tiny", "--models", "elsewhere"), "manifest.schema.json is missing"),
    ],
)
def test_an_error_is_one_line_that_tells_what_to_do(finished, arguments, message):
    (finished / "other.toml").write_text(RECIPE.replace("epochs = 6", "epochs = 7"))
    done = pruning(*arguments, root=finished, check=False)
    assert done.returncode == 1
    assert message in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


def test_an_unreachable_budget_is_refused_before_anything_is_removed(finished):
    (finished / "small.toml").write_text(RECIPE.replace("[0.75, 0.5]", "[0.001]"))
    run = finished / "runs/small"
    run.mkdir(parents=True)
    shutil.copy(finished / "runs/tiny/dense.pt", run)
    done = pruning("run", "small.toml", root=finished, check=False)
    assert done.returncode == 1
    assert "the smallest network on a grid of 4" in done.stdout
    assert not (run / "steps/1/pruned.pt").exists()
