"""Small polyps and large ones: python -m tests.bench.sizes --root DATA

Every model as it ships, on the test frames and a second centre's, by the polyp's share of the endoscope's picture: mean
Dice, the share of frames whose polyp is missed, and, where it is not, which share of the mask is polyp (precision) and
which share of the polyp is in the mask (recall).
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from pruning.data import Pair, read_parts
from pruning.evaluate import masks
from pruning.fit import field
from pruning.metrics import Mask, dice
from tests.bench.published import data, frames, parser, published

EDGES = (0, 0.02, 0.04, 0.08, 0.16, 0.3, 1)
MISSED = 0.05  # Dice below this


def spans_of(pairs: list[Pair]) -> NDArray[np.int64]:
    """Into which span of EDGES the polyp's share of each frame's field falls, int64 [N]."""
    sizes = [truth[field(frame)].mean() for frame, truth in frames(pairs)]
    return np.digitize(sizes, EDGES[1:-1])


def overlap(mask: Mask, truth: Mask) -> tuple[float, float, float]:
    """Dice, precision and recall of a frame; the last two are NaN where the polyp is missed."""
    score = dice(mask, truth)
    if score < MISSED:
        return score, np.nan, np.nan
    shared = (mask & truth).sum()
    return score, shared / mask.sum(), shared / truth.sum()


def cell(overlaps: NDArray[np.float64]) -> str:
    """Dice and misses, precision and recall, of float64 [N, 3]."""
    if not len(overlaps):
        return ""
    score, precision, recall = np.nanmean(overlaps, axis=0)
    return f"{score:.3f}, {(overlaps[:, 0] < MISSED).mean():.0%}, {precision:.2f} / {recall:.2f}"


def main() -> None:
    """Measure and print."""
    options, parts = parser(__doc__).parse_args(), data()
    names = [f"{low:.0%} to {high:.0%}" for low, high in pairwise(EDGES)]
    print(f"| | frames | {' | '.join(names)} |\n{'|---' * (len(names) + 2)}|", flush=True)
    for part in (parts.headline, parts.unseen[0]):
        pairs = read_parts(options.root, (part,))
        spans = spans_of(pairs)
        counts = np.bincount(spans, minlength=len(names))
        print(f"| {part.root.name} | | {' | '.join(str(count) for count in counts)} |", flush=True)
        for model in published(options):
            found = masks(model.session, pairs, model.calibration)
            overlaps = np.array([overlap(mask, truth) for _, mask, truth in found])
            cells = " | ".join(cell(overlaps[spans == span]) for span in range(len(names)))
            print(f"| `{model.name}` | {part.root.name} | {cells} |", flush=True)


if __name__ == "__main__":
    main()
