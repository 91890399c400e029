"""Baselines and matching: what each penalty is zero for, which maps meet, and how a training ends."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from transplant.errors import TransferNotPossible
from transplant.transfer import borrowing, l2t
from transplant.transfer.attention_transfer import AttentionTransfer
from transplant.transfer.borrowing import BorrowingProblem, Given, Student, TrainingConfig, start_from
from transplant.transfer.feature_matching import FeatureMatching
from transplant.transfer.l2t import L2TConfig, l2t_problem, pair_weights
from transplant.transfer.learning_without_forgetting import LearningWithoutForgetting
from transplant.transfer.resnet import small_resnet
from transplant.transfer.tapped_net import Seen, TappedNet
from transplant.transfer.vgg import vgg9_bn
from transplant.transfer.weighted_matching import (
    MatchingScheme,
    MetaNets,
    all_to_all_pairs,
    matching_loss,
    one_to_one_pairs,
    single_pairs,
)

RESNET32 = [(16, 32, 32), (32, 16, 16), (64, 8, 8)]
RESNET34 = [(64, 56, 56), (128, 28, 28), (256, 14, 14), (512, 7, 7)]
VGG9 = [(64, 32, 32), (128, 16, 16), (256, 8, 8), (512, 4, 4), (512, 2, 2)]


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def batch() -> tuple[Tensor, Tensor]:
    return torch.randn(8, 3, 32, 32, generator=seeded(1)), torch.arange(8) % 3


def nets() -> tuple[TappedNet, TappedNet]:
    return small_resnet(8, 5, seeded(2), width=4).eval(), vgg9_bn(3, seeded(3), width=4)


def test_the_papers_pairs() -> None:
    assert len(all_to_all_pairs([RESNET32], VGG9)) == 15
    assert len(all_to_all_pairs([RESNET34], RESNET34)) == 16
    assert single_pairs([RESNET32], VGG9) == ((2, 4),)
    assert one_to_one_pairs([RESNET32], VGG9) == ((0, 0), (1, 1), (2, 2))
    two = [RESNET32, RESNET32]
    assert single_pairs(two, VGG9) == ((2, 4), (5, 4))
    assert one_to_one_pairs(two, VGG9) == ((0, 0), (1, 1), (2, 2), (3, 0), (4, 1), (5, 2))
    assert len(all_to_all_pairs(two, VGG9)) == 30
    with pytest.raises(TransferNotPossible, match="all to all"):
        one_to_one_pairs([[(4, 3, 3)]], VGG9)


def test_the_loss_is_the_papers_sum() -> None:
    """Equation 1 and 2 written out, with a resized source map, against projections and coefficients."""
    generator = seeded(4)
    source, target = (
        [torch.randn(2, 3, 4, 4, generator=generator)],
        [torch.randn(2, 5, 8, 8, generator=generator)],
    )
    scheme = MatchingScheme(((0, 0),), channel_weights=True, pair_weights=True)
    meta = MetaNets(scheme, [(3, 4, 4)])
    with torch.no_grad():
        for weight in meta.parameters():
            weight.add_(torch.randn(weight.shape, generator=generator))
    matching = l2t.WeightedMatching(scheme, [(3, 4, 4)], [(5, 8, 8)], generator, beta=1.0)
    errors = matching.projections(matching.projections.wanted(source), target)
    expected = 0.0
    r = matching.projections.convolutions["0"]
    for b in range(2):
        pooled = source[0][b].mean(dim=(1, 2))
        w = (meta.what[0].weight @ pooled + meta.what[0].bias).softmax(0)
        lam = (meta.where[0].weight @ pooled + meta.where[0].bias).clamp(0, 6)
        resized = functional.interpolate(source[0], size=(8, 8), mode="bilinear", align_corners=False)[b]
        for c in range(3):
            distance = ((r(target[0])[b, c] - resized[c]) ** 2).sum() / 64
            expected = expected + lam * w[c] * distance / 2
    torch.testing.assert_close(matching_loss(meta(source), errors), expected[0])


def test_meta_nets_start_as_if_they_were_not_there() -> None:
    meta = MetaNets(MatchingScheme(((0, 0), (1, 0)), True, True), [(3, 4, 4), (6, 2, 2)])
    plain = MetaNets(MatchingScheme(((0, 0), (1, 0))), [(3, 4, 4), (6, 2, 2)])
    features = [torch.randn(5, 3, 4, 4), torch.randn(5, 6, 2, 2)]
    for own, uniform in zip(meta(features), plain(features), strict=True):
        torch.testing.assert_close(own, uniform)
        torch.testing.assert_close(own.sum(), torch.tensor(1.0))
    assert not list(plain.parameters())


def test_each_penalty_vanishes_where_the_target_is_the_source() -> None:
    source, _ = nets()
    images, _ = batch()
    with torch.no_grad():
        seen: Seen = source(images)
    given = Given(seen.features, (seen.answers,))
    pairs = tuple((place, place) for place in range(3))
    assert float(AttentionTransfer(pairs)(given, seen)) == pytest.approx(0, abs=1e-6)
    other = Seen(tuple(each.flip(0) for each in seen.features), seen.answers)
    assert float(AttentionTransfer(pairs)(given, other)) > 1e-3
    shapes = source.feature_shapes(images)
    matching = FeatureMatching(pairs, shapes, shapes, seeded())
    with torch.no_grad():
        for layer in matching.projections.convolutions.values():
            layer.weight.copy_(torch.eye(layer.weight.shape[0])[..., None, None])
    assert float(matching(given, seen).detach()) == pytest.approx(0, abs=1e-6)
    forgetting = LearningWithoutForgetting([5], 16, seeded())
    forgetting.heads[0].load_state_dict(source.net.fc.state_dict())
    soft = (seen.answers / 2).softmax(1)
    entropy = -(soft * soft.log()).sum(1).mean()  # the least that a cross-entropy can be
    torch.testing.assert_close(forgetting(given, seen), 4 * entropy)
    with pytest.raises(TransferNotPossible, match="answers"):
        LearningWithoutForgetting([], 16, seeded())


@pytest.mark.parametrize("method", ["scratch", "lwf", "at", "lwf+at", "fm"])
def test_a_baseline_learns_its_task_and_leaves_its_borrowers_behind(method: str) -> None:
    source, target = nets()
    images, targets = batch()
    shapes, own = source.feature_shapes(images), target.feature_shapes(images)
    pairs = one_to_one_pairs([shapes], own)
    borrowers: list[nn.Module] = []
    if "lwf" in method:
        borrowers.append(LearningWithoutForgetting([5], own[-1][0], seeded()))
    if "at" in method:
        borrowers.append(AttentionTransfer(pairs, beta=10.0))
    if method == "fm":
        borrowers.append(FeatureMatching(pairs, shapes, own, seeded()))
    problem = BorrowingProblem(Student(target, borrowers), (source,), functional.cross_entropy)
    config = TrainingConfig(steps=15, learning_rate=0.05)
    before = copy.deepcopy(target.state_dict())
    state = borrowing.init(problem)
    losses: list[dict[str, float]] = []
    for _ in range(config.steps):
        state, figures = borrowing.step(problem, config, state, images, targets)
        losses.append(figures)
    assert losses[-1]["loss"] < 0.5 * losses[0]["loss"]
    assert ("penalty" in losses[0]) == bool(borrowers)
    if borrowers:
        assert losses[-1]["penalty"] < losses[0]["penalty"]
    for name, tensor in problem.student.target.state_dict().items():
        assert torch.equal(tensor, before[name]), "state is explicit: the problem's own nets do not change"
    learned = borrowing.finish(problem, state)
    assert set(learned.state_dict()) == set(before)
    assert not learned.training


def test_fine_tuning_starts_from_the_body_of_the_same_net_only() -> None:
    first, second = vgg9_bn(5, seeded(1), width=4).net, vgg9_bn(3, seeded(2), width=4).net
    start_from(first, second)
    assert torch.equal(first.features[0].weight, second.features[0].weight)
    assert second.classifier.weight.shape == (3, 32)
    with pytest.raises(TransferNotPossible, match="own architecture"):
        start_from(small_resnet(8, 5, seeded()).net, second)


def test_l2t_learns_where_to_match_two_sources() -> None:
    source, target = nets()
    other = small_resnet(8, 4, seeded(7), width=4).eval()
    images, targets = batch()
    shapes = [source.feature_shapes(images), other.feature_shapes(images)]
    scheme = MatchingScheme(all_to_all_pairs(shapes, target.feature_shapes(images)), True, True)
    config = L2TConfig(TrainingConfig(steps=6, learning_rate=0.02), meta_learning_rate=0.01)
    problem = l2t_problem(
        target, (source, other), scheme, functional.cross_entropy, images[:1], config, seeded()
    )
    state = l2t.init(problem)
    start = pair_weights(problem, state, images)
    assert start == pytest.approx([1.0] * 30)
    for _ in range(config.training.steps):
        state, figures = l2t.step(problem, config, state, images, targets)
        assert set(figures) == {"loss", "penalty", "merit"}
    learned = pair_weights(problem, state, images)
    assert max(learned) - min(learned) > 0.01
    assert l2t.finish(problem, state)(images).answers.shape == (8, 3)
