"""What one-shot methods begin with: every site trains once, and the center has all their nets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks.sites.contender import Outcome
from benchmarks.sites.peers.answers import Answers, scores_of
from benchmarks.sites.peers.ensemble import Ensemble
from benchmarks.sites.peers.local_training import LocalPlan, ask_all_to_train, mean_loss
from benchmarks.sites.peers.multi_category_net import (
    MultiCategoryNet,
    NetShape,
    answers_to,
    net_bytes,
    weights_of,
)
from transplant.errors import BenchmarkFailed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor, nn

    from benchmarks.sites.contender import Progress, Training
    from benchmarks.sites.engine import Engine, SiteReply
    from benchmarks.sites.federation import Federation


@dataclass(frozen=True, eq=False)
class LocalNets:
    """What the sites sent back: their nets as an ensemble, and the net that all of them started from."""

    ensemble: Ensemble
    start: MultiCategoryNet
    replies: Mapping[int, SiteReply]


def local_nets(federation: Federation, training: Training, engine: Engine, progress: Progress) -> LocalNets:
    """Have every site train for all its epochs, at once, or when it is there.

    Raises:
        BenchmarkFailed: if no site answers.
    """
    shape = NetShape.of(federation, training)
    start = shape.initial(federation.seed)
    replies = ask_all_to_train(
        federation, engine, weights_of(start), LocalPlan.of_round(federation, training, 0, 1)
    )
    progress(f"{len(replies)} sites trained, loss {mean_loss(replies):.3f}")
    return LocalNets(ensemble_of(federation, shape, replies), start, replies)


def ensemble_of(federation: Federation, shape: NetShape, replies: Mapping[int, SiteReply]) -> Ensemble:
    """Return the ensemble of the nets that came back.

    Raises:
        BenchmarkFailed: if none did.
    """
    if not replies:
        raise BenchmarkFailed("no site answered, so there is nothing to distil: let fewer sites drop out")
    return Ensemble(
        [shape.holding(reply.tensors) for reply in replies.values()],
        [federation.sites[site].known for site in replies],
        shape.categories,
    )


def distilled_outcome(
    federation: Federation,
    student: nn.Module,
    ensemble: Ensemble,
    replies: Mapping[int, SiteReply],
    center_seconds: float,
    figures: Mapping[str, float],
) -> Outcome:
    """Score the test pictures with a distilled net, and say beside it how good its teachers are together.

    A student learns from softmax over the ensemble's logits whatever the sites' own nets are, so its
    answers are one of all.
    """
    scores = scores_of(answers_to(student, federation.test.images), Answers.ONE_OF_ALL)
    shared = {
        "local_loss": mean_loss(replies),
        "answered": float(len(replies)),
        "ensemble_accuracy": percent_right(answers_to(ensemble, federation.test.images), federation),
    }
    return Outcome(scores, center_seconds, net_bytes(student), shared | dict(figures))


def percent_right(scores_NK: Tensor, federation: Federation) -> float:
    """Return in how many of 100 test pictures the highest score is that of the right category."""
    right = scores_NK.argmax(dim=1) == federation.test.labels
    return 100 * float(right.to(scores_NK.dtype).mean())
