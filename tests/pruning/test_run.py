"""The commands of docs/research.md on synthetic frames, and what the service makes of the models."""

import csv
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from app import registry
from pruning import checkpoint, cli, origin, quantise, remeasure, report, resize, stations
from pruning.calibration import calibrator
from pruning.comparison.methods import METHODS
from pruning.config import read_recipe
from pruning.crops import squares
from pruning.data import read_training
from pruning.deploy import Deployed
from pruning.errors import ExportError, RunError
from pruning.fit import fit
from pruning.golden import synthetic_frame
from pruning.publish import publish
from pruning.runs import Run
from pruning.sessions import input_size, open_session, run
from tests.pruning.dataset import write_tiny

RECIPE = Path("tests/pruning/tiny.toml").read_text(encoding="utf-8")
SCHEMA = Path("models/manifest.schema.json").resolve()
PAGE = Path("docs/research.md").read_text(encoding="utf-8")
RUN, PUBLISH, _, _, SENSITIVITY, COMPARE, _ = (
    shlex.split(line, comments=True)[3:] for line in re.findall(r"^python -m pruning .+", PAGE, re.M)
)


def pruning(*arguments, root):
    """The command line in a process of its own, as a user starts it in the folder `root`."""
    environment = {**os.environ, "PYTHONPATH": str(Path.cwd()), "PRUNING_ROOT": str(root), "OMP_NUM_THREADS": "1"}
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
    write_tiny(root)
    (root / "my-recipe.toml").write_text(RECIPE)
    (root / "models").mkdir()
    shutil.copy(SCHEMA, root / "models")
    pruning(*RUN, root=root)
    pruning(*PUBLISH, root=root)
    return root


def test_a_dense_network_that_is_published_already_is_named_and_not_written_again(finished, tmp_path):
    """A second recipe from the same dense network: version 3 of it, which stays what it is."""
    shutil.copytree(finished / "runs" / "my-recipe", tmp_path / "run")
    config = tmp_path / "run" / "config.toml"
    config.write_text(config.read_text().replace('pruned = "tiny-pruned"', 'pruned = "tiny-fast"\ndense_version = 3'))
    models = tmp_path / "models"
    models.mkdir()
    shutil.copyfile(SCHEMA, models / SCHEMA.name)
    with pytest.raises(ExportError, match=r"tiny-dense/3 is missing, .* first publish the run that made it"):
        publish(Run(tmp_path / "run", finished), models)
    shutil.copytree(finished / "models/tiny-dense/1", models / "tiny-dense/3")
    publish(Run(tmp_path / "run", finished), models)
    assert {path.name for path in models.glob("*/*")} == {"1", "3"}
    assert [path.name for path in models.glob("tiny-dense/*")] == ["3"]
    assert json.loads((models / "tiny-fast/1/manifest.json").read_text())["pruned_from"] == "tiny-dense/3"


def further(finished, tmp_path, network, start="runs/my-recipe"):
    """A run that starts from the pruned network of the finished one."""
    stages = RECIPE[RECIPE.index("[[train]]") : RECIPE.index("[prune]")]
    text = RECIPE.replace(stages, "").replace('name = "tiny"', f'name = "tiny"\nstart = "{start}"')
    (tmp_path / "further.toml").write_text(text.replace("size = 64", network))
    return Run.begin(tmp_path / "further.toml", tmp_path / "run", finished)


@pytest.mark.parametrize("start", ["runs/my-recipe", "models/tiny-pruned/1"])
def test_a_pruned_network_is_pruned_further(finished, tmp_path, start):
    run = further(finished, tmp_path, "size = 32", start)
    for station in (stations.train, stations.score, stations.prune):
        station(run)
    before = json.loads((finished / "runs/my-recipe/steps/2/plan.json").read_text())
    plan = json.loads(run.step(1).plan.read_text())
    assert plan["widths_before"] == before["widths"]
    assert plan["macs_before"] == before["macs"] // 4  # of half the height and width
    assert plan["macs"] <= 0.75 * plan["macs_before"]


def test_a_run_of_another_network_is_no_start(finished, tmp_path):
    with pytest.raises(RunError, match=r"runs/my-recipe holds .*mean=127\.0.* wants .*mean=0\.0"):
        stations.train(further(finished, tmp_path, "size = 64\nmean = 0"))


