"""Training and fine-tuning: one loop for both."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from monai.losses import DiceCELoss
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.swa_utils import AveragedModel

from pruning import checkpoint
from pruning.augment import augment, augmentation
from pruning.bf16 import computes_bf16
from pruning.checkpoint import Checkpoint
from pruning.config import Network, Train
from pruning.data import Frames
from pruning.deploy import normalise
from pruning.depthwise import DepthwiseInFull


@dataclass(frozen=True)
class Epoch:
    """What one epoch gave: mean training loss, and Dice on validation at the network's size."""

    epoch: int
    epochs: int
    loss: float
    dice: float
    seconds: float


Report = Callable[[Epoch], None]
Tick = Callable[[int, int], None]
Tensors = tuple[Tensor, ...] | list[Tensor]


class Pool:
    """What epochs draw from: all training frames each time, and a part of the frames without a polyp.

    Args:
        share: how many of `mucosa` an epoch adds, as a share of the training frames; all where they are fewer.
    """

    def __init__(self, training: Frames, mucosa: Frames | None, share: float) -> None:
        self.frames = training.and_also(mucosa) if mucosa else training
        self.training = len(training)
        self.added = min(round(share * len(training)), len(self.frames) - len(training))

    def __len__(self) -> int:
        """Frames of an epoch."""
        return self.training + self.added

    def shuffled(self) -> Tensor:
        """Which of `frames` the next epoch sees, int64 [N], in random order."""
        mucosa = torch.randperm(len(self.frames) - self.training)[: self.added] + self.training
        return torch.cat([torch.arange(self.training), mucosa])[torch.randperm(len(self))]


