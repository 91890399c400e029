"""Experiment 1 (arXiv 1901.06978, section 4.1, table 2): insert an adapter into one and the same net.

Host and teacher are one net. The adapter has one or three 3x3 layers behind a random reorder of the channels.
G = 1, the second dummy in every ReLU of g, lambda = 10 / E[D'_T]. g_S being g_T, the scale of the closed
form is known: alpha = 1.
"""

from __future__ import annotations

from benchmarks.quality.cells import Bench
from benchmarks.quality.experiment import Experiment
from transplant.types import Task

EXPERIMENT = Experiment(
    bench=Bench.EXP1,
    title="Experiment 1: insert adapters into the same net (the paper's table 2)",
    categories={
        "cifar10": ("cat", "deer", "dog", "horse", "bird"),
        "voc_mammals": ("cat", "cow", "dog", "horse", "sheep"),
        "scenes": ("digit-0", "digit-1", "digit-2", "digit-3", "digit-4"),
    },
    hosts={},
    tasks=dict.fromkeys(("cifar10", "voc_mammals", "scenes"), (Task.CLASSIFICATION,)),
    methods=("direct-learn", "back-distill", "closed-form", "transplant"),
    paper_settings={
        Task.CLASSIFICATION: {"dummy": "second", "enlarged_side": 1},
        Task.SEGMENTATION: {"dummy": "second"},
    },
    layers=(1, 3),
    reorder=True,
    own_host=True,
)
