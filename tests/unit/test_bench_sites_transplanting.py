"""Who is led into the net, what a site teaches from how little, and which refinements are taken over."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from torch import nn

from benchmarks.sites.contender import Training
from benchmarks.sites.engine import AT_HOME, SiteReply, Traffic
from benchmarks.sites.federation import OTHER, LocalData
from benchmarks.sites.run_works import tensor_bytes
from benchmarks.sites.transplanting_center import (
    UNKNOWN,
    CalibratedRoute,
    Center,
    Offer,
    adapter_shape,
    best_of_each,
    bytes_of,
    scores_of,
)
from benchmarks.sites.transplanting_refinement import refined
from benchmarks.sites.transplanting_refinement_site import refine_adapters
from benchmarks.sites.transplanting_site import ENOUGH, HELD_OUT, split_for
from transplant.nets.architecture_table import default_architecture
from transplant.nets.architectures import build_adapter
from transplant.nets.prediction import Calibration
from transplant.nets.teacher_net import TeacherNet
from transplant.nets.transplant_net import RouteNet, freeze
from transplant.types import Task

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor

ARCHITECTURE = default_architecture("vgg_small", 32)
TRAINING = Training(local_epochs=1, rounds=2, batch_size=8)


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
    assert best_of_each([lucky, sure, other]) == [sure, other]


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


class Site:
    """An engine of one site, which finds every refinement better, or worse."""

    traffic, site_seconds, late_until = Traffic(), 0.0, 1

    def __init__(self, after: float) -> None:
        self.after = after
        self.sent: list[dict[str, Tensor]] = []

    def ask(
        self, work: object, sites: Sequence[int], sent: Mapping[str, Tensor], settings: Mapping[str, object]
    ) -> dict[int, SiteReply]:
        assert work is refine_adapters
        assert settings["labels"] == 3
        (site,) = sites
        prefix = f"@{site}/"
        assert all(name.startswith(prefix) for name in sent)
        self.sent.append({name.removeprefix(prefix): tensor for name, tensor in sent.items()})
        adapter = build_adapter(adapter_shape(ARCHITECTURE))
        deltas = {f"1.{name}": torch.ones_like(each) for name, each in adapter.named_parameters()}
        return {site: SiteReply(deltas, {"1.before": 10.0, "1.after": self.after})}


@pytest.mark.parametrize(("after", "taken"), [(9.0, 2), (10.0, 0), (11.0, 0)])
def test_a_refinement_is_taken_over_only_where_its_site_finds_it_better(after: float, taken: int):
    center = Center(TRAINING, 32, 0.2, 0)
    founder, offer = _offer(0, 0), _offer(1, 4)
    adapter = freeze(build_adapter(adapter_shape(ARCHITECTURE)))
    routes = [
        CalibratedRoute(founder, founder.alone(), Calibration()),
        CalibratedRoute(offer, RouteNet(offer.category_module, adapter, founder.task_module), Calibration()),
    ]
    before = {name: each.clone() for name, each in adapter.state_dict().items()}
    size = bytes_of(routes)

    site = Site(after)
    found = refined(routes, center, TRAINING, site, 3, 0, lambda _: None)

    assert found[0] is routes[0], "a founder has nothing to refine"
    for name, parameter in found[1].net.adapter.named_parameters():
        assert torch.equal(parameter, before[name] + taken)
    assert all(torch.equal(each, before[name]) for name, each in adapter.state_dict().items())
    assert bytes_of(found) == size
    travelled = [tensor_bytes(sent) for sent in site.sent]
    assert travelled[0] - travelled[1] == sum(each.numel() * 4 for each in founder.task_module.parameters())
    assert travelled[1] == sum(each.numel() * 4 for each in adapter.state_dict().values())
    assert any(name.startswith(f"{AT_HOME}1.g.") for name in site.sent[0])
