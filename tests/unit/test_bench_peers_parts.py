"""What the baselines are made of: divergence, students, ensembles, generators, weights."""

from __future__ import annotations

import pytest
import torch
from fakes.tiny_federation import ARCH, federation, with_small_nets
from torch import nn
from torch.nn import functional

from benchmarks.sites.peers.batch_statistics import BatchStatistics
from benchmarks.sites.peers.co_boosting import CoBoosting, better_weights, hard_loss
from benchmarks.sites.peers.dense import boundary_loss
from benchmarks.sites.peers.distillation import Student, divergence
from benchmarks.sites.peers.ensemble import Ensemble
from benchmarks.sites.peers.generator import Generator
from benchmarks.sites.peers.multi_category_net import NetShape, weights_of
from benchmarks.sites.peers.synthesis import (
    ImagePool,
    Synthesiser,
    SynthesisSettings,
    rounds_within,
    steps_of,
)
from transplant.nets.measures import as_images


@pytest.fixture(autouse=True)
def _small_nets(monkeypatch):
    with_small_nets(monkeypatch)


class Says(nn.Module):
    """A net that says the same of every picture, plus a little that depends on it."""

    def __init__(self, *logits):
        super().__init__()
        self.logits = nn.Parameter(torch.tensor(logits))

    def forward(self, images):
        return self.logits.expand(len(images), -1)


def test_the_divergence_is_that_of_kullback_and_leibler():
    target, student = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 2.0]])
    p, q = (target / 2).softmax(1), (student / 2).softmax(1)
    by_hand = 4 * (p * (p.log() - q.log())).sum()
    torch.testing.assert_close(divergence(target, student, 2.0)[0], by_hand)
    assert divergence(target, target).abs().max() == 0


def test_a_student_at_rest_answers_without_dropout_and_learns_afterwards():
    net = NetShape(ARCH, 32, 3).initial(0)
    student = Student(net, torch.optim.SGD(net.parameters(), 0.1), 2, 1.0, "float32", 10.0)
    images, target = torch.rand(4, 3, 32, 32), torch.eye(4, 3)
    with student.at_rest():
        assert torch.equal(net(images), net(images))
        assert not net(images).requires_grad
    before = weights_of(net)
    losses = [student.learn(images, target) for _ in range(2)]
    assert all(loss > 0 for loss in losses)
    assert any(not torch.equal(before[name], weight) for name, weight in weights_of(net).items())
    assert student.optimizer.param_groups[0]["lr"] == pytest.approx(0.0)  # the cosine has ended


def test_sites_are_heard_on_what_they_know():
    ensemble = Ensemble([Says(1.0, 5.0, 0.0, 2.0), Says(3.0, 7.0, 4.0, 4.0)], [(0,), (0, 2)], 4)
    images = torch.zeros(1, 3, 4, 4)
    # 0: both know it; 1 and 3: nobody does; 2: the second alone.
    torch.testing.assert_close(ensemble(images), torch.tensor([[2.0, 6.0, 4.0, 3.0]]))
    assert ensemble.covered == (0, 2)
    weighted = ensemble.together(ensemble.site_logits(images), torch.tensor([1.0, 0.0]))
    torch.testing.assert_close(weighted, torch.tensor([[1.0, 5.0, 4.0, 2.0]]))


def test_the_generators_terms_by_hand():
    together = torch.tensor([[2.0, 0.0], [0.0, 1.0]])
    alone = torch.tensor([[0.0, 1.0], [0.0, 3.0]])  # the two differ on the first picture alone
    p, q = together[0].softmax(0), alone[0].softmax(0)
    by_hand = -(p * (p.log() - q.log())).sum() / 2
    torch.testing.assert_close(boundary_loss(together, alone), by_hand)
    labels = torch.tensor([0, 0])
    each = functional.cross_entropy(together, labels, reduction="none")
    weights = torch.tensor([1 - float(p[0]), 1 - float(together[1].softmax(0)[0])])
    torch.testing.assert_close(hard_loss(together, labels), (weights * each).mean())


def test_the_statistics_term_by_hand_and_none_without_normalisation():
    layer = nn.BatchNorm2d(2).eval()
    layer.running_mean.copy_(torch.tensor([1.0, 0.0]))
    images = torch.tensor([[[[1.0]], [[2.0]]], [[[3.0]], [[6.0]]]])  # means 2 and 4, variances 1 and 4
    with BatchStatistics([nn.Sequential(layer), nn.Identity()]) as heard:
        layer(images)
        distance = heard.distance()
        assert heard.distance() == 0  # forgotten
    by_hand = torch.tensor([1.0, 4.0]).norm() + torch.tensor([0.0, 3.0]).norm()
    torch.testing.assert_close(distance, by_hand / 2)  # the mean over both nets
    layer(images)
    assert heard.distance() == 0  # no longer listening
    with BatchStatistics([NetShape(ARCH, 32, 3).build()]) as heard:
        assert heard.distance() == 0


