"""Small polyps and large ones: python -m tests.bench.sizes --root DATA

Every model as it ships, on the test frames and a second centre's, by the polyp's share of the endoscope's picture: mean
Dice, and the share of frames whose polyp is missed.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from pruning.data import Pair, read_parts
from pruning.evaluate import score_frames
from pruning.fit import field
from tests.bench.published import data, frames, parser, published

EDGES = (0, 0.02, 0.04, 0.08, 0.16, 0.3, 1)
MISSED = 0.05  # Dice below this


def spans_of(pairs: list[Pair]) -> NDArray[np.int64]:
    """Into which span of EDGES the polyp's share of each frame's field falls, int64 [N]."""
    sizes = [truth[field(frame)].mean() for frame, truth in frames(pairs)]
    return np.digitize(sizes, EDGES[1:-1])


def row(dices: NDArray[np.float64], spans: NDArray[np.int64]) -> str:
    """Dice and misses, for each span."""
    parts = [dices[spans == span] for span in range(len(EDGES) - 1)]
    return " | ".join(f"{part.mean():.3f}, {(part < MISSED).mean():.0%}" if len(part) else "" for part in parts)


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
            dices = score_frames(model.session, pairs, model.calibration).dice
            print(f"| `{model.name}` | {part.root.name} | {row(dices, spans)} |", flush=True)


if __name__ == "__main__":
    main()
