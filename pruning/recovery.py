"""What a removal breaks before any weight is trained: batch norm's statistics, which are those of the wider network.

A channel that is gone no longer adds to what the next layer reads, so that layer's means and variances move.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from pruning.config import Network
from pruning.data import Frames
from pruning.deploy import normalise

Norm = nn.modules.batchnorm._BatchNorm  # the class of all batch norms has no public name


@torch.no_grad()
def recalibrate(network: nn.Module, spec: Network, frames: Frames, batch: int = 16) -> None:
    """Measure the running mean and variance of every batch norm anew on these frames, in place.

    Each frame counts alike: the statistics are the average over full batches (momentum `None`, see
    `torch.nn.BatchNorm2d`), as in Wu and Johnson, "Rethinking 'Batch' in BatchNorm" (arXiv 2105.07576), section 3.
    The network is left in evaluation mode; no weight changes.
    """
    norms = [module for module in network.modules() if isinstance(module, Norm)]
    with _averaging(network, norms):
        for part in frames.batches(min(batch, len(frames))):
            if len(part) == min(batch, len(frames)):  # a smaller last batch would weigh as much as a full one
                network(normalise(part.images, spec))


@contextmanager
def _averaging(network: nn.Module, norms: list[Norm]) -> Iterator[None]:
    """Batch norms in training mode with a cumulative average, everything else in evaluation mode."""
    momenta = [norm.momentum for norm in norms]
    network.eval()
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
        norm.train()
    try:
        yield
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
        network.eval()