def seeded(finished, folder, seed):
    """A copy of the finished run with another seed, whose Dice is .4 before pruning and seed / 10 afterwards."""
    shutil.copytree(finished / "runs/my-recipe", folder)
    config = folder / "config.toml"
    config.write_text(config.read_text().replace('name = "tiny"', f'name = "tiny"\nseed = {seed}'))
    metrics = json.loads((folder / "metrics.json").read_text())
    for variant, dice in (("dense", 0.4), ("pruned", seed / 10)):
        metrics[variant]["frames"] = dict.fromkeys(metrics[variant]["frames"], dice)
        metrics[variant]["false_positives"][0] |= {"frame_rate": dice, "pixel_rate": 0.0}
    (folder / "metrics.json").write_text(json.dumps(metrics))
    return str(folder)


def test_seeds_are_told_together(finished, tmp_path, say):
    runs = [seeded(finished, tmp_path / str(seed), seed) for seed in (3, 5, 7)]
    code, text = say("seeds", *runs)
    assert code == 0
    assert "| | seed 3 | seed 5 | seed 7 | mean | range |" in text
    assert "| Dice, test: dense | 0.400 | 0.400 | 0.400 | 0.400 [0.400, 0.400] | 0.400 to 0.400 |" in text
    assert "| Dice, test: pruned | 0.300 | 0.500 | 0.700 | 0.500 [0.500, 0.500] | 0.300 to 0.700 |" in text
    difference = "-0.100 | +0.100 | +0.300 | +0.100 [+0.100, +0.100] | -0.100 to +0.300"
    assert f"| Dice, test: pruned minus dense | {difference} |" in text
    assert "| Dice, there, all: pruned minus dense |" in text
    assert "| marked of 1 without polyps, negatives: pruned | 30% | 50% | 70% | 50% | 30% to 70% |" in text


def test_runs_of_another_recipe_are_no_seeds(finished, tmp_path, say):
    runs = [seeded(finished, tmp_path / str(seed), seed) for seed in (3, 5)]
    assert "each seed another" in say("seeds", runs[0], runs[0])[1]
    config = tmp_path / "5/config.toml"
    config.write_text(config.read_text().replace("size = 64", "size = 32"))
    code, text = say("seeds", *runs)
    assert (code, "must be the same but for their seeds" in text) == (1, True)


def test_seeds_ask_for_what_an_older_version_did_not_write(finished, tmp_path, say):
    run = seeded(finished, tmp_path / "3", 3)
    path = tmp_path / "3/metrics.json"
    metrics = json.loads(path.read_text())
    del metrics["pruned"]["unseen_frames"]
    path.write_text(json.dumps(metrics))
    code, text = say("seeds", run)
    assert (code, "has no Dice by frame: write it anew with `python -m pruning evaluate" in text) == (1, True)


def test_every_station_left_its_file(finished):
    run = finished / "runs/my-recipe"
    for name in (
        "config.toml",
        "stages/1.pt",
        "dense.pt",
        "pruned.pt",
        "history.csv",
        "metrics.json",
        "steps.json",
        "sensitivity.json",
        "report.html",
        "export/pruned.onnx",
    ):
        assert (run / name).is_file(), name
    for step in ("1", "2"):
        for name in ("scores.npz", "plan.json", "pruned.pt", "recalibrated.pt", "recalibration.json", "tuned.pt"):
            assert (run / "steps" / step / name).is_file(), name
    assert not list(run.rglob("*.partial"))


def test_the_budget_is_met_and_widths_lie_on_the_grid(finished):
    plan = json.loads((finished / "runs/my-recipe/steps/2/plan.json").read_text())
    dense = json.loads((finished / "runs/my-recipe/metrics.json").read_text())["dense"]
    assert 0.49 * dense["macs"] <= plan["macs"] <= 0.5 * dense["macs"]
    assert (plan["budget"]["kind"], plan["budget"]["wanted"], plan["budget"]["after"]) == ("macs", 0.5, plan["macs"])
    assert plan["budget"]["got"] == plan["macs"] / dense["macs"]
    assert all(width % 2 == 0 or width == 1 for width in plan["widths"].values())


