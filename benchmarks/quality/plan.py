"""From flags to the grid of cells: pure, so that what will be run is known before anything is."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import product
from typing import TYPE_CHECKING

from benchmarks.quality import ablation, exp1, exp2, exp3, table4
from benchmarks.quality.cells import Bench, Cell
from benchmarks.quality.few_images import FEWEST
from benchmarks.quality.methods import METHODS, skip_reason
from edge.teach.borrowing import Transfer
from transplant.errors import InvalidSettings
from transplant.nets.architecture_table import DEFAULT as ARCHITECTURES
from transplant.types import Task, checked_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from benchmarks.quality.experiment import Experiment

EXPERIMENTS: dict[Bench, Experiment] = {
    each.bench: each
    for each in (exp1.EXPERIMENT, exp2.EXPERIMENT, exp3.EXPERIMENT, table4.EXPERIMENT, ablation.EXPERIMENT)
}
DISCLOSURES = ("none", "scale", "moments", "pca", "proxy")
SHIPS = ("modules", "outputs")
SOURCES = ("procedural", "noise", "inverted")
TRANSFERS = tuple(each.value for each in Transfer if each is not Transfer.NONE)


@dataclass(frozen=True)
class Plan:
    """The resolved flags of one run. Tuples are the grid; the rest holds for every cell.

    `hosts` is (None,) where the experiment itself says the host. `epochs` and `steps` are None where teachers
    and learners are left to their own defaults.
    """

    bench: Bench
    data: str
    arch: str
    seeds: tuple[int, ...]
    samples: tuple[int, ...]
    methods: tuple[str, ...]
    disclosures: tuple[str, ...]
    categories: tuple[str, ...]
    tasks: tuple[Task, ...]
    layers: tuple[int, ...]
    kernels: tuple[int, ...]
    hosts: tuple[str | None, ...]
    ships: tuple[str, ...] = ("modules",)
    sources: tuple[str | None, ...] = (None,)
    synthetic_images: tuple[int | None, ...] = (None,)
    teacher_images: tuple[int | None, ...] = (None,)
    teacher_transfers: tuple[str | None, ...] = (None,)
    epochs: int | None = None
    steps: int | None = None
    precision: str = "float32"
    device: str | None = None

    @property
    def experiment(self) -> Experiment:
        """Return what is special about this bench."""
        return EXPERIMENTS[self.bench]


@dataclass(frozen=True)
class Grid:
    """The cells in the order in which they are run, and each reason for which combinations were left out."""

    cells: tuple[Cell, ...]
    skipped: tuple[str, ...]


def planned(plan: Plan) -> Grid:
    """Return every cell of a plan, each once; neighbours share their data and teachers."""
    cells: dict[Cell, None] = {}
    skipped: dict[str, None] = {}
    variants = list(dict.fromkeys(_variants(plan)))
    for seed, category, task, variant in product(plan.seeds, plan.categories, plan.tasks, variants):
        host = plan.experiment.host_of(category, variant.host)
        if host == category and not plan.experiment.own_host:
            skipped[f"{category} is the host itself: nothing to transplant"] = None
            continue
        for samples, method in product(plan.samples, plan.methods):
            disclosure, ship, source = variant.disclosure, variant.ship, variant.source
            synthetic = variant.synthetic_images if ship == "modules" else None
            reason = skip_reason(method, samples, disclosure, ship, source)
            if reason is not None:
                skipped[reason] = None
            if not METHODS[method].synthesises:
                disclosure, ship, source, synthetic = "none", "modules", None, None
                reason = skip_reason(method, samples, disclosure, ship, source)
            if reason is not None:
                continue
            cell = Cell(
                bench=plan.bench.value, data=plan.data, arch=plan.arch, method=method, disclosure=disclosure,
                samples=samples, seed=seed, category=category, host=host, task=task, layers=variant.layers,
                kernel=variant.kernel, ship=ship, source=source, synthetic_images=synthetic,
                teacher_images=variant.teacher_images, teacher_transfer=variant.teacher_transfer,
                device=plan.device,
            )  # fmt: skip
            cells[cell] = None
    return Grid(tuple(cells), tuple(skipped))


@dataclass(frozen=True)
class _Variant:
    """One choice of everything that is not about whose data it is."""

    host: str | None
    layers: int
    kernel: int
    disclosure: str
    ship: str
    source: str | None
    synthetic_images: int | None
    teacher_images: int | None
    teacher_transfer: str | None


def _variants(plan: Plan) -> Iterator[_Variant]:
    grids = {
        "host": plan.hosts,
        "layers": plan.layers,
        "kernel": plan.kernels,
        "disclosure": plan.disclosures,
        "ship": plan.ships,
        "source": plan.sources,
        "synthetic_images": plan.synthetic_images,
        "teacher_images": plan.teacher_images,
        "teacher_transfer": plan.teacher_transfers,
    }
    if not plan.experiment.one_at_a_time:
        for chosen in product(*grids.values()):
            yield _Variant(**dict(zip(grids, chosen, strict=True)))  # pyright: ignore[reportArgumentType] - one dict of differently typed fields
        return
    base = _Variant(**{name: values[0] for name, values in grids.items()})  # pyright: ignore[reportArgumentType]
    for name, values in grids.items():
        for value in values:
            yield replace(base, **{name: value})


def checked_plan(plan: Plan) -> Plan:
    """Return the plan if it can be run.

    Raises:
        InvalidSettings: naming the flag and what is possible.
        InvalidName: for a category that is no name.
    """
    possible_categories = plan.experiment.categories_of(plan.data)
    _known("--methods", plan.methods, tuple(METHODS))
    _known("--disclosure", plan.disclosures, DISCLOSURES)
    _known("--ship", plan.ships, SHIPS)
    _known("--sources", [source for source in plan.sources if source is not None], SOURCES)
    _known("--arch", (plan.arch,), tuple(ARCHITECTURES))
    _known("--tasks", plan.tasks, plan.experiment.tasks[plan.data])
    _known("--precision", (plan.precision,), ("float32", "bfloat16"))
    for category in (*plan.categories, *(host for host in plan.hosts if host is not None)):
        checked_name("category", category)
    if plan.experiment.leave_one_out:
        _known("--categories", plan.categories, possible_categories)
    if (plan.experiment.own_host or plan.experiment.leave_one_out) and plan.hosts != (None,):
        raise InvalidSettings(f"{plan.bench} chooses its hosts itself: leave --hosts out")
    _at_least("--seeds", plan.seeds, 0)
    _at_least("--samples", plan.samples, 0)
    _at_least("--layers", plan.layers, 1)
    _at_least("--kernel", plan.kernels, 1)
    _at_least("--synthetic", [count for count in plan.synthetic_images if count is not None], 1)
    _known("--teacher-transfer", [each for each in plan.teacher_transfers if each is not None], TRANSFERS)
    _at_least("--teacher-images", [count for count in plan.teacher_images if count is not None], FEWEST)
    few = (plan.teacher_images, plan.teacher_transfers) != ((None,), (None,))
    if few and plan.bench not in (Bench.EXP2, Bench.EXP3):
        raise InvalidSettings("--teacher-images and --teacher-transfer are for exp2 and exp3")
    _at_least("--epochs", [] if plan.epochs is None else [plan.epochs], 1)
    _at_least("--steps", [] if plan.steps is None else [plan.steps], 1)
    even = [kernel for kernel in plan.kernels if kernel % 2 == 0]
    if even:
        raise InvalidSettings(f"--kernel takes odd sides, so that the feature map keeps its size; got {even}")
    if not planned(plan).cells:
        raise InvalidSettings("these flags leave no cell to run: " + "; ".join(planned(plan).skipped))
    return plan


def _known(flag: str, given: Sequence[str], possible: Sequence[str]) -> None:
    unknown = [value for value in given if value not in possible]
    if unknown:
        raise InvalidSettings(f"{flag} takes {', '.join(possible)}; got {', '.join(unknown)}")


def _at_least(flag: str, given: Sequence[int], least: int) -> None:
    if any(value < least for value in given):
        raise InvalidSettings(f"{flag} must be at least {least}; got {min(given)}")
