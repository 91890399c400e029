"""Founding: category modules stay, task modules are shared, and sites ship both as their own."""

from __future__ import annotations

from contextlib import nullcontext
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import numpy as np
import pytest
import torch
from fakes.flower_grid import CONTEXT, FakeGrid, FakeTime
from fakes.tiny_data import SquareData, write_folder
from fakes.tiny_nets import SMALL

from central.refine.attendance import Waiter
from central.refine.federated_run import FederatedRun, Rounds, RunState
from central.refine.rounds import run_rounds
from edge import agent, refine_node
from edge.datasets.site_dataset import Split
from edge.found_work import found_round, founded_teacher
from edge.refine_app import answer
from edge.refine_noise import RoundNoise
from edge.refine_work import work_of_round
from edge.seal import seal_teacher
from edge.settings import EdgeSettings
from edge.site import Site
from transplant.artifact.round_order import FoundedNet, RoundOrder
from transplant.errors import InvalidSettings, NotAllowed, NotFound
from transplant.nets.measures import measure
from transplant.refinement.founding import FoundingProblem, found, founding_net
from transplant.refinement.founding_config import FoundingConfig
from transplant.refinement.round_delta import RoundDelta, add_to, parameters_of
from transplant.types import Task

if TYPE_CHECKING:
    from transplant.rpc.client import CentralClient

CLASSIFY = Task.CLASSIFICATION
NET = FoundedNet(architecture=SMALL.id, hyper_parameters=dict(SMALL.hyper_parameters), tasks=(CLASSIFY,))
FAST = FoundingConfig(steps=15, batch=8, learning_rate=0.05)


def problem(colour: int, count: int = 32) -> FoundingProblem:
    data = SquareData(count=count, colour=colour).load(Split.TRAIN)
    return FoundingProblem(data.images, data.labels, data.masks)


def founding_order(number: int) -> RoundOrder:
    """Return the order of the one round of a founding, or of the hand-out behind it."""
    settings = {**FAST.to_dict(), "steps": 2}
    del settings["seed"]
    document = {"work": "found", "run": "b" * 64, "round": number, "rounds": 1, "seed": 3}
    return RoundOrder.model_validate(document | {"settings": settings, "net": NET.model_dump(mode="json")})


def test_sites_of_different_categories_found_a_net_and_no_category_module_travels():
    """Three sites, each with squares of another colour, through the apps' own functions on both sides."""
    seed = 5
    own = {node: founding_net(SMALL, (CLASSIFY,), seed) for node in (1, 2, 3)}
    handed_out = {}

    def node_of(node: int):
        def work(order, sent):
            start = founding_net(SMALL, (CLASSIFY,), seed)
            start.category_module.load_state_dict(own[node].category_module.state_dict())
            add_to(start.task_modules, sent)
            if order.round > order.rounds:
                handed_out[node] = sent
                return RoundDelta(
                    {name: torch.zeros_like(each) for name, each in sent.items()}, {"images": 1.0}
                )
            done = found(problem(node - 1), FAST, start, round_number=order.round, rounds=order.rounds)
            own[node] = done.net
            return done.shared

        return lambda message: answer(message, CONTEXT, work, None)

    start = founding_net(SMALL, (CLASSIFY,), seed)
    shapes = {name: tuple(each.shape) for name, each in start.task_modules.named_parameters()}
    rounds = Rounds(rounds=4, quorum=3, seed=seed)
    order = {"net": NET.model_dump(mode="json"), "settings": FAST.to_dict()}
    run = FederatedRun(
        "a" * 64, "found", order, {"1": "site-a", "2": "site-b", "3": "site-c"}, shapes, rounds
    )
    grid, time = FakeGrid({node: node_of(node) for node in (1, 2, 3)}), FakeTime()
    record, delta = run_rounds(grid.as_grid(), run, Waiter(time.now_s, time.sleep))
    assert record.state is RunState.DONE, record.reason
    assert record.rounds[-2].figures["loss"] < record.rounds[0].figures["loss"]
    assert all(torch.equal(handed_out[node][name], delta[name]) for node in (1, 2, 3) for name in shapes)
    for message in (*grid.sent, *grid.received):
        assert set(message.content.array_records["arrays"]) == set(shapes)
    assert all(name.startswith("classification.") for name in shapes)
    shared = founding_net(SMALL, (CLASSIFY,), seed)
    add_to(shared.task_modules, delta)
    errors = []
    for node in (1, 2, 3):
        data = SquareData(count=32, colour=node - 1).load(Split.TEST)
        route = torch.nn.Sequential(own[node].category_module, shared.eval().task_modules[CLASSIFY.value])
        errors.append(measure(route.requires_grad_(False), data.batches(CLASSIFY), CLASSIFY)["error"])
    assert max(errors) < 35, "the shared module does not answer for every category"


