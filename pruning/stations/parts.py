"""The frames that stations look at: of the training part and the validation part, and what is drawn of them."""

from __future__ import annotations

import torch

from pruning import crops
from pruning.data import Frames, load_frames, read_training
from pruning.runs import Run


def load_training_part(run: Run, size: int) -> tuple[Frames, Frames]:
    """(training, validation) frames of all that the recipe learns from, at `size` × `size`."""
    training, validation = read_training(run.root, run.recipe.data)
    frames = load_frames(training + validation, size)
    order = torch.arange(len(frames))
    return frames.subset(order[: len(training)]), frames.subset(order[len(training) :])


def load_mucosa(run: Run, size: int) -> Frames:
    """The polyp-free squares of the training frames, at `size` × `size`."""
    return crops.mucosa(read_training(run.root, run.recipe.data)[0], size)


def scoring_sample(run: Run) -> Frames:
    """The training frames that scores are averaged over, drawn by the seed."""
    frames, _ = load_training_part(run, run.recipe.network.size)
    return draw(frames, run.recipe.prune.frames, run.recipe.seed)


def draw(frames: Frames, count: int, seed: int) -> Frames:
    """At most `count` of the frames, at random."""
    order = torch.randperm(len(frames), generator=torch.Generator().manual_seed(seed))
    return frames.subset(order[:count])
