"""What a benchmark is asked to measure, and the frame that it measures on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import simplejpeg
from pydantic import BaseModel, ConfigDict, Field, model_validator

from app.device import Preference
from app.frames import Frame
from app.model import Model

LEAST_ROUNDS = 2  # an interval needs two values

Stage = Literal["network", "end_to_end"]


class Spec(BaseModel):
    """What to measure. Upper limits are the operator's (`POLYPRUNE_BENCHMARK_*`).

    Every model is run on every provider and in every stage; each such combination is a contender.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    models: Annotated[
        list[str] | None,
        Field(min_length=1, max_length=16, description="`name` or `name/version`; unset for all that serve"),
    ] = None
    providers: Annotated[
        list[Preference] | None,
        Field(min_length=1, description="where the networks run; unset for where the service's own do"),
    ] = None
    stages: Annotated[
        list[Stage],
        Field(
            min_length=1,
            description="`network`: the network alone, on a frame that is decoded and fitted already. `end_to_end`: "
            "from the frame's file to the mask as a PNG at the frame's own size",
        ),
    ] = ["network"]
    iterations: Annotated[int, Field(ge=LEAST_ROUNDS, description="rounds that count")] = 50
    warmup: Annotated[int, Field(ge=0, description="rounds before, that do not")] = 5
    batch: Annotated[int, Field(ge=1, description="frames per run; above 1 for the network alone")] = 1
    threads: Annotated[int, Field(ge=1, description="CPU threads for a frame that is alone")] = 1
    concurrency: Annotated[
        int | None,
        Field(ge=1, description="measure 1, 2, 4, ... frames at once too, up to so many; unset: one at a time only"),
    ] = None

    @model_validator(mode="after")
    def _fits_together(self) -> Spec:
        for name, values in (("providers", self.providers or []), ("stages", self.stages)):
            if len(set(values)) < len(values):
                raise ValueError(f"{name}: each only once")
        if "auto" in (self.providers or []) and self.providers != ["auto"]:
            raise ValueError("providers: auto is one of the others, so name it alone, or name the others")
        if self.batch > 1 and self.stages != ["network"]:
            raise ValueError("batch: the service works on a frame at a time, so leave it out for end_to_end")
        return self


@dataclass(frozen=True)
class Sample:
    """The frame of a benchmark.

    Attributes:
        data: its file, as a client sends it.
        frame: the same, decoded.
        note: its size, and where it came from.
    """

    data: bytes
    frame: Frame
    note: str

    @classmethod
    def sent(cls, data: bytes, frame: Frame) -> Sample:
        """One that came with the request."""
        return cls(data, frame, f"{frame.width} x {frame.height}, sent")

    @classmethod
    def golden(cls, model: Model) -> Sample:
        """A model's own synthetic one, at the network's size; its file is a JPEG."""
        pixels = model.golden.frame
        height, width, _ = pixels.shape
        note = f"{width} x {height}, golden frame of {model.id}"
        return cls(simplejpeg.encode_jpeg(pixels), Frame(pixels, width, height), note)
