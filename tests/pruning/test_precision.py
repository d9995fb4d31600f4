"""Graphs in lower precision; what is published of them is in test_run.py."""

from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from pruning import checkpoint, export, fp16, int8, quantise
from pruning.bias_correction import means
from pruning.data import read_pairs
from pruning.errors import PrecisionError
from pruning.sessions import open_session, run
from tests.pruning.dataset import write_dataset
from tests.pruning.networks import SIZE, spec


@pytest.fixture(scope="module")
def graphs(tmp_path_factory):
    """Graphs of a small U-Net in all three precisions, and a frame of those whose ranges were measured."""
    folder = tmp_path_factory.mktemp("graphs")
    write_dataset(folder, 8)
    pairs = read_pairs(folder)
    export.export(checkpoint.create(spec(width=4, depth=3)), folder / "fp32.onnx")
    int8.convert(folder / "fp32.onnx", folder / "int8.onnx", pairs)
    fp16.convert(folder / "fp32.onnx", folder / "fp16.onnx")
    return folder, int8.fit(pairs[0].read()[0], SIZE)


@pytest.mark.parametrize("precision", ["int8", "fp16"])
def test_the_contract_holds_and_the_probability_is_near(graphs, precision):
    folder, frame = graphs
    full, low = (open_session(folder / f"{name}.onnx") for name in ("fp32", precision))
    assert [(port.name, port.type) for port in low.get_inputs()] == [("frames", "tensor(uint8)")]
    assert [(port.name, port.type) for port in low.get_outputs()] == [("probability", "tensor(float)")]
    found = run(low, np.stack([frame] * 2))
    np.testing.assert_allclose(found, run(full, np.stack([frame] * 2)), atol=0.05)
    np.testing.assert_array_equal(found[0], found[1])


def test_corrected_biases_keep_the_mean_of_each_channel_within_a_step(graphs, tmp_path):
    folder, _ = graphs
    pairs = read_pairs(folder)
    int8.convert(folder / "fp32.onnx", tmp_path / "plain.onnx", pairs, corrected=False)
    frames = [int8.fit(pair.read()[0], SIZE)[None] for pair in pairs]
    assert steps_off(folder / "fp32.onnx", folder / "int8.onnx", frames) <= 0.51  # rounded to the nearest
    assert steps_off(folder / "fp32.onnx", tmp_path / "plain.onnx", frames) > 2


def steps_off(full, low, frames):
    """The largest difference of a channel's means, in steps of its bias, over the layers in int8."""
    exact, rounded = onnx.load(full), onnx.load(low)
    constants = {value.name: numpy_helper.to_array(value) for value in rounded.graph.initializer}
    writers = {name: node for node in rounded.graph.node for name in node.output}
    outputs = {node.name: node.output[0] for node in exact.graph.node}
    convolutions = [node for node in rounded.graph.node if node.op_type in int8.CONVOLUTIONS]
    layers = [node for node in convolutions if node.input[2:] and node.input[2] in writers]
    assert layers
    wanted = means(exact, [outputs[node.name] for node in layers], frames)
    found = means(rounded, [node.output[0] for node in layers], frames)
    scales = {node.name: constants[writers[node.input[2]].input[1]] for node in layers}
    off = [np.abs(found[n.output[0]] - wanted[outputs[n.name]]) / scales[n.name] for n in layers]
    return float(np.concatenate(off).max())


def test_int8_weights_have_a_scale_for_each_channel_and_both_ends_stay_float(graphs):
    model = onnx.load(graphs[0] / "int8.onnx")
    values = {value.name: numpy_helper.to_array(value) for value in model.graph.initializer}
    writers = {name: node for node in model.graph.node for name in node.output}
    convolutions = [node for node in model.graph.node if node.op_type in int8.CONVOLUTIONS]
    for node in (convolutions[0], convolutions[-1]):
        assert values[node.input[1]].dtype == np.float32
    for node in convolutions[1:-1]:
        weight, scale, *_ = writers[node.input[1]].input
        assert values[weight].dtype == np.int8
        assert 2 * 255 * np.abs(values[weight].astype(int)).max() < 2**15  # no pair of products saturates
        assert values[scale].size in values[weight].shape[:2]  # of the outputs, second where transposed
    assert writers["probability"].op_type == "Squeeze"


def test_int8_copies_whole_pixels_where_it_scales_up_and_transposes_no_more_than_the_ends(tmp_path):
    write_dataset(tmp_path, 2)
    export.export(checkpoint.create(spec(factory="unet-lite0", pretrained=False)), tmp_path / "fp32.onnx")
    int8.convert(tmp_path / "fp32.onnx", tmp_path / "int8.onnx", read_pairs(tmp_path), corrected=False)
    model = onnx.load(computed(tmp_path / "int8.onnx", tmp_path / "computed.onnx"))
    operators = [node.op_type for node in model.graph.node]
    assert operators.count("Gather") == 2 * 4  # columns and rows, for each level of the decoder
    assert operators.count("Transpose") <= 3  # the frame's bytes, and what the first and last convolutions exchange


def computed(path, target):
    """The graph as onnxruntime's own passes leave it: what is computed on this processor."""
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath, options.log_severity_level = str(target), 3
    onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return target


