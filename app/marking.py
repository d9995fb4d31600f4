"""What counts as polyp, where a caller departs from the model's own choice."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class Marking(BaseModel):
    """Parameters that every way of asking for masks has; any other is refused, since it is likely misspelt."""

    model_config = ConfigDict(extra="forbid")

    threshold: Annotated[
        float | None,
        Field(ge=0, le=1, description="probability from which on a pixel is polyp; the model's own where unset"),
    ] = None
    peak: Annotated[
        float | None,
        Field(
            ge=0,
            le=1,
            description="probability that a connected area has to reach somewhere to count: nearer to 1, fewer false "
            "marks and more polyps missed; at 0 every area counts; the model's own where unset",
        ),
    ] = None
