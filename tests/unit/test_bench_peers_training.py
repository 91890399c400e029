"""The baselines' net, what labels say to it, and its training at a site."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from fakes.tiny_federation import ARCH, federation, squares, with_small_nets
from torch.nn import functional

from benchmarks.sites.contender import Training
from benchmarks.sites.engine import SiteReply
from benchmarks.sites.federation import OTHER, LocalData
from benchmarks.sites.peers.answers import Answers, answers_of, labelled_loss, scores_of
from benchmarks.sites.peers.averaging import weighted_mean
from benchmarks.sites.peers.local_training import EXAMPLES, LocalPlan, proximal_term, train_locally
from benchmarks.sites.peers.multi_category_net import NetShape, answers_to, net_bytes, weights_of
from transplant.errors import DatasetInvalid
from transplant.nets.architecture_table import default_architecture
from transplant.nets.teacher_net import TeacherNet
from transplant.types import Task


@pytest.fixture(autouse=True)
def _small_nets(monkeypatch):
    with_small_nets(monkeypatch)


TRAINING = Training(arch=ARCH, local_epochs=4, batch_size=16)


def plan(number=0, rounds=1, mu=0.0, told=None):
    return LocalPlan.of_round(told or federation(), TRAINING, number, rounds, mu)


def start(told=None):
    return weights_of(NetShape.of(told or federation(), TRAINING).initial(0))


def differences(one, other):
    return max(float((one[name] - other[name]).abs().max()) for name in one)


def test_the_net_is_a_teacher_net_with_more_logits():
    teacher = TeacherNet(default_architecture(ARCH, 32), (Task.CLASSIFICATION,))
    net = NetShape(ARCH, 32, 7).build()
    own = {name: tuple(tensor.shape) for name, tensor in net.state_dict().items()}
    theirs = {
        name.replace("task_modules.classification", "task_module"): tuple(tensor.shape)
        for name, tensor in teacher.state_dict().items()
    }
    wider = {name for name in own if own[name] != theirs[name]}
    assert own.keys() == theirs.keys()
    assert {(name.rsplit(".", 1)[1], own[name][0], theirs[name][0]) for name in wider} == {
        ("weight", 7, 1),
        ("bias", 7, 1),
    }
    assert net(torch.rand(2, 3, 32, 32)).shape == (2, 7)
    assert net_bytes(net) == 4 * sum(math.prod(shape) for shape in own.values())


def test_every_method_starts_from_the_same_weights():
    assert differences(start(), start()) == 0
    assert differences(start(), weights_of(NetShape.of(federation(), TRAINING).initial(1))) > 0


def test_one_of_all_where_all_categories_are_known_and_each_alone_where_not():
    assert answers_of(federation()) is Answers.ONE_OF_ALL
    assert answers_of(federation(own_only=True)) is Answers.EACH_ALONE
    alone = replace(federation(), categories=("one",), sites=(squares(8, 0, categories=(0,)),))
    assert answers_of(alone) is Answers.EACH_ALONE


def test_an_other_is_one_more_answer_and_logits_stand_against_it():
    told = federation(own_only=True)
    net = NetShape.of(told, TRAINING).initial(0)
    images = torch.rand(2, 3, 32, 32)
    net.eval()
    wide = net.task_module(net.category_module(images))
    assert wide.shape == (2, 4)
    logits, labels = net(images), torch.tensor([1, OTHER])
    torch.testing.assert_close(logits, wide[:, :3] - wide[:, 3:])
    loss = labelled_loss(logits, labels, Answers.EACH_ALONE)
    by_hand = functional.cross_entropy(wide, torch.tensor([1, 3]))
    torch.testing.assert_close(loss, by_hand)


def test_a_softmax_site_has_no_unknown_pictures():
    with pytest.raises(DatasetInvalid, match="label them"):
        labelled_loss(torch.zeros(1, 2), torch.tensor([OTHER]), Answers.ONE_OF_ALL)


def test_scores_keep_the_order_and_say_seen_above_zero():
    logits = torch.tensor([[3.0, 1.0, 1.0, 1.0], [200.0, 0.0, -50.0, 1.0], [0.0, 0.0, 0.0, 0.0]])
    scores = scores_of(logits, Answers.ONE_OF_ALL)
    assert torch.isfinite(scores).all()
    assert torch.equal(scores.argsort(dim=1, stable=True), logits.argsort(dim=1, stable=True))
    assert scores[0, 0].item() == pytest.approx(2.0)  # three others of e^1 on average against e^3
    assert scores[2].abs().max() < 1e-6  # as likely as not, each asked for alone
    assert torch.equal(scores_of(logits, Answers.EACH_ALONE), logits)


def test_rounds_share_the_epochs_along_one_schedule():
    plans = [plan(number, 3) for number in range(3)]
    assert [(each.first_epoch, each.epochs) for each in plans] == [(0, 1), (1, 1), (2, 2)]
    assert sum(plan(number, 6).epochs for number in range(6)) == 6  # at least one a round
    assert LocalPlan.from_settings(plan().to_settings() | {"foreign": 1}) == plan()


def test_training_at_a_site_learns_repeats_itself_and_sends_back_what_it_may():
    data = squares(48, 0)
    long = replace(plan(), epochs=8, epochs_in_all=8).to_settings()
    reply, again = (train_locally(data, start(), long) for _ in range(2))
    assert differences(reply.tensors, again.tensors) == 0
    assert reply.figures == again.figures
    assert reply.tensors.keys() == start().keys()
    assert reply.figures[EXAMPLES] == 48
    net = NetShape.of(federation(), TRAINING).holding(reply.tensors)
    right = answers_to(net, data.images).argmax(dim=1) == data.labels
    assert right.float().mean() > 0.9
    short = replace(plan(), epochs=1)
    two = [train_locally(data, start(), replace(short, seed=seed).to_settings()).tensors for seed in (0, 1)]
    assert differences(*two) > 0


def test_the_proximal_term_is_the_papers_and_nothing_at_zero():
    weights = [torch.nn.Parameter(torch.tensor([1.0, 3.0])), torch.nn.Parameter(torch.tensor([2.0]))]
    anchor = [torch.tensor([0.0, 1.0]), torch.tensor([2.0])]
    assert proximal_term(weights, anchor, 0.5).item() == pytest.approx(0.25 * 5)
    data = squares(32, 0)
    long = replace(plan(), epochs=8, epochs_in_all=8)
    free, held = (
        train_locally(data, start(), replace(long, proximal_mu=mu).to_settings()).tensors for mu in (0.0, 3.0)
    )
    moved, kept = (sum((each[name] - start()[name]).norm() for name in each) for each in (free, held))
    assert kept < 0.8 * moved


def test_a_site_without_pictures_sends_back_what_it_got():
    empty = LocalData(torch.empty(0, 3, 32, 32, dtype=torch.uint8), torch.empty(0, dtype=torch.int64), (0,))
    reply = train_locally(empty, start(), plan().to_settings())
    assert reply.figures[EXAMPLES] == 0
    assert differences(reply.tensors, start()) == 0


def test_the_mean_of_sites_is_flowers_and_of_equal_nets_the_net():
    one, other = ({"weight": torch.randn(4, 3)} for _ in range(2))
    mean = weighted_mean({0: SiteReply(one, {EXAMPLES: 1.0}), 3: SiteReply(other, {EXAMPLES: 3.0})})
    torch.testing.assert_close(mean["weight"], 0.25 * one["weight"] + 0.75 * other["weight"])
    same = weighted_mean({site: SiteReply(one, {EXAMPLES: 5.0 + site}) for site in range(3)})
    torch.testing.assert_close(same["weight"], one["weight"])
