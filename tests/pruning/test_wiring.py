"""What each station and each cell of a comparison gets: which frames, which network, which seed."""

import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from pruning import calibration, checkpoint, crops, latency, quantise, recovery, sensitivity, stations
from pruning.calibration import Calibration
from pruning.comparison import study
from pruning.comparison.methods import METHODS
from pruning.cost import count_macs
from pruning.data import read_training
from pruning.errors import DatasetError, RecipeError, RunError
from pruning.evaluate import FrameScores
from pruning.runs import Run
from pruning.stations import figures, learning
from pruning.training import Epoch
from tests.pruning.dataset import write_tiny

SETTINGS = study.Settings(
    shares=(0.5,), seeds=(0,), epochs=1, scratch_epochs=1, size=64, frames=8, cuts=1, grid=2, recalibrate=8
)


def fresh(run, seed):
    torch.manual_seed(seed)
    return checkpoint.create(run.recipe.network)


def same(one, other):
    return all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True))


@pytest.fixture
def begun(tmp_path):
    """A run of tiny.toml with seed 3, and a dense network that was never trained."""
    write_tiny(tmp_path)
    text = Path("tests/pruning/tiny.toml").read_text()
    (tmp_path / "recipe.toml").write_text(text.replace('name = "tiny"', 'name = "tiny"\nseed = 3'))
    run = Run.begin(tmp_path / "recipe.toml", tmp_path / "run", tmp_path)
    checkpoint.save(run.dense, fresh(run, 0))
    return run


class Asked:
    """Stands where a Trainer would: notes what it is asked for, and trains nothing."""

    def __init__(self, calls, start, *given):
        self.calls, self.start = calls, start
        _, _, self.seed, state = given
        self.resumes = state.is_file()

    def run(self, training, validation, *given):
        _, _, *others = given
        self.teacher, self.mucosa = (*others, None, None)[:2]
        self.training, self.validation = training, validation
        self.calls.append(self)
        return self.start


@pytest.fixture
def asked(monkeypatch):
    """What trainers of stations and comparisons were asked for."""
    calls = []
    for module in (learning, study):
        monkeypatch.setattr(module, "Trainer", partial(Asked, calls))
    return calls


def test_a_recipe_may_be_mended_until_its_run_has_left_something(tmp_path):
    recipe = tmp_path / "recipe.toml"
    text = Path("tests/pruning/tiny.toml").read_text()
    for seed in (3, 4):
        recipe.write_text(text.replace('name = "tiny"', f'name = "tiny"\nseed = {seed}'))
        run = Run.begin(recipe, tmp_path / "run", tmp_path)
        with pytest.raises(DatasetError, match="is not a folder"):
            stations.train(run)
        assert run.recipe.seed == seed
    run.state("train-1").touch()
    recipe.write_text(text)
    with pytest.raises(RunError, match="holds a run of another recipe"):
        Run.begin(recipe, tmp_path / "run", tmp_path)
    assert Run(tmp_path / "run", tmp_path).recipe.seed == 4


def test_what_is_chosen_is_chosen_on_the_validation_part_alone(begun, monkeypatch):
    training, validation = ([pair.stem for pair in part] for part in read_training(begun.root, begun.recipe.data))
    seen = {}

    def calibrator(pairs, *_):
        seen["calibrate"] = [pair.stem for pair in pairs]
        return lambda _network: Calibration()

    monkeypatch.setattr(calibration, "calibrator", calibrator)
    monkeypatch.setattr(recovery, "recalibrate", lambda _network, _spec, frames: seen.update(norms=frames.stems))
    monkeypatch.setattr(sensitivity, "measure", lambda *given: seen.update(groups=given[4].stems) or {"suggested": []})
    checkpoint.save(begun.pruned, checkpoint.load(begun.dense))
    for station in (stations.calibrate, stations.score, stations.prune, stations.recalibrate):
        station(begun)
    stations.measure_sensitivity(begun, 100)
    assert seen["calibrate"] == validation
    assert sorted(seen["groups"]) == sorted(validation)
    assert set(seen["norms"]) < set(training)  # batch norm is measured on what was learned from


def test_what_is_only_reported_on_is_decoded_before_training_starts(begun, asked):
    begun.dense.unlink()
    for bad in ("data/images/f19.jpg", "there/images/f0.jpg", "negatives/masks/n0.png"):
        (begun.root / bad).write_text("no picture")
    with pytest.raises(DatasetError, match=r"3 bad pairs:\n  f19: (.|\n)*  f0: (.|\n)*  n0: "):
        stations.train(begun)
    assert not asked


def test_what_cannot_be_pruned_is_refused_before_training_starts(begun, asked):
    begun.dense.unlink()
    protected = begun.recipe.prune.model_copy(update={"protect": ("decoder9",)})
    begun.recipe = begun.recipe.model_copy(update={"prune": protected})
    with pytest.raises(RecipeError, match="'decoder9', which fits no layer"):
        stations.train(begun)
    assert not asked


