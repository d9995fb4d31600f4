"""What PySODMetrics makes of maps/*.png and truth/*.png, as JSON; runs in its own environment, see `pranet`."""

import json
import sys
from pathlib import Path

import cv2
import py_sod_metrics as sod


def main() -> None:
    """Measure and print."""
    folder = Path(sys.argv[1])
    handler = {"with_dynamic": True, "with_adaptive": False}
    overlap = sod.FmeasureV2({"dice": sod.DICEHandler(**handler), "iou": sod.IOUHandler(**handler)})
    weighted, structure = sod.WeightedFmeasure(), sod.Smeasure()
    enhanced, error = sod.Emeasure(), sod.MAE()
    for path in sorted((folder / "maps").iterdir()):
        found = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
        truth = cv2.imread(str(folder / "truth" / path.name), cv2.IMREAD_GRAYSCALE)
        for metric in (overlap, weighted, structure, enhanced, error):
            metric.step(pred=found, gt=truth)
    overlaps, curve = overlap.get_results(), enhanced.get_results()["em"]["curve"]
    results = {
        "mDice": overlaps["dice"]["dynamic"].mean(),
        "mIoU": overlaps["iou"]["dynamic"].mean(),
        "wF": weighted.get_results()["wfm"],
        "S": structure.get_results()["sm"],
        "mE": curve.mean(),
        "maxE": curve.max(),
        "MAE": error.get_results()["mae"],
    }
    print(json.dumps({name: float(value) for name, value in results.items()}))


if __name__ == "__main__":
    main()
