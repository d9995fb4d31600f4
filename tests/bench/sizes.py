"""Small polyps and large ones: python -m tests.bench.sizes --root DATA

Every model as it ships, on the test frames and a second centre's, by the polyp's share of the endoscope's picture: mean
Dice, and the share of frames whose polyp is missed.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from pruning.data import read_parts
from pruning.evaluate import predict
from pruning.fit import Bytes, field
from pruning.metrics import Mask, dice
from tests.bench.published import Published, data, frames, parser, published

EDGES = (0, 0.02, 0.04, 0.08, 0.16, 0.3, 1)
MISSED = 0.05  # Dice below this

Views = list[tuple[Bytes, Mask]]


def sizes(views: Views) -> list[float]:
    """The polyp's share of each frame's field."""
    return [float(truth[field(frame)].mean()) for frame, truth in views]


def row(model: Published, views: Views) -> str:
    """Dice and misses, for each span of sizes."""
    found = np.array([dice(predict(model.session, frame, model.calibration), truth) for frame, truth in views])
    spans = np.digitize(sizes(views), EDGES[1:-1])
    parts = [found[spans == span] for span in range(len(EDGES) - 1)]
    return " | ".join(f"{part.mean():.3f}, {(part < MISSED).mean():.0%}" if len(part) else "" for part in parts)


def main() -> None:
    """Measure and print."""
    options, parts = parser(__doc__).parse_args(), data()
    spans = [f"{low:.0%} to {high:.0%}" for low, high in pairwise(EDGES)]
    print(f"| | frames | {' | '.join(spans)} |\n{'|---' * (len(spans) + 2)}|", flush=True)
    for part in (parts.headline, parts.unseen[0]):
        views = list(frames(read_parts(options.root, (part,))))
        counts = np.bincount(np.digitize(sizes(views), EDGES[1:-1]), minlength=len(spans))
        print(f"| {part.root.name} | | {' | '.join(str(count) for count in counts)} |", flush=True)
        for model in published(options):
            print(f"| `{model.name}` | {part.root.name} | {row(model, views)} |", flush=True)


if __name__ == "__main__":
    main()
