"""What contenders are measured by, from scores of test pictures. Everything is in percent.

Shape suffixes: N pictures, K categories, A nets that answer apart (a measure is then the mean over them).
"""

from __future__ import annotations

import torch
from torch import Tensor

from transplant.errors import BenchmarkFailed


def multi_category_accuracy(scores: Tensor, labels_N: Tensor) -> float:
    """Return how often the highest score is that of the category shown.

    Args:
        scores: (N, K) or (A, N, K).
        labels_N: int64.

    Raises:
        BenchmarkFailed: if there are no pictures, or a score is no number.
    """
    right = _checked(scores, labels_N).argmax(dim=-1) == labels_N
    return 100 * float(right.to(torch.float64).mean())


def category_error(scores: Tensor, labels_N: Tensor) -> float:
    """Return the error where each category is asked for alone: does the picture show it?

    The mean over categories of half the share of its pictures that are missed plus half the share of
    the others that are taken for it: both weigh the same however many there are, and 50 is chance. A score
    above 0 says yes.

    Args:
        scores: (N, K) or (A, N, K).
        labels_N: int64; every category must be shown by some picture.

    Raises:
        BenchmarkFailed: as above.
    """
    yes = _checked(scores, labels_N) > 0
    errors: list[float] = []
    for category in range(scores.shape[-1]):
        said, shown = yes[..., category].to(torch.float64), labels_N == category
        missed, mistaken = 1 - said[..., shown].mean(), said[..., ~shown].mean()
        errors.append(100 * float(missed + mistaken) / 2)
    return sum(errors) / len(errors)


def accuracy_among_first(scores: Tensor, labels_N: Tensor, categories: int) -> float:
    """Return the accuracy on pictures of the first categories, where the answer is one of these.

    What a net forgets when one more category joins shows here alone: that there is one more wrong answer to
    give costs nothing.
    """
    rows = labels_N < categories
    return multi_category_accuracy(scores[..., rows, :categories], labels_N[rows])


def largest_change(before: Tensor, scores: Tensor, labels_N: Tensor, categories: int) -> float:
    """Return by how much a score of the first categories on their own pictures differs from before, at most.

    Args:
        before: (M, categories) or (A, M, categories), of the M pictures of the first categories.
        scores: (N, K) or (A', N, K), of all pictures; nets that are new are not looked at.
        labels_N: int64.
        categories: how many there were before.
    """
    now = scores[..., labels_N < categories, :categories]
    if before.ndim == 3:
        now = now[: len(before)]
    return float((now - before).abs().max())


def _checked(scores: Tensor, labels_N: Tensor) -> Tensor:
    if not len(labels_N) or scores.shape[-2] != len(labels_N):
        raise BenchmarkFailed(f"{scores.shape[-2]} scores do not fit {len(labels_N)} test pictures")
    if not bool(torch.isfinite(scores).all()):
        raise BenchmarkFailed("a contender's scores are not finite: its training diverged")
    return scores
