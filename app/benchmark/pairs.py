"""Which contenders are compared with which."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from app import latency
from app.benchmark.contender import Contender
from app.benchmark.result import Comparison, Differ, Pair, Who
from app.comparison import agree
from app.model import Model


def who(contender: Contender) -> Who:
    """The contender's name."""
    return Who(id=contender.model.id, provider=contender.provider, stage=contender.stage)


def dense_of(contender: Contender, contenders: Sequence[Contender]) -> int | None:
    """Place of the dense contender that a pruned one is compared with, on the same provider and in the same stage.

    The one it came from, or the first dense one where that was not run; full precision before a lower one.
    """
    if contender.model.manifest.variant != "pruned":
        return None
    origin = contender.model.manifest.pruned_from
    places = [
        place
        for place, other in enumerate(contenders)
        if _at_the_same(contender, other) and (other.model.manifest.variant == "dense" or other.model.id == origin)
    ]
    return min(places, key=lambda place: _distance(contenders[place].model, origin), default=None)


def compare(contenders: Sequence[Contender], seconds: NDArray[np.float64]) -> list[Comparison]:
    """Each pruned contender beside its dense one; seconds float64 [rounds, contenders]."""
    comparisons = []
    for place, contender in enumerate(contenders):
        base = dense_of(contender, contenders)
        if base is None:
            continue
        dense = contenders[base]
        comparisons.append(
            Comparison(
                dense=dense.model.id,
                pruned=contender.model.id,
                provider=contender.provider,
                stage=contender.stage,
                speedup=latency.speedup(seconds[:, base], seconds[:, place]),
                macs_ratio=dense.model.manifest.macs / contender.model.manifest.macs,
                agreement=agree(dense.mask, contender.mask),
            )
        )
    return comparisons


def pairs(contenders: Sequence[Contender], seconds: NDArray[np.float64]) -> list[Pair]:
    """What a precision, a provider, or the way around the network makes; seconds float64 [rounds, contenders]."""
    found = []
    for place, other in enumerate(contenders):
        for base, first in enumerate(contenders):
            differ = _difference(first, other, contenders)
            if differ:
                found.append(
                    Pair(
                        differ=differ,
                        base=who(first),
                        other=who(other),
                        ratio=latency.speedup(seconds[:, base], seconds[:, place]),
                        dice=agree(first.mask, other.mask).dice,
                    )
                )
    return found


def _difference(base: Contender, other: Contender, contenders: Sequence[Contender]) -> Differ | None:
    """In which respect `other` is worth comparing with `base`, if in any."""
    if base is other:
        return None
    same_model = base.model.id == other.model.id
    if _at_the_same(base, other) and _is_full_precision_of(base.model, other.model):
        return "precision"
    if same_model and base.model is other.model and (base.stage, other.stage) == ("end_to_end", "network"):
        return "stage"
    if same_model and base.stage == other.stage and _is_first(base, contenders):
        return "provider"
    return None


def _is_first(contender: Contender, contenders: Sequence[Contender]) -> bool:
    """Whether it runs on the provider that was named first."""
    first = next(other for other in contenders if (other.model.id, other.stage) == _key(contender))
    return first is contender


def _key(contender: Contender) -> tuple[str, str]:
    return contender.model.id, contender.stage


def _at_the_same(one: Contender, other: Contender) -> bool:
    return (one.provider, one.stage) == (other.provider, other.stage)


def _distance(model: Model, origin: str | None) -> int:
    """0 for the origin, 1 for any at full precision, 2 for the others."""
    if model.id == origin:
        return 0
    return 1 if model.manifest.precision == "fp32" else 2


def _is_full_precision_of(base: Model, other: Model) -> bool:
    """Whether both have the same layers, and only the base keeps all their digits."""
    one, two = base.manifest, other.manifest
    same = (one.variant, one.widths, one.input) == (two.variant, two.widths, two.input)
    return same and one.precision == "fp32" and two.precision != "fp32"
