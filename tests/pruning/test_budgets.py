"""Budgets in measured milliseconds: the table of layers, and the correction by the whole network."""

import json
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from pruning import budgets, checkpoint, latency
from pruning.budgets import Attempt, LatencyBudget
from pruning.config import Network
from pruning.cost import Layer, count_macs, macs, measure_layers
from pruning.errors import BudgetError
from pruning.grouping import find_groups
from pruning.latency import Comparison
from pruning.layer_times import LayerTimes, fastest, lattice
from pruning.selection import TOLERANCE
from tests.pruning.networks import make, prune_section, spec

CONV = Layer("conv", "conv", inputs=32, outputs=64, plane=(16, 16), unit=256, kernel=(3, 3))


def test_a_layer_is_measured_at_few_widths():
    assert lattice(96) == [0, 16, 32, 48, 96]
    assert lattice(24) == [0, 16, 24]
    assert lattice(3) == [0, 3]


def test_only_the_layer_counts_in_a_profile():
    events = [
        {"name": "session", "dur": 1},
        {"args": {"op_name": "ReorderInput"}, "dur": 2},
        {"args": {"op_name": "Conv"}, "dur": 700},
        {"args": {"op_name": "Conv"}, "dur": 500},
    ]
    assert fastest(events) == 0.5


@pytest.mark.parametrize("name", ["unet", "unet-lite0"])
def test_every_kind_of_layer_can_be_measured(name, tmp_path):
    """Plain, transposed and depthwise; wider is never faster, and what was measured is kept."""
    layers = sorted(measure_layers(make(name), 64).values(), key=lambda layer: layer.outputs)
    found = {layer.kind: layer for layer in layers}  # the widest of each
    path = tmp_path / "times.json"
    times = LayerTimes(path, {layer.name: layer for layer in found.values()})
    for layer in found.values():
        half = times(layer, layer.inputs // 2, layer.outputs // 2)
        assert 0 < half <= times(layer, layer.inputs, layer.outputs)
        assert times(layer, 0, 0) == 0
    assert len(json.loads(path.read_text())["milliseconds"]) == len(times.milliseconds)


def test_the_table_is_measured_once_and_anew_under_other_conditions(tmp_path):
    path = tmp_path / "times.json"
    LayerTimes(path, {"conv": CONV})
    stored = json.loads(path.read_text())
    full = next(key for key in stored["milliseconds"] if key.endswith("32 -> 64"))
    stored["milliseconds"][full] = 1e6
    path.write_text(json.dumps(stored))
    assert LayerTimes(path, {"conv": CONV})(CONV, 32, 64) == 1e6
    assert LayerTimes(path, {"conv": CONV}, threads=2)(CONV, 32, 64) < 1e6


def test_between_two_measured_widths_the_time_is_interpolated(tmp_path):
    times = LayerTimes(tmp_path / "times.json", {"conv": CONV})
    ends = [times(CONV, 32, 32), times(CONV, 32, 64)]
    assert times(CONV, 32, 48) == pytest.approx(sum(ends) / 2)


def test_a_latency_budget_is_met_within_its_tolerance_or_refused_with_the_network_untouched(tmp_path):
    dense, present = (checkpoint.create(spec(width=16, depth=3)) for _ in range(2))
    groups = find_groups(present.network, 64)
    scores = {group.name: torch.arange(group.width).double() for group in groups}
    before = {name: value.shape for name, value in present.network.state_dict().items()}
    budget = LatencyBudget(dense, tmp_path / "dense.onnx", tmp_path / "times.json", runs=30)
    try:
        removed, spent = budget.cut(present, groups, scores, prune_section(budget="latency", grid=2, floor=2), 0.6)
    except BudgetError:  # a machine that does other work beside the tests
        assert before == {name: value.shape for name, value in present.network.state_dict().items()}
        assert present.history == []
    else:
        assert removed
        assert spent.got == pytest.approx(0.6, rel=TOLERANCE)
        assert spent.attempts[-1].measured == spent.got
        assert present.history


def test_what_shrinks_otherwise_than_foretold_misses_no_budget_without_a_word(tmp_path):
    """Attention costs the pixels' square for each channel, and is no convolution."""
    present, dense = checkpoint.create(Network(factory="tests.pruning.networks:Attention", size=32)), tmp_path / "dense"
    checkpoint.save(dense, present)
    (group,) = find_groups(present.network, 32)
    scores = {group.name: torch.arange(group.width).double()}
    run = SimpleNamespace(dense=dense, recipe=SimpleNamespace(prune=prune_section(grid=1, floor=1)))
    with pytest.raises(BudgetError, match=r"the budget is [\d,]+ MACs, .* costs [\d,]+: .* attention"):
        budgets.cut_to_share(run, present, [group], scores, 0.9)
    assert (present.network.a.out_channels, present.history) == (32, [])


def test_a_latency_that_was_missed_names_the_nearest_on_either_side():
    tried = [Attempt(0.5, share, 1.0) for share in (0.4, 0.47, 0.55, 0.7)]
    assert "the nearest took 47.0% and 55.0%" in budgets.missed(0.5, tried)


def test_a_prediction_is_corrected_by_what_was_measured(tmp_path, monkeypatch):
    """Three tenths of the time lie in no layer, so that the first prediction is too slow."""
    dense, present = (checkpoint.create(spec(width=16, depth=3)) for _ in range(2))
    whole = count_macs(dense.network, 64)

    def measured(_budget, network):
        share = 0.3 + 0.7 * count_macs(network.network, 64) / whole
        return Comparison("", "", 1, 1, 100, 100, 100 * share, 100 * share, 1 / share, 1 / share, 1 / share)

    monkeypatch.setattr(budgets, "LayerTimes", lambda *_: macs)
    monkeypatch.setattr(LatencyBudget, "measure", measured)
    (tmp_path / "dense.onnx").touch()
    groups = find_groups(present.network, 64)
    scores = {group.name: torch.arange(group.width).double() for group in groups}
    budget = LatencyBudget(dense, tmp_path / "dense.onnx", tmp_path / "times.json")
    removed, spent = budget.cut(present, groups, scores, prune_section(budget="latency", grid=2, floor=2), 0.6)
    assert removed
    assert 0.588 <= spent.got <= 0.612
    assert 0.588 <= 0.3 + 0.7 * count_macs(present.network, 64) / whole <= 0.612
    assert spent.attempts[0].measured > 0.7
    assert present.history


@pytest.mark.parametrize(("low", "high", "busy"), [(1.97, 2.03, False), (1.9, 2.1, True)])
def test_a_machine_that_is_too_busy_to_tell_two_percent_is_refused(monkeypatch, low, high, busy):
    budget = LatencyBudget.__new__(LatencyBudget)
    budget.graph, budget.threads, budget.runs = Path("dense.onnx"), 1, 1
    found = Comparison("", "", 1, 1, 10, 10, 5, 5, 2.0, low, high)
    monkeypatch.setattr(budgets, "export", lambda *_: None)
    monkeypatch.setattr(latency, "compare", lambda *_: found)
    with pytest.raises(BudgetError, match="too busy") if busy else nullcontext():
        assert budget.measure(None) == found