def test_a_generator_learns_what_the_ensemble_calls_by_its_label():
    colours = Ensemble([_Brightness()], [(0, 1, 2)], 3)
    settings = SynthesisSettings(latent=8, channels=4, steps=40, learning_rate=0.05)
    generator = torch.Generator().manual_seed(0)
    synthesiser = Synthesiser(settings, 8, 12, (0, 2), generator)
    images, labels = synthesiser.make(lambda shown, told: functional.cross_entropy(colours(shown), told))
    assert images.dtype == torch.uint8
    assert set(labels.tolist()) == {0, 2}
    assert (colours(as_images(images)).argmax(dim=1) == labels).float().mean() > 0.9


class _Brightness(nn.Module):
    def forward(self, images):
        return 20 * (images.mean(dim=(2, 3)) - 0.5)


def test_a_generator_can_start_anew_and_gives_images():
    net = Generator(8, 4, 16)
    drawn = []
    for _ in range(2):
        net.start_anew(torch.Generator().manual_seed(3))
        drawn.append(weights_of(net))
        images = net(torch.randn(2, 8))
        assert images.shape == (2, 3, 16, 16)
        assert images.min() >= 0
        assert images.max() <= 1
    assert all(torch.equal(drawn[0][name], drawn[1][name]) for name in drawn[0])


def test_a_pool_gives_everything_once_and_rounds_fit_the_budget():
    pool = ImagePool()
    for number in range(3):
        pool.add(torch.full((4, 3, 8, 8), number, dtype=torch.uint8), torch.full((4,), number))
    batches = list(pool.one_pass(torch.Generator().manual_seed(0)))
    assert len(batches) == 3
    assert torch.cat([labels for _, labels in batches]).bincount().tolist() == [4, 4, 4]
    for images, labels in batches:
        torch.testing.assert_close(images.mean(dim=(1, 2, 3)) * 255, labels.to(torch.float32))
    assert [rounds_within(steps) for steps in (0, 1, 2, 3, 5, 6, 20_099, 20_100)] == [
        1,
        1,
        1,
        2,
        2,
        3,
        199,
        200,
    ]
    assert steps_of(200) == 20_100


def test_weights_stay_normalised_and_move_to_the_better_net():
    ensemble = Ensemble([Says(4.0, 0.0, 0.0), Says(0.0, 4.0, 0.0), Says(0.0, 1.0, 2.0)], [(0, 1, 2)] * 3, 3)
    images, labels = torch.zeros(6, 3, 4, 4), torch.zeros(6, dtype=torch.int64)
    for _ in range(40):
        moved = better_weights(ensemble, ensemble.site_logits(images), labels, 0.05)
        assert moved.sum().item() == pytest.approx(1.0)
        assert (moved >= 0).all()
        ensemble.weights_S.copy_(moved)
    torch.testing.assert_close(ensemble.weights_S, torch.tensor([1.0, 0.0, 0.0]))


def test_weights_rest_where_every_category_has_one_site():
    nets = [Says(0.1, 0.7, -0.3), Says(1.3, 0.2, 0.9), Says(-0.6, 0.4, 0.8)]
    ensemble = Ensemble(nets, [(0,), (1,), (2,)], 3)
    told = ensemble.site_logits(torch.zeros(5, 3, 4, 4))
    moved = better_weights(ensemble, told, torch.tensor([0, 1, 2, 0, 1]), 0.1)
    assert torch.equal(moved, ensemble.weights_S)


def test_harder_pictures_are_one_step_away():
    told = federation()
    ensemble = Ensemble([NetShape(ARCH, 32, 3).initial(0)], [(0, 1, 2)], 3)
    images = as_images(told.test.images[:4])
    deviation = torch.tensor([0.5, 0.25, 0.1]).view(1, 3, 1, 1)
    harder = CoBoosting().harder(images, ensemble, deviation, "float32", torch.Generator().manual_seed(0))
    steps = (harder - images).abs() / deviation
    torch.testing.assert_close(steps.amax(dim=(0, 2, 3)), torch.full((3,), 8 / 255), rtol=1e-4, atol=1e-5)
    assert (steps > 1e-3).float().mean() > 0.9
