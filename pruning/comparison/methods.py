"""What is compared: criteria, and baselines that are no criterion."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from pruning.errors import RecipeError


@dataclass(frozen=True)
class Method:
    """One way to a smaller network.

    Attributes:
        changes: settings of the recipe's prune section that this method changes.
        widths: `ranked` over the whole network, or `uniform`: every group keeps the same share of its channels, the
            best by score. So `uniform` differs from the default in where channels go, and not in which.
        weights: `kept`, or `fresh`: the architecture that was found, started at random as its layers start, without
            ImageNet weights (they do not fit its widths), and trained as the first stage of the dense network was.
    """

    name: str
    changes: dict[str, Any] = field(default_factory=dict)
    widths: Literal["ranked", "uniform"] = "ranked"
    weights: Literal["kept", "fresh"] = "kept"


METHODS = (  # the first is what the others are compared with
    Method("taylor-abs", {"criterion": "taylor-abs"}),
    Method("taylor-abs, per pixel", {"criterion": "taylor-abs", "reduction": "pixel"}),
    Method("taylor-abs, gradient not normalised", {"criterion": "taylor-abs", "normalise_gradient": False}),
    Method("taylor-abs, random gradient", {"criterion": "taylor-abs", "gradient": "random"}),
    Method("taylor-abs, cost ignored", {"criterion": "taylor-abs", "cost_exponent": 0.0}),
    Method("taylor-abs, per MAC", {"criterion": "taylor-abs", "cost_exponent": 1.0}),
    Method("taylor-sq", {"criterion": "taylor-sq"}),
    Method("taylor-sq, per pixel", {"criterion": "taylor-sq", "reduction": "pixel"}),
    Method("taylor-signed", {"criterion": "taylor-signed"}),
    Method("taylor-weight", {"criterion": "taylor-weight", "normalise_gradient": False}),  # as its paper has it
    Method("l1", {"criterion": "l1"}),
    Method("bn-gamma", {"criterion": "bn-gamma"}),
    Method("random", {"criterion": "random"}),
    Method("uniform", {"criterion": "taylor-abs"}, widths="uniform"),
    Method("from scratch", {"criterion": "taylor-abs"}, weights="fresh"),
)
NEUTRAL = {"gradient": "loss", "normalise_gradient": True, "reduction": "image"}  # what a method's changes start from


def choose(names: list[str]) -> list[Method]:
    """The methods of these names, in the order of `METHODS`, with the first of them always; all where none is named.

    Raises:
        RecipeError: a name is unknown.
    """
    known = [method.name for method in METHODS]
    for name in names:
        if name not in known:
            raise RecipeError(f"unknown method {name!r}; the methods are: {'; '.join(known)}")
    return [method for method in METHODS if not names or method.name in (METHODS[0].name, *names)]
