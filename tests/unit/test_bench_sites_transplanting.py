"""Who is led into the net and which route is taken, and what a site teaches from how little."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from torch import nn

from benchmarks.sites import transplanting_center
from benchmarks.sites.contender import Training
from benchmarks.sites.federation import OTHER, Federation, LocalData
from benchmarks.sites.in_process import InProcess
from benchmarks.sites.transplanting import Transplant
from benchmarks.sites.transplanting_center import (
    CANDIDATES,
    UNKNOWN,
    CalibratedRoute,
    Center,
    Offer,
    candidates_of,
    scores_of,
)
from benchmarks.sites.transplanting_site import ENOUGH, HELD_OUT, split_for
from benchmarks.sites.transplanting_validation import Gate, best_by_gate
from transplant.errors import BenchmarkFailed
from transplant.nets.architecture_table import default_architecture
from transplant.nets.prediction import Calibration
from transplant.nets.teacher_net import TeacherNet
from transplant.nets.transplant_net import RouteNet, freeze
from transplant.types import Task

if TYPE_CHECKING:
    from torch import Tensor

    from transplant.nets.learning import AdapterProblem

ARCHITECTURE = default_architecture("vgg_small", 32)


def _offer(category: int, site: int, error: float = 10.0, held_out: int = 100) -> Offer:
    net = TeacherNet(ARCHITECTURE, [Task.CLASSIFICATION])
    net.initialise(7 * category + site)
    freeze(net)
    g = net.task_modules[Task.CLASSIFICATION.value]
    return Offer(category, site, net.category_module, g, error, held_out)


def _pictures(own: int, others: int) -> LocalData:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(256, (own + others, 3, 32, 32), dtype=torch.uint8, generator=generator)
    return LocalData(images, torch.tensor([1] * own + [OTHER] * others), (1,))


def test_an_error_on_few_pictures_is_not_taken_for_certainty():
    lucky, sure, other = _offer(0, 0, 0.0, 4), _offer(0, 1, 5.0, 400), _offer(2, 0)
    worse = [_offer(0, 2 + number, 20.0) for number in range(CANDIDATES - 1)]
    assert candidates_of([lucky, *worse, sure, other]) == [sure, *worse, other]


def _route(offer: Offer) -> CalibratedRoute:
    return CalibratedRoute(offer, offer.alone(), Calibration())


def test_the_route_that_its_sites_find_best_is_taken_whatever_its_teacher_said():
    better, worse, lucky, other = (
        _route(_offer(*told)) for told in ((0, 0, 1.0), (0, 1, 9.0), (0, 2, 5.0), (1, 0, 5.0))
    )
    routes = [better, worse, lucky, other]
    gates = {"0-0": Gate(20.0, 200), "0-1": Gate(10.0, 200), "0-2": Gate(0.0, 4)}
    assert best_by_gate(routes, gates) == [worse, other]
    assert best_by_gate(routes, {}) == [better, other], "as the teachers said, where no site answered"


def test_routes_of_a_category_are_averaged_and_an_untaught_one_is_never_the_answer():
    class Constant(nn.Module):
        def __init__(self, value: float) -> None:
            super().__init__()
            self.value = value

        def forward(self, images: Tensor) -> Tensor:
            return torch.full((len(images), 1), self.value)

    routes = [
        CalibratedRoute(
            _offer(0, 0),
            RouteNet(nn.Identity(), nn.Identity(), Constant(value)),
            Calibration(temperature=2.0, offset=1.0),
        )
        for value in (3.0, 5.0)
    ]
    scores = scores_of(routes, torch.zeros(2, 3, 32, 32, dtype=torch.uint8), 2)
    assert scores.tolist() == [[1.5, UNKNOWN], [1.5, UNKNOWN]]


def test_a_teacher_needs_enough_pictures_of_either_kind():
    for own, others in ((ENOUGH - 1, 50), (50, ENOUGH - 1)):
        assert split_for(_pictures(own, others), 1, 0) is None
    splits = split_for(_pictures(20, 100), 1, 0)
    assert splits is not None
    learned, held_out = splits
    assert len(learned) + len(held_out) == 20 + 2 * 20
    assert int(held_out.labels.sum()) == round(HELD_OUT * 20)
    assert not (learned.images.flatten(1)[:, None] == held_out.images.flatten(1)).all(dim=2).any()


def test_public_pictures_are_learned_on_where_a_method_may_have_them(monkeypatch: pytest.MonkeyPatch):
    given: list[Tensor | None] = []

    class SeenError(Exception):
        pass

    def learn(_learner: object, problem: AdapterProblem, _config: object) -> None:
        given.append(problem.proxy_images)
        raise SeenError

    monkeypatch.setattr(transplanting_center, "run_learner", learn)
    public = _pictures(100, 0).images
    for pictures in (public, None):
        center = Center(Training(center_steps=1), 32, 0.2, 0, pictures)
        center.add(_offer(0, 0))
        with pytest.raises(SeenError):
            center.add(_offer(1, 1))
    assert given == [public, None]


@pytest.mark.parametrize("public", [None, torch.zeros(1, 3, 32, 32, dtype=torch.uint8)])
def test_too_few_public_pictures_are_told_before_anybody_trains(public: Tensor | None):
    part = _pictures(20, 20)
    told = Federation("tiny", ("one", "two"), (part,), part, 32, 0, public)
    with pytest.raises(BenchmarkFailed, match="--public"):
        Transplant(public=True)(told, Training(), InProcess([part]), lambda _: None)