class Trainer:
    """Trains a checkpoint's network and keeps the moving average that validates best, or the last one.

    The state after each epoch is written to `state_path`; a trainer that finds such a file goes on from it.

    The one-cycle schedule is laid out over all epochs of the recipe. Where patience ends a training early, the end of
    the schedule, with its smallest learning rates, is not run.
    """

    def __init__(self, start: Checkpoint, recipe: Train, threshold: float, seed: int, state_path: Path) -> None:
        self.start = start
        self.recipe = recipe
        self.threshold = threshold
        self.state_path = state_path
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.bf16 = recipe.precision == "bf16" and computes_bf16(self.device)
        # channels_last is the layout that oneDNN and cuDNN compute in: 1.7x a step on a CPU.
        self.network = start.network.to(self.device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = AveragedModel(self.network, multi_avg_fn=moving_average(recipe.ema), use_buffers=True)
        self.optimizer = torch.optim.AdamW(
            self.network.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay
        )
        self.loss = DiceCELoss(sigmoid=True)
        self.transform = augmentation(start.spec.size, recipe.close_ups, recipe.colour)
        self.epoch = 0
        self.best = -1.0
        self.best_epoch = 0
        self.kept_state: dict[str, Tensor] = {}
        torch.manual_seed(seed)

    def run(
        self,
        training: Frames,
        validation: Frames,
        report: Report,
        tick: Tick,
        teacher: nn.Module | None = None,
        mucosa: Frames | None = None,
    ) -> Checkpoint:
        """Train to the last epoch; return the average of weights that the recipe keeps.

        Args:
            report: called after each epoch. tick: called after each step with (step, steps of the epoch).
            teacher: network whose probability is a second target, weighted by the recipe's `teacher`.
            mucosa: frames without a polyp, of which each epoch adds as many as the recipe's `mucosa` says.
        """
        teacher = teacher.to(self.device) if teacher else None
        pool = Pool(training, mucosa, self.recipe.mucosa)
        steps = -(-len(pool) // self.recipe.batch)
        schedule = self._schedule(steps)
        self._resume(schedule)
        while not self._ended():
            began = time.monotonic()
            loss = self._train_epoch(pool, schedule, lambda step: tick(step, steps), teacher)
            self.epoch += 1
            score = float(frame_dice(self.average.module, self.start.spec, validation, self.threshold).mean())
            self._keep(score)
            self._save(schedule)
            report(Epoch(self.epoch, self.recipe.epochs, loss, score, time.monotonic() - began))
        return self._finish()

    def _ended(self) -> bool:
        waited = self.epoch - self.best_epoch
        return self.epoch >= self.recipe.epochs or 0 < self.recipe.patience <= waited

    def _schedule(self, steps: int) -> torch.optim.lr_scheduler.OneCycleLR:
        total = max(2, steps * self.recipe.epochs)
        return torch.optim.lr_scheduler.OneCycleLR(
            self.optimizer, self.recipe.learning_rate, total_steps=total, pct_start=0.1, cycle_momentum=False
        )

    def _train_epoch(
        self,
        pool: Pool,
        schedule: torch.optim.lr_scheduler.OneCycleLR,
        tick: Callable[[int], None],
        teacher: nn.Module | None,
    ) -> float:
        self.network.train()
        total = 0.0
        for step, index in enumerate(pool.shuffled().split(self.recipe.batch), start=1):
            loss = self._loss(pool.frames.subset(index), teacher)
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
            self.optimizer.step()
            schedule.step()
            self.average.update_parameters(self.network)
            total += loss.item() * len(index)
            tick(step)
        return total / len(pool)

    def _loss(self, batch: Frames, teacher: nn.Module | None) -> Tensor:
        """Dice and cross-entropy against the masks, mixed with cross-entropy against the teacher.

        What the teacher marks on a frame without a polyp is wrong, and is not taught.
        """
        images, masks = augment(batch, self.transform, self.recipe.covered)
        masks = masks.to(self.device)
        inputs = normalise(images, self.start.spec)
        inputs = inputs.to(self.device, memory_format=torch.channels_last)
        with self._autocast(), DepthwiseInFull():
            logits = self.network(inputs).float()
        loss: Tensor = self.loss(logits, masks)
        if teacher is None or not self.recipe.teacher:
            return loss
        with torch.no_grad(), self._autocast():
            target = torch.sigmoid(teacher(inputs).float()) * masks.amax((1, 2, 3), keepdim=True)
        return torch.lerp(loss, F.binary_cross_entropy_with_logits(logits, target), self.recipe.teacher)

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16)

    def _keep(self, score: float) -> None:
        if score > self.best:
            self.best, self.best_epoch = score, self.epoch
        if self.epoch == self.best_epoch or self.recipe.keep == "last":
            state = self.average.module.state_dict()
            self.kept_state = {key: value.detach().cpu().clone() for key, value in state.items()}

    def _save(self, schedule: torch.optim.lr_scheduler.OneCycleLR) -> None:
        state = {
            "epoch": self.epoch,
            "best": self.best,
            "best_epoch": self.best_epoch,
            "kept_state": self.kept_state,
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": schedule.state_dict(),
            "random": torch.get_rng_state(),
        }
        checkpoint.write_atomically(self.state_path, state)

    def _resume(self, schedule: torch.optim.lr_scheduler.OneCycleLR) -> None:
        if not self.state_path.is_file():
            return
        state = torch.load(self.state_path, map_location="cpu", weights_only=True)
        self.epoch, self.best, self.kept_state = state["epoch"], state["best"], state["kept_state"]
        self.best_epoch = state["best_epoch"]
        self.network.load_state_dict(state["network"])
        self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        schedule.load_state_dict(state["schedule"])
        torch.set_rng_state(state["random"])

    def _finish(self) -> Checkpoint:
        if self.kept_state:
            self.network.load_state_dict(self.kept_state)
        network = self.network.cpu().to(memory_format=torch.contiguous_format).eval()
        return Checkpoint(self.start.spec, self.start.history, network)


def moving_average(decay: float) -> Callable[[Tensors, Tensors, Tensor | int], None]:
    """Exponential moving average whose decay grows to `decay`, so that little is left of where it started.

    A network that was just pruned starts from ruins: with a fixed decay of 0.99, a third of them is still in the
    average after 100 steps.
    """

    @torch.no_grad()
    def update(averages: Tensors, values: Tensors, updates: Tensor | int) -> None:
        count = int(updates)
        weight = 1 - min(decay, (1 + count) / (10 + count))
        for average, value in zip(averages, values, strict=True):
            if average.is_floating_point():
                average.lerp_(value, weight)
            else:  # batch norm's counter
                average.copy_(value)

    return update


@torch.no_grad()
def frame_logits(network: nn.Module, spec: Network, images: Tensor, batch: int = 16) -> Tensor:
    """Logits float32 [N, S, S] for byte images uint8 [N, 3, S, S], computed on the network's own device."""
    device = next(network.parameters()).device
    network.eval()
    parts = [network(normalise(part.to(device), spec))[:, 0].cpu() for part in images.split(batch)]
    return torch.cat(parts)


def frame_dice(network: nn.Module, spec: Network, frames: Frames, threshold: float) -> npt.NDArray[np.float64]:
    """Dice float64 [N] of each frame at the network's size: quick, for choosing. Reports use `evaluate`."""
    masks = torch.sigmoid(frame_logits(network, spec, frames.images)) >= threshold
    truth = frames.masks[:, 0].bool()
    overlap = (masks & truth).sum((1, 2))
    total = masks.sum((1, 2)) + truth.sum((1, 2))
    return torch.where(total > 0, 2 * overlap / total, 1.0).double().numpy()