def test_the_report_stands_alone(finished):
    html = (finished / "runs/my-recipe/report.html").read_text()
    assert not re.findall(r"""(?:src|href)=["']?https?:|url\(["']?https?:""", html)
    assert html.count("<svg") == 4
    assert "var(--first)" in html
    assert not re.search(r"#0[1-5]0001", html)  # every colour of the plots is the page's
    assert all(f"<td>{name}</td>" in html for name in ("dense", "step 1", "step 2", "final"))
    assert html.count("data:image/jpeg;base64,") == 6
    assert "best Dice on the part carved from the training split.</p>" in html


def test_the_report_says_which_weights_are_kept_and_needs_no_training(finished, tmp_path):
    shutil.copytree(finished / "runs/my-recipe", tmp_path / "run")
    config = tmp_path / "run/config.toml"
    config.write_text(config.read_text().replace("mucosa = 0.25", 'keep = "last"'))
    (tmp_path / "run/history.csv").unlink()
    html = report.write(Run(tmp_path / "run", finished)).read_text()
    assert "carved from the training split; in polish those of the last epoch." in html


def test_a_report_names_the_station_whose_file_is_gone(finished, tmp_path):
    shutil.copytree(finished / "runs/my-recipe", tmp_path / "run")
    (tmp_path / "run/steps/2/plan.json").unlink()
    with pytest.raises(RunError, match=r"2/plan\.json is missing: run `python -m pruning prune`"):
        report.write(Run(tmp_path / "run", finished))


def test_a_budget_in_parameters_is_met(finished, say):
    recipe = RECIPE.replace("steps = [0.75, 0.5]", 'budget = "parameters"\nsteps = [0.6]')
    (finished / "parameters.toml").write_text(recipe)
    run = finished / "runs/parameters"
    (run / "steps/1").mkdir(parents=True)
    for name in ("dense.pt", "steps/1/scores.npz"):
        shutil.copy(finished / "runs/my-recipe" / name, run / name)
    shutil.copy(finished / "parameters.toml", run / "config.toml")
    assert say("prune", "runs/parameters")[0] == 0
    plan = json.loads((run / "steps/1/plan.json").read_text())
    assert plan["budget"]["kind"] == "parameters"
    assert 0.588 <= plan["parameters"] / plan["budget"]["dense"] <= 0.6


def test_sensitivity_can_be_measured_alone(finished, say):
    path = finished / "runs/my-recipe/sensitivity.json"
    before = json.loads(path.read_text())
    assert say(*SENSITIVITY)[0] == 0
    assert json.loads(path.read_text()) == before  # the validation part has fewer frames than either asks for


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


@pytest.mark.parametrize("command", [("remeasure",), ("resize", "--size", "96")])
def test_a_model_whose_ancestor_is_not_there_is_compared_with_nothing(finished, say, monkeypatch, command):
    name, *options = command
    monkeypatch.setattr(remeasure, "measure", None)  # said before anything is measured
    monkeypatch.setattr(resize, "calibrator", None)
    (finished / "models/tiny-dense").rename(finished / "elsewhere")
    code, text = say(name, "models/tiny-pruned/1", "my-recipe.toml", *options)
    (finished / "elsewhere").rename(finished / "models/tiny-dense")
    assert code == 1
    assert "models/tiny-dense/1 is missing: tiny-pruned/1 was pruned from it" in text


@pytest.mark.parametrize("changed", ["calibration", "manifest"])
def test_nothing_is_published_but_what_was_measured_and_fits_the_schema(finished, tmp_path, changed):
    shutil.copytree(finished / "runs/my-recipe", tmp_path / "run")
    models = tmp_path / "models"
    models.mkdir()
    shutil.copyfile(SCHEMA, models / SCHEMA.name)
    name = "calibration.json" if changed == "calibration" else "metrics.json"
    found = json.loads((tmp_path / "run" / name).read_text())
    found["pruned"] |= {"threshold": 0.123} if changed == "calibration" else {"macs": -1}
    (tmp_path / "run" / name).write_text(json.dumps(found))
    message = "run `python -m pruning evaluate` again" if changed == "calibration" else "macs"
    with pytest.raises(ExportError, match=message):
        publish(Run(tmp_path / "run", finished), models)
    assert [path.name for path in models.iterdir()] == [SCHEMA.name]


