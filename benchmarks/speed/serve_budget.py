"""`transplant-bench speed serve-budget`: accuracy and time of a net that runs k of its routes a picture.

A net is founded by the first category's teacher; every other one is transplanted without labels. The pictures
are the test pictures of all sites that show their category, each of one category alone; the answer is the
most probable category. The guides are learned as a center learns them: from procedural images, and from the
errors and temperatures that sites measure on their validation splits.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import torch
from rich.table import Table

from benchmarks.machine import commit, fast_precision, this_machine
from benchmarks.operator import drawings_of
from benchmarks.quality.cells import Cell
from benchmarks.quality.folder import note_cases
from benchmarks.quality.run_cell import Setting, config_of, problem_of
from benchmarks.quality.teachers import load_teacher, train_teacher
from benchmarks.records import Record, RecordBook
from benchmarks.speed.stopwatch import in_turns
from benchmarks.speed.variants import Variant
from central.merge.learn import learner_of
from edge.datasets.site_dataset import Split
from transplant.datafree.learn_guides import learn_guides
from transplant.datafree.procedural_images import procedural_images
from transplant.errors import InvalidSettings
from transplant.nets.allocator import keep_freed_memory
from transplant.nets.learning import run_learner
from transplant.nets.measures import measure
from transplant.nets.temperature import TemperatureFit
from transplant.nets.transplant_net import TransplantNet
from transplant.types import NetVersion, Route, RouteReport, Task

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from rich.console import Console
    from torch import Tensor, nn

BENCH = "serve-budget"
ACCURACY, SECONDS = "routed_accuracy", "routed_seconds"
_TASK = Task.CLASSIFICATION
_ARCH, _STEPS, _SYNTHETIC_IMAGES = "vgg_small", 300, 4000
_GUIDE_IMAGES, _GUIDE_SEED = 1024, 7
_PICTURES_EACH = 200
_TIMED_PICTURES = 64


def run_budget(
    out: Path, console: Console, *, data: str, categories: Sequence[str], seed: int, epochs: int | None,
    data_root: Path, repetitions: int, command: str,
) -> None:  # fmt: skip
    """Grow the net, learn its guides, and record accuracy and time for every number of routes.

    Args:
        out: folder of records and teachers.
        console: where progress and the table are shown.
        data: what the sites have; each picture must show one category alone, as in cifar10.
        categories: of the net, the founder first.
        seed: of data, training and learning.
        epochs: of the teachers; None: the data's default.
        data_root: folder of the data packs.
        repetitions: of each timing, in turns.
        command: what was typed, for the list of runs.

    Raises:
        InvalidSettings: for fewer than two categories.
    """
    if len(categories) < 2:
        raise InvalidSettings("--categories: two at least; the first founds the net")
    book, began_s, ran = RecordBook(out), time.monotonic(), 0
    budgets = range(1, len(categories) + 1)
    cells = [
        _record(metric, data, seed, len(categories), budget)
        for metric in (ACCURACY, SECONDS)
        for budget in budgets
    ]
    if not all(book.has(cell) for cell in cells):
        setting = Setting(out, data_root, None, epochs, _STEPS, fast_precision(), -1, commit())
        net, reports = _grown(setting, console, data, categories, seed)
        images, truth = _pictures(setting, data, categories, seed)
        for record in _measured(net, reports, images, truth, data, seed, repetitions):
            book.add(record)
        ran = 1
    note_cases(out, this_machine(), command, ran, began_s)
    console.print(_table([record for record in book if record.bench == BENCH]))


def _grown(
    setting: Setting, console: Console, data: str, categories: Sequence[str], seed: int
) -> tuple[TransplantNet, dict[str, RouteReport]]:
    """Return the net, and what each site measures of its route on its validation split."""
    modules: dict[str, nn.Module] = {}
    routes: list[Route] = []
    host = categories[0]
    for category in categories:
        began_s = time.monotonic()
        cell = Cell(
            "exp2", data, _ARCH, "transplant", "none", 0, seed, category, host, _TASK, 3, 3,
            synthetic_images=_SYNTHETIC_IMAGES,
        )  # fmt: skip
        key = setting.teacher_key(cell, category)
        train_teacher(key, setting.teachers)
        teacher = load_teacher(key, setting.teachers)
        modules[f"f-{category}"], adapter = teacher.category_module, None
        if category == host:
            modules["g"] = teacher.task_module(_TASK)
        else:
            founder = load_teacher(setting.teacher_key(cell, host), setting.teachers)
            config = config_of(cell, setting)
            learned = run_learner(learner_of(config), problem_of(cell, setting, teacher, founder), config)
            adapter = f"h-{category}"
            modules[adapter] = learned.adapter
        routes.append(Route(category, _TASK, f"f-{category}", adapter, "g", f"merge-{category}"))
        console.print(f"  {category}: {time.monotonic() - began_s:.0f} s", highlight=False)
    net = TransplantNet(NetVersion(1, None, tuple(routes)), modules)
    reports: dict[str, RouteReport] = {}
    for category in categories:
        cell = Cell("exp2", data, _ARCH, "transplant", "none", 0, seed, category, host, _TASK, 3, 3)
        validation = setting.teacher_key(cell, category).site.load(Split.VALIDATION)
        fit = TemperatureFit()
        error = measure(net.route(category, _TASK), validation.batches(_TASK), _TASK, fit.look)["error"]
        reports[category] = RouteReport(error, fit.temperature())
    return net, reports


def _pictures(setting: Setting, data: str, categories: Sequence[str], seed: int) -> tuple[Tensor, Tensor]:
    images: list[Tensor] = []
    for category in categories:
        cell = Cell("exp2", data, _ARCH, "transplant", "none", 0, seed, category, category, _TASK, 3, 3)
        shown, labels = setting.teacher_key(cell, category).site.load(Split.TEST).examples(_TASK)
        images.append(shown[labels == 1][:_PICTURES_EACH])
    counts = torch.tensor([len(part) for part in images])
    return torch.cat(images), torch.arange(len(categories)).repeat_interleave(counts)


def _measured(
    net: TransplantNet,
    reports: dict[str, RouteReport],
    images: Tensor,
    truth: Tensor,
    data: str,
    seed: int,
    repetitions: int,
) -> list[Record]:
    keep_freed_memory()
    synthetic = procedural_images(_GUIDE_IMAGES, images.shape[-1], _GUIDE_SEED, drawings_of(data))
    guided = net.guided(learn_guides(net, _TASK, synthetic, reports))
    count = len(reports)
    records: list[Record] = []

    def accuracy(asked: TransplantNet, budget: int) -> float:
        told = asked.predict(images, task=_TASK, budget=budget)
        return 100 * float((told.best_B == truth).to(torch.float64).mean())

    plain = accuracy(net, count)
    for budget in range(1, count + 1):
        reached = accuracy(guided, budget)
        chosen = guided.predict(images, task=_TASK, budget=budget).ran_BG
        recall = 100 * float(chosen[torch.arange(len(truth)), truth].to(torch.float64).mean())
        records.append(
            _record(ACCURACY, data, seed, count, budget, reached, baseline=plain, ratio=reached / plain,
                    floor=100 / count, teacher=recall, image_count=len(images))
        )  # fmt: skip
    for pictures in (1, _TIMED_PICTURES):
        asked = images[:pictures]
        timings = in_turns(
            {
                str(budget): Variant(
                    lambda k=budget, asked=asked: guided.predict(asked, task=_TASK, budget=k)
                )
                for budget in range(1, count + 1)
            },
            repetitions,
            2.0,
        )
        whole = timings[str(count)].cpu_seconds
        records += [
            _record(SECONDS, data, seed, count, int(name), timing.cpu_seconds, source=f"batch {pictures}",
                    baseline=whole, ratio=timing.cpu_seconds / whole)
            for name, timing in timings.items()
        ]  # fmt: skip
    return records


def _record(
    metric: str, data: str, seed: int, categories: int, budget: int, value: float = 0.0, **measured: Any
) -> Record:
    """Return a record; of an accuracy `baseline` is all routes uncalibrated, `teacher` the recall."""
    fields: dict[str, Any] = {"source": "batch 1" if metric == SECONDS else None} | measured
    return Record(
        BENCH, metric, value, "percent" if metric == ACCURACY else "s", data=data, arch=_ARCH,
        method=f"{budget} of {categories} routes", seed=seed, task=_TASK.value, commit=commit(), **fields,
    )  # fmt: skip


def _table(records: Sequence[Record]) -> Table:
    table = Table()
    for name in (
        "routes",
        "accuracy %",
        "all, temperature 1",
        "right route runs %",
        "time, batch 1",
        "batch 64",
    ):
        table.add_column(name)
    times = {(r.method, r.source): r for r in records if r.metric == SECONDS}
    for record in records:
        if record.metric != ACCURACY:
            continue
        cells = [times.get((record.method, f"batch {n}")) for n in (1, _TIMED_PICTURES)]
        table.add_row(
            record.method,
            f"{record.value:.1f}",
            f"{record.baseline:.1f}",
            f"{record.teacher:.1f}",
            *("" if c is None else f"{1000 * c.value:.1f} ms, {c.ratio:.2f} of all" for c in cells),
        )
    return table
