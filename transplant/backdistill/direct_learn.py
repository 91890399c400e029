"""`direct-learn`, the paper's first baseline: the task loss on labelled samples and nothing else."""

from __future__ import annotations

from transplant.backdistill.sampled_learner import SampledLearner


class DirectLearner(SampledLearner):
    """min_h L(y_S, y*), section 4."""