def test_a_training_gets_its_parts_its_seed_its_teacher_and_mucosa_of_the_training_part(begun, asked, monkeypatch):
    training, validation = ([pair.stem for pair in part] for part in read_training(begun.root, begun.recipe.data))
    monkeypatch.setattr(crops, "mucosa", lambda pairs, _size: [pair.stem for pair in pairs])
    other = fresh(begun, 1)
    for recipe in (begun.recipe.finetune, begun.recipe.polish):
        learning.fit_network(begun, "finetune-1", other, recipe, begun.folder / "tuned.pt")
    for call in asked:
        assert (call.training.stems, call.validation.stems, call.seed) == (training, validation, 3)
    tuned, polished = asked
    assert same(tuned.teacher, checkpoint.load(begun.dense).network)
    assert not tuned.teacher.training  # batch norm would follow the batches, and change
    assert (tuned.mucosa, polished.teacher, polished.mucosa) == (None, None, training)


def test_a_step_goes_on_from_the_one_before_and_tunes_what_was_recalibrated(begun, asked):
    first, second = begun.step(1), begun.step(2)
    assert (begun.before(first), begun.before(second)) == (begun.dense, first.tuned)
    checkpoint.save(first.pruned, fresh(begun, 1))
    checkpoint.save(first.recalibrated, fresh(begun, 2))
    stations.finetune(begun)
    (call,) = asked
    assert same(call.start.network, fresh(begun, 2).network)


def test_a_training_can_go_on_until_its_network_is_saved(begun, asked, monkeypatch):
    def full(*_):
        raise OSError("disk full")

    first = begun.step(1)
    checkpoint.save(first.recalibrated, fresh(begun, 1))
    checkpoint.save(first.pruned, fresh(begun, 1))
    state = begun.folder / "finetune-1.state"
    state.touch()
    with monkeypatch.context() as patched:
        patched.setattr(checkpoint, "save", full)
        with pytest.raises(OSError, match="disk full"):
            stations.finetune(begun)
    assert state.is_file()
    stations.finetune(begun)
    assert [call.resumes for call in asked] == [True, True]
    assert first.tuned.is_file()
    assert not state.exists()


def test_a_stage_does_not_go_on_from_the_state_of_another(begun, asked):
    begun.dense.unlink()
    (begun.folder / "train-2.state").touch()  # of a stage that was interrupted, when the one before was removed
    stations.train(begun)
    assert [call.resumes for call in asked] == [False, True]


def test_another_cut_is_not_tuned_as_the_one_before(begun):
    step = begun.step(1)
    stations.score(begun)
    stations.prune(begun)
    stations.recalibrate(begun)
    begun.state("finetune-1").touch()
    stations.prune(begun)
    assert step.pruned.is_file()
    assert not any(path.exists() for path in (step.recalibrated, step.recalibration, begun.state("finetune-1")))


@pytest.mark.parametrize("killed", ["scores.npz", "plan.json"])
def test_a_write_that_was_killed_leaves_no_half_file(begun, monkeypatch, killed):
    def stop(path, *_, **__):
        Path(path).write_bytes(b"half")
        raise KeyboardInterrupt

    if killed == "plan.json":
        stations.score(begun)
    station = stations.score if killed == "scores.npz" else stations.prune
    with monkeypatch.context() as patched:
        patched.setattr(np, "savez", stop)
        patched.setattr(Path, "write_text", stop)
        with pytest.raises(KeyboardInterrupt):
            station(begun)
    assert not (begun.step(1).folder / killed).exists()


def test_an_epoch_that_was_run_again_stands_once_in_the_history(begun):
    for epoch, dice in ((1, 0.1), (2, 0.2), (2, 0.3), (3, 0.4)):
        begun.append_history("train-1", Epoch(epoch, 3, 1.0, dice, 1.0))
    assert [row["dice"] for row in begun.read_history()] == ["0.1", "0.3", "0.4"]


def test_a_training_that_was_interrupted_goes_on_from_the_stage_that_is_done(begun, asked):
    begun.dense.unlink()
    checkpoint.save(begun.stage(1), fresh(begun, 1))
    stations.train(begun)
    (call,) = asked
    assert same(call.start.network, fresh(begun, 1).network)


def test_a_stage_sees_frames_of_its_own_size_and_layers_start_by_the_recipes_seed(begun, asked):
    begun.dense.unlink()
    torch.manual_seed(99)  # whatever ran before
    stations.train(begun)
    assert [call.start.spec.size for call in asked] == [32, 64]
    assert [call.training.images.shape[-1] for call in asked] == [32, 64]
    assert same(asked[0].start.network, fresh(begun, 3).network)


