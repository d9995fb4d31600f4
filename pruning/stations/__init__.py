"""The stations of a run: each reads a file of the run folder and writes the next.

train > (score > prune > recalibrate > finetune) for each step > calibrate > export > evaluate > sensitivity > report
"""

from pruning.stations.cuts import measure_sensitivity, prune, recalibrate, score
from pruning.stations.figures import calibrate, evaluate, evaluate_steps, export_graphs
from pruning.stations.learning import finetune, train

__all__ = [
    "calibrate",
    "evaluate",
    "evaluate_steps",
    "export_graphs",
    "finetune",
    "measure_sensitivity",
    "prune",
    "recalibrate",
    "score",
    "train",
]
