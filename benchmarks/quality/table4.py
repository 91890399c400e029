"""Table 4 (arXiv 1901.06978, section 4.4): hosts of similar and dissimilar categories, but not the new one.

For each category a "leave-one-out" g_S is trained on every other mammal and on four dissimilar categories
(see `leave_one_out`). Everything else is as in experiments 2 and 3; as in the paper, dog is no target.
"""

from __future__ import annotations

from benchmarks.quality.cells import Bench
from benchmarks.quality.exp2 import PAPER_SETTINGS
from benchmarks.quality.experiment import Experiment
from transplant.types import Task

EXPERIMENT = Experiment(
    bench=Bench.TABLE4,
    title="Similar and dissimilar categories in one host (the paper's table 4)",
    categories={
        "cifar10": ("cat", "deer", "horse"),
        "voc_mammals": ("cat", "cow", "horse", "sheep"),
    },
    hosts={},
    tasks={
        "cifar10": (Task.CLASSIFICATION,),
        "voc_mammals": (Task.CLASSIFICATION, Task.SEGMENTATION),
    },
    methods=("direct-learn", "back-distill", "transplant"),
    paper_settings=PAPER_SETTINGS,
    leave_one_out=True,
)
