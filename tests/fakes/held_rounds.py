"""Rounds that are held over a grid of pretended nodes which answer through the sites' own code."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from central.refine.attendance import Waiter
from central.refine.federated_run import FederatedRun, Rounds
from central.refine.rounds import run_rounds
from edge.refine_app import answer
from fakes.flower_grid import CONTEXT, FakeGrid, FakeTime
from transplant.refinement.round_delta import RoundDelta

if TYPE_CHECKING:
    from flwr.app import Message

    from edge.refine_noise import RoundNoise

SHAPES = {"convolutions.0.weight": (4, 3, 1, 1), "convolutions.0.bias": (4,)}
ROUTE = {
    "category": "cat",
    "task": "classification",
    "category_module": "a" * 64,
    "adapter": "b" * 64,
    "task_module": "c" * 64,
}
SITES = {
    1: "site-ada",
    2: "site-bob",
    3: "site-cyd",
    4: "site-dan",
    5: "site-eve",
    6: "site-fay",
    7: "site-gus",
}
ROUNDS = Rounds(rounds=2, quorum=2, wait_s=5, timeout_s=10, patience=1)


def run_of(rounds: Rounds = ROUNDS) -> FederatedRun:
    nodes = {str(node_id): site for node_id, site in SITES.items()}
    return FederatedRun("d" * 64, "refine", {"route": ROUTE, "settings": {}}, nodes, SHAPES, rounds)


def honest(step: float = 0.1, images: float = 10.0, noise: RoundNoise | None = None):
    """Return a node that moves every number by `step` in every round, through the site's own code."""

    def work(_order, sent):
        return RoundDelta(
            {name: torch.full_like(each, step) for name, each in sent.items()}, {"images": images}
        )

    return lambda message: answer(message, CONTEXT, work, noise)


def tampered(change):
    """Return a node that answers honestly, and then changes its answer."""

    def node(message: Message) -> Message:
        reply = honest()(message)
        change(reply.content)
        return reply

    return node


def hold(nodes, rounds: Rounds = ROUNDS):
    grid, time = FakeGrid(nodes), FakeTime()
    record, arrays = run_rounds(grid.as_grid(), run_of(rounds), Waiter(time.now_s, time.sleep))
    return grid, record, arrays