def test_sites_with_noise_of_their_own_found_a_net_and_what_is_handed_out_has_none():
    noise = RoundNoise(epsilon=1e3, delta=1e-5, clip_norm=0.05)
    start = founding_net(SMALL, (CLASSIFY,), 5)
    handed_out = []

    def work(order, sent):
        step = 0.0 if order.handed_out else 0.1
        handed_out.extend([sent] if order.handed_out else [])
        told = {"images": 77.0, "labels": 77.0}
        return RoundDelta({name: torch.full_like(each, step) for name, each in sent.items()}, told)

    shapes = {name: tuple(each.shape) for name, each in start.task_modules.named_parameters()}
    order = {"net": NET.model_dump(mode="json"), "settings": FAST.to_dict()}
    run = FederatedRun(
        "a" * 64, "found", order, {"1": "site-a", "2": "site-b"}, shapes, Rounds(rounds=1, quorum=2)
    )
    grid = FakeGrid({node: lambda message: answer(message, CONTEXT, work, noise) for node in (1, 2)})
    time = FakeTime()
    record, delta = run_rounds(grid.as_grid(), run, Waiter(time.now_s, time.sleep))
    assert record.state is RunState.DONE, record.reason
    assert record.rounds[-1].figures["images"] == 2
    assert len(handed_out) == 2
    assert all(torch.equal(each[name], delta[name]) for each in handed_out for name in shapes)
    last = [message.content.array_records["arrays"] for message in grid.received[-2:]]
    assert all(np.array_equal(each[name].numpy(), delta[name].numpy()) for each in last for name in shapes)


def test_equal_seeds_found_equal_bits_and_the_net_that_was_given_is_left_alone():
    net = founding_net(SMALL, tuple(Task), 1)
    before = parameters_of(net)
    one, again = (found(problem(0), FAST, net) for _ in range(2))
    assert all(torch.equal(one.shared.tensors[n], again.shared.tensors[n]) for n in one.shared.tensors)
    assert all(torch.equal(now, before[name]) for name, now in parameters_of(net).items())
    assert not torch.equal(
        parameters_of(one.net.category_module)["layers.0.weight"],
        parameters_of(net.category_module)["layers.0.weight"],
    )
    with pytest.raises(InvalidSettings, match="learning_rate"):
        FoundingConfig(learning_rate=float("nan"))


def test_a_site_keeps_its_category_module_between_rounds_and_founds_only_if_it_is_let(tmp_path):
    data = write_folder(tmp_path / "pictures")
    flags = {"home": tmp_path / "home", "site": "site-a", "category": "cat", "data": f"folder:{data}"}
    settings = {**FAST.to_dict(), "steps": 2}
    del settings["seed"]
    net = NET.model_dump(mode="json")
    order = RoundOrder.model_validate(
        {
            "work": "found",
            "run": "b" * 64,
            "round": 1,
            "rounds": 2,
            "seed": 3,
            "settings": settings,
            "net": net,
        }
    )
    start = founding_net(SMALL, (CLASSIFY,), 3)
    zeros = {name: torch.zeros_like(each) for name, each in parameters_of(start.task_modules).items()}
    closed = Site(EdgeSettings.of(flags | {"image_px": 32, "refine": "127.0.0.1:1"}))
    with pytest.raises(NotAllowed, match="--found"):
        work_of_round(closed, order, zeros)
    site = Site(EdgeSettings.of(flags | {"image_px": 32, "refine": "127.0.0.1:1", "found": True}))
    first = work_of_round(site, order, zeros)
    assert set(first.tensors) == set(zeros)
    later = order.model_copy(update={"round": 2})
    with_f = found_round(site, later, NET, first.tensors)
    (site.home.refine / "founding" / f"{order.run}.safetensors").unlink()
    without_f = found_round(site, later, NET, first.tensors)
    assert any(not torch.equal(with_f.tensors[name], without_f.tensors[name]) for name in zeros)


