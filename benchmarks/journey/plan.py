"""Which sites take part in a journey and with which settings; resolved once and saved beside the results."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from benchmarks.operator import drawings_of
from transplant.errors import BenchmarkFailed, InvalidSettings
from transplant.types import checked_name

if TYPE_CHECKING:
    from pathlib import Path

PLAN_FILE = "journey.json"
_CATEGORIES = {
    "scenes": ("digit-0", "digit-1", "digit-2", "digit-3", "digit-4"),
    "voc_mammals": ("dog", "cat", "cow", "horse", "sheep"),
    "cifar10": ("dog", "cat", "horse", "deer", "frog"),
}


@dataclass(frozen=True)
class JourneyPlan:
    """A journey's choices. `None` leaves a choice to the default of the side that it concerns.

    Args:
        data: what the sites train on (`transplant-edge --data`).
        categories: one site each, named like its category; the first founds the net.
        seed: of the sites' training and the data they draw; the merges derive theirs from the merge key.
        epochs: of the teachers.
        steps: of the adapters; a journey shows the whole path, so its merges are shorter than the default.
        synthetic_images: for each merge.
        nudged_share: of them.
        candidates: starts of an adapter.
        layers: of the adapters.
        disclosure: how much about its features each site tells.
        ship: `outputs` keeps every task module at its site, but the founder's, which the net is made of.
        runner: the engine of the merges, `ray` or `local`.
        workers: how many merges run side by side.
        precision: of the forward passes of teachers and adapters while they learn.
    """

    data: str
    categories: tuple[str, ...]
    seed: int = 0
    epochs: int | None = None
    steps: int = 600
    synthetic_images: int = 3600
    nudged_share: float = 0.5
    candidates: int = 1
    layers: int | None = None
    disclosure: str = "none"
    ship: str = "modules"
    runner: str = "ray"
    workers: int = 2
    precision: str = "float32"

    @property
    def drawings(self) -> float:
        """Return which share of the synthetic images are drawings."""
        return drawings_of(self.data)

    @property
    def nudge_steps(self) -> int:
        """Return the gradient steps of a nudged image: few for small drawings, finer ones for photographs."""
        return 7 if self.data == "scenes" else 12

    @property
    def founder(self) -> str:
        """Return the category that founds the net."""
        return self.categories[0]


def default_categories(data: str) -> tuple[str, ...]:
    """Return the categories of a data set's journey, its founder first.

    Raises:
        InvalidSettings: if the data set has no journey of its own.
    """
    if data not in _CATEGORIES:
        raise InvalidSettings(
            f"--data {data!r} has no journey; choose from {', '.join(_CATEGORIES)} or name --categories"
        )
    return _CATEGORIES[data]


def checked_plan(plan: JourneyPlan) -> JourneyPlan:
    """Return the plan if a federation can be made of it.

    Raises:
        InvalidName: for a category that cannot name a site.
        InvalidSettings: for fewer than two categories, one named twice, or an unknown way to ship.
    """
    for category in plan.categories:
        checked_name("category", category)
    if len(plan.categories) < 2 or len(set(plan.categories)) != len(plan.categories):
        raise InvalidSettings("--categories takes at least two different ones: a founder and those it hosts")
    if plan.ship not in ("modules", "outputs"):
        raise InvalidSettings(f"--ship takes modules or outputs; got {plan.ship!r}")
    return plan


def prepare_folder(out: Path, plan: JourneyPlan, *, fresh: bool) -> bool:
    """Make the output folder ready: new, started again, or gone on with.

    Args:
        out: the folder. It is only ever emptied when a journey made it.
        plan: what is about to run.
        fresh: whether an earlier journey in it is thrown away.

    Returns:
        Whether an earlier run of the same plan is there to go on with.

    Raises:
        BenchmarkFailed: if the folder holds something else.
    """
    marker = out / PLAN_FILE
    text = json.dumps(asdict(plan), indent=2, sort_keys=True)
    if out.is_dir() and any(out.iterdir()):
        if not marker.is_file():
            raise BenchmarkFailed(f"{out} is not empty and no journey made it: choose another --out")
        if fresh:
            _empty(out)
        elif marker.read_text(encoding="utf-8") != text:
            raise BenchmarkFailed(
                f"{out} holds a journey with other settings: add --fresh or choose another --out"
            )
        else:
            return True
    out.mkdir(parents=True, exist_ok=True)
    marker.write_text(text, encoding="utf-8")
    return False


def _empty(out: Path) -> None:
    marker = out / PLAN_FILE
    for path in sorted(out.rglob("*"), reverse=True):
        if path == marker:
            continue
        if path.is_dir() and not path.is_symlink():
            path.rmdir()
        else:
            path.unlink()