@pytest.mark.parametrize("name", ["tiny-dense", "tiny-pruned"])
def test_a_model_measured_anew_keeps_its_promise_and_gets_its_figures(finished, say, name):
    """Its manifest says wrong figures and another fit: the right ones come back, and nothing else changes."""
    folder = finished / "models" / name / "1"
    published = {path.name: path.read_bytes() for path in folder.iterdir()}
    manifest = json.loads(published["manifest.json"])
    wrong = {"quality": [], "false_positives": [], "input": {**manifest["input"], "fit": "stretch"}}
    (folder / "manifest.json").write_text(json.dumps({**manifest, **wrong}))
    code, text = say("remeasure", f"models/{name}/1", "my-recipe.toml")
    assert code == 0, text
    found = json.loads((folder / "manifest.json").read_text())
    assert found == manifest
    assert {path.name for path in folder.iterdir()} == set(published)
    card = (folder / "MODEL_CARD.md").read_text()
    assert "what lies inside the black border" in card
    assert ("`tiny-dense/1`, which it was pruned from, at that one's" in card) == (name == "tiny-pruned")


def test_a_published_model_gets_a_peak_that_so_many_squares_reach(finished, say):
    folder = finished / "models/tiny-pruned/1"
    published = {path: path.read_bytes() for path in folder.iterdir()}
    manifest = json.loads(published[folder / "manifest.json"])
    _, validation = read_training(finished, read_recipe(finished / "my-recipe.toml").data)
    session = open_session(folder / "model.onnx")
    size = input_size(session)
    highest = [run(session, fit(square, size)[None]).max() for square in squares(validation)]
    code, text = say("remeasure", "models/tiny-pruned/1", "my-recipe.toml", "--marks", "0")
    found = json.loads((folder / "manifest.json").read_text())
    card = (folder / "MODEL_CARD.md").read_text()
    for path, content in published.items():
        path.write_bytes(content)
    assert code == 0, text
    assert "raised for at most 0% of validation's polyp-free squares" in card
    assert found["marks"] == 0
    assert found["peak"] > max(highest)
    assert found["peak"] == pytest.approx(max(manifest["peak"], *highest), abs=1e-4)
    assert {name for name in found if found[name] != manifest[name]} <= {"peak", "marks", "quality", "false_positives"}


def test_a_recipe_settles_the_peak_by_squares(finished, say):
    folder = finished / "runs/my-recipe"
    kept = {folder / name: (folder / name).read_bytes() for name in ("config.toml", "calibration.json")}
    before = json.loads(kept[folder / "calibration.json"])
    (folder / "config.toml").write_bytes(kept[folder / "config.toml"] + b"\n[calibrate]\nmarks = 0.25\n")
    code, text = say("calibrate", "runs/my-recipe")
    after = json.loads((folder / "calibration.json").read_text())
    for path, content in kept.items():
        path.write_bytes(content)
    assert code == 0, text
    for variant, settled in after.items():
        assert settled["marks"] == 0.25
        assert settled["peak"] >= before[variant]["peak"]
        assert {**settled, "peak": 0, "marks": None} == {**before[variant], "peak": 0}


def test_a_peak_for_squares_needs_squares(finished, say, monkeypatch):
    monkeypatch.setattr(origin, "squares", lambda _pairs: iter(()))
    published = (finished / "models/tiny-pruned/1/manifest.json").read_bytes()
    code, text = say("remeasure", "models/tiny-pruned/1", "my-recipe.toml", "--marks", "0.1")
    assert code == 1
    assert "leave out --marks" in " ".join(text.split())
    assert (finished / "models/tiny-pruned/1/manifest.json").read_bytes() == published