def test_the_founded_net_is_the_sites_teacher_and_is_sealed_as_any_other(tmp_path):
    data = write_folder(tmp_path / "pictures")
    order = founding_order(1)
    zeros = {
        name: torch.zeros_like(each)
        for name, each in parameters_of(founding_net(SMALL, (CLASSIFY,), 3).task_modules).items()
    }
    sealed = []
    for name in ("site-a", "site-b"):
        flags = {"home": tmp_path / name, "site": name, "category": name, "data": f"folder:{data}"}
        site = Site(EdgeSettings.of(flags | {"image_px": 32, "refine": "127.0.0.1:1", "found": True}))
        handed = founding_order(2)
        with pytest.raises(NotFound, match="no round"):
            work_of_round(site, handed, zeros)
        assert founded_teacher(site) is None
        delta = work_of_round(site, order, zeros)
        shared = {name: torch.full_like(each, 0.01) for name, each in zeros.items()}
        nothing = work_of_round(site, handed, shared)
        assert not any(bool(each.any()) for each in nothing.tensors.values())
        teacher = site.teach()
        assert any(bool(each.any()) for each in delta.tensors.values())
        policy = site.settings.policy
        sealed.append(seal_teacher(teacher, site.data, site.home, site=name, category=name, policy=policy))
    one, other = sealed
    assert one.category_module.parents == ("b" * 64,)
    assert one.category_module.payload_sha256 != other.category_module.payload_sha256
    assert one.task_modules[CLASSIFY].payload_sha256 == other.task_modules[CLASSIFY].payload_sha256
    assert one.task_modules[CLASSIFY].parents == (one.category_module.module_id,)


def test_an_agents_node_stays_until_the_center_has_its_last_answer(tmp_path, monkeypatch):
    """What was founded lies at the site before its node has answered: the agent must not end it for that."""
    data = write_folder(tmp_path / "pictures")
    flags = {"home": tmp_path / "home", "site": "site-a", "category": "cat", "data": f"folder:{data}"}
    flags |= {"image_px": 32, "refine": "127.0.0.1:1", "found": True}
    site = Site(EdgeSettings.of(flags | {"poll_interval_s": 0.01}))
    zeros = {
        name: torch.zeros_like(each)
        for name, each in parameters_of(founding_net(SMALL, (CLASSIFY,), 3).task_modules).items()
    }
    happened: list[str] = []

    class Node:
        running = True

        def start(self) -> None:
            happened.append("node started")
            for number in (1, 2):  # of one round, and what it came to is handed out
                work_of_round(site, founding_order(number), zeros)

        def shorten_log(self) -> None:
            """Nothing is written here."""

        def stop(self) -> None:
            happened.append("node stopped")

    class Follower:
        def __init__(self, *_: object) -> None:
            happened.append("sealed")

        def push(self) -> None:
            happened.append("pushed")

        def turn(self) -> bool:
            return True

    monkeypatch.setattr(refine_node, "supernode", lambda *_: Node())
    monkeypatch.setattr(agent, "_Follower", Follower)
    monkeypatch.setattr(agent, "News", nullcontext)
    client = cast("CentralClient", SimpleNamespace(kit="a kit"))
    agent.run_agent(site, client, until_published=True)
    assert happened == ["node started", "sealed", "pushed", "node stopped"]
