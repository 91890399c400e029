"""Refinement at simulated sites: what it reads, what its gate measures, what travels."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import torch
from fakes.tiny_federation import ARCH, with_small_nets

from benchmarks.sites import transplanting_refinement_site, transplanting_validation_site
from benchmarks.sites.contender import Training
from benchmarks.sites.engine import AT_HOME, SiteReply, Traffic
from benchmarks.sites.federation import OTHER, Federation, LocalData
from benchmarks.sites.in_process import InProcess
from benchmarks.sites.run_rounds import Rounds
from benchmarks.sites.scenarios_attendance import Attendance
from benchmarks.sites.transplanting import Transplant
from benchmarks.sites.transplanting_center import CalibratedRoute, Offer, adapter_shape, bytes_of
from benchmarks.sites.transplanting_parcels import Parcels
from benchmarks.sites.transplanting_refinement import refined
from benchmarks.sites.transplanting_refinement_site import refine_adapters
from benchmarks.sites.transplanting_site import split_for, teacher_seed
from benchmarks.sites.transplanting_validation import gates_of
from benchmarks.sites.transplanting_validation_site import splits_of, validate_routes
from transplant.errors import InvalidSettings
from transplant.nets.architecture_table import default_architecture
from transplant.nets.architectures import build_adapter
from transplant.nets.measures import measure
from transplant.nets.prediction import Calibration
from transplant.nets.teacher_net import TeacherNet
from transplant.nets.temperature import route_temperature
from transplant.nets.transplant_net import RouteNet, freeze
from transplant.refinement.adapter_refinement import prepare, refine
from transplant.types import Task

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor, nn

    from benchmarks.sites.engine import Engine
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


def net_of(founder: Offer, *joining: Offer) -> dict[str, CalibratedRoute]:
    """Return a founder's route, and others led into its task module by adapters that nobody has learned."""
    routes = {founder.key: CalibratedRoute(founder, founder.alone(), Calibration())}
    for each in joining:
        adapter = freeze(build_adapter(adapter_shape(default_architecture(ARCH, 32))))
        led = RouteNet(each.category_module, adapter, founder.task_module)
        routes[each.key] = CalibratedRoute(each, led, Calibration())
    return routes


def rows(images: Tensor) -> set[bytes]:
    return {image.numpy().tobytes() for image in images}


