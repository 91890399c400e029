"""How answers become one difference: every strategy, those that bear with liars, and noise."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import torch
from fakes.held_rounds import ROUNDS, SITES, hold, honest

from central.refine.federated_run import STRATEGIES, Rounds, RunState
from central.refine.refinement import how_it_came
from edge.refine_noise import RoundNoise
from transplant.errors import InvalidSettings
from transplant.refinement.refinement_config import RefinementConfig
from transplant.refinement.round_delta import norm_of

if TYPE_CHECKING:
    from flwr.app import Message


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_every_strategy_of_the_table_moves_where_the_sites_do(strategy: str):
    nodes = {node_id: honest(0.1) for node_id in SITES}
    _, record, arrays = hold(nodes, replace(ROUNDS, strategy=strategy, quorum=7))
    assert record.state is RunState.DONE, record.reason
    assert all(bool((tensor > 0).all()) for tensor in arrays.values())


LEAST = {"fedmedian": 3, "fedtrimmedavg": 5, "krum": 5, "multikrum": 5, "bulyan": 7}


@pytest.mark.parametrize(("strategy", "quorum"), LEAST.items())
def test_robust_strategies_bear_with_one_site_that_shouts_at_their_very_quorum(strategy: str, quorum: int):
    nodes = {node_id: honest(0.1) for node_id in range(1, quorum)} | {quorum: honest(1000.0, images=1e8)}
    _, record, arrays = hold(nodes, replace(ROUNDS, strategy=strategy, quorum=quorum))
    assert record.state is RunState.DONE, record.reason
    assert all(torch.allclose(tensor, torch.full_like(tensor, 0.2), atol=1e-5) for tensor in arrays.values())
    _, _, mean = hold(nodes, replace(ROUNDS, quorum=quorum))
    assert all(bool((tensor > 100).all()) for tensor in mean.values())


@pytest.mark.parametrize(("strategy", "quorum"), LEAST.items())
def test_robust_strategies_are_refused_where_they_would_bear_with_nobody(strategy: str, quorum: int):
    with pytest.raises(InvalidSettings, match=f"a quorum of {quorum}"):
        replace(ROUNDS, strategy=strategy, quorum=quorum - 1)
    with pytest.raises(InvalidSettings, match="2 lying"):
        replace(ROUNDS, strategy=strategy, quorum=quorum, lying=2)
    with pytest.raises(InvalidSettings, match="fedavg bears with no site that lies"):
        replace(ROUNDS, lying=1)


def test_central_noise_is_bounded_and_there_and_no_site_weighs_more():
    rounds = replace(ROUNDS, rounds=1, epsilon=1000.0, clip_norm=0.01)
    _, record, arrays = hold({1: honest(5.0, 1.0), 2: honest(-5.0, 1e6)}, rounds)
    assert record.state is RunState.DONE
    assert 0 < norm_of(arrays) < 0.01, "the two cancel out, but for the noise"
    with pytest.raises(InvalidSettings, match="fedavg alone"):
        replace(rounds, strategy="fedadam")


def test_a_site_with_noise_of_its_own_tells_its_budget_and_nothing_of_its_data():
    noise = RoundNoise(epsilon=1e4, delta=1e-5, clip_norm=0.05)
    grid, record, arrays = hold({1: honest(5.0, 77.0, noise), 2: honest(5.0, 77.0, noise)})
    assert record.state is RunState.DONE
    assert record.rounds[0].figures == {
        "images": 2.0, "labels": 0.0, "loss": 0.0, "task_loss": 0.0, "epsilon": 1e4, "delta": 1e-5
    }  # fmt: skip
    assert norm_of(arrays) < 2 * 0.05 * 1.2
    first = [array.numpy() for array in grid.received[0].content.array_records["arrays"].values()]
    assert len({float(value) for each in first for value in each.ravel()}) > 4, "there is no noise"


def test_privacy_is_told_only_where_every_answer_of_every_round_had_noise():
    noise, more = (RoundNoise(epsilon, 1e-5, 0.05) for epsilon in (1.0, 3.0))
    config = RefinementConfig(labels=10)

    def told_of(rounds: Rounds, *nodes):
        _, record, _ = hold(dict(enumerate(nodes, 1)), rounds)
        assert record.state is RunState.DONE, record.reason
        return how_it_came(config, rounds, record)

    told, figures = told_of(ROUNDS, honest(noise=noise), honest(), honest())
    assert told["privacy"] is None
    assert figures.keys() == {"rounds", "sites", "labels", "loss"}

    def noiseless_at_first(message: Message) -> Message:
        number = message.content["config"]["server-round"]
        return honest(noise=more if number > 1 else None)(message)

    assert told_of(ROUNDS, honest(noise=noise), noiseless_at_first)[0]["privacy"] is None
    told, figures = told_of(ROUNDS, honest(noise=noise), honest(noise=more))
    assert told["privacy"] == {"where": "sites", "epsilon": 3.0, "delta": 1e-5}
    told, figures = told_of(replace(ROUNDS, epsilon=100.0, clip_norm=0.1), honest(), honest())
    assert told["privacy"] == {"where": "center", "epsilon": 100.0, "delta": 1e-5}
    assert told["labels"] is None
    assert figures == {"rounds": 2.0, "sites": 2.0}
    assert how_it_came(RefinementConfig(), ROUNDS, hold({1: honest(), 2: honest()})[1])[0]["labels"] == 0.0


@pytest.mark.parametrize("step", [0.0, 1e-30])
def test_a_site_that_changes_nothing_ends_no_run_with_noise(step: float):
    rounds = replace(ROUNDS, epsilon=1000.0, clip_norm=0.01)
    _, record, arrays = hold({1: honest(step), 2: honest(0.1)}, rounds)
    assert record.state is RunState.DONE, record.reason
    assert 0 < norm_of(arrays) < 0.1
    noise = RoundNoise(epsilon=1e4, delta=1e-5, clip_norm=0.05)
    _, record, _ = hold({1: honest(step, noise=noise), 2: honest(0.1, noise=noise)})
    assert record.state is RunState.DONE, record.reason
    assert [each.answered for each in record.rounds] == [("site-ada", "site-bob")] * 2


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"strategy": "magic"}, "fedavg"),
        ({"quorum": 3, "sites_a_round": 2}, "2 sites are asked"),
        ({"epsilon": 1.0}, "go together"),
        ({"rounds": 0}, "rounds"),
        ({"patience": 0.0}, "patience"),
        ({"weights": "claims"}, "images, equal"),
    ],
)
def test_rounds_that_cannot_be_held_are_refused_before_anybody_is_asked(wrong: dict[str, object], told: str):
    with pytest.raises(InvalidSettings, match=told):
        replace(ROUNDS, **wrong)
