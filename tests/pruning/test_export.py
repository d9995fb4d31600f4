import numpy as np
import onnx
import pytest
import torch

from pruning import checkpoint, export
from pruning.checkpoint import Checkpoint
from pruning.deploy import Deployed
from pruning.errors import ExportError
from pruning.sessions import input_size, open_session, run
from tests.pruning.networks import NETWORKS, SIZE, make, noise, spec


@pytest.mark.parametrize("name", NETWORKS)
def test_the_graph_computes_what_the_network_computes_for_any_number_of_frames(name, tmp_path):
    network = make(name)
    path = tmp_path / "model.onnx"
    assert export.export(Checkpoint(spec(), [], network), path) < 1e-4
    frames = noise(3).images.permute(0, 2, 3, 1).contiguous()
    with torch.no_grad():
        expected = Deployed(network, spec())(frames).numpy()
    session = open_session(path)
    np.testing.assert_allclose(run(session, frames.numpy()), expected, atol=1e-4)
    assert input_size(session) == SIZE


def test_the_graph_names_its_tensors_and_tells_nothing_of_the_machine(tmp_path):
    path = tmp_path / "model.onnx"
    export.export(checkpoint.create(spec(width=4, depth=3)), path)
    graph = onnx.load(path)
    assert [value.name for value in graph.graph.input] == ["frames"]
    assert [value.name for value in graph.graph.output] == ["probability"]
    assert b".py" not in path.read_bytes()


def test_a_graph_that_differs_from_its_network_is_refused(tmp_path, monkeypatch):
    write_graph = export.write_graph

    def write_another(deployed, frames, path):
        write_graph(Deployed(deployed.network, deployed.spec, 1.1 * deployed.temperature).eval(), frames, path)

    monkeypatch.setattr(export, "write_graph", write_another)
    with pytest.raises(ExportError, match="differs from its network by"):
        export.export(checkpoint.create(spec(width=4, depth=3)), tmp_path / "model.onnx")