def test_a_model_for_frames_of_another_size_is_a_version_of_its_own(finished, say):
    models = finished / "models"
    before = {path: path.read_bytes() for path in models.rglob("*") if path.is_file()}
    code, text = say("resize", "models/tiny-pruned/1", "my-recipe.toml", "--size", "96")
    assert code == 0, text
    folder = models / "tiny-pruned/2"
    assert {path: path.read_bytes() for path in before} == before
    first, second = (json.loads((models / f"tiny-pruned/{n}/manifest.json").read_text()) for n in (1, 2))
    assert (second["version"], second["input"]["height"], second["input"]["width"]) == ("2", 96, 96)
    assert second["macs"] == first["macs"] * 96**2 / 64**2
    assert [second[name] for name in ("widths", "parameters", "training")] == [
        first[name] for name in ("widths", "parameters", "training")
    ]
    recipe = read_recipe(finished / "my-recipe.toml")
    network = checkpoint.load(finished / "runs/my-recipe/pruned.pt")
    network.spec = network.spec.model_copy(update={"size": 96})
    settled = calibrator(read_training(finished, recipe.data)[1], 96, None)(network)
    for name in ("temperature", "threshold", "peak"):
        assert second[name] == pytest.approx(getattr(settled, name), abs=2e-3), name
    frames = synthetic_frame(96)[None]
    with torch.no_grad():
        expected = Deployed(network.network, network.spec, settled.temperature)(torch.from_numpy(frames))
    assert run(open_session(folder / "model.onnx"), frames) == pytest.approx(expected.numpy(), abs=2e-3)
    card = (folder / "MODEL_CARD.md").read_text()
    assert "resize models/tiny-pruned/<version> pruning/configs/tiny.toml --size 96" in card
    found = registry.scan(models, threads=1, preference="cpu")
    assert found.resolve("tiny-pruned/2").manifest.input.height == 96
    shutil.rmtree(folder)


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
        (("remeasure", "models/none/1", "my-recipe.toml"), "name a published folder"),
        (("resize", "models/none/1", "my-recipe.toml", "--size", "96"), "name a published folder"),
        (("resize", "models/tiny-pruned/1", "my-recipe.toml", "--size", "64"), "for frames of 64 × 64 already"),
        (("resize", "models/tiny-pruned/1", "my-recipe.toml", "--size", "100"), "must be a multiple of 32"),
        (("score", "runs/none"), "cannot read the recipe"),
        (("score", "runs/my-recipe"), "every step of runs/my-recipe is finished"),
        (("train", "other.toml", "--run", "runs/my-recipe"), "holds a run of another recipe"),
        (("train", "my-recipe.toml", "--run", "other.toml/run"), "Not a directory: 'other.toml/run'"),
        (("publish", "runs/my-recipe", "--models", "elsewhere"), "manifest.schema.json is missing"),
        (("compare", "runs/my-recipe", "--size", "100"), "--size must be a multiple of 32"),
        (("compare", "runs/my-recipe", "--share", "1.5"), "--share is of the dense network's MACs"),
    ],
)
def test_an_error_is_one_message_that_tells_what_to_do(finished, say, arguments, message):
    (finished / "other.toml").write_text(RECIPE.replace("epochs = 4", "epochs = 5"))
    code, text = say(*arguments)
    assert code == 1
    assert text.startswith("error: ")
    assert message in text


@pytest.mark.parametrize("size", ["0", "-32"])
def test_a_size_that_no_frame_has_is_refused(size):
    """0 was taken as the recipe's own size."""
    result = CliRunner().invoke(cli.app, ["compare", "runs/none", "--size", size])
    assert result.exit_code == 2
    assert "--size" in result.output


def test_an_unreachable_budget_is_refused_before_anything_is_removed(finished, say):
    (finished / "small.toml").write_text(RECIPE.replace("[0.75, 0.5]", "[0.001]"))
    run = finished / "runs/small"
    run.mkdir(parents=True)
    shutil.copy(finished / "runs/my-recipe/dense.pt", run)
    code, text = say("run", "small.toml")
    assert code == 1
    assert "the smallest network on a grid of 2" in text
    assert not (run / "steps/1/pruned.pt").exists()


def cell(content, method, seed=0):
    """The cell of a method in compare.json."""
    (found,) = [c for c in content["cells"] if (c["method"], c["seed"]) == (method, seed)]
    return found


@pytest.fixture(scope="module")
def compared(finished):
    """The run folder after the page's comparison."""
    pruning(*COMPARE, root=finished)
    return finished / "runs/my-recipe"


