"""The contract between `pruning` and `app`: what a folder `models/<name>/<version>/` promises.

`app` owns the shape. Its JSON schema is checked in as `models/manifest.schema.json`, and `pruning`
validates what it publishes against that file, so neither package imports the other.

    python -m app.manifest > models/manifest.schema.json     # after a change of shape
"""

from __future__ import annotations

import json
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,63}$")]
Version = Annotated[str, Field(pattern=r"^[1-9][0-9]{0,8}$")]  # a number, as in a Triton model repository
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Share = Annotated[float, Field(ge=0, le=1)]


class Strict(BaseModel):
    """Refuses fields it does not know, so that a misspelt promise is an error and not a silent default."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class InputSpec(Strict):
    """The tensor `frames`: uint8 [N, height, width, 3], RGB."""

    height: Annotated[int, Field(ge=32, le=4096)]
    width: Annotated[int, Field(ge=32, le=4096)]
    fit: Literal["field", "stretch"] = Field(
        description="field: what lies inside the black border is resized to height x width, aspect ratio not kept; "
        "stretch: so is the whole frame"
    )

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self.height, self.width


class Interval(Strict):
    """A mean over frames and its 95% bootstrap interval."""

    mean: Share
    low: Share
    high: Share


class Quality(Strict):
    """Overlap with the ground truth, per frame at native resolution and fixed threshold, then averaged."""

    dataset: str
    split: str
    frames: Annotated[int, Field(ge=1)]
    dice: Interval
    iou: Interval


class FalsePositives(Strict):
    """What is marked on frames that show no polyp."""

    dataset: str
    frames: Annotated[int, Field(ge=1)]
    frame_rate: Share = Field(description="share of frames with at least one marked pixel")
    pixel_rate: Share = Field(description="share of pixels marked")


class Training(Strict):
    """How the weights came about."""

    dataset: str
    split: str
    network: str = Field(description="factory, for example unet-lite0 or package.module:factory")
    seed: int
    recipe_sha256: Sha256
    recipe: str = Field(description="name of the TOML recipe")


class Manifest(Strict):
    """`manifest.json` of one model version."""

    schema_version: Literal[1] = 1
    name: Name
    version: Version
    variant: Literal["dense", "pruned"]
    pruned_from: str | None = Field(default=None, description="name/version of the network that it was pruned from")
    precision: Literal["fp32", "fp16", "int8"] = "fp32"
    sha256: Sha256 = Field(description="of model.onnx")
    input: InputSpec
    threshold: Annotated[float, Field(gt=0, lt=1)] = Field(description="probability from which a pixel is polyp")
    peak: Share = Field(
        default=0.0,
        description="probability that a connected area has to reach somewhere to be polyp (hysteresis); 0: any area is",
    )
    marks: Share | None = Field(
        default=None,
        description="share of validation's polyp-free squares that the peak was raised for; null: it was not raised",
    )
    temperature: Annotated[float, Field(gt=0)] = Field(
        default=1.0, description="the graph divides its logits by it; 1: the probability is not calibrated"
    )
    golden_tolerance: Annotated[float, Field(gt=0, le=0.1)] = Field(
        description="largest absolute difference of probability allowed on the golden frame"
    )
    parameters: Annotated[int, Field(ge=1)]
    macs: Annotated[int, Field(ge=1)] = Field(description="multiply-accumulates per frame; 1 MAC = 2 FLOPs")
    widths: dict[str, int] = Field(description="output channels per convolution")
    quality: list[Quality]
    false_positives: list[FalsePositives]
    training: Training
    terms: str = Field(description="under which terms the weights may be used")
    created: str = Field(description="UTC date, ISO 8601")


def main() -> None:
    """Print the JSON schema of `manifest.json`."""
    print(json.dumps(Manifest.model_json_schema(), indent=2))


if __name__ == "__main__":
    main()
