"""False marks against missed polyps, by `peak`: python -m tests.bench.peaks --root DATA

Every model with its own threshold, at each peak: Dice on the test frames and a second centre's, and the share of views
without a polyp in which something is marked. Nothing is chosen by it; `python -m pruning calibrate` chooses.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import onnxruntime

from pruning.calibration import Calibration, cap_unsure
from pruning.crops import squares
from pruning.data import Pair, read_pairs
from pruning.fit import Bytes, fit, fit_back
from pruning.metrics import Mask, dice
from pruning.sessions import input_size, run
from tests.bench.published import Views, both_centres, data, frames, parser, published

PEAKS = (0.0, 0.5, 0.7, 0.8, 0.9, 0.95, 0.97, 0.98, 0.99)

Score = Callable[[Mask, Mask], float]


def curve(
    session: onnxruntime.InferenceSession, threshold: float, views: Iterable[tuple[Bytes, Mask]], score: Score
) -> list[float]:
    """The mean score of masks, at each peak."""
    rows = []
    for frame, truth in views:
        probability = run(session, fit(frame, input_size(session))[None])[0]
        capped = [cap_unsure(probability, Calibration(threshold=threshold, peak=peak)) for peak in PEAKS]
        rows.append([score(np.asarray(fit_back(one, frame) >= threshold), truth) for one in capped])
    means: list[float] = np.mean(rows, axis=0).tolist()
    return means


def crops(pairs: list[Pair]) -> Views:
    """Squares of the frames without a polyp, and empty masks."""
    for crop in squares(pairs):
        yield crop, np.zeros(crop.shape[:2], bool)


def any_mark(mask: Mask, _truth: Mask) -> float:
    """1 where something is marked."""
    return float(mask.any())


def main() -> None:
    """Measure and print."""
    options, parts = parser(__doc__).parse_args(), data()
    test, second = both_centres(options.root, parts)
    negatives = read_pairs(options.root / parts.negatives) if parts.negatives else []
    centre = parts.unseen[0].root.name
    print(f"| | peak | {' | '.join(f'{peak:g}' for peak in PEAKS)} |\n{'|---' * (len(PEAKS) + 2)}|", flush=True)
    for model in published(options):
        rows = {
            "Dice, test": (frames(test), dice, ".3f"),
            f"Dice, {centre}": (frames(second), dice, ".3f"),
            "marked, negatives": (frames(negatives), any_mark, ".0%"),
            "marked, crops of test": (crops(test), any_mark, ".0%"),
            f"marked, crops of {centre}": (crops(second), any_mark, ".0%"),
        }
        for name, (views, score, form) in rows.items():
            values = curve(model.session, model.manifest["threshold"], views, score)
            cells = " | ".join(format(value, form) for value in values)
            print(f"| `{model.name}` (own: {model.manifest['peak']:.2f}) | {name} | {cells} |", flush=True)


if __name__ == "__main__":
    main()
