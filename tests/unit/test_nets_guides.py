"""Guides: calibrated comparison of categories, and a budget that runs the plausible routes only."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from fakes.grown_net import grown_net

from transplant.artifact.guide_file import read_guides, write_guides
from transplant.datafree.learn_guides import learn_guides, matched_calibration
from transplant.datafree.procedural_images import procedural_images
from transplant.errors import CheckpointInvalid, InvalidSettings
from transplant.nets.category_group import GROUPED_IMAGES
from transplant.nets.prediction import Calibration, Prediction
from transplant.nets.route_guide import RouteGuide
from transplant.types import NetVersion, Route, RouteReport, Task

IMAGES = procedural_images(192, 32, seed=5)
HELD_OUT = procedural_images(64, 32, seed=6)


@pytest.fixture(scope="module")
def guided():
    net = grown_net(hosts=2)
    guides = {}
    for task in Task:
        guides |= learn_guides(net, task, IMAGES)
    return net.guided(guides)


@pytest.mark.parametrize("task", list(Task))
@pytest.mark.parametrize("count", [1, GROUPED_IMAGES + 12])
@pytest.mark.parametrize("budget", [1, 3])
def test_a_budget_runs_so_many_routes_and_they_answer_as_ever(guided, task, count, budget):
    every = guided.predict(HELD_OUT[:count], task=task)
    some = guided.predict(HELD_OUT[:count], task=task, budget=budget)
    assert (some.ran_BG.sum(dim=1) == budget).all()
    torch.testing.assert_close(
        some.logits_BG[some.ran_BG], every.logits_BG[some.ran_BG], rtol=1e-4, atol=1e-5
    )
    assert some.logits_BG[~some.ran_BG].isnan().all()
    assert (some.probabilities_BG[~some.ran_BG] == 0).all()


@pytest.mark.parametrize("task", list(Task))
def test_plausible_routes_are_those_that_would_answer_most(guided, task):
    every = guided.predict(HELD_OUT, task=task)
    said = every.probabilities_BG.flatten(2).mean(2) if task is Task.SEGMENTATION else every.probabilities_BG
    best = said.argmax(dim=1)
    ran = guided.predict(HELD_OUT, task=task, budget=2).ran_BG
    found = ran[torch.arange(len(best)), best].float().mean()
    assert found > 0.6  # two of six by chance: 0.33


def test_a_budget_of_all_routes_needs_no_guide_and_a_smaller_one_does(guided):
    images = HELD_OUT[:2]
    bare = guided.guided({})
    assert bare.predict(images, task=Task.CLASSIFICATION, budget=6).ran_BG.all()
    with pytest.raises(InvalidSettings, match="learn the guides"):
        bare.predict(images, task=Task.CLASSIFICATION, budget=5)
    with pytest.raises(InvalidSettings, match="at least 1"):
        guided.predict(images, task=Task.CLASSIFICATION, budget=0)
    short = {key: replace(guide, plausibility_D=torch.ones(3)) for key, guide in guided.guides.items()}
    with pytest.raises(InvalidSettings, match="another net's"):
        guided.guided(short).predict(images, task=Task.CLASSIFICATION, budget=2)


def test_the_temperature_makes_confidence_equal_to_the_reported_accuracy():
    logits = torch.randn(4000, generator=torch.Generator().manual_seed(0)) * 7
    for error in (1.0, 12.0, 40.0):
        temperature = matched_calibration(logits, error).temperature
        confidence = torch.sigmoid(logits.abs() / temperature).mean()
        assert float(confidence) == pytest.approx(1 - error / 100, abs=1e-3)
    assert matched_calibration(logits, 80.0).temperature == pytest.approx(100.0)
    with pytest.raises(InvalidSettings, match="percentage"):
        matched_calibration(logits, 101.0)


def test_a_reported_error_makes_a_boastful_route_comparable():
    loud, modest = torch.tensor([[8.0, 3.0]]), (Calibration(4.0), Calibration(1.0))
    ran = torch.ones(1, 2, dtype=torch.bool)
    plain = Prediction(1, Task.CLASSIFICATION, ("a", "b"), loud, (Calibration(), Calibration()), ran)
    assert plain.best_B.tolist() == [0]
    assert replace(plain, calibrations=modest).best_B.tolist() == [1]
    shifted = replace(plain, calibrations=(Calibration(1.0, offset=6.0), Calibration()))
    torch.testing.assert_close(shifted.probabilities_BG, torch.sigmoid(torch.tensor([[2.0, 3.0]])))
    with pytest.raises(InvalidSettings, match="over 0"):
        Calibration(0.0)


def test_figures_reach_the_guides_by_category():
    guides = learn_guides(grown_net(categories=2), Task.CLASSIFICATION, IMAGES, {"c1": RouteReport(10.0)})
    assert guides["c0", Task.CLASSIFICATION].calibration == Calibration()
    assert guides["c1", Task.CLASSIFICATION].calibration.temperature != 1.0
    told = learn_guides(grown_net(categories=2), Task.CLASSIFICATION, IMAGES, {"c1": RouteReport(10.0, 0.7)})
    assert told["c1", Task.CLASSIFICATION].calibration == Calibration(0.7)
    with pytest.raises(InvalidSettings, match="64 images or more"):
        learn_guides(grown_net(categories=2), Task.CLASSIFICATION, IMAGES[:10])


def test_guides_come_back_from_the_disk_and_damage_is_said(tmp_path):
    routes = tuple(
        Route(c, Task.CLASSIFICATION, "f", None, "g", key * 64) for c, key in (("a", "1"), ("b", "2"))
    )
    version = NetVersion(3, "p", routes)
    guides = {
        ("a", Task.CLASSIFICATION): RouteGuide(Calibration(2.5, -0.5), torch.tensor([1.0, -2.0])),
        ("b", Task.CLASSIFICATION): RouteGuide(),
    }
    path = tmp_path / "3" / "guides.safetensors"
    write_guides(path, version, guides)
    again = read_guides(path, version)
    assert again["b", Task.CLASSIFICATION] == RouteGuide()
    assert again["a", Task.CLASSIFICATION].calibration == Calibration(2.5, -0.5)
    assert again["a", Task.CLASSIFICATION].plausibility_D.tolist() == [1.0, -2.0]
    assert read_guides(path, replace(version, routes=routes[:1])).keys() == {("a", Task.CLASSIFICATION)}
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(CheckpointInvalid, match="delete it"):
        read_guides(path, version)
    with pytest.raises(InvalidSettings, match="none of these"):
        write_guides(path, version, {})
