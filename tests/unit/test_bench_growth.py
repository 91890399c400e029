"""What the growth benches make of their figures, and a home of theirs that grows."""

from __future__ import annotations

import pytest

from benchmarks.chaos.growth import GrowthOutcome, Victim, digest_of, routes_of
from benchmarks.chaos.report import growth_records
from benchmarks.speed.growth.child import grow, size_from_json, size_to_json
from benchmarks.speed.growth.material import GrowthSize, make_home
from benchmarks.speed.growth.measure import Figures, Fit, Grown
from benchmarks.speed.growth.run import missed
from transplant.types import Task

SIZE = GrowthSize(150)


def grown(seconds, busy_s=0.0, center_cpu_s=0.0, bend=1.0):
    half = [(n * 0.1, n) for n in range(10, 151, 10)]
    rest = [(15.0 + bend * (n - 150) * 0.1, n) for n in range(160, 301, 10)]
    return Grown(seconds, (*half, *rest), 30, busy_s, busy_s, center_cpu_s)


def figures(ray, **local):
    return Figures(SIZE, 2, ray, {int(name[1:]): run for name, run in local.items()})


def missed_metrics(measured):
    return {record.metric for record in measured.records("commit") if missed(record)}


def test_a_linear_growth_is_called_linear():
    fit = grown(30.0).fit()
    assert fit.seconds_per_merge == pytest.approx(0.1)
    assert fit.r_squared == pytest.approx(1.0)
    assert fit.bend == pytest.approx(1.0)
    assert grown(30.0, bend=2.0).fit().bend == pytest.approx(2.0)


def test_two_versions_say_nothing_about_a_line():
    assert Fit.of([2, 4], [1.0, 2.0]) == Fit(0.5, 1.0, 1.0)


def test_every_bar_can_be_cleared_and_missed():
    good = figures(grown(60.0, busy_s=112.0, center_cpu_s=5.0), t1=grown(100.0), t2=grown(120.0))
    assert good.best_threads == 1
    assert good.overhead_s() == pytest.approx((2 * 60 - 112 + 5) / 300)
    assert missed_metrics(good) == set()
    bad = figures(grown(80.0, busy_s=112.0, center_cpu_s=5.0, bend=2.0), t1=grown(100.0))
    assert missed_metrics(bad) == {"growth_wall_time", "growth_overhead", "growth_bend"}


def test_a_size_travels_as_a_line():
    size = GrowthSize(3, (Task.SEGMENTATION,), steps=7)
    assert size_from_json(size_to_json(size)) == size


def test_the_same_seeds_grow_the_same_net_and_their_cost_is_told(tmp_path):
    size, digests = GrowthSize(1, (Task.CLASSIFICATION,), steps=2, synthetic_images=32), set()
    for name in ("one", "other"):
        make_home(size, tmp_path / name)
        told = grow("local", 1, tmp_path / name, size)
        assert told["busy_s"] > 0
        assert told["published"][-1][1] == 1
        digests.add(digest_of(routes_of(size.settings(tmp_path / name))))
    assert len(digests) == 1


def test_a_chaos_run_is_known_by_its_size_and_seed():
    outcome = GrowthOutcome(100, same=True)
    outcome.kills[Victim.HEAD] = 7
    records = growth_records(outcome, 20, 3, "commit")
    assert records[0].key() == growth_records(GrowthOutcome(100), 20, 3, "")[0].key()
    assert {record.metric: record.value for record in records}["growth_chaos_kills"] == 7
