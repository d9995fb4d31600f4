"""Every model in a folder on the same frames, with and without polyps: python -m tests.bench.quality --root DATA

A model's own manifest has what it was measured on when it was published, and a model that learned from a centre leaves
that centre's other frames out. Here all are measured alike: on the test split, on a second centre's frames, on those
of its video sequences that no model learned from, and on views without a polyp.
"""

from __future__ import annotations

from pathlib import Path

from pruning.config import Part
from pruning.evaluate import measure
from pruning.metrics import Interval
from tests.bench.published import data, parser, published

SEQUENCES = Part(root=Path("data/cvc-clinicdb"), split=Path("data/splits/cvc-clinicdb_seqsplit_test.txt"))


def main() -> None:
    """Measure and print."""
    options = parser(__doc__).parse_args()
    found = data()
    parts = found.model_copy(update={"unseen": (*found.unseen, SEQUENCES)})
    print("| | Dice: test, second centre, its sequences | | | marked: negatives, crops of test, of sequences | | |")
    print("|---" * 7 + "|", flush=True)
    for model in published(options):
        figures, _ = measure(model.session, parts, options.root, model.calibration)
        dices = [figures["dice"], *(scores["dice"] for scores in figures["unseen"])]
        marked = [f"{share['frame_rate']:.0%} of {share['frames']}" for share in figures["false_positives"]]
        cells = [f"`{model.name}`", *(str(Interval(**dice)) for dice in dices), *marked]
        print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
