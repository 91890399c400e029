"""Refinement at simulated sites: what it reads, what its gate measures, what travels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from fakes.tiny_federation import ARCH, with_small_nets

from benchmarks.sites import transplanting_refinement_site
from benchmarks.sites.contender import Training
from benchmarks.sites.federation import OTHER, LocalData
from benchmarks.sites.in_process import InProcess
from benchmarks.sites.run_rounds import Rounds
from benchmarks.sites.scenarios_attendance import Attendance
from benchmarks.sites.transplanting_center import CalibratedRoute, Center, Offer, adapter_shape
from benchmarks.sites.transplanting_refinement import refined
from benchmarks.sites.transplanting_site import split_for, teacher_seed
from transplant.nets.architecture_table import default_architecture
from transplant.nets.architectures import build_adapter
from transplant.nets.measures import measure
from transplant.nets.prediction import Calibration
from transplant.nets.teacher_net import TeacherNet
from transplant.nets.transplant_net import RouteNet, freeze
from transplant.refinement.adapter_refinement import prepare, refine
from transplant.types import Task

if TYPE_CHECKING:
    from torch import Tensor, nn

    from transplant.refinement.adapter_refinement import RefinementProblem
    from transplant.refinement.refinement_config import RefinementConfig
    from transplant.refinement.round_delta import RoundDelta

ROUNDS, LABELS, SEED = 3, 6, 5
TRAINING = Training(arch=ARCH, local_epochs=1, rounds=ROUNDS, batch_size=8)


@pytest.fixture(autouse=True)
def _small_nets(monkeypatch: pytest.MonkeyPatch) -> None:
    with_small_nets(monkeypatch)


def pictures(category: int, own: int = 40, others: int = 40) -> LocalData:
    generator = torch.Generator().manual_seed(category)
    images = torch.randint(256, (own + others, 3, 32, 32), dtype=torch.uint8, generator=generator)
    return LocalData(images, torch.tensor([category] * own + [OTHER] * others), (category,))


def offer(category: int, site: int) -> Offer:
    net = TeacherNet(default_architecture(ARCH, 32), [Task.CLASSIFICATION])
    net.initialise(7 * category + site)
    freeze(net)
    return Offer(category, site, net.category_module, net.task_modules["classification"], 10.0, 100)


def net_of(founder: Offer, joining: Offer) -> list[CalibratedRoute]:
    """Return a founder's route and one that is led into its task module by an adapter nobody has learned."""
    adapter = freeze(build_adapter(adapter_shape(default_architecture(ARCH, 32))))
    led = RouteNet(joining.category_module, adapter, founder.task_module)
    return [
        CalibratedRoute(founder, founder.alone(), Calibration()),
        CalibratedRoute(joining, led, Calibration()),
    ]


def rows(images: Tensor) -> set[bytes]:
    return {image.numpy().tobytes() for image in images}


class Watch:
    """Notes what a site's work learns from, which labels it reads, and what it measures its gate on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.learned: list[set[bytes]] = []
        self.labelled: list[set[bytes]] = []
        self.gated: list[set[bytes]] = []
        monkeypatch.setattr(transplanting_refinement_site, "refine", self._refine)
        monkeypatch.setattr(transplanting_refinement_site, "measure", self._measure)

    def _refine(
        self, problem: RefinementProblem, config: RefinementConfig, adapter: object, **place: int
    ) -> RoundDelta:
        labelled = prepare(problem, config).labelled
        assert labelled is not None
        self.labelled.append(rows(labelled.images))
        self.learned.append(rows(problem.images))
        return refine(problem, config, adapter, **place)  # pyright: ignore[reportArgumentType] - handed on

    def _measure(self, net: object, batches: object, task: Task) -> dict[str, float]:
        kept = list(batches)  # pyright: ignore[reportArgumentType, reportUnknownVariableType] - handed on
        self.gated.append(rows(torch.cat([images for images, _ in kept])))
        return measure(net, kept, task)  # pyright: ignore[reportArgumentType] - handed on


def run(data: LocalData, seed: int = SEED) -> list[CalibratedRoute]:
    engine = Rounds(InProcess([pictures(0), data]))
    center = Center(TRAINING, 32, 0.2, 0)
    return refined(net_of(offer(0, 0), offer(1, 1)), center, TRAINING, engine, LABELS, seed, lambda _: None)


def test_a_budget_of_labels_is_of_all_rounds_together(monkeypatch: pytest.MonkeyPatch):
    watch = Watch(monkeypatch)
    run(pictures(1))
    assert len(watch.labelled) == ROUNDS
    assert len(set[bytes]().union(*watch.labelled)) == LABELS
    run(pictures(1), seed=SEED + 1)
    assert watch.labelled[-1] != watch.labelled[0], "another run draws others"


def test_the_gate_sees_what_the_teacher_held_out_and_nothing_that_anybody_learned_from(
    monkeypatch: pytest.MonkeyPatch,
):
    watch, data = Watch(monkeypatch), pictures(1)
    run(data)
    splits = split_for(data, 1, teacher_seed(data, 1, SEED))
    assert splits is not None
    assert all(learned == rows(splits[0].images) for learned in watch.learned)
    assert watch.gated
    assert all(gated == rows(splits[1].images) for gated in watch.gated)


def size_of(module: nn.Module) -> int:
    return sum(each.numel() * each.element_size() for each in module.state_dict().values())


def test_the_shared_task_module_counts_once_and_only_when_it_reaches_the_site():
    founder, joining = offer(0, 0), offer(1, 1)
    routes = net_of(founder, joining)
    engine = Rounds(InProcess([pictures(0), pictures(1)]), Attendance(late=1.0, late_until=2))
    refined(routes, Center(TRAINING, 32, 0.2, 0), TRAINING, engine, 0, SEED, lambda _: None)
    adapter = size_of(routes[1].net.adapter)
    assert engine.traffic.bytes_down == size_of(founder.task_module) + (ROUNDS - 1) * adapter
