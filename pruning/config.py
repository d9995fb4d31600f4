"""A recipe: every setting of a run, read from TOML and checked before anything starts.

Each setting stands on one line with its default and its reason. Paths in a recipe are relative to `--root`.
"""

from __future__ import annotations

import hashlib
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from pruning.errors import RecipeError

Positive = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(gt=0, lt=1)]
Size = Annotated[int, Field(ge=32, multiple_of=32)]
CRITERIA = Literal["taylor-abs", "taylor-sq", "taylor-signed", "taylor-weight", "l1", "bn-gamma", "random"]


class Section(BaseModel):
    """A misspelt setting is an error, never a silent default."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Network(Section):
    """What is trained."""

    factory: str = Field(description="unet, unet-lite0, unet-lite2 or package.module:factory")
    arguments: dict[str, Any] = Field(default={}, description="passed to the factory")
    size: Size = Field(256, description="height and width of the input")
    mean: float = Field(127.0, description="subtracted from each byte value")
    std: float = Field(128.0, gt=0, description="then divided by this")
    colour_transfer: Annotated[float, Field(ge=0, le=1)] = Field(
        0.5, description="how far each frame's mean colour and contrast first move to Kvasir-SEG's; 0 leaves them"
    )


class Part(Section):
    """Frames of one folder, all or those of a split; in a recipe a string is such a folder."""

    root: Path
    split: Path | None = None

    @model_validator(mode="before")
    @classmethod
    def _folder(cls, given: Any) -> Any:
        return {"root": given} if isinstance(given, str) else given

    @property
    def split_name(self) -> str:
        """As manifests have it."""
        return self.split.stem if self.split else "all"


class Data(Section):
    """Which frames: `root` holds images/ and masks/; a split is a text file with one stem a line."""

    root: Path
    train: Path = Field(description="split to learn from; validation is carved from it")
    test: Path = Field(description="split to report on; nothing is chosen by it")
    more: tuple[Part, ...] = Field((), description="other centres' frames to learn from as well, carved alike")
    negatives: Path | None = Field(None, description="folder of frames without polyps, for false positives")
    unseen: tuple[Part, ...] = Field((), description="other centres' frames that are not learned from, to report on")
    validation_share: Share = Field(0.1, description="part of train and more that chooses the epoch, and calibrates")

    @property
    def training(self) -> tuple[Part, ...]:
        """All that is learned from."""
        return (Part(root=self.root, split=self.train), *self.more)

    @property
    def headline(self) -> Part:
        """What is reported first."""
        return Part(root=self.root, split=self.test)

    @property
    def reported(self) -> tuple[Part, ...]:
        """All that is reported on and has polyps, the headline first."""
        return (self.headline, *self.unseen)


class Train(Section):
    """One training or fine-tuning: AdamW, one-cycle learning rate, moving average of the weights."""

    epochs: Annotated[int, Field(ge=0)]
    patience: Annotated[int, Field(ge=0)] = Field(
        0, description="stop after so many epochs without a better one; 0 never"
    )
    learning_rate: float = Field(1e-3, gt=0, description="peak of the one-cycle schedule")
    batch: Positive = Field(16, description="frames a step")
    weight_decay: float = Field(1e-2, ge=0)
    ema: Annotated[float, Field(ge=0, lt=1)] = Field(0.99, description="decay a step; the average is what is kept")
    keep: Literal["best", "last"] = Field(
        "best", description="of the averages after each epoch: that of best validation Dice, or that of the last epoch"
    )
    teacher: Annotated[float, Field(ge=0, le=1)] = Field(0.0, description="weight of the dense probability as target")
    close_ups: Annotated[float, Field(ge=0, le=1)] = Field(0.25, description="share of frames cropped to a close-up")
    colour: Annotated[float, Field(ge=0, le=1)] = Field(0.25, description="strength of the colour jitter")
    covered: Annotated[float, Field(ge=0, le=0.5)] = Field(
        0.0, description="share of frames whose polyp is covered with another frame's mucosa"
    )
    mucosa: Annotated[float, Field(ge=0, le=1)] = Field(
        0.0, description="polyp-free squares of the frames that each epoch adds, as a share of the frames"
    )
    precision: Literal["fp32", "bf16"] = Field(
        "bf16",
        description="of the convolutions' arithmetic while training; bf16 only where the device has it, else fp32",
    )


class Stage(Train):
    """One stage of training the dense network; each goes on from the best weights of the one before."""

    size: Size | None = Field(
        None, description="height and width of the frames in this stage; the network's own where unset"
    )


class Prune(Section):
    """What is removed, in which steps."""

    criterion: CRITERIA = "taylor-abs"
    gradient: Literal["loss", "random"] = Field("loss", description="what is propagated; random needs no labels")
    reduction: Literal["image", "pixel"] = Field("image", description="where abs or sq is taken: after or before Σ_hw")
    normalise_gradient: bool = Field(True, description="each frame's gradient at the logits is scaled to L2 norm 1")
    frames: Positive = Field(256, description="training frames that a score is averaged over")
    budget: Literal["macs", "parameters", "latency"] = Field("macs", description="what the steps are shares of")
    steps: tuple[Share, ...] = Field(description="share of the dense network's cost left after each step, falling")
    grid: Positive = Field(16, description="widths become multiples of this, rounded up")
    floor: Positive = Field(16, description="no width falls below this")
    cost_exponent: Annotated[float, Field(ge=0, le=1)] = Field(
        0.5,
        description="what goes first has the least importance / saving ** this, in the budget's kind; 0 ignores cost",
    )
    recalibrate: Annotated[int, Field(ge=0)] = Field(
        256, description="training frames that batch norm's statistics are measured anew on after a removal; 0 none"
    )
    protect: tuple[str, ...] = Field((), description="layers, by name or prefix, that keep every channel")

    @model_validator(mode="after")
    def _consistent(self) -> Prune:
        if not self.steps or list(self.steps) != sorted(set(self.steps), reverse=True):
            raise ValueError(f"steps must fall from step to step, such as [0.75, 0.5]; got {list(self.steps)}")
        if self.gradient == "random" and not self.criterion.startswith("taylor"):
            raise ValueError(f"criterion {self.criterion!r} uses no gradient: leave out gradient = 'random'")
        if self.gradient == "random" and not self.normalise_gradient:
            raise ValueError("a random gradient has norm 1 by definition: leave out normalise_gradient = false")
        if self.reduction == "pixel" and self.criterion not in ("taylor-abs", "taylor-sq"):
            raise ValueError(f"criterion {self.criterion!r} has no reduction per pixel: leave out reduction = 'pixel'")
        return self


class Calibrate(Section):
    """Where the peak lies, beside what found polyps settle."""

    marks: Share | None = Field(
        None, description="raise the peak until at most this share of validation's polyp-free squares is marked"
    )


NAME = r"^[a-z0-9][a-z0-9-]{0,63}$"  # of a model folder, as the service takes it


class Publish(Section):
    """Names of the model folders, and what their cards say."""

    dense: str = Field(pattern=NAME, description="folder under models/ for the dense network")
    dense_version: Annotated[int, Field(ge=1)] | None = Field(
        None, description="version of it that another recipe published; unset: it is published with the pruned one"
    )
    pruned: str = Field(pattern=NAME, description="folder under models/ for the pruned network")
    terms: str = Field(description="under which terms the weights may be used; they inherit the data's")

    @model_validator(mode="after")
    def _two_names(self) -> Publish:
        if self.dense == self.pruned:
            raise ValueError(f"dense and pruned are two folders: {self.dense!r} cannot name both")
        return self


class Recipe(Section):
    """A whole run."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$")
    seed: int = 0
    threshold: Share = Field(0.5, description="probability from which a pixel is polyp, while training")
    network: Network
    data: Data
    start: Path | None = Field(
        None, description="what is pruned instead of a network of `train`: a published fp32 folder, or a finished run"
    )
    train: tuple[Stage, ...] = ()
    prune: Prune
    finetune: Train = Field(description="after each step")
    polish: Train | None = Field(None, description="a longer fine-tuning after the last step")
    calibrate: Calibrate = Calibrate(marks=None)
    publish: Publish

    @model_validator(mode="after")
    def _one_beginning(self) -> Recipe:
        if bool(self.train) == bool(self.start):
            raise ValueError("a run begins either with [[train]] or with start, a published model or a finished run")
        return self


def read_recipe(path: Path) -> Recipe:
    """Read and check a recipe.

    Raises:
        RecipeError: the file is missing, is no UTF-8 or no TOML, or a setting is unknown, missing or impossible.
    """
    try:
        return Recipe.model_validate(tomllib.loads(path.read_text(encoding="utf-8-sig")))
    except OSError as error:
        raise RecipeError(f"cannot read the recipe {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise RecipeError(f"{path} is not UTF-8, as TOML is: save it as UTF-8") from error
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(f"{path} is not TOML: {error}") from error
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise RecipeError(f"{path}: {faults}") from error


def check_size(size: int) -> None:
    """Of frames, where a command names it beside a recipe.

    Raises:
        RecipeError: it is no multiple of 32.
    """
    if size % 32:
        raise RecipeError(f"networks halve a frame five times: --size must be a multiple of 32, and {size} is none")


def recipe_sha256(path: Path) -> str:
    """SHA-256 of the recipe's bytes, as the manifest names it."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
