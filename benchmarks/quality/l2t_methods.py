"""The schemes of Jang et al. 2019, table 1, each as one training with the same few calls."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from torch.nn import functional

from transplant.transfer import borrowing, l2t
from transplant.transfer.attention_transfer import AttentionTransfer
from transplant.transfer.borrowing import BorrowingProblem, Student
from transplant.transfer.feature_matching import FeatureMatching
from transplant.transfer.l2t import L2TConfig, l2t_problem, pair_weights
from transplant.transfer.learning_without_forgetting import LearningWithoutForgetting
from transplant.transfer.weighted_matching import (
    MatchingScheme,
    all_to_all_pairs,
    one_to_one_pairs,
    single_pairs,
)

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from transplant.transfer.borrowing import TrainingConfig, TrainingState
    from transplant.transfer.l2t import L2TProblem, L2TState
    from transplant.transfer.meta_gradient import MetaMode
    from transplant.transfer.tapped_net import TappedNet
    from transplant.transfer.weighted_matching import Pair

METHODS = {
    "scratch": None,
    "lwf": None,
    "at": one_to_one_pairs,
    "lwf+at": one_to_one_pairs,
    "fm-single": single_pairs,
    "fm-one-to-one": one_to_one_pairs,
    "l2t-w-single": single_pairs,
    "l2t-w-one-to-one": one_to_one_pairs,
    "l2t-ww": all_to_all_pairs,
}
"""Name -> which maps are matched."""
SALIENT = ("fm-one-to-one", "l2t-w-one-to-one", "l2t-ww")
"""Whose saliency maps figure 6 compares."""


class Training(Protocol):
    """One training of a target, by whatever scheme."""

    @property
    def pairs(self) -> tuple[Pair, ...]:
        """Return which maps are matched."""
        ...

    def step(self, images_BCHW: Tensor, labels_B: Tensor) -> dict[str, float]:
        """Take one step and return its losses."""
        ...

    def pair_weights(self, images_BCHW: Tensor) -> list[float] | None:
        """Return lambda of each pair, or None where it is not learned."""
        ...

    def finish(self) -> TappedNet:
        """Return the trained target."""
        ...


def borrow(
    method: str,
    target: TappedNet,
    sources: tuple[TappedNet, ...],
    config: TrainingConfig,
    example_BCHW: Tensor,
    generator: torch.Generator,
    *,
    meta_mode: MetaMode,
    meta_learning_rate: float,
) -> Training:
    """Return the training of one scheme, before its first step.

    Args:
        method: a name of `METHODS`.
        target: the net to be trained.
        sources: the nets that lend.
        config: how it is trained.
        example_BCHW: one image; its size decides the shapes.
        generator: of whatever weights the scheme adds.
        meta_mode: how L2T takes its meta-gradient.
        meta_learning_rate: of its meta nets.
    """
    shapes = [source.feature_shapes(example_BCHW) for source in sources]
    own = target.feature_shapes(example_BCHW)
    matched = METHODS[method]
    pairs = () if matched is None else matched(shapes, own)
    device = example_BCHW.device
    if method.startswith("l2t"):
        scheme = MatchingScheme(pairs, channel_weights=True, pair_weights=method == "l2t-ww")
        settings = L2TConfig(config, meta_learning_rate=meta_learning_rate, meta_mode=meta_mode)
        problem = l2t_problem(
            target, sources, scheme, functional.cross_entropy, example_BCHW, settings, generator
        )
        problem.borrowing.student.to(device)
        problem.meta_nets.to(device)
        return _Steered(problem, settings, l2t.init(problem))
    flat = [shape for each in shapes for shape in each]
    borrowers: list[nn.Module] = []
    if method in ("lwf", "lwf+at"):
        counts = [source(example_BCHW).answers.shape[1] for source in sources]
        borrowers.append(LearningWithoutForgetting(counts, own[-1][0], generator))
    if method in ("at", "lwf+at"):
        borrowers.append(AttentionTransfer(pairs))
    if method.startswith("fm"):
        borrowers.append(FeatureMatching(pairs, flat, own, generator))
    plain = BorrowingProblem(Student(target, borrowers).to(device), sources, functional.cross_entropy)
    return _Plain(plain, config, borrowing.init(plain), pairs)


@dataclass
class _Plain:
    problem: BorrowingProblem
    config: TrainingConfig
    state: TrainingState
    pairs: tuple[Pair, ...]

    def step(self, images_BCHW: Tensor, labels_B: Tensor) -> dict[str, float]:
        self.state, figures = borrowing.step(self.problem, self.config, self.state, images_BCHW, labels_B)
        return figures

    def pair_weights(self, images_BCHW: Tensor) -> list[float] | None:
        del images_BCHW
        return None

    def finish(self) -> TappedNet:
        return borrowing.finish(self.problem, self.state)


@dataclass
class _Steered:
    problem: L2TProblem
    config: L2TConfig
    state: L2TState

    @property
    def pairs(self) -> tuple[Pair, ...]:
        return self.problem.meta_nets.scheme.pairs

    def step(self, images_BCHW: Tensor, labels_B: Tensor) -> dict[str, float]:
        self.state, figures = l2t.step(self.problem, self.config, self.state, images_BCHW, labels_B)
        return figures

    def pair_weights(self, images_BCHW: Tensor) -> list[float] | None:
        if not self.problem.meta_nets.scheme.pair_weights:
            return None
        return pair_weights(self.problem, self.state, images_BCHW)

    def finish(self) -> TappedNet:
        return l2t.finish(self.problem, self.state)
