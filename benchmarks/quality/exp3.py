"""Experiment 3 (arXiv 1901.06978, section 4.3, table 3 bottom): categories into the dog's segmentation.

The paper's adapter has one 1x1 layer; ours has three 3x3 by default (`--layers 1 --kernel 1` gives the
paper's). G is drawn from [-1, 1] at image size, every dummy is the first, lambda = 1 / E[D'_T].
"""

from __future__ import annotations

from benchmarks.quality.cells import Bench
from benchmarks.quality.exp2 import CATEGORIES, HOSTS, PAPER_SETTINGS
from benchmarks.quality.experiment import Experiment
from transplant.types import Task

WITH_MASKS = ("voc_mammals", "scenes")

EXPERIMENT = Experiment(
    bench=Bench.EXP3,
    title="Experiment 3: transplant to a segmentation module (the paper's table 3, bottom)",
    categories={data: CATEGORIES[data] for data in WITH_MASKS},
    hosts=HOSTS,
    tasks=dict.fromkeys(WITH_MASKS, (Task.SEGMENTATION,)),
    methods=("direct-learn", "distill", "back-distill", "transplant"),
    paper_settings=PAPER_SETTINGS,
)
