"""Published models read back as networks."""

import json
import shutil
from pathlib import Path

import pytest
import torch

from pruning import published
from pruning.checkpoint import create
from pruning.config import Network
from pruning.cost import conv_widths, count_macs
from pruning.data import Frames
from pruning.deploy import normalise
from pruning.errors import ExportError, RunError
from pruning.golden import synthetic_frame
from pruning.origin import Origin
from pruning.sessions import open_session, run

(NANO,) = Path("models/polyp-nano").iterdir()
SPEC = Network(factory="unet-lite0", size=json.loads((NANO / "manifest.json").read_text())["input"]["height"])


def frames(size, count=8):
    images = torch.stack([torch.from_numpy(synthetic_frame(size, seed)) for seed in range(count)])
    return Frames(images.permute(0, 3, 1, 2), torch.zeros(count, 1, size, size, dtype=torch.uint8), ["f"] * count)


@pytest.fixture(scope="module")
def nano():
    return published.read(NANO, SPEC, frames(SPEC.size))


def test_it_has_the_manifests_widths_and_cost(nano):
    manifest = json.loads((NANO / "manifest.json").read_text())
    assert conv_widths(nano.network) == manifest["widths"]
    assert count_macs(nano.network, SPEC.size) == manifest["macs"]


def test_it_computes_what_the_graph_computes(nano):
    frame = synthetic_frame(SPEC.size, 9)
    temperature = json.loads((NANO / "manifest.json").read_text())["temperature"]
    image = torch.from_numpy(frame)[None].permute(0, 3, 1, 2)
    with torch.no_grad():
        logits = nano.network(normalise(image, SPEC))[0, 0]
    expected = run(open_session(NANO / "model.onnx"), frame[None])[0]
    assert torch.sigmoid(logits / temperature).numpy() == pytest.approx(expected, abs=1e-4)


def test_its_statistics_are_those_of_the_frames(nano):
    """On the frames that they were measured on, normalising by the batch changes nothing."""
    inputs = normalise(frames(SPEC.size).images, SPEC)
    with torch.no_grad():
        evaluated = nano.network.eval()(inputs)
        for norm in (module for module in nano.network.modules() if isinstance(module, torch.nn.BatchNorm2d)):
            norm.train()
        trained = nano.network(inputs)
    nano.network.eval()
    assert trained.numpy() == pytest.approx(evaluated.numpy(), abs=1e-2)


def test_its_weights_have_the_scale_that_the_layers_were_made_with(nano):
    """Folded they are far smaller, and the steps of an optimiser such as Adam are not."""
    fresh = create(SPEC)
    published.narrow(fresh, json.loads((NANO / "manifest.json").read_text())["widths"])
    for name in published.followers(nano.network, SPEC.size):
        filters = nano.network.get_submodule(name).weight.detach().square().mean((1, 2, 3)).sqrt()
        made = fresh.network.get_submodule(name).weight.detach().square().mean().sqrt().item()
        alive = filters[filters > made / 2]
        assert len(alive) > 0.8 * len(filters), name
        # The decoder starts at random, and each start has another scale, though not by much.
        assert alive.numpy() == pytest.approx(alive.mean().item(), rel=1e-3), name
        assert alive.mean().item() == pytest.approx(made, rel=0.1), name


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (SPEC.model_copy(update={"factory": "unet"}), "start from an fp32 model of this recipe's network, unet"),
        (SPEC.model_copy(update={"mean": 0.0}), "are mean, std and colour_transfer in .network. those"),
        (SPEC.model_copy(update={"colour_transfer": 0.0}), "are mean, std and colour_transfer in .network. those"),
    ],
)
def test_another_network_is_refused(spec, message):
    with pytest.raises(RunError, match=message):
        published.read(NANO, spec, frames(SPEC.size))


def test_an_int8_model_is_refused():
    with pytest.raises(RunError, match="unet-lite0 in int8: start from an fp32 model"):
        published.read(Path("models/polyp-nano-int8") / NANO.name, SPEC, frames(SPEC.size))


def test_a_graph_without_the_layers_is_refused(tmp_path):
    shutil.copytree(NANO, tmp_path / "1")
    shutil.copyfile("models/polyp-lite0-fast/1/model.onnx", tmp_path / "1/model.onnx")
    with pytest.raises(
        RunError, match=r"network\.encoder\.\S+ is wanted as .* and the graph has it as .*exported here"
    ):
        published.read(tmp_path / "1", SPEC, frames(SPEC.size))


def test_a_network_with_other_layers_is_refused(tmp_path):
    shutil.copytree(NANO, tmp_path / "1")
    manifest = json.loads((NANO / "manifest.json").read_text())
    manifest["training"]["network"] = "unet"
    (tmp_path / "1/manifest.json").write_text(json.dumps(manifest))
    spec = Network(factory="unet", arguments={"width": 8, "depth": 2}, size=32)
    with pytest.raises(RunError, match=r"network\.encoder\.0\.0\.weight is wanted as .* the graph has none"):
        published.read(tmp_path / "1", spec, frames(32))


def test_convolutions_without_a_batch_norm_have_no_follower():
    network = create(Network(factory="unet", arguments={"width": 8, "depth": 2}, size=32)).network
    norms = published.followers(network, 32)
    assert "head" not in norms
    assert norms["encoder.0.3"] is network.get_submodule("encoder.0.4")


def test_a_graph_that_was_exchanged_is_refused(tmp_path):
    (tmp_path / "model.onnx").write_bytes(b"another")
    manifest = {"name": "model", "version": "1", "precision": "fp32", "sha256": "0" * 64}
    with pytest.raises(ExportError, match="is not what its manifest was written for"):
        Origin(tmp_path, manifest, None, tmp_path).check(tmp_path / "recipe.toml")