class Watch:
    """Notes what a site's work learns from, which labels it reads, and what it measures its gate on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.learned: list[set[bytes]] = []
        self.labelled: list[set[bytes]] = []
        self.gated: list[set[bytes]] = []
        monkeypatch.setattr(transplanting_refinement_site, "refine", self._refine)
        monkeypatch.setattr(transplanting_validation_site, "measure", self._measure)

    def _refine(
        self, problem: RefinementProblem, config: RefinementConfig, adapter: object, **place: int
    ) -> RoundDelta:
        labelled = prepare(problem, config).labelled
        assert labelled is not None
        self.labelled.append(rows(labelled.images))
        self.learned.append(rows(problem.images))
        return refine(problem, config, adapter, **place)  # pyright: ignore[reportArgumentType] - handed on

    def _measure(self, net: object, batches: object, task: Task, look: object) -> dict[str, float]:
        kept = list(batches)  # pyright: ignore[reportArgumentType, reportUnknownVariableType] - handed on
        self.gated.append(rows(torch.cat([images for images, _ in kept])))
        return measure(net, kept, task, look)  # pyright: ignore[reportArgumentType] - handed on


def run(
    engine: Engine, routes: dict[str, CalibratedRoute], *more: Offer, labels: int = 0, seed: int = SEED
) -> dict[str, CalibratedRoute]:
    """Refine routes at the sites of their teachers, and of `more` teachers of their categories."""
    every = [*(route.offer for route in routes.values()), *more]
    parcels = Parcels()
    parcels.made(every)
    teachers = {
        key: [each for each in every if each.category == route.offer.category]
        for key, route in routes.items()
    }
    return refined(routes, teachers, parcels, TRAINING, engine, labels, seed, lambda _: None)


def at_two_sites(data: LocalData, seed: int = SEED) -> None:
    engine = Rounds(InProcess([pictures(0), data]))
    run(engine, net_of(offer(0, 0), offer(1, 1)), labels=LABELS, seed=seed)


def test_a_budget_of_labels_is_of_all_rounds_together(monkeypatch: pytest.MonkeyPatch):
    watch = Watch(monkeypatch)
    at_two_sites(pictures(1))
    assert len(watch.labelled) == ROUNDS
    assert len(set[bytes]().union(*watch.labelled)) == LABELS
    at_two_sites(pictures(1), seed=SEED + 1)
    assert watch.labelled[-1] != watch.labelled[0], "another run draws others"


def test_the_gate_sees_what_the_teacher_held_out_and_nothing_that_anybody_learned_from(
    monkeypatch: pytest.MonkeyPatch,
):
    watch, data = Watch(monkeypatch), pictures(1)
    at_two_sites(data)
    splits = split_for(data, 1, teacher_seed(data, 1, SEED))
    assert splits is not None
    assert all(learned == rows(splits[0].images) for learned in watch.learned)
    assert watch.gated
    assert all(gated == rows(splits[1].images) for gated in watch.gated)


def size_of(module: nn.Module) -> int:
    return sum(each.numel() * each.element_size() for each in module.state_dict().values())


def test_a_module_counts_once_and_only_when_it_reaches_the_site():
    founder, joining = offer(0, 0), offer(1, 1)
    routes = net_of(founder, joining)
    engine = Rounds(InProcess([pictures(0), pictures(1)]), Attendance(late=1.0, late_until=2))
    run(engine, routes)
    adapter = size_of(routes["1-1"].net.adapter)
    # In round 2 g_S and the adapter, in round 3 and for the gate the adapter as it is by then.
    assert engine.traffic.bytes_down == size_of(founder.task_module) + ROUNDS * adapter
    assert engine.traffic.rounds == ROUNDS + 1


def test_what_goes_to_a_site_twice_in_a_round_counts_once():
    parcels, net = Parcels(), offer(0, 0).category_module
    first = parcels.packed(1, {"a": net})
    assert parcels.packed(1, {"a": net}).keys() == first.keys(), "the same thing again, no more"
    again = {name.removeprefix(f"@1/{AT_HOME}") for name in parcels.packed(1, {"b": net})}
    assert {name.partition(".")[0] for name in again} == {"b"}
    parcels.answered([])
    assert parcels.packed(1, {"a": net}).keys() == first.keys(), "it was not there"
    parcels.answered([1])
    assert all(name.startswith(f"@1/{AT_HOME}") for name in parcels.packed(1, {"a": net}))


class Sites:
    """An engine whose sites each move an adapter by a number of their own, and find it so good."""

    traffic, site_seconds, late_until = Traffic(), 0.0, 1

    def __init__(self, errors: Mapping[int, float], away: Sequence[int] = ()) -> None:
        self.errors = errors
        self.away = away
        self.asked: list[tuple[object, list[int]]] = []
        self.names: dict[int, set[str]] = {}

    def ask(
        self, work: object, sites: Sequence[int], sent: Mapping[str, Tensor], settings: Mapping[str, object]
    ) -> dict[int, SiteReply]:
        assert settings["run_seed"] == SEED
        self.asked.append((work, list(sites)))
        self.traffic = Traffic(rounds=len(self.asked))
        for site in sites:
            names = {name.partition("/")[2] for name in sent if name.startswith(f"@{site}/")}
            self.names.setdefault(site, set()).update(names)
        reply = self._refined if work is refine_adapters else self._judged
        return {site: reply(site) for site in sites if site not in self.away}

    def _refined(self, site: int) -> SiteReply:
        adapter = build_adapter(adapter_shape(default_architecture(ARCH, 32)))
        deltas = {f"1-1.{name}": torch.full_like(each, site) for name, each in adapter.named_parameters()}
        return SiteReply(deltas, {"1-1.images": 10.0 * site})

    def _judged(self, site: int) -> SiteReply:
        figures = {"1-1.error": 10.0, "1-1-refined.error": self.errors[site]}
        figures |= {"1-1.temperature": 1.0, "1-1-refined.temperature": 4.0 if site == 1 else 0.5}
        return SiteReply({}, figures | {"1-1.held_out": 5.0 * site, "1-1-refined.held_out": 5.0 * site})


def moved_by(routes: Mapping[str, CalibratedRoute], found: Mapping[str, CalibratedRoute]) -> set[float]:
    before = dict(routes["1-1"].net.adapter.named_parameters())
    after = dict(found["1-1"].net.adapter.named_parameters())
    return {round(float(each), 4) for name in after for each in (after[name] - before[name]).unique()}


def test_every_site_with_a_teacher_refines_and_their_differences_are_averaged_by_pictures():
    founder, joining, other = offer(0, 0), offer(1, 1), offer(1, 3)
    routes, engine = net_of(founder, joining), Sites({1: 9.0, 3: 9.0})
    found = run(engine, routes, other)
    assert engine.asked == [(refine_adapters, [1, 3])] * ROUNDS + [(validate_routes, [1, 3])]
    assert found["0-0"] is routes["0-0"], "a founder has nothing to refine"
    warmth = 4.0**0.25 * 0.5**0.75  # 5 pictures at one site and 15 at the other
    assert found["1-1"].calibration.temperature == pytest.approx(warmth)
    assert moved_by(routes, found) == {ROUNDS * (10 * 1 + 30 * 3) / 40}
    named = {
        site: {module for module in ("f", "own", "g") if any(f"1-1.{module}." in name for name in names)}
        for site, names in engine.names.items()
    }
    assert named == {1: {"f", "g"}, 3: {"f", "own", "g"}}, "a teacher's own f, where the route's is another's"
    sent = {site: any(name.startswith("1-1.f.") for name in names) for site, names in engine.names.items()}
    assert sent == {1: False, 3: True}, "f is at home where it was made"
    assert any(name.startswith(f"{AT_HOME}1-1.f.") for name in engine.names[1])


@pytest.mark.parametrize(
    ("errors", "away", "taken"),
    [
        ({1: 9.0, 3: 10.0}, [], True),
        ({1: 10.0, 3: 10.0}, [], False),
        ({1: 0.0, 3: 14.0}, [], False),
        ({1: 0.0, 3: 14.0}, [3], True),
        ({1: 0.0, 3: 0.0}, [1, 3], False),
    ],
)
def test_the_better_is_kept_by_all_pictures_of_the_sites_that_answered(
    errors: dict[int, float], away: list[int], taken: bool
):
    routes = net_of(offer(0, 0), offer(1, 1))
    found = run(Sites(errors, away), routes, offer(1, 3))
    assert (found["1-1"] is not routes["1-1"]) is taken
    assert bool(moved_by(routes, found) - {0.0}) is taken
    sizes = [bytes_of(list(each.values())) for each in (found, routes)]
    assert sizes[0] == sizes[1]


def test_routes_are_measured_on_what_the_teacher_held_out_and_no_tensor_comes_back():
    data = [pictures(0), pictures(1), pictures(1, own=60)]
    founder, joining = offer(0, 0), offer(1, 1)
    nets = {key: route.net for key, route in net_of(founder, joining).items()}
    engine, parcels = Rounds(InProcess(data)), Parcels()
    parcels.made([founder, joining])
    gates = gates_of(nets, {"0-0": [0], "1-1": [1, 2]}, parcels, TRAINING, engine, SEED)
    held_out = [splits_of(each, each.known[0], {"run_seed": SEED})[1] for each in data]
    batches = held_out[0].batches(Task.CLASSIFICATION)
    assert gates["0-0"].temperature == pytest.approx(route_temperature(nets["0-0"], batches))
    assert {key: gate.held_out for key, gate in gates.items()} == {
        "0-0": len(held_out[0]), "1-1": len(held_out[1]) + len(held_out[2]),
    }  # fmt: skip
    (alone,) = ([(each.images, each.labels)] for each in held_out[:1])
    assert gates["0-0"].error == measure(nets["0-0"], alone, Task.CLASSIFICATION)["error"]
    both = [(each.images, each.labels) for each in held_out[1:]]
    assert gates["1-1"].error == pytest.approx(measure(nets["1-1"], both, Task.CLASSIFICATION)["error"])
    host, adapter = size_of(founder.task_module), size_of(nets["1-1"].adapter)
    down = 2 * host + 2 * adapter + size_of(joining.category_module)
    assert engine.traffic == Traffic(bytes_up=0, bytes_down=down, rounds=1)


def test_a_site_without_a_teacher_has_nothing_to_say_of_a_route():
    parcels = Parcels()
    nets = {key: route.net for key, route in net_of(offer(0, 0)).items()}
    with pytest.raises(InvalidSettings, match="category 0"):
        gates_of(nets, {"0-0": [0]}, parcels, TRAINING, Rounds(InProcess([pictures(0, own=2)])), SEED)


@pytest.mark.slow
@pytest.mark.parametrize(("duplicates", "routes", "rounds"), [("best", 2, 5), ("average", 4, 5)])
def test_a_net_of_sites_that_share_categories_is_gated_and_refined(duplicates: str, routes: int, rounds: int):
    parts = [pictures(site % 2, own=30 + site, others=30) for site in range(4)]
    told = Federation("tiny", ("one", "two"), tuple(parts), parts[0], 32, 0)
    engine = Rounds(InProcess(parts))
    contender = Transplant(duplicates, refine=True)
    outcome = contender(told, replace(TRAINING, center_steps=2), engine, lambda _: None)
    assert outcome.figures["routes"] == routes
    assert 0 <= outcome.figures["gate_error"] <= 100
    assert engine.traffic.rounds == rounds + 1, "teachers, gate, three of refinement, gate"
