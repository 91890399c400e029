"""Sites that keep their task modules: the net grows all the same, and no byte of one is at the center."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from safetensors.torch import load_file

from benchmarks.journey.figures import read_site_report
from central.home import open_known_registry
from central.settings import read_settings
from edge.site_home import SiteHome
from transplant.types import MergeState, ModuleKind, Task

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from central.registry.values import RegisteredModule
    from tests.e2e.conftest import Ended

pytestmark = [pytest.mark.slow, pytest.mark.alone, pytest.mark.timeout(480)]

FOUNDER_SHIPS = [ModuleKind.CATEGORY, ModuleKind.TASK, ModuleKind.TASK]
OTHERS_SHIP = [ModuleKind.ANSWERS, ModuleKind.ANSWERS, ModuleKind.CATEGORY]
# So few bytes of a weight would do as a proof that it was there; no two nets share sixteen random numbers.
SCRAP_BYTES = 64


@pytest.fixture(scope="module")
def registered(outputs_only: Ended) -> dict[str, list[RegisteredModule]]:
    """Return site -> what the registry has of it; the center's own adapters under its own name."""
    registry = open_known_registry(read_settings({"home": outputs_only.out / "center"}))
    with registry.read() as books:
        modules = books.modules.list()
    registry.close()
    found: dict[str, list[RegisteredModule]] = {}
    for module in modules:
        found.setdefault(module.site, []).append(module)
    return found


def _weights(ended: Ended, category: str, part: str) -> dict[str, bytes]:
    """Return the weights of one part of a site's teacher net, as they lie in its own checkpoint."""
    folder = SiteHome(ended.out / "sites" / category).teacher
    checkpoint = json.loads((folder / "checkpoint.json").read_text(encoding="utf-8"))
    tensors = load_file(folder / checkpoint["file"])
    return {
        name: tensor.numpy().tobytes()
        for name, tensor in tensors.items()
        if name.startswith(f"best.{part}.") and tensor.ndim > 1
    }


def _scraps(weights: bytes) -> Sequence[bytes]:
    middle = len(weights) // 2 // 4 * 4
    return weights[:SCRAP_BYTES], weights[middle : middle + SCRAP_BYTES], weights[-SCRAP_BYTES:]


def _files(folder: Path) -> list[bytes]:
    return [path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()]


def test_every_route_is_published(outputs_only: Ended):
    plan = outputs_only.plan
    assert {merge.state for merge in outputs_only.merges} == {MergeState.PUBLISHED}
    assert set(outputs_only.routes) == {
        (category, task.value) for category in plan.categories for task in Task
    }
    for (category, task), (_, adapter, task_module) in outputs_only.routes.items():
        assert task_module == outputs_only.routes[plan.founder, task][2]
        assert (adapter is None) == (category == plan.founder)


def test_the_registry_has_task_modules_of_the_founder_alone(
    outputs_only: Ended, registered: dict[str, list[RegisteredModule]]
):
    founder, *others = outputs_only.plan.categories
    kinds = {site: sorted(module.kind for module in modules) for site, modules in registered.items()}
    assert kinds.pop(founder) == FOUNDER_SHIPS
    assert {category: kinds.pop(category) for category in others} == dict.fromkeys(others, OTHERS_SHIP)
    assert [set(own) for own in kinds.values()] == [{ModuleKind.ADAPTER}], "the center's own"


def test_no_scrap_of_a_task_module_that_stayed_is_anywhere_at_the_center(outputs_only: Ended):
    plan = outputs_only.plan
    files = _files(outputs_only.out / "center")
    founders = set(_weights(outputs_only, plan.founder, "task_modules").values())
    for category in plan.categories:
        came = {"category_module": True, "task_modules": category == plan.founder}
        for part, wanted in came.items():
            weights = _weights(outputs_only, category, part)
            if category != plan.founder:
                weights = {name: own for name, own in weights.items() if own not in founders}
            assert weights, f"{category} learned no {part} of its own: nothing is shown"
            for name, own in weights.items():
                for scrap in _scraps(own):
                    assert any(scrap in file for file in files) == wanted, f"{name} of {category}"


def test_what_was_shipped_is_what_the_center_counts_and_little(
    outputs_only: Ended, registered: dict[str, list[RegisteredModule]]
):
    plan = outputs_only.plan
    for category in plan.categories:
        report = read_site_report(outputs_only.out / "sites" / category / "report.json", plan.founder)
        assert (report.missing, len(report.figures)) == ((), 4)
        at_center = sum(module.payload_bytes + len(module.manifest) for module in registered[category])
        assert {figure.bytes_shipped for figure in report.figures} == {at_center}
        kept = sum(map(len, _weights(outputs_only, category, "task_modules").values()))
        if category == plan.founder:
            assert at_center > kept
        else:
            assert at_center < kept / 10
