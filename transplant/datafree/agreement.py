"""The data-free score of an adapter: how far g_S(h(x)) and g_T(x) say the same on held-out synthetic x."""

from __future__ import annotations

import torch
from torch import Tensor

from transplant.nets.finite import check_finite

_RARE = 0.005


def agreement(student: Tensor, teacher: Tensor) -> dict[str, float]:
    """Compare two sets of logits of equal shape.

    Synthetic images rarely hold the category, so a plain share of equal answers is high for a
    constant predictor too. `agreement` is therefore balanced: the mean of the shares of g_T's yes and of
    g_T's no that the student repeats, in percent (50 = a constant). Where g_T says yes (or no) to less
    than 0.5 % of x, the boundary moves to the median of g_T's logits for both. A student's NaN agrees with
    nothing.

    Returns:
        {"agreement": percent, "logit_r2": share of the variance of g_T's logits that is explained}.

    Raises:
        TensorNotFinite: if g_T's logits hold NaN or an infinity: nothing can be compared with them.
    """
    check_finite(teacher, "the teacher's answers")
    boundary = torch.zeros(())
    share = float((teacher > 0).to(torch.float32).mean())
    if not _RARE <= share <= 1 - _RARE:
        boundary = teacher.flatten().median()
    yes = teacher > boundary
    shares = [
        (student > boundary)[yes].to(torch.float32).mean(),
        (student <= boundary)[~yes].to(torch.float32).mean(),
    ]
    present = [value for value in shares if not bool(value.isnan())]
    balanced = float(torch.stack(present).mean()) if present else 0.0
    error = (student - teacher).square().mean()
    spread = (teacher - teacher.mean()).square().mean().clamp(min=1e-12)
    return {"agreement": 100 * balanced, "logit_r2": float(1 - error / spread)}
