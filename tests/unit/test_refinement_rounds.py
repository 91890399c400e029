"""Rounds over a grid: what travels, who is chosen, who is refused, and how a run ends whatever sites do."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from fakes.flower_grid import FakeGrid, FakeTime
from fakes.held_rounds import ROUNDS, SHAPES, SITES, hold, honest, run_of, tampered
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict

from central.refine.attendance import Waiter
from central.refine.federated_run import Rounds, RunState
from central.refine.rounds import TOLD, run_rounds


def test_answers_are_averaged_by_images_and_rounds_add_up():
    _, record, arrays = hold({1: honest(0.1, 30), 2: honest(0.5, 10)})
    assert record.state is RunState.DONE
    assert record.sites == ("site-ada", "site-bob")
    assert all(torch.allclose(tensor, torch.full_like(tensor, 2 * 0.2)) for tensor in arrays.values())
    assert {name: tuple(tensor.shape) for name, tensor in arrays.items()} == SHAPES


def test_a_site_that_claims_most_images_outweighs_nobody_where_all_weigh_the_same():
    nodes = {1: honest(0.1, 10), 2: honest(0.5, 1e8)}
    _, _, arrays = hold(nodes)
    assert all(bool((tensor > 0.99).all()) for tensor in arrays.values()), "two rounds of its 0.5"
    _, _, arrays = hold(nodes, replace(ROUNDS, weights="equal"))
    assert all(torch.allclose(tensor, torch.full_like(tensor, 2 * 0.3)) for tensor in arrays.values())
    multikrum = replace(ROUNDS, strategy="multikrum", quorum=5, rounds=1)
    near = {1: honest(0.1), 2: honest(0.11, 1e8), 3: honest(5.0), 4: honest(-5.0), 5: honest(9.0)}
    _, _, arrays = hold(near, multikrum)
    assert all(torch.allclose(tensor, torch.full_like(tensor, 0.105)) for tensor in arrays.values())


def test_what_travels_is_the_adapters_difference_and_figures_of_aggregates_only():
    grid, _, _ = hold({1: honest(), 2: honest()})
    first = grid.sent[0].content
    assert set(first) == {"arrays", "config"}
    assert all(not array.numpy().any() for array in first.array_records["arrays"].values()), (
        "a start travelled"
    )
    assert set(first.config_records["config"]) == {"order", "server-round"}
    for message in grid.received:
        assert set(message.content) == {"arrays", "figures"}
        arrays = message.content.array_records["arrays"]
        assert {name: array.numpy().shape for name, array in arrays.items()} == SHAPES
        assert set(message.content.metric_records["figures"]) == set(TOLD)
        assert all(isinstance(value, float) for value in message.content.metric_records["figures"].values())


def test_sites_are_chosen_by_name_and_seed_whatever_their_node_ids():
    def chosen(shift: int, seed: int) -> list[tuple[str, ...]]:
        ids = {node_id: (node_id * 7 + shift) % 11 + 1 for node_id in SITES}
        rounds = replace(ROUNDS, rounds=4, sites_a_round=3, seed=seed)
        nodes = {str(ids[node_id]): site for node_id, site in SITES.items()}
        grid, time = FakeGrid({ids[each]: honest() for each in SITES}), FakeTime()
        run = replace(run_of(rounds), nodes=nodes)
        return [
            each.asked for each in run_rounds(grid.as_grid(), run, Waiter(time.now_s, time.sleep))[0].rounds
        ]

    assert chosen(0, seed=1) == chosen(3, seed=1)
    assert chosen(0, seed=1) != chosen(0, seed=2)
    assert all(len(asked) == 3 for asked in chosen(0, seed=1))


def test_a_choice_among_sites_is_not_made_by_who_comes_first():
    def come(pause_s: float, rounds: Rounds, order=tuple(SITES)):
        """Return whom the first round asks where two are there at once, and the others one by one."""
        grid, time = FakeGrid({node_id: honest() for node_id in order[:2]}), FakeTime()

        def sleep(seconds: float) -> None:
            time.sleep(seconds)
            here = order[: 2 + int(time.now / pause_s)]
            grid.nodes |= {node_id: honest() for node_id in here}

        record, _ = run_rounds(grid.as_grid(), run_of(rounds), Waiter(time.now_s, sleep))
        assert record.state is RunState.DONE
        return record.rounds[0].asked

    three, backwards = replace(ROUNDS, sites_a_round=3), tuple(reversed(SITES))
    assert come(0.5, three) == come(0.9, three) == come(0.5, three, backwards)
    assert len(come(0.5, three)) == 3
    assert come(0.5, three) != come(0.5, replace(three, seed=2))
    assert come(1e6, three) == ("site-ada", "site-bob"), "in the end the quorum is enough"
    everybody = replace(ROUNDS, sites_a_round=50)
    assert len(come(0.5, everybody)) == len(SITES), "for more than there are nobody waits"
    assert come(0.5, ROUNDS) == ("site-ada", "site-bob")


def test_a_site_that_is_gone_or_shut_out_is_not_waited_for_again():
    three = replace(ROUNDS, rounds=3, sites_a_round=3, wait_s=1000)
    nodes = {1: honest(), 2: honest()}

    def once(message: Message) -> Message:
        del nodes[3]
        return honest()(message)

    nodes[3] = once
    run = run_of(three)
    run = replace(run, nodes={str(node_id): SITES[node_id] for node_id in (1, 2, 3)})
    grid, time = FakeGrid(nodes), FakeTime()
    record, _ = run_rounds(grid.as_grid(), run, Waiter(time.now_s, time.sleep))
    assert [len(each.answered) for each in record.rounds] == [3, 2, 2]
    record, _ = run_rounds(grid.as_grid(), run, Waiter(time.now_s, time.sleep), lambda: {"3"})
    assert [len(each.answered) for each in record.rounds] == [2, 2, 2]
    assert time.now < 10


def test_a_founding_may_take_one_round_more():
    refining = run_of(ROUNDS)
    assert refining.longest_s == 2 * (5 + 10)
    assert replace(refining, work="found").longest_s == 3 * (5 + 10)


def _of(**numbers: np.ndarray) -> ArrayRecord:
    whole = {name: np.zeros(shape, np.float32) for name, shape in SHAPES.items()}
    return ArrayRecord({name: Array(value) for name, value in (whole | numbers).items()})


BIAS = "convolutions.0.bias"
LIES = {
    "not finite": lambda c: c.update({"arrays": _of(**{BIAS: np.full(4, np.nan, np.float32)})}),
    "another shape": lambda c: c.update({"arrays": _of(**{BIAS: np.zeros(5, np.float32)})}),
    "another type": lambda c: c.update({"arrays": _of(**{BIAS: np.zeros(8, np.float16)})}),
    "a tensor more": lambda c: c.update({"arrays": _of(image=np.zeros((3, 32, 32), np.float32))}),
    "a tensor less": lambda c: c["arrays"].pop(BIAS),
    "no array at all": lambda c: c["arrays"].update(
        {BIAS: Array("float32", (4,), "numpy.ndarray", b"x" * 144)}
    ),
    "a header that lies": lambda c: c["arrays"].update(
        {BIAS: Array("float32", (4,), "numpy.ndarray", Array(np.zeros(2**20, np.float32)).data[:144])}
    ),
    "a record more": lambda c: c.update({"note": ConfigRecord({"a": 1})}),
    "a figure more": lambda c: c["figures"].update({"label-of-7": 1.0}),
    "a privacy loss below none": lambda c: c["figures"].update({"epsilon": -1.0}),
    "too many images": lambda c: c["figures"].update({"images": 1e12}),
    "a weight that is none": lambda c: c["figures"].update({"images": float("nan")}),
    "too long": lambda c: c.update({"arrays": _of(**{BIAS: np.full(4, 1e6, np.float32)})}),
}


@pytest.mark.parametrize("lie", list(LIES))
def test_a_site_that_lies_is_named_and_its_numbers_count_for_nothing(lie: str):
    nodes = {1: honest(0.1), 2: honest(0.1), 3: tampered(LIES[lie])}
    _, record, arrays = hold(nodes, replace(ROUNDS, most_norm=100.0))
    assert record.state is RunState.DONE
    assert all(set(each.refused) == {"site-cyd"} for each in record.rounds)
    assert all(torch.allclose(tensor, torch.full_like(tensor, 0.2)) for tensor in arrays.values())


def test_a_site_that_fails_says_why_and_too_few_answers_end_the_run():
    def broken(_message: Message) -> Message:
        raise RuntimeError("no disk")

    _, record, arrays = hold({1: honest(), 2: broken})
    assert record.state is RunState.NO_QUORUM
    assert "no disk" in record.rounds[0].refused["site-bob"]
    assert "site-bob" in record.reason
    assert arrays == {}


def test_a_silent_site_is_not_waited_for_longer_than_patience():
    grid, time = FakeGrid({1: honest(), 2: honest(), 3: lambda _: None}), FakeTime()
    run = run_of(replace(ROUNDS, timeout_s=1e6))
    record, _ = run_rounds(grid.as_grid(), run, Waiter(time.now_s, time.sleep))
    assert record.state is RunState.DONE
    assert [each.silent for each in record.rounds] == [("site-cyd",)] * 2
    assert time.now < 10


def test_sites_that_all_fall_silent_or_never_come_end_the_run():
    _, silent, _ = hold({1: lambda _: None, 2: lambda _: None})
    assert silent.state is RunState.NO_QUORUM
    assert silent.rounds[0].silent == ("site-ada", "site-bob")
    _, absent, _ = hold({1: honest(), 99: honest()})
    assert absent.state is RunState.NO_SITES
    assert "site-ada" in absent.reason


def test_a_site_that_vanishes_between_two_rounds_is_gone_and_the_quorum_goes_on():
    nodes = {1: honest(), 2: honest()}

    def once(message: Message) -> Message:
        del nodes[3]
        return honest()(message)

    nodes[3] = once
    _, record, _ = hold(nodes)
    assert record.state is RunState.DONE
    assert [len(each.answered) for each in record.rounds] == [3, 2]


def test_a_node_that_is_shut_out_during_a_run_has_said_nothing_and_is_asked_nothing():
    shut: set[str] = set()
    nodes = {1: honest(0.1), 2: honest(0.1), 3: honest(0.7), 4: lambda _: None}

    def revoked_in_round_two(message: Message) -> Message:
        if "server-round" in message.content["config"] and message.content["config"]["server-round"] == 2:
            shut.update({"3", "4"})
        return honest(0.1)(message)

    nodes[2] = revoked_in_round_two
    grid, time = FakeGrid(nodes), FakeTime()
    run = run_of(replace(ROUNDS, rounds=3, patience=1e6, timeout_s=100))
    record, arrays = run_rounds(grid.as_grid(), run, Waiter(time.now_s, time.sleep), lambda: shut)
    assert record.state is RunState.DONE, record.reason
    first, second, third = record.rounds
    assert first.answered == ("site-ada", "site-bob", "site-cyd")
    assert second.answered == third.answered == ("site-ada", "site-bob")
    assert set(second.refused) == {"site-cyd", "site-dan"}
    assert (third.asked, third.refused) == (("site-ada", "site-bob"), {})
    assert 100 <= time.now < 101, "only the first round waited"
    assert all(torch.allclose(each, torch.full_like(each, 0.3 + 0.2)) for each in arrays.values())


def test_figures_of_an_answer_are_metrics_and_nothing_else():
    reply = tampered(lambda c: c.update({"figures": MetricRecord({"images": [1.0, 2.0]})}))
    _, record, _ = hold({1: honest(), 2: honest(), 3: reply})
    assert "site-cyd" in record.rounds[0].refused
    assert RecordDict() == {}
