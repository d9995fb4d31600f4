"""Export to ONNX, and the proof that the graph computes what the network computes."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx_ir.passes.common import ClearMetadataAndDocStringPass
from torch import nn

from pruning.checkpoint import Checkpoint
from pruning.deploy import Deployed
from pruning.errors import ExportError
from pruning.golden import synthetic_frame
from pruning.rewriting import speed_up
from pruning.sessions import open_session, run

# Of probability. Two implementations of the same convolutions differ by about 1e-6, and of colour transfer's means by
# 5e-6 of the input, which moved the probability of one in six networks by 1.1e-4. A wrong graph is off by far more.
TOLERANCE = 1e-3


def export(checkpoint: Checkpoint, path: Path, temperature: float = 1.0) -> float:
    """Write model.onnx: `frames` uint8 [N, S, S, 3] to `probability` float32 [N, S, S], N free.

    Args:
        temperature: that the logits are divided by.

    Returns:
        The largest absolute difference of probability to the network, over two synthetic frames.

    Raises:
        ExportError: the difference exceeds `TOLERANCE`, or ONNX's own checker objects.
    """
    spec = checkpoint.spec
    deployed = Deployed(checkpoint.network, spec, temperature).eval()
    frames = np.stack([synthetic_frame(spec.size, seed) for seed in (1, 2)])
    path.parent.mkdir(parents=True, exist_ok=True)
    write_graph(deployed, torch.from_numpy(frames), path)
    with torch.no_grad():
        expected = deployed(torch.from_numpy(frames)).numpy()
    difference = float(np.abs(run(open_session(path), frames) - expected).max())
    if difference > TOLERANCE:
        raise ExportError(
            f"{path} differs from its network by {difference:.2e} in probability; at most {TOLERANCE} is allowed"
        )
    return difference


def write_graph(deployed: nn.Module, frames: torch.Tensor, path: Path) -> None:
    """Trace and write the graph as one file, weights inside.

    Raises:
        ExportError: ONNX's checker objects.
    """
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it warns that torchvision is absent
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # and about its own internals
        program = torch.onnx.export(
            deployed,
            (frames,),
            input_names=["frames"],
            output_names=["probability"],
            dynamic_shapes=({0: torch.export.Dim("N", min=1)},),
            dynamo=True,
            verbose=False,
        )
    assert program is not None  # noqa: S101 - None only where no graph is asked for
    program.optimize()
    speed_up(program.model)
    ClearMetadataAndDocStringPass()(program.model)  # stack traces, with the paths of the machine that exported
    program.save(path, external_data=False)
    try:
        onnx.checker.check_model(path, full_check=True)
    except onnx.checker.ValidationError as error:
        raise ExportError(f"{path} is not a valid ONNX file: {error}") from error
