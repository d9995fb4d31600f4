"""The contract proves itself: each broken promise is refused by name and reason."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto

from app import cuda, registry
from app.clock import Clock
from app.errors import ModelRefused, NoModelReady, UnknownModel
from app.model import load
from app.registry import Registry
from tests.synthetic import SIZE, colonoscopy, red_graph, write_model, write_pair


def scan(models_dir: Path, default: str | None = None) -> Registry:
    return registry.scan(models_dir, threads=1, preference="cpu", default=default)


def edit_manifest(folder: Path, **changes: object) -> None:
    path = folder / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def edit_golden(folder: Path, **changes: np.ndarray) -> None:
    path = folder / "golden.npz"
    with np.load(path) as arrays:
        kept = dict(arrays)
    np.savez(path, **{**kept, **changes})


def other_graph(**changes: object) -> Callable[[Path], None]:
    """The graph replaced by another, with the right checksum, so that only its shape gives it away."""

    def change(folder: Path) -> None:
        graph = red_graph(**changes)  # type: ignore[arg-type]
        (folder / "model.onnx").write_bytes(graph)
        edit_manifest(folder, sha256=hashlib.sha256(graph).hexdigest())

    return change


BROKEN: dict[str, tuple[Callable[[Path], object], str]] = {
    "wrong checksum": (lambda f: (f / "model.onnx").write_bytes(red_graph(gain=0.7)), "SHA-256"),
    "golden mismatch": (other_graph(gain=0.7), "golden frame's probability is off by up to 0.27"),
    "golden is NaN": (
        lambda f: edit_golden(f, probability=np.full((SIZE, SIZE), np.nan, np.float32)),
        "off by up to nan",
    ),
    "other input name": (other_graph(input_name="images"), "the graph takes"),
    "other input size": (other_graph(height=32), "the graph takes"),
    "fixed batch": (other_graph(batch=1), "the graph takes"),
    "other output name": (other_graph(output_name="logits"), "the graph gives"),
    "other output type": (other_graph(output_type=TensorProto.DOUBLE), "the graph gives"),
    "manifest missing": (lambda f: (f / "manifest.json").unlink(), "manifest.json is not readable: No such file"),
    "manifest not JSON": (lambda f: (f / "manifest.json").write_text("{"), "manifest.json is not readable"),
    "manifest not text": (lambda f: (f / "manifest.json").write_bytes(b"\xff\0"), "manifest.json is not readable"),
    "manifest lacks a field": (lambda f: edit_manifest(f, threshold=None), "threshold"),
    "manifest has a stray field": (lambda f: edit_manifest(f, thresold=0.5), "thresold"),
    "manifest of a later version": (
        lambda f: edit_manifest(f, schema_version=2),
        "schema_version: Input should be 1: publish the folder again, or update the service",
    ),
    "other name": (lambda f: edit_manifest(f, name="other"), "that of other/1, but the folder is broken/1"),
    "name is a path": (lambda f: edit_manifest(f, name="../red-dense"), "name"),
    "graph missing": (lambda f: (f / "model.onnx").unlink(), "model.onnx is not readable: No such file"),
    "golden missing": (lambda f: (f / "golden.npz").unlink(), "golden.npz is not readable"),
    "golden not a zip": (lambda f: (f / "golden.npz").write_bytes(b"PK\3\4oops"), "golden.npz is not readable"),
    "golden empty": (lambda f: (f / "golden.npz").write_bytes(b""), "golden.npz is not readable"),
    "golden of another size": (
        lambda f: edit_golden(f, frame=colonoscopy(32, 32)),
        "frame is uint8 [32, 32, 3], expected uint8 [64, 64, 3]",
    ),
    "golden of another type": (
        lambda f: edit_golden(f, probability=np.zeros((SIZE, SIZE))),
        "probability is float64 [64, 64], expected float32",
    ),
    "golden is pickled": (
        lambda f: edit_golden(f, frame=np.array([{}], dtype=object)),
        "golden.npz is not readable: Object arrays",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_folder_is_refused_with_its_reason_and_the_others_serve(name: str, tmp_path: Path) -> None:
    write_pair(tmp_path)
    breaks, reason = BROKEN[name]
    breaks(write_model(tmp_path, "broken"))
    found = scan(tmp_path)
    assert [model.id for model in found.ready] == ["red-dense/1", "red-pruned/1"]
    assert [refusal.id for refusal in found.refused] == ["broken/1"]
    assert reason in found.refused[0].reason
    with pytest.raises(UnknownModel, match="was refused"):
        found.resolve("broken")


def test_graph_that_is_no_graph(tmp_path: Path) -> None:
    write_model(tmp_path, "broken", graph=b"not an ONNX file")
    assert "onnxruntime cannot run model.onnx" in scan(tmp_path).refused[0].reason


def test_sound_folder_loads(tmp_path: Path) -> None:
    model = load(write_model(tmp_path, "red", "3"), threads=1, preference="cpu")
    assert (model.id, model.engine.provider) == ("red/3", "CPUExecutionProvider")
    frames = np.stack([colonoscopy(SIZE, SIZE)] * 3)
    np.testing.assert_allclose(model.engine.run(frames, Clock()), frames[..., 0] / 255, atol=1e-6)


def test_a_second_session_where_it_helps(tmp_path: Path) -> None:
    folder = write_model(tmp_path, "red")
    one = load(folder, threads=1, preference="cpu").engine.sessions
    two = load(folder, threads=2, preference="cpu").engine.sessions
    assert one.latency is one.throughput
    assert two.latency is not two.throughput


def test_cuda_that_is_insisted_on_and_missing_is_a_refusal(tmp_path: Path) -> None:
    if cuda.devices():
        pytest.skip("this machine has a CUDA device")
    with pytest.raises(ModelRefused, match="runs on CPUExecutionProvider"):
        load(write_model(tmp_path, "red"), threads=1, preference="cuda")


def test_link_out_of_the_models_folder_is_refused(tmp_path: Path) -> None:
    outside, models = tmp_path / "outside", tmp_path / "models"
    write_model(outside, "linked")
    write_model(models, "partly")
    (models / "linked").symlink_to(outside / "linked")
    graph = models / "partly" / "1" / "model.onnx"
    graph.rename(outside / "model.onnx")
    graph.symlink_to(outside / "model.onnx")
    found = scan(models)
    assert found.ready == []
    assert [refusal.id for refusal in found.refused] == ["linked/1", "partly/1"]
    assert all("leaves" in refusal.reason for refusal in found.refused)


def test_link_within_the_models_folder_is_fine(tmp_path: Path) -> None:
    folder = write_model(tmp_path, "red")
    (folder / "model.onnx").rename(tmp_path / "shared.onnx")
    (folder / "model.onnx").symlink_to(tmp_path / "shared.onnx")
    assert [model.id for model in scan(tmp_path).ready] == ["red/1"]


@pytest.mark.parametrize("target", ["gone", "n" * 300])  # of the second not even its absence can be found out
def test_link_to_where_nobody_can_look_is_refused_and_stops_no_other(tmp_path: Path, target: str) -> None:
    write_model(tmp_path, "red")
    (tmp_path / "lost").symlink_to(target)
    (tmp_path / "red" / "2").symlink_to(target)
    found = scan(tmp_path)
    assert [model.id for model in found.ready] == ["red/1"]
    assert [refusal.id for refusal in found.refused] == ["lost/?", "red/2"]
    assert all("not readable" in refusal.reason for refusal in found.refused)


def test_files_beside_the_models_are_no_models(tmp_path: Path) -> None:
    write_model(tmp_path, "red")
    (tmp_path / "README.md").write_text("notes")
    (tmp_path / "linked.md").symlink_to("README.md")
    (tmp_path / "red" / "notes.txt").write_text("notes")
    assert [entry.id for entry in scan(tmp_path).entries()] == ["red/1"]


def test_a_default_that_is_not_there_is_named_in_the_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_model(tmp_path, "red")
    scan(tmp_path, default="rde")
    assert "Model 'rde' is not here. Ready: red/1" in caplog.text
    assert "POLYPRUNE_DEFAULT_MODEL" in caplog.text


def test_highest_version_serves_and_each_can_be_named(tmp_path: Path) -> None:
    for version in ("2", "10", "9"):
        write_model(tmp_path, "red", version)
    found = scan(tmp_path)
    assert found.resolve("red").id == "red/10"
    assert found.resolve("red/9").id == "red/9"
    assert found.resolve().id == "red/10"
    assert [model.id for model in found.serving()] == ["red/10"]


@pytest.mark.parametrize(
    ("default", "expected"), [(None, "red-pruned/1"), ("red-dense", "red-dense/1"), ("red-dense/1", "red-dense/1")]
)
def test_default_is_the_setting_or_else_the_pruned_one(tmp_path: Path, default: str | None, expected: str) -> None:
    found = scan(write_pair(tmp_path), default)
    assert found.resolve().id == expected
    assert [model.id for model in found.ready if found.is_default(model)] == [expected]


def test_a_lower_precision_is_the_default_only_where_nothing_else_is(tmp_path: Path) -> None:
    write_model(tmp_path, "a-int8", variant="pruned", precision="int8")
    assert scan(tmp_path).resolve().id == "a-int8/1"
    write_model(tmp_path, "b-dense")
    assert scan(tmp_path).resolve().id == "b-dense/1"


def test_default_that_is_not_there_is_not_replaced(tmp_path: Path) -> None:
    found = scan(write_pair(tmp_path), "absent")
    with pytest.raises(NoModelReady, match="absent"):
        found.resolve()
    assert found.resolve("red-dense").id == "red-dense/1"


@pytest.mark.parametrize(
    "reference", ["", "red-dense/", "red-dense/2", "../red-dense", "/etc/passwd", "red-dense\0", "RED-DENSE"]
)
def test_a_name_is_looked_up_and_never_a_path(tmp_path: Path, reference: str) -> None:
    found = scan(write_pair(tmp_path))
    with pytest.raises(UnknownModel):
        found.resolve(reference)


@pytest.mark.parametrize("prepare", [Path.mkdir, lambda _: None], ids=["empty", "missing"])
def test_folder_without_models(tmp_path: Path, prepare: Callable[[Path], None]) -> None:
    prepare(tmp_path / "models")
    with pytest.raises(NoModelReady):
        scan(tmp_path / "models").resolve()


def test_stray_files_are_no_models(tmp_path: Path) -> None:
    write_pair(tmp_path)
    (tmp_path / "manifest.schema.json").write_text("{}")
    (tmp_path / ".cache" / "x").mkdir(parents=True)
    (tmp_path / "red-dense" / "notes.txt").write_text("")
    found = scan(tmp_path)
    assert (len(found.ready), found.refused) == (2, [])


def measured(dice: float) -> list[dict[str, Any]]:
    interval = {"mean": dice, "low": 0.0, "high": 1.0}
    return [{"dataset": "synthetic", "split": "test", "frames": 1, "dice": interval, "iou": interval}]


def test_the_default_is_the_best_pruned_model_of_full_precision(tmp_path: Path) -> None:
    """The best of all is int8, and no model of lower precision is chosen silently."""
    write_model(tmp_path, "a-dense", quality=measured(0.95))
    write_model(tmp_path, "b-fast", variant="pruned", quality=measured(0.8))
    write_model(tmp_path, "c-pruned", variant="pruned", quality=measured(0.9))
    write_model(tmp_path, "d-int8", variant="pruned", quality=measured(0.99), precision="int8")
    assert scan(tmp_path).resolve().manifest.name == "c-pruned"
