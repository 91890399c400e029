"""A federated bench from flags to pages: measured once, resumable, the same bytes for the same seed."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import torch
from rich.console import Console

from benchmarks.journey.pictures import wilson_interval
from benchmarks.records import read_records
from benchmarks.sites.contender import GrowingContender, Training
from benchmarks.sites.measures import accuracy_among_first, category_error, multi_category_accuracy
from benchmarks.sites.peers import CONTENDERS
from benchmarks.sites.report import write_pages
from benchmarks.sites.report_figures import groups_of
from benchmarks.sites.run import RunFlags, SitesPlan, run_sites
from benchmarks.sites.run_cell import Cell, stages_of
from benchmarks.sites.run_methods import METHODS, contenders_of
from benchmarks.sites.scenarios import Scenario, ScenarioFlags
from transplant.errors import BenchmarkFailed, InvalidSettings

if TYPE_CHECKING:
    from pathlib import Path

LABELS = torch.tensor([0, 1, 2, 2])
RIGHT = torch.tensor([[3.0, -1, -1], [-1, 2, -2], [-1, -1, 0.5], [1, -1, -2]])
QUIET = Console(quiet=True)


def test_accuracy_is_of_the_highest_score():
    assert multi_category_accuracy(RIGHT, LABELS) == 75
    assert multi_category_accuracy(torch.stack([RIGHT, -RIGHT]), LABELS) == pytest.approx((75 + 25) / 2)


def test_category_error_weighs_misses_and_false_alarms_alike():
    assert category_error(torch.full((4, 3), -1.0), LABELS) == 50
    assert category_error(torch.full((4, 3), 1.0), LABELS) == 50
    # digit 0: one of three others is taken for it; digit 2: one of two is missed
    assert category_error(RIGHT, LABELS) == pytest.approx(100 * (1 / 6 + 0 + 1 / 4) / 3)


def test_what_is_forgotten_is_asked_among_the_earlier_categories_alone():
    one_more_answer = RIGHT.clone()
    one_more_answer[:, 2] = 9
    assert multi_category_accuracy(one_more_answer, LABELS) == 50
    assert accuracy_among_first(one_more_answer, LABELS, 2) == 100


def test_scores_that_are_none_are_an_error():
    with pytest.raises(BenchmarkFailed, match="not finite"):
        multi_category_accuracy(RIGHT * torch.nan, LABELS)
    with pytest.raises(BenchmarkFailed, match="do not fit"):
        multi_category_accuracy(RIGHT, LABELS[:2])


def test_every_contender_has_a_name_and_ours_take_up_categories():
    assert set(CONTENDERS) < set(METHODS)
    found = contenders_of(METHODS, "cifar10", "best")
    assert tuple(found) == METHODS
    grows = {name for name, contender in found.items() if isinstance(contender, GrowingContender)}
    assert grows == {"transplant", "transplant-proxy", "transplant-refined", "ensemble", "local"}
    with pytest.raises(InvalidSettings, match="fedsgd"):
        contenders_of(["fedsgd"], "cifar10", "best")
    with pytest.raises(InvalidSettings, match="--duplicates"):
        contenders_of(["transplant"], "cifar10", "worst")


def test_categories_join_behind_the_founders():
    assert stages_of(Scenario.JOINING, 5, 3) == (3, 4, 5)
    assert stages_of(Scenario.JOINING, 2, 3) == (2,)
    assert stages_of(Scenario.DIRICHLET, 5, 3) == (5,)


def _plan(scenario: Scenario, sites: int, methods: str, **more: object) -> SitesPlan:
    return SitesPlan(
        flags=ScenarioFlags(scenario, "scenes", sites=sites, seed=0, images=20, test=4),
        seeds=(0,),
        alphas=(None,),
        methods=tuple(methods.split(",")),
        training=Training(local_epochs=1, center_steps=2, batch_size=8),
        **more,  # pyright: ignore[reportArgumentType] - of the plan
    )


def _pages(plan: SitesPlan, out: Path) -> dict[str, bytes]:
    run_sites(plan, RunFlags("local"), out, QUIET, None)
    write_pages(out, read_records(out))
    paths = [out / "sites.md", *sorted((out / "sites-pictures").iterdir())]
    return {str(path.relative_to(out)): path.read_bytes() for path in paths}


@pytest.mark.slow
def test_two_runs_of_one_seed_write_the_same_pages(tmp_path: Path):
    plan = _plan(Scenario.JOINING, 3, "transplant,fedavg,local,centralised")
    first, second = (_pages(plan, tmp_path / name) for name in ("first", "second"))
    assert first == second
    assert len(first) == 3, "the page, bytes against accuracy, growth"

    records = read_records(tmp_path / "first")
    measured = {
        (each.method, each.categories, each.metric): each.value for each in records if not each.rounds
    }
    assert measured["transplant", 3, "forgotten"] == measured["transplant", 3, "score_change"] == 0
    assert measured["local", 3, "score_change"] == 0
    assert measured["fedavg", 3, "score_change"] > 0
    assert measured["local", 3, "bytes_up"] == 0
    up, down = (measured["transplant", 3, each] for each in ("bytes_up", "bytes_down"))
    assert up * 2 == measured["transplant", 2, "bytes_up"]
    assert measured["transplant", 2, "bytes_down"] == down, "one of two founded and had g_S"
    assert measured["transplant", 3, "join_bytes"] == up + down
    assert measured["transplant", 3, "rounds"] == 2, "a teacher, and the gate"
    assert measured["fedavg", 3, "bytes_up"] > 2.9 * up
    assert measured["local", 3, "multi_category_accuracy"] == pytest.approx(100 / 3)
    assert measured["centralised", 3, "bytes_up"] == 3 * 40 * (3 * 32 * 32 + 8)
    beside = next(each for each in records if each.metric == "join_bytes_beside_fedavg")
    assert (beside.value, beside.baseline) == (
        measured["transplant", 3, "join_bytes"], measured["fedavg", 3, "join_bytes"],
    )  # fmt: skip
    assert all(each.commit is None or each.seconds is None for each in records)

    before = (tmp_path / "first" / "records.jsonl").read_bytes()
    assert run_sites(plan, RunFlags("local"), tmp_path / "first", QUIET, None) == 0
    assert (tmp_path / "first" / "records.jsonl").read_bytes() == before
    other = _plan(Scenario.JOINING, 3, "transplant", dropout=0.5)
    with pytest.raises(BenchmarkFailed, match="choose another --out"):
        run_sites(other, RunFlags("local"), tmp_path / "first", QUIET, None)


def test_label_budgets_are_rows_of_their_own_and_seeds_are_not():
    flags = ScenarioFlags(Scenario.ONE_CATEGORY, "scenes", sites=3, seed=0)
    records = [
        Cell(replace(flags, seed=seed), "vgg_small", method, (3,), labels).record(
            "multi_category_accuracy", value, "percent", 3, image_count=100
        )
        for method, labels, seed, value in (
            ("transplant-refined", 10, 0, 60.0),
            ("transplant-refined", 0, 0, 50.0),
            ("transplant", None, 0, 40.0),
            ("transplant", None, 1, 44.0),
        )
    ]
    (table,) = groups_of(records).values()
    assert table.methods == ["transplant", "transplant-refined", "transplant-refined (10 labels)"]
    assert table.seeds == [0, 1]
    figure = table.figure("transplant", "multi_category_accuracy")
    assert figure is not None
    assert (figure.mean, figure.least, figure.most, figure.seeds) == (42, 40, 44, 2)
    assert (figure.low, figure.high) == pytest.approx(wilson_interval(42, 200))
    assert table.figure("transplant", "forgotten") is None


def test_a_cell_that_fails_is_named_and_the_others_are_kept(tmp_path: Path):
    plan = _plan(Scenario.ONE_CATEGORY, 2, "transplant,centralised")
    few = ScenarioFlags(Scenario.ONE_CATEGORY, "scenes", sites=2, seed=0, images=4, test=4)
    plan = SitesPlan(few, plan.seeds, plan.alphas, plan.methods, plan.training)
    with pytest.raises(BenchmarkFailed, match=r"transplant, one-category, seed 0: .*--images"):
        run_sites(plan, RunFlags("local"), tmp_path, QUIET, None)
    assert {record.method for record in read_records(tmp_path)} == {"centralised"}


def test_an_engine_that_is_none_is_refused():
    with pytest.raises(InvalidSettings, match="flower or local"):
        RunFlags("spark")