def test_compare_brings_every_method_to_equal_macs(compared):
    content = json.loads((compared / "compare.json").read_text())
    budget = 0.5 * content["dense"]["macs"]
    assert [c["method"] for c in content["cells"]] == [method.name for method in METHODS]
    assert all(0.9 * budget < c["macs"] <= budget for c in content["cells"])
    assert all(len(c["before"]) == len(c["after"]) == 4 for c in content["cells"])
    assert cell(content, "from scratch")["macs"] == cell(content, "taylor-abs")["macs"]


def test_compare_writes_one_table_and_one_plot(compared):
    with (compared / "compare.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["method"] for row in rows] == [method.name for method in METHODS]
    assert (float(rows[0]["against_mean"]), rows[0]["seeds"]) == (0, "1")
    content = json.loads((compared / "compare.json").read_text())
    expected = sum(cell(content, "random")["after"]) / 4
    (random,) = [row for row in rows if row["method"] == "random"]
    assert float(random["after_mean"]) == pytest.approx(expected)
    assert f"| 50% | random | {float(random['macs']) / 1e6:.1f} |" in (compared / "compare.md").read_text()
    assert "from scratch" in (compared / "compare.svg").read_text()


def test_compare_goes_on_where_it_stopped(compared, say):
    path = compared / "compare.json"
    content = json.loads(path.read_text())
    again = cell(content, "random")
    kept = [{**c, "parameters": 12_340_000} if c["method"] == "l1" else c for c in content["cells"] if c != again]
    path.write_text(json.dumps({**content, "cells": kept}))
    assert say(*COMPARE)[0] == 0
    assert "| 12.34 |" in (compared / "compare.md").read_text()  # taken as it was found
    assert cell(json.loads(path.read_text()), "random") == again


def test_compare_adds_a_seed_of_one_method_beside_the_first(compared, say):
    before = json.loads((compared / "compare.json").read_text())["cells"]
    assert say(*COMPARE, "--seed", "1", "--method", "random")[0] == 0
    after = json.loads((compared / "compare.json").read_text())["cells"]
    assert [(c["method"], c["seed"]) for c in after if c not in before] == [("taylor-abs", 1), ("random", 1)]


ONE_CELL = ("--share", "0.5", "--seed", "0", "--epochs", "0", "--method", "taylor-abs")


def test_compare_measures_batch_norm_anew_where_the_recipe_does(finished, tmp_path, say):
    found = {}
    for frames in (8, 0):
        run = tmp_path / str(frames)
        run.mkdir()
        shutil.copy(finished / "runs/my-recipe/dense.pt", run)
        (run / "config.toml").write_text(RECIPE.replace("recalibrate = 8", f"recalibrate = {frames}"))
        assert say("compare", str(run), *ONE_CELL)[0] == 0
        assert f"batch norm measured anew on {frames} frames" in (run / "compare.md").read_text()
        found[frames] = cell(json.loads((run / "compare.json").read_text()), "taylor-abs")
    assert found[8]["macs"] == found[0]["macs"]
    assert found[8]["before"] != found[0]["before"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--size", "32"), "holds a comparison with the settings"),
        (("--method", "chance"), "unknown method 'chance'; the methods are: taylor-abs;"),
    ],
)
def test_compare_refuses_what_would_mix_two_tables(compared, say, arguments, message):
    code, text = say("compare", str(compared), *arguments)
    assert code == 1
    assert message in text


def test_compare_refuses_a_dense_network_that_was_trained_anew(finished, tmp_path, say):
    (tmp_path / "config.toml").write_text(RECIPE)
    shutil.copy(finished / "runs/my-recipe/dense.pt", tmp_path)
    assert say("compare", str(tmp_path), *ONE_CELL)[0] == 0
    shutil.copy(finished / "runs/my-recipe/steps/1/tuned.pt", tmp_path / "dense.pt")
    code, text = say("compare", str(tmp_path), *ONE_CELL)
    assert code == 1
    assert "of another dense network" in text


def test_a_budget_that_no_width_reaches_is_a_row_that_says_so(compared, say):
    code, _ = say(*COMPARE, "--share", "0.001", "--method", "uniform")
    assert code == 0
    assert "| 0% | uniform |  |  | not reachable |" in (compared / "compare.md").read_text()
    refused = json.loads((compared / "compare.json").read_text())["cells"][-1]["refused"]
    assert "with every group at 2 channels the network costs" in refused
