"""What a site may send back of a round, and which labels it spends."""

from __future__ import annotations

import pytest
import torch

from transplant.errors import PayloadMalformed, TensorNotFinite, TooLarge, TransplantError
from transplant.nets.learning import LabelledSamples
from transplant.refinement.label_budget import chosen_labels
from transplant.refinement.round_delta import check_delta, clipped, norm_of

SHAPES = {"weight": (2, 3), "bias": (2,)}


def honest() -> dict[str, torch.Tensor]:
    return {name: torch.full(shape, 0.5) for name, shape in SHAPES.items()}


@pytest.mark.parametrize(
    ("name", "tensor", "error"),
    [
        ("extra", torch.zeros(2), PayloadMalformed),
        ("weight", torch.zeros(3, 2), PayloadMalformed),
        ("weight", torch.zeros(2, 3, dtype=torch.float64), PayloadMalformed),
        ("bias", torch.tensor([0.0, float("nan")]), TensorNotFinite),
        ("bias", torch.tensor([0.0, float("inf")]), TensorNotFinite),
        ("bias", torch.tensor([0.0, 1e9]), TooLarge),
    ],
)
def test_a_difference_that_is_none_is_refused(name: str, tensor: torch.Tensor, error: type[TransplantError]):
    with pytest.raises(error):
        check_delta(honest() | {name: tensor}, SHAPES, most_norm=10.0)


def test_a_missing_tensor_is_refused_and_an_honest_one_taken():
    check_delta(honest(), SHAPES, most_norm=10.0)
    with pytest.raises(PayloadMalformed, match="bias"):
        check_delta({"weight": honest()["weight"]}, SHAPES)


def test_clipping_leaves_what_is_short_as_it_is():
    delta = honest()
    assert norm_of(clipped(delta, 0.1)) == pytest.approx(0.1)
    assert all(torch.equal(tensor, delta[name]) for name, tensor in clipped(delta, 5.0).items())


@pytest.mark.parametrize(("count", "positives"), [(4, 2), (5, 3), (9, 6), (50, 6)])
def test_half_of_the_labels_show_the_category_as_far_as_there_are_any(count: int, positives: int):
    targets = torch.tensor([1] * 6 + [0] * 3, dtype=torch.uint8)
    images = torch.arange(9, dtype=torch.uint8).view(9, 1, 1, 1).expand(9, 3, 2, 2)
    one, again = (
        chosen_labels(LabelledSamples(images, targets), count, torch.Generator().manual_seed(1))
        for _ in range(2)
    )
    assert int(one.targets.sum()) == positives
    assert len(one.targets) == min(count, 9)
    assert torch.equal(one.images, again.images)
    assert all(
        bool(each[0, 0, 0] < 6) == bool(target) for each, target in zip(one.images, one.targets, strict=True)
    )
