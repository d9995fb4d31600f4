"""Rewritten graphs compute the same, and only what may be rewritten is."""

import numpy as np
import onnx
import onnx_ir
import pytest
from onnx import parser

from pruning import checkpoint, export, rewriting
from pruning.sessions import open_session
from tests.pruning.networks import spec

GRAPH = """
<ir_version: 10, opset_import: ["" : 20]>
g (float[1, 1, 4, 4] x) => (float[1, 1, 8, 8] y{more})
<float[4] scales = {{1, 1, 2, 2}}, float temperature = {{1.5}}, float[8] columns = {{1, 2, 3, 4, 5, 6, 7, 8}}>
{{
    logits = Conv <kernel_shape = [1, 1]> (x, weight)
    resized = Resize <mode = "linear"> (logits, , scales)
    y = Div (resized, {divisor})
    {last}
}}
"""


def graph(divisor="temperature", more="", last=""):
    model = parser.parse_model(GRAPH.format(divisor=divisor, more=more, last=last))
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.full((1, 1, 1, 1), 2, np.float32), "weight"))
    return model


def outputs(model, tmp_path):
    onnx.save(model, tmp_path / "model.onnx")
    session = open_session(tmp_path / "model.onnx")
    shape = [size if isinstance(size, int) else 2 for size in session.get_inputs()[0].shape]
    return session.run(None, {"x": np.random.default_rng(0).normal(size=shape).astype(np.float32)})


def rewritten(model, rewrite=rewriting.speed_up):
    changed = onnx_ir.serde.deserialize_model(model)
    rewrite(changed)
    return onnx_ir.serde.serialize_model(changed)


def operators(model):
    return [node.op_type for node in model.graph.node]


def test_the_temperature_divides_first(tmp_path):
    before = graph()
    after = rewritten(before)
    assert operators(after) == ["Conv", "Div", "Resize"]
    assert onnx.helper.get_node_attr_value(after.graph.node[-1], "mode") == b"linear"
    np.testing.assert_allclose(outputs(after, tmp_path), outputs(before, tmp_path), atol=1e-6)


@pytest.mark.parametrize(
    "other",
    [
        {"divisor": "columns"},  # one for each column
        {"more": ", float[1, 1, 8, 8] z", "last": "z = Relu (resized)"},  # what was scaled up is used elsewhere
    ],
)
def test_what_would_not_be_the_same_stays(other, tmp_path):
    before = graph(**other)
    after = rewritten(before)
    assert operators(after) == operators(before)
    for one, two in zip(outputs(after, tmp_path), outputs(before, tmp_path), strict=True):
        np.testing.assert_array_equal(one, two)


def test_every_exported_graph_is_rewritten(tmp_path):
    path = tmp_path / "model.onnx"
    export.export(checkpoint.create(spec(factory="unet-lite0", pretrained=False)), path, temperature=1.5)
    assert operators(onnx.load(path))[-4:] == ["Div", "Resize", "Sigmoid", "Squeeze"]


ENLARGED = """
<ir_version: 10, opset_import: ["" : 20]>
g (float[{shape}] x) => (float[] y)
<float[4] scales = {{{scales}}}>
{{
    y = Resize <mode = "{mode}", coordinate_transformation_mode = "{coordinates}", nearest_mode = "floor"> (x, , scales)
}}
"""


def enlarged(shape="N, 3, 4, 5", scales="1, 1, 2, 3", mode="nearest", coordinates="asymmetric"):
    return parser.parse_model(ENLARGED.format(shape=shape, scales=scales, mode=mode, coordinates=coordinates))


def test_nearest_neighbours_are_copied_as_whole_pixels_and_rows(tmp_path):
    before = enlarged()
    after = rewritten(before, rewriting.copy_whole_pixels)
    assert operators(after) == ["Transpose", "Gather", "Gather", "Transpose"]
    (found,), (wanted,) = outputs(after, tmp_path), outputs(before, tmp_path)
    assert found.shape == (2, 3, 8, 15)
    np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize(
    "other",
    [
        {"mode": "linear"},
        {"coordinates": "half_pixel"},
        {"scales": "1, 1, 1.5, 2"},
        {"scales": "1, 2, 2, 2"},
        {"shape": "1, 3, H, 5"},
    ],
)
def test_other_ways_to_scale_up_stay(other):
    assert operators(rewritten(enlarged(**other), rewriting.copy_whole_pixels)) == ["Resize"]
