"""`distill`, the paper's second baseline: L(y_S, y*) + CrossEntropy(y_S, y_T) on labelled samples.

Hinton, Vinyals and Dean 2015, at temperature 1 as the paper has it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from transplant.backdistill.sampled_learner import Draw, SampledLearner
from transplant.nets.finite import check_finite

if TYPE_CHECKING:
    from torch import Tensor

    from transplant.nets.adapter import Adapter
    from transplant.nets.learner_config import LearnerConfig
    from transplant.nets.learning import AdapterProblem


class DistillLearner(SampledLearner):
    """The teacher's soft answers beside the labels; per pixel for segmentation."""

    def sample_terms(
        self,
        problem: AdapterProblem,
        config: LearnerConfig,  # noqa: ARG002
        adapter: Adapter,  # noqa: ARG002
        draw: Draw,
        generator: torch.Generator,  # noqa: ARG002
    ) -> dict[str, Tensor]:
        """Return the cross-entropy between the two answers.

        Raises:
            TensorNotFinite: if the teacher answers NaN or an infinity.
        """
        with torch.no_grad():
            wanted = check_finite(problem.teacher(draw.features), "the teacher's answers").sigmoid()
        return {"distillation": functional.binary_cross_entropy_with_logits(draw.logits, wanted)}
