"""What the logits of a net for several categories mean, and what a site's labels say about them.

Where every site knows the category of each of its pictures, a picture shows one of K categories: softmax and
cross-entropy, as the baselines' papers have it. Where a site knows its own categories alone
(`LocalData.known`), a picture that is merely OTHER may show any of the categories that the site has never
heard of, so there is one more answer, 'none of the site's own': softmax over K + 1. The net then gives each
category's log-odds against that answer, z_k - z_other, which is 0 where both are as likely; what a site's net
says of its own category is what a teacher of it says, and averages of nets are read the same way.

The other honest reading was tried on CIFAR-10 with one category a site, one seed: K sigmoids, a picture a
positive of its category and a negative of all others, an OTHER a negative of the known categories and silent
(masked) about the rest. It teaches nothing false, and was worse for the ensemble of the local nets and for
FedAvg in four rounds (in one, FedAvg is at chance either way). So the baselines have the softmax. Shape
suffixes: B pictures, K categories.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

from benchmarks.sites.federation import OTHER
from transplant.errors import DatasetInvalid

if TYPE_CHECKING:
    from benchmarks.sites.federation import Federation

_LEAST = 1e-300  # of a probability in float64, so that its logarithm stays finite


class Answers(StrEnum):
    """How K logits are read."""

    ONE_OF_ALL = "one-of-all"  # logits of a softmax: the picture shows exactly one of the categories
    EACH_ALONE = "each-alone"  # log-odds of each category against 'none of the site's own'


def answers_of(federation: Federation) -> Answers:
    """Return how all nets of a federation answer: by what its sites declare that they know.

    Of a single category there is nothing to choose from, only whether a picture shows it.
    """
    everything = len(federation.categories)
    knows_all = all(len(set(site.known)) == everything for site in federation.sites)
    return Answers.ONE_OF_ALL if knows_all and everything > 1 else Answers.EACH_ALONE


def labelled_loss(logits_BK: Tensor, labels_B: Tensor, answers: Answers) -> Tensor:
    """Return the loss of a batch, a mean over its pictures.

    Args:
        logits_BK: of the net; of EACH_ALONE they stand beside the 0 of 'none of the site's own'.
        labels_B: int64, a category or OTHER.
        answers: how the logits are read.

    Raises:
        DatasetInvalid: if a picture is OTHER where every site should know every picture's category.
    """
    if answers is Answers.ONE_OF_ALL:
        if bool((labels_B == OTHER).any()):
            raise DatasetInvalid("a site that knows every category has pictures labelled other: label them")
        return functional.cross_entropy(logits_BK, labels_B)
    with_other = torch.cat([logits_BK, logits_BK.new_zeros(len(logits_BK), 1)], dim=1)
    return functional.cross_entropy(with_other, labels_B.where(labels_B != OTHER, logits_BK.shape[1]))


def scores_of(logits_BK: Tensor, answers: Answers) -> Tensor:
    """Return comparable scores: the order of the logits, and above 0 where the category is seen.

    Log-odds are such scores. Of a softmax they are those of the category against all others, log p_k -
    log(1 - p_k), plus log(K - 1): a category that is asked for alone is as likely to be there as not, where
    the softmax expects it in one picture of K.
    """
    if answers is Answers.EACH_ALONE or logits_BK.shape[1] == 1:
        return logits_BK.to(torch.float32)
    log_p_BK = logits_BK.to(torch.float64).log_softmax(dim=1)
    log_rest_BK = (-torch.expm1(log_p_BK)).clamp(min=_LEAST).log()
    prior = torch.tensor(logits_BK.shape[1] - 1.0, dtype=torch.float64).log()
    return (log_p_BK - log_rest_BK + prior).to(torch.float32)
