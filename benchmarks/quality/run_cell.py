"""Run one cell: set up the problem, learn the adapter, measure the route, prove that nothing else changed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from benchmarks.operator import drawings_of
from benchmarks.quality.cells import EXTRA_METRICS, METRICS, Bench, Cell
from benchmarks.quality.cost import Meter
from benchmarks.quality.forgetting import METRIC as FORGETTING
from benchmarks.quality.forgetting import Frozen
from benchmarks.quality.inner_life import keep_inner_life
from benchmarks.quality.material import MaterialShelf, SharingLearner
from benchmarks.quality.methods import METHODS
from benchmarks.quality.plan import EXPERIMENTS
from benchmarks.quality.proxy import proxy_images
from benchmarks.quality.refined import REFINED, ROUNDS, StartShelf, is_start, refine_at_site, start_of
from benchmarks.quality.samples import labelled_samples
from benchmarks.quality.shipping import probed, shipped_bytes
from benchmarks.quality.site_data import SiteKey
from benchmarks.quality.teachers import KnownTeacher, TeacherKey, load_teacher, recipe_of, recipe_of_few
from central.merge.learn import learner_of
from edge.datasets.site_dataset import Split
from transplant.artifact.digest import derive_seed
from transplant.backdistill.closed_form import ClosedFormLearner
from transplant.errors import DisclosureMissing, ForgettingDetected
from transplant.nets.architecture_table import image_px, seam_of
from transplant.nets.learner_config import LearnerConfig
from transplant.nets.learning import AdapterProblem, run_learner
from transplant.nets.measures import gap_closed, measure
from transplant.nets.placement import CPU, beside, placed, resolved_device, to_device
from transplant.nets.transplant_net import RouteNet
from transplant.types import Disclosure

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.records import Record
    from transplant.nets.adapter import Adapter
    from transplant.nets.disclosures import DisclosedStatistics
    from transplant.nets.learning import Learner
    from transplant.types import Device

PAPER_STEPS = 300

_SHELF, _STARTS = MaterialShelf(), StartShelf()  # of this process; its cells come one after another


@dataclass(frozen=True)
class Setting:
    """What holds for every cell of a run and is not part of a cell's name.

    Args:
        out: the folder of the run.
        data_root: folder of the data packs.
        proxy: folder of public unlabelled images, or None.
        epochs: of the teachers; None: the site's default.
        steps: of the learners; None: 300 for the paper's, the learner's default for ours.
        precision: of forward passes while learning, "float32" or "bfloat16".
        picture_seed: the seed whose cells keep what figure 5 and the spectrum are drawn from.
        commit: of the source tree.
    """

    out: Path
    data_root: Path
    proxy: Path | None
    epochs: int | None
    steps: int | None
    precision: str
    picture_seed: int
    commit: str

    @property
    def teachers(self) -> Path:
        """Return the folder of the trained teachers."""
        return self.out / "teachers"

    def teacher_key(self, cell: Cell, category: str) -> TeacherKey:
        """Return the teacher of one category in a cell (its own, or its host's).

        A host was trained on all of its data; its teacher is the one that lends.
        """
        site = SiteKey(cell.data, category, cell.seed, self.out / "data", self.data_root)
        recipe = recipe_of(cell.data, cell.seed, self.epochs, self.precision)
        if category == cell.host or (cell.teacher_images, cell.teacher_transfer) == (None, None):
            return TeacherKey(site, cell.arch, recipe)
        if self.epochs is None:
            recipe = recipe_of_few(recipe, cell.teacher_images)
        lender = None if cell.teacher_transfer is None else self.teacher_key(cell, cell.host)
        return TeacherKey(site, cell.arch, recipe, cell.teacher_images, cell.teacher_transfer, lender)


def run_cell(cell: Cell, setting: Setting) -> list[Record]:
    """Learn and measure one cell; both teachers must have been trained.

    Raises:
        ForgettingDetected: if a bit of f, g_S or g_T changed.
    """
    teacher = load_teacher(setting.teacher_key(cell, cell.category), setting.teachers)
    host = load_teacher(setting.teacher_key(cell, cell.host), setting.teachers)
    nets = {
        "f": teacher.category_module,
        "g_T": teacher.task_module(cell.task),
        "g_S": host.task_module(cell.task),
        "f_S": host.category_module,
    }
    frozen = Frozen(nets, (("f", "g_T"), ("f_S", "g_S")), image_px(teacher.architecture))
    first = start_of(cell)
    problem, config = problem_of(first, setting, teacher, host), config_of(first, setting)
    sent = shipped_bytes(problem, needs_teacher=cell.method != "direct-learn")
    adapter, spared = _learned(first, setting, problem, config)
    with Meter() as meter:
        if cell.method == REFINED:
            site, g_teacher = setting.teacher_key(cell, cell.category).data, nets["g_T"]
            sent += ROUNDS * sum(each.nbytes for each in adapter.parameters())
            adapter = refine_at_site(adapter, cell, problem, g_teacher, site, config)
    meter.add(spared)
    route = RouteNet(teacher.category_module, adapter, host.task_module(cell.task))
    figures, agreement = _measured(cell, setting, route, teacher)
    changed = frozen.changed()
    if changed:
        which = ", ".join(dict.fromkeys(name.partition(".")[0] for name in changed))
        raise ForgettingDetected(
            f"{cell.sentence()}: {which} changed while h was learned ({sum(changed.values())} bits)"
        )
    if cell.seed == setting.picture_seed:
        test = setting.teacher_key(cell, cell.category).site.load(Split.TEST)
        keep_inner_life(setting.out, cell, problem, adapter, test.examples(cell.task)[0])
    records = _records(cell, setting, teacher, sent, figures, agreement, meter)
    measured = {**meter.figures(), "image_count": records[0].image_count, "commit": setting.commit}
    return [*records, cell.record(FORGETTING, float(sum(changed.values())), "bits", **measured)]


def _learned(
    cell: Cell, setting: Setting, problem: AdapterProblem, config: LearnerConfig
) -> tuple[Adapter, Meter]:
    """Return the adapter and what it costs, whether it was learned now or for a neighbour of this cell."""
    found = _STARTS.find((cell, setting))
    if found is not None:
        return found
    learner = SharingLearner(_learner(config, cell), cell, setting, _SHELF)
    with Meter() as meter:
        adapter = run_learner(learner, problem, config, device=device_of_cell(cell)).adapter
    meter.add(learner.saved)
    if is_start(cell):
        _STARTS.put((cell, setting), adapter, meter)
    return adapter, meter


def device_of_cell(cell: Cell) -> Device:
    """Return what a cell is learned and measured on."""
    return "cpu" if cell.device is None else "cuda"


def problem_of(cell: Cell, setting: Setting, teacher: KnownTeacher, host: KnownTeacher) -> AdapterProblem:
    """Return what a cell's learner is given: nothing that its method and disclosure do not entitle it to."""
    site = setting.teacher_key(cell, cell.category).data
    f, g_teacher = teacher.category_module, teacher.task_module(cell.task)
    # The paper's methods take the disclosed scale for granted; ours get it where the site tells it.
    scaled = METHODS[cell.method].papers or cell.disclosure not in ("none", "proxy")
    labelled = None
    if cell.samples:
        labelled = labelled_samples(site.load(Split.TRAIN), cell.task, cell.samples, cell.seed)
    problem = AdapterProblem(
        category_module=f,
        teacher_task_module=g_teacher,
        host_task_module=host.task_module(cell.task),
        host_category_module=host.category_module,
        architecture=teacher.architecture,
        host_architecture=host.architecture,
        task=cell.task,
        mean_norm=teacher.mean_norm if scaled else None,
        host_mean_norm=host.mean_norm if scaled else None,
        labelled=labelled,
        reorder=_reorder(cell, seam_of(teacher.architecture).channels),
    )
    if cell.disclosure in ("moments", "pca"):
        key = setting.teacher_key(cell, cell.category)
        problem = replace(problem, statistics=_statistics(key, setting.teachers, cell.disclosure))
    if cell.disclosure == "proxy":
        if setting.proxy is None:
            raise DisclosureMissing("disclosure proxy needs a folder of public images: set --proxy")
        problem = replace(problem, proxy_images=proxy_images(setting.proxy, image_px(teacher.architecture)))
    if cell.ship == "outputs":
        answers = probed(cell, image_px(teacher.architecture), drawings_of(cell.data), f, g_teacher)
        problem = replace(problem, teacher_task_module=None, answers=answers)
    return problem


def config_of(cell: Cell, setting: Setting) -> LearnerConfig:
    """Return the learner's knobs: its own defaults, and over them what cell, paper and flags say."""
    traits = METHODS[cell.method]
    values: dict[str, Any] = {
        "method": cell.method,
        "layers": cell.layers,
        "kernel": cell.kernel,
        "precision": setting.precision,
        "drawings": drawings_of(cell.data),
        "seed": derive_seed("cell", cell.category, cell.host, cell.task.value, str(cell.seed)),
    }
    if traits.papers:
        values |= {"steps": PAPER_STEPS} | dict(EXPERIMENTS[Bench(cell.bench)].paper_settings[cell.task])
    if setting.steps is not None:
        values["steps"] = setting.steps
    if cell.synthetic_images is not None:
        values["synthetic_images"] = cell.synthetic_images
    if cell.source is not None:
        values["source"] = cell.source
    elif cell.disclosure in ("moments", "pca", "proxy"):
        values["source"] = cell.disclosure
    return LearnerConfig.from_dict(values)


def _learner(config: LearnerConfig, cell: Cell) -> Learner:
    if cell.category == cell.host and config.method == "closed-form":
        return ClosedFormLearner(alpha=1.0)
    return learner_of(config)


def _reorder(cell: Cell, channels: int) -> tuple[int, ...] | None:
    if not EXPERIMENTS[Bench(cell.bench)].reorder:
        return None
    seed = derive_seed("reorder", cell.category, str(cell.seed))
    order: list[int] = torch.randperm(channels, generator=torch.Generator().manual_seed(seed)).tolist()
    return tuple(order)


@lru_cache(maxsize=2)
def _statistics(key: TeacherKey, folder: Path, level: str) -> DisclosedStatistics:
    """Collect what the site would disclose of its training split; the site's work, so outside the meter."""
    from transplant.datafree.feature_statistics import collect_statistics

    teacher = load_teacher(key, folder)
    train = key.data.load(Split.TRAIN)
    batches = zip(train.images.split(256), train.labels.split(256), strict=True)
    return collect_statistics(teacher.category_module, batches, Disclosure(level))


class _Remembering:
    """A net that remembers the signs of its logits."""

    def __init__(self, net: nn.Module) -> None:
        self._net = net
        self.positive: list[Tensor] = []

    def __call__(self, images: Tensor) -> Tensor:
        logits = to_device(self._net(beside(images, self._net)), CPU)
        self.positive.append(logits > 0)
        return logits


def _measured(
    cell: Cell, setting: Setting, route: RouteNet, teacher: KnownTeacher
) -> tuple[dict[str, float], float]:
    """Return the route's figures on the test split, and on which share of it it answers as g_T does."""
    test = setting.teacher_key(cell, cell.category).site.load(Split.TEST)
    place = resolved_device(device_of_cell(cell))
    ours, theirs = (_Remembering(placed(net, place)) for net in (route, teacher.net.route(cell.task)))
    batch = 256 if test.image_px <= 64 else 16
    figures = measure(ours, test.batches(cell.task, batch), cell.task)
    measure(theirs, test.batches(cell.task, batch), cell.task)
    same = torch.cat(ours.positive) == torch.cat(theirs.positive)
    return figures, 100 * float(same.to(torch.float64).mean())


def _records(
    cell: Cell,
    setting: Setting,
    teacher: KnownTeacher,
    sent: int,
    figures: dict[str, float],
    agreement: float,
    meter: Meter,
) -> list[Record]:
    task = cell.task.value
    mine, lowest = teacher.figures[task], teacher.floors[task]
    measured: dict[str, Any] = {
        **meter.figures(),
        "image_count": teacher.image_counts[task],
        "commit": setting.commit,
    }
    compared = [
        cell.record(metric, figures[metric], teacher=mine[metric], floor=lowest[metric], **measured)
        for metric in METRICS[cell.task]
    ]
    extra = {
        "agreement": agreement,
        "gap_closed": 100 * gap_closed(cell.task, mine, figures, lowest),
        "bytes_up": float(sent),
    }
    return compared + [
        cell.record(metric, extra[metric], unit, **measured) for metric, unit in EXTRA_METRICS.items()
    ]