def test_only_depthwise_weights_use_all_8_bits(tmp_path):
    random = np.random.default_rng(0)
    shapes = {"first": (8, 3, 1, 1), "depthwise": (8, 1, 3, 3), "grouped": (8, 4, 1, 1), "last": (1, 8, 1, 1)}
    groups = {"depthwise": 8, "grouped": 2}
    ports = ["planes", *(f"after {name}" for name in shapes)]
    nodes = [
        helper.make_node("Cast", ["frames"], ["level"], name="cast", to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["level"], ["planes"], name="transpose", perm=[0, 3, 1, 2]),
        *(
            helper.make_node("Conv", [ports[place], name], [ports[place + 1]], name=name, group=groups.get(name, 1))
            for place, name in enumerate(shapes)
        ),
        helper.make_node("Flatten", [ports[-1]], ["probability"], name="flatten"),
    ]
    graph = helper.make_graph(
        nodes,
        "separable",
        [helper.make_tensor_value_info("frames", TensorProto.UINT8, ["N", SIZE, SIZE, 3])],
        [helper.make_tensor_value_info("probability", TensorProto.FLOAT, ["N", None])],
        [numpy_helper.from_array(random.normal(size=shape).astype(np.float32), n) for n, shape in shapes.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), tmp_path / "a.onnx")
    write_dataset(tmp_path, 2)
    int8.convert(tmp_path / "a.onnx", tmp_path / "b.onnx", read_pairs(tmp_path))
    found = {value.name: numpy_helper.to_array(value) for value in onnx.load(tmp_path / "b.onnx").graph.initializer}
    widest = {name: np.abs(found[f"{name}_quantized"].astype(int)).max() for name in groups}
    assert widest == {"depthwise": 127, "grouped": 64}


def test_fp16_weights_have_16_bits(graphs):
    folder, _ = graphs
    model = onnx.load(folder / "fp16.onnx")
    assert all(value.data_type != TensorProto.FLOAT for value in model.graph.initializer if len(value.dims) == 4)
    assert (folder / "fp16.onnx").stat().st_size < 0.7 * (folder / "fp32.onnx").stat().st_size


def test_scales_that_several_resizes_share_are_converted_too(tmp_path):
    nodes = [
        helper.make_node("Cast", ["frames"], ["level"], to=TensorProto.FLOAT),
        helper.make_node("Resize", ["level", "", "scales"], ["twice"], name="first"),  # [N, 8, 8, 3]
        helper.make_node("Resize", ["twice", "", "scales"], ["four times"], name="second"),  # [N, 16, 16, 3]
        helper.make_node("ReduceMean", ["four times", "last"], ["probability"], keepdims=0),  # [N, 16, 16]
    ]
    graph = helper.make_graph(
        nodes,
        "enlarge",
        [helper.make_tensor_value_info("frames", TensorProto.UINT8, ["N", 4, 4, 3])],
        [helper.make_tensor_value_info("probability", TensorProto.FLOAT, ["N", 16, 16])],
        [
            numpy_helper.from_array(np.float32([1, 2, 2, 1]), "scales"),
            numpy_helper.from_array(np.int64([-1]), "last"),
        ],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), tmp_path / "a.onnx")
    fp16.convert(tmp_path / "a.onnx", tmp_path / "b.onnx")
    frames = np.full((2, 4, 4, 3), 100, np.uint8)
    np.testing.assert_array_equal(run(open_session(tmp_path / "b.onnx"), frames), np.full((2, 16, 16), 100))


def test_the_frames_whose_ranges_are_measured_are_drawn_by_the_seed():
    assert len(int8.sample(list(range(1000)), 0)) == int8.FRAMES
    assert int8.sample(list(range(1000)), 0) == int8.sample(list(range(1000)), 0) != int8.sample(list(range(1000)), 1)
    assert int8.sample([3, 4], 0) == [3, 4]


class Scored:
    """Stands for a published model whose graph in fp32 has a Dice of .9."""

    graph, id = Path("fp32.onnx"), "model/1"

    def __init__(self, low):
        self.low = low

    def score(self, path, _pairs):
        return SimpleNamespace(dice=np.array([0.9 if path == self.graph else self.low]))


@pytest.mark.parametrize(("low", "refused"), [(0.8965, True), (0.8975, False), (0.95, False)])
def test_a_lower_precision_is_refused_for_what_it_loses_and_not_for_what_it_gains(low, refused):
    with pytest.raises(PrecisionError, match=r"a loss of 0\.0035") if refused else nullcontext():
        quantise.check_loss(Scored(low), Path("int8.onnx"), ["frame"], "int8")


def test_the_tolerance_is_what_the_precision_moves_between_its_bounds(monkeypatch):
    moved = {}
    monkeypatch.setattr(quantise, "open_session", lambda path: path)
    monkeypatch.setattr(quantise, "run", lambda path, _frame: np.float32([0.5, 0.5 + moved[path]]))
    origin = SimpleNamespace(manifest={"input": {"height": 64}}, graph="fp32")
    for by, wanted in ((0.001, 0.01), (0.05, 0.05), (0.5, 0.1)):
        moved.update(fp32=0.0, int8=by)
        assert quantise.tolerance(origin, "int8") == pytest.approx(wanted)
