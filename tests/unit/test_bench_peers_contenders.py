"""Each baseline's own identity, and all of them on a tiny federation."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from fakes.tiny_federation import ARCH, DirectEngine, federation, with_small_nets

from benchmarks.sites.contender import Training
from benchmarks.sites.engine import Traffic
from benchmarks.sites.in_process import InProcess
from benchmarks.sites.peers import CONTENDERS
from benchmarks.sites.peers.co_boosting import CoBoosting, CoBoostingSettings
from benchmarks.sites.peers.dense import Dense, DenseSettings
from benchmarks.sites.peers.distillation import divergence
from benchmarks.sites.peers.ensemble import Ensemble
from benchmarks.sites.peers.fedavg import FedAvg
from benchmarks.sites.peers.feddf import FedDF
from benchmarks.sites.peers.local_training import LocalPlan, ask_to_train
from benchmarks.sites.peers.multi_category_net import NetShape, answers_to, weights_of
from benchmarks.sites.peers.synthesis import SynthesisSettings
from benchmarks.sites.run_rounds import Rounds
from transplant.errors import BenchmarkFailed

FEW = SynthesisSettings(latent=8, channels=4, steps=3)
CHEAP = {
    "dense": Dense(DenseSettings(synthesis=FEW)),
    "co-boosting": CoBoosting(CoBoostingSettings(synthesis=FEW)),
}
TRAINING = Training(arch=ARCH, local_epochs=6, batch_size=16, center_steps=6)


@pytest.fixture(autouse=True)
def _small_nets(monkeypatch):
    with_small_nets(monkeypatch)


def run(name, told, training=TRAINING, away=()):
    engine = DirectEngine(told, away)
    lines = []
    outcome = CHEAP.get(name, CONTENDERS[name])(told, training, engine, lines.append)
    assert lines
    return outcome, engine


def accuracy(outcome, told):
    return float((outcome.scores.argmax(dim=1) == told.test.labels).float().mean())


def test_the_names_are_those_of_the_command():
    assert list(CONTENDERS) == ["fedavg", "fedprox", "feddf", "dense", "co-boosting"]


@pytest.mark.parametrize("own_only", [False, True])
@pytest.mark.parametrize("name", list(CONTENDERS))
def test_every_contender_runs_and_repeats_itself(name, own_only):
    told = federation(own_only, count=16)
    training = replace(TRAINING, local_epochs=1, center_steps=3)
    (one, engine), (again, _) = run(name, told, training), run(name, told, training)
    assert one.scores.shape == (60, 3)
    assert one.scores.dtype == torch.float32
    assert torch.isfinite(one.scores).all()
    assert torch.equal(one.scores, again.scores)
    assert one.figures == again.figures
    assert one.center_seconds > 0
    net = NetShape.of(told, training).build()
    assert one.net_bytes == 4 * sum(weight.numel() for weight in net.parameters())
    assert engine.traffic.rounds == 1
    other, _ = run(name, replace(told, seed=1), training)
    assert not torch.equal(one.scores, other.scores)


def test_a_round_costs_each_site_the_net_both_ways():
    told = federation(count=16)
    engine = Rounds(InProcess(told.sites))
    outcome = CONTENDERS["fedavg"](told, replace(TRAINING, local_epochs=1), engine, lambda _: None)
    assert engine.traffic == Traffic(3 * outcome.net_bytes, 3 * outcome.net_bytes, 1)
    assert engine.site_seconds > 0


def test_one_site_averaged_is_that_site():
    told = federation()
    outcome, _ = run("fedavg", told, away=(1, 2))
    engine = DirectEngine(told, away=(1, 2))
    shape = NetShape.of(told, TRAINING)
    plan = LocalPlan.of_round(told, TRAINING, 0, 1)
    (reply,) = ask_to_train(told, engine, weights_of(shape.initial(0)), plan).values()
    alone = answers_to(shape.holding(reply.tensors), told.test.images)
    assert torch.equal(outcome.scores.argmax(dim=1), alone.argmax(dim=1))
    assert outcome.figures["answered"] == 1


def test_fedprox_is_fedavg_at_zero_and_another_above():
    told, training = federation(count=16), replace(TRAINING, local_epochs=2)
    scores = [
        FedAvg(proximal_mu=mu)(told, training, DirectEngine(told), lambda _: None).scores for mu in (0.0, 1.0)
    ]
    assert torch.equal(scores[0], run("fedavg", told, training)[0].scores)
    assert not torch.equal(*scores)


def test_rounds_go_on_from_the_average_and_survive_an_empty_one():
    told, training = federation(), replace(TRAINING, rounds=3, local_epochs=9)
    outcome, engine = run("fedavg", told, training)
    assert engine.traffic.rounds == 3
    assert [told["first_epoch"] for told in engine.settings] == [0, 3, 6]
    assert accuracy(outcome, told) > 0.9
    untrained, _ = run("fedavg", told, training, away=(0, 1, 2))
    assert untrained.figures["answered"] == 0


@pytest.mark.parametrize("name", ["feddf", "dense", "co-boosting"])
def test_nobody_to_distil_from_is_said(name):
    with pytest.raises(BenchmarkFailed, match="no site answered"):
        run(name, federation(), away=(0, 1, 2))


def test_feddf_needs_public_pictures():
    with pytest.raises(BenchmarkFailed, match="leave feddf out"):
        run("feddf", replace(federation(), unlabelled=None))


def test_feddf_moves_the_average_towards_the_ensemble():
    told, shape = federation(), NetShape(ARCH, 32, 3)
    ensemble = Ensemble([shape.initial(seed) for seed in (1, 2)], [(0, 1, 2)] * 2, 3)
    net = shape.initial(3)
    target = answers_to(ensemble, told.unlabelled)
    before = divergence(target, answers_to(net, told.unlabelled)).mean()
    FedDF().distil(net, ensemble, told.unlabelled, TRAINING, steps=60, seed=0)
    after = divergence(target, answers_to(net, told.unlabelled)).mean()
    assert after < 0.3 * before


def test_distillation_with_the_mean_of_two_halves_beats_either_site():
    told = federation()
    outcome, _ = run("feddf", told, replace(TRAINING, local_epochs=12, center_steps=60))
    assert accuracy(outcome, told) > 0.8
    assert outcome.figures["ensemble_accuracy"] > 80
