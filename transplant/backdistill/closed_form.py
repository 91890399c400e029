"""Back-distillation in closed form, for the first layer of an adapter.

With the dummies fixed, D'_S = h^T(B) is linear in the weights W of a one-layer adapter: unfolding B
into U (k^2 M columns) turns min ||alpha beta W U - D'_T[reorder]||^2 into one ridge solve

    W = (sum U U^T + gamma I)^-1 sum U D'_T[reorder]^T / (alpha beta).

The random masks of the second dummy give U its rank; with the first dummy everywhere the system is
nearly singular. A deeper adapter starts from the same W with transparent layers behind it: ReLU is
idempotent on what the first layer's ReLU lets through, so its output is that of the one-layer adapter
bit for bit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

from transplant.backdistill.gradient_pairs import gradient_pair
from transplant.nets.finite import check_finite_net
from transplant.nets.learning import (
    AdapterProblem,
    LearnedAdapter,
    LearnerState,
    disclosed_beta,
    new_adapter,
    step_generator,
)

if TYPE_CHECKING:
    from transplant.nets.adapter import Adapter
    from transplant.nets.learner_config import LearnerConfig

RIDGE = 1e-8
"""gamma, as a share of the mean diagonal of sum U U^T."""
_BATCH = 16


@dataclass(frozen=True)
class ClosedFormLearner:
    """Accumulates the normal equations over `config.masks` samples of G, then solves once.

    `alpha` = None means E||D'_T|| / E||B||, the scale that the paper's alpha gives a transparent
    adapter; 1 is right where g_S and g_T are known to be the same net (Experiment 1).
    """

    alpha: float | None = None

    def total_steps(self, config: LearnerConfig) -> int:
        """Return the number of batches of G."""
        return -(-config.masks // _BATCH)

    def prepare(self, problem: AdapterProblem, config: LearnerConfig) -> None:  # noqa: ARG002 - a learner's call
        """Need nothing but the task modules.

        Raises:
            TensorNotFinite: if a weight of g_T is NaN or an infinity: D' does not see the biases.
        """
        check_finite_net(problem.teacher, "the teacher's task module")

    def init(self, problem: AdapterProblem, config: LearnerConfig, material: None) -> LearnerState:  # noqa: ARG002
        """Return empty normal equations in double precision."""
        adapter, _ = new_adapter(problem, config, 1.0)
        weight = adapter.chain[0].weight
        columns = weight.shape[0] * config.kernel**2
        return LearnerState(
            0,
            {
                "gram": torch.zeros(columns, columns, dtype=torch.float64),
                "cross": torch.zeros(columns, weight.shape[1], dtype=torch.float64),
                "norms": torch.zeros(3, dtype=torch.float64),  # sums of ||B||, ||D'_T||, ||D'_T||^2
            },
        )

    def step(
        self,
        problem: AdapterProblem,
        config: LearnerConfig,
        material: None,  # noqa: ARG002
        state: LearnerState,
    ) -> tuple[LearnerState, dict[str, float]]:
        """Add one batch of G to the normal equations."""
        count = min(_BATCH, config.masks - state.step * _BATCH)
        at_host, at_teacher = gradient_pair(problem, config, count, step_generator(config, state.step))
        if problem.reorder is not None:
            at_teacher = at_teacher[:, torch.tensor(problem.reorder)]
        tensors = state.tensors
        gram, cross = tensors["gram"].clone(), tensors["cross"].clone()
        # Map by map: U in double precision is 200 MB for one enlarged D' of VGG-16 at 224 px.
        for host_CHW, teacher_CHW in zip(at_host, at_teacher, strict=True):
            one = host_CHW.to(torch.float64).unsqueeze(0)
            unfolded = functional.unfold(one, config.kernel, padding=config.kernel // 2)[0]
            gram.addmm_(unfolded, unfolded.T)
            cross.addmm_(unfolded, teacher_CHW.flatten(1).to(torch.float64).T)
        norms = [at_host.flatten(1).norm(dim=1), at_teacher.flatten(1).norm(dim=1)]
        added = torch.stack([norms[0].sum(), norms[1].sum(), norms[1].square().sum()]).to(torch.float64)
        return (
            LearnerState(
                state.step + 1,
                {"gram": gram, "cross": cross, "norms": tensors["norms"] + added},
            ),
            {},
        )

    def finish(
        self,
        problem: AdapterProblem,
        config: LearnerConfig,
        material: None,  # noqa: ARG002
        state: LearnerState,
    ) -> LearnedAdapter:
        """Solve, and put W into the first layer of a transparent adapter.

        The figure `loss` is the relative residual ||alpha D'_S - D'_T||^2 / ||D'_T||^2 of the solution.
        """
        beta = disclosed_beta(problem)
        gram, cross, norms = (state.tensors[name] for name in ("gram", "cross", "norms"))
        alpha = self.alpha if self.alpha is not None else float(norms[1] / norms[0].clamp(min=1e-30))
        gamma = RIDGE * gram.diagonal().mean()
        damped = gram.clone()
        damped.diagonal().add_(gamma)
        solved = torch.linalg.solve(damped, cross)
        residual = norms[2] - 2 * (solved * cross).sum() + (solved * (gram @ solved)).sum()
        adapter, architecture = new_adapter(problem, config, beta)
        adapter.start_from_first_layer(weight_from_columns(solved / (alpha * beta), adapter))
        figures = {"loss": float(residual / norms[2].clamp(min=1e-30)), "alpha": alpha, "beta": beta}
        return LearnedAdapter(adapter, architecture, figures)


def weight_from_columns(columns: Tensor, adapter: Adapter) -> Tensor:
    """Turn the solution (k^2 C_out, C_in) back into a convolution's weight (C_out, C_in, k, k).

    `unfold` correlates while the transposed convolution flips its kernel, hence the two flips.
    """
    kernel = adapter.kernel
    weight = columns.view(-1, kernel, kernel, columns.shape[1]).permute(0, 3, 1, 2)
    return weight.flip(-1, -2).to(torch.float32).contiguous()
