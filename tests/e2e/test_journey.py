"""The whole job with processes: three sites, one center, and a report that says what happened."""

from __future__ import annotations

import json
import os
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from benchmarks.journey.federation import CENTER
from benchmarks.journey.figures import read_site_report
from transplant.types import MergeState, Task

if TYPE_CHECKING:
    from benchmarks.journey.plan import JourneyPlan
    from tests.e2e.conftest import Ended

pytestmark = [pytest.mark.slow, pytest.mark.alone, pytest.mark.timeout(300)]


def test_every_route_is_published(undisturbed: Ended, tiny: JourneyPlan):
    assert {merge.state for merge in undisturbed.merges} == {MergeState.PUBLISHED}
    assert set(undisturbed.routes) == {
        (category, task.value) for category in tiny.categories for task in Task
    }


def test_the_founder_hosts_all_and_only_the_others_have_adapters(undisturbed: Ended, tiny: JourneyPlan):
    hosts = {task: undisturbed.routes[tiny.founder, task][2] for task in ("classification", "segmentation")}
    for (category, task), (_, adapter, task_module) in undisturbed.routes.items():
        assert task_module == hosts[task]
        assert (adapter is None) == (category == tiny.founder)


def test_versions_grow_and_nothing_old_changes(undisturbed: Ended):
    versions = undisturbed.versions
    assert len(versions[0].routes) == 2
    for earlier, later in pairwise(versions):
        assert set(earlier.routes) < set(later.routes)


def test_each_site_reports_its_own_figures(undisturbed: Ended, tiny: JourneyPlan):
    for category in tiny.categories:
        report = read_site_report(undisturbed.out / "sites" / category / "report.json", tiny.founder)
        assert (report.site, report.category, report.missing) == (category, category, ())
        assert {figure.metric for figure in report.figures} == {"error", "pixel_accuracy", "iou", "mean_iou"}
        figure = report.figures[0]
        assert 0 < figure.bytes_shipped < figure.raw_bytes_kept
        if figure.founder:
            assert all(each.transplanted == each.teacher for each in report.figures)


def test_the_center_never_opened_a_file_of_a_site(undisturbed: Ended):
    paths = [
        json.loads(line)["path"]
        for log in (undisturbed.out / "opens" / CENTER).glob("*.jsonl")
        for line in log.read_text().splitlines()
    ]
    assert paths, "the audit was not running"
    foreign = f"{os.sep}sites{os.sep}"
    assert [path for path in paths if foreign in path] == []
