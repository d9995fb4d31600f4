"""Every model in a folder on the same frames, with and without polyps: python -m tests.bench.quality --root DATA

A model's own manifest has what it was measured on when it was published, and a model that learned from a centre leaves
that centre's other frames out. Here all are measured alike: on the test split, on a second centre's frames, on those
of its video sequences that no model learned from, and on views without a polyp.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from pruning.calibration import Calibration
from pruning.config import Part, read_recipe
from pruning.evaluate import measure
from pruning.metrics import Interval
from pruning.runs import read_json
from pruning.sessions import open_session

RECIPE = Path("pruning/configs/polyp-lite0.toml")
SEQUENCES = Part(root=Path("data/cvc-clinicdb"), split=Path("data/splits/cvc-clinicdb_seqsplit_test.txt"))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=Path, default=Path("models"))
    parser.add_argument("--root", type=Path, default=Path(), help="what the data paths of the recipe are relative to")
    parser.add_argument("names", nargs="*", help="only these; all otherwise")
    options = parser.parse_args()
    found = read_recipe(RECIPE).data
    data = found.model_copy(update={"unseen": (*found.unseen, SEQUENCES)})
    print("| | Dice: test, second centre, its sequences | | | marked: negatives, crops of test, of sequences | | |")
    print("|---" * 7 + "|", flush=True)
    for path in sorted(options.models.glob("*/*/manifest.json")):
        manifest = read_json(path)
        if options.names and manifest["name"] not in options.names:
            continue
        calibration = Calibration.of(manifest)
        figures, _ = measure(open_session(path.with_name("model.onnx")), data, options.root, calibration)
        dices = [figures["dice"], *(scores["dice"] for scores in figures["unseen"])]
        marked = [f"{share['frame_rate']:.0%} of {share['frames']}" for share in figures["false_positives"]]
        cells = [f"`{manifest['name']}`", *(str(Interval(**dice)) for dice in dices), *marked]
        print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
