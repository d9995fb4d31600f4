"""Intervals over video sequences instead of frames: python -m tests.bench.sequences --root DATA

Frames of one sequence show one polyp: they are no independent examples of it, and an interval over frames is too narrow
for what another 29 sequences would give. Here whole sequences of CVC-ClinicDB are drawn anew (a cluster bootstrap), for
each model as it ships and for its difference to the dense one, beside the same over frames.
"""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from pruning.data import read_parts
from pruning.evaluate import score_frames
from pruning.metrics import Interval, bootstrap
from tests.bench.published import data, parser, published

DENSE = "polyp-lite0-dense"
LIST = Path("data/splits/cvc-clinicdb_sequences.csv")


def over_sequences(values: NDArray[np.float64], sequences: NDArray[np.int64]) -> Interval:
    """Mean over frames of float64 [N], and its 95% percentile interval over resamples of their sequences, int64 [N]."""
    groups = np.unique(sequences)
    sums, counts = np.bincount(sequences, values)[groups], np.bincount(sequences)[groups]
    found = stats.bootstrap(
        (sums, counts),
        lambda s, n, axis: s.sum(axis) / n.sum(axis),
        paired=True,
        method="percentile",
        rng=np.random.default_rng(0),
    )
    return Interval(float(values.mean()), *map(float, found.confidence_interval))


def main() -> None:
    """Measure and print."""
    options, parts = parser(__doc__).parse_args(), data()
    pairs = read_parts(options.root, (parts.unseen[0],))
    with (options.root / LIST).open(encoding="utf-8") as file:
        of = {row["frame"]: int(row["sequence"]) for row in csv.DictReader(file)}
    sequences = np.array([of[pair.stem] for pair in pairs])
    dice = {model.name: score_frames(model.session, pairs, model.calibration).dice for model in published(options)}
    print(f"| | over {len(pairs)} frames | over {len(np.unique(sequences))} sequences |\n|---|---|---|")
    for name, values in dice.items():
        print(f"| `{name}` | {bootstrap(values)} | {over_sequences(values, sequences)} |")
    for name in [name for name in dice if DENSE in dice and name != DENSE]:
        less = dice[name] - dice[DENSE]
        print(f"| `{name}` minus dense | {bootstrap(less).signed()} | {over_sequences(less, sequences).signed()} |")


if __name__ == "__main__":
    main()
