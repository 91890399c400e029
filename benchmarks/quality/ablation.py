"""What each choice is worth: one factor is varied at a time, the others stay at their first value.

Factors: number of adapter layers, width of their kernels, level of disclosure, number of synthetic
samples, and which host g_S. The method is plain function distillation, whose knobs apply as they are set;
the default pipeline chooses some of them itself.
"""

from __future__ import annotations

from benchmarks.quality.cells import Bench
from benchmarks.quality.exp2 import PAPER_SETTINGS
from benchmarks.quality.experiment import Experiment
from transplant.types import Task

EXPERIMENT = Experiment(
    bench=Bench.ABLATION,
    title="Ablations: one factor at a time",
    categories={
        "cifar10": ("cat", "horse"),
        "voc_mammals": ("cat", "horse"),
        "scenes": ("digit-1", "digit-2"),
    },
    hosts={
        "cifar10": ("dog", "deer", "truck"),
        "voc_mammals": ("dog", "cow", "sheep"),
        "scenes": ("digit-0", "digit-3", "digit-4"),
    },
    tasks={
        "cifar10": (Task.CLASSIFICATION,),
        "voc_mammals": (Task.CLASSIFICATION, Task.SEGMENTATION),
        "scenes": (Task.CLASSIFICATION, Task.SEGMENTATION),
    },
    methods=("function",),
    paper_settings=PAPER_SETTINGS,
    samples=(0,),
    layers=(3, 1, 2, 4),
    kernels=(3, 1, 5),
    disclosures=("none", "moments", "pca", "proxy"),
    synthetic_images=(3600, 450, 900, 1800, 7200),
    one_at_a_time=True,
)