def test_differences_are_pruned_minus_dense_frame_by_frame(begun, monkeypatch):
    dice = {"dense": np.array([0.5, 0.9]), "pruned": np.array([0.4, 0.8])}
    measured = {name: FrameScores(["a", "b"], values, values) for name, values in dice.items()}
    monkeypatch.setattr(figures, "_measure", lambda _run, variant: ({}, measured[variant]))
    monkeypatch.setattr(latency, "in_turns", lambda *_: np.array([[20.0, 10.0], [40.0, 20.0]]))
    stations.evaluate(begun)
    metrics = json.loads(begun.metrics.read_text())
    assert metrics["difference"] == {"mean": -0.1, "low": -0.1, "high": -0.1}
    shown = metrics["latency"]
    assert (shown["dense_p50"], shown["pruned_p50"], shown["speed_up"]) == (30, 15, pytest.approx(2))
    row = figures._row(
        "final", {"macs": 1, "parameters": 1, "frames": {"b": 0.8, "a": 0.4}}, {"frames": {"a": 0.5, "b": 0.9}}
    )
    assert row["difference"] == {"mean": -0.1, "low": -0.1, "high": -0.1}


def test_ranges_come_from_training_frames_and_the_verdict_from_validation(tmp_path, monkeypatch):
    origin = SimpleNamespace(
        models=tmp_path,
        manifest={"name": "model", "version": "1"},
        graph=Path("fp32.onnx"),
        recipe=SimpleNamespace(seed=0),
        training=lambda: (["trained"], ["validated"]),
    )
    seen = {}
    monkeypatch.setattr(quantise.Origin, "read", lambda *_: origin)
    monkeypatch.setattr(quantise.int8, "convert", lambda _graph, _target, pairs: seen.update(ranges=pairs))
    monkeypatch.setattr(quantise, "check_loss", lambda _origin, _graph, pairs, _precision: seen.update(verdict=pairs))
    monkeypatch.setattr(quantise, "write", lambda *_: None)
    quantise.quantise(tmp_path, tmp_path, "int8", tmp_path)
    assert seen == {"ranges": ["trained"], "verdict": ["validated"]}


def test_methods_share_scores_only_where_they_ask_for_the_same_ones(begun, monkeypatch):
    found = study.Study(begun, SETTINGS)
    monkeypatch.setattr(study, "score", lambda *given: given[4])
    for method in METHODS:
        recipe = found._recipe(method)
        given = found._dense_scores(0, recipe)
        for name in ("criterion", "gradient", "reduction", "normalise_gradient"):
            assert getattr(given, name) == getattr(recipe, name), method.name


def test_a_cell_scores_and_tunes_on_training_frames_under_the_dense_network_and_starts_anew(begun, asked, monkeypatch):
    training, validation = ([pair.stem for pair in part] for part in read_training(begun.root, begun.recipe.data))
    seen, score = {}, study.score
    monkeypatch.setattr(study, "score", lambda *given: seen.update(scored=given[3].stems) or score(*given))
    monkeypatch.setattr(study, "recalibrate", lambda _network, _spec, frames: seen.update(norms=frames.stems))
    (begun.folder / "compare.state").touch()  # of a cell that was interrupted
    study.Study(begun, SETTINGS).cell(0.5, 0, METHODS[0])
    (call,) = asked
    assert not call.resumes
    assert (call.training.stems, call.validation.stems) == (training, validation)
    assert set(seen["scored"]) < set(training)
    assert set(seen["norms"]) < set(training)
    assert same(call.teacher, checkpoint.load(begun.dense).network)


@pytest.mark.parametrize(("section", "method"), [("[finetune]", METHODS[0]), ("[[train]]", METHODS[-1])])
def test_a_cell_sees_mucosa_where_the_recipes_training_does(begun, asked, monkeypatch, section, method):
    training = [pair.stem for pair in read_training(begun.root, begun.recipe.data)[0]]
    monkeypatch.setattr(crops, "mucosa", lambda pairs, size: ([pair.stem for pair in pairs], size))
    text = begun.config.read_text()
    for share in (0.0, 0.25):
        begun.config.write_text(text.replace(section, f"{section}\nmucosa = {share}"))
        study.Study(Run(begun.folder, begun.root), SETTINGS).cell(0.5, 0, method)
    assert [call.mucosa for call in asked] == [None, (training, 64)]


@pytest.mark.usefixtures("asked")
def test_each_cut_is_scored_anew(begun, monkeypatch):
    costs, score = [], study.score
    monkeypatch.setattr(study, "score", lambda *given: costs.append(count_macs(given[0], 64)) or score(*given))
    study.Study(begun, replace(SETTINGS, cuts=3)).cell(0.5, 0, METHODS[0])
    assert costs[0] > costs[1] > costs[2] > costs[0] / 2
