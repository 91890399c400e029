"""The flags of `transplant-bench quality` as a person types them, turned into a plan."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.bench_device import bench_device
from benchmarks.machine import fast_precision
from benchmarks.quality.cells import Bench
from benchmarks.quality.plan import EXPERIMENTS, Plan, checked_plan
from transplant.errors import InvalidSettings
from transplant.types import Task

if TYPE_CHECKING:
    from benchmarks.quality.experiment import Experiment


def plan_of(
    bench: str,
    *,
    data: str,
    arch: str = "vgg_small",
    seeds: str = "0,1,2",
    samples: str | None = None,
    methods: str | None = None,
    disclosure: str | None = None,
    categories: str | None = None,
    hosts: str | None = None,
    tasks: str | None = None,
    layers: str | None = None,
    kernel: str | None = None,
    ship: str | None = None,
    sources: str | None = None,
    synthetic: str | None = None,
    teacher_images: str | None = None,
    teacher_transfer: str | None = None,
    epochs: int | None = None,
    steps: int | None = None,
    precision: str | None = None,
    device: str = "cpu",
) -> Plan:
    """Return the checked plan; every flag left out takes the experiment's default.

    Raises:
        InvalidSettings: naming the flag and what is possible.
    """
    if bench not in set(Bench):
        raise InvalidSettings(f"there is no quality bench {bench!r}; there are {', '.join(Bench)}")
    experiment = EXPERIMENTS[Bench(bench)]
    default_categories = experiment.categories_of(data)
    named_tasks = words_of("--tasks", tasks)
    unknown = [task for task in named_tasks or () if task not in set(Task)]
    if unknown:
        raise InvalidSettings(f"--tasks takes {', '.join(Task)}; got {', '.join(unknown)}")
    return checked_plan(
        Plan(
            bench=experiment.bench,
            data=data,
            arch=arch,
            seeds=numbers_of("--seeds", seeds) or (0,),
            samples=numbers_of("--samples", samples) or experiment.samples,
            methods=words_of("--methods", methods) or experiment.methods,
            disclosures=words_of("--disclosure", disclosure) or experiment.disclosures,
            categories=words_of("--categories", categories) or default_categories,
            tasks=tuple(Task(task) for task in named_tasks) if named_tasks else experiment.tasks[data],
            layers=numbers_of("--layers", layers) or experiment.layers,
            kernels=numbers_of("--kernel", kernel) or experiment.kernels,
            hosts=words_of("--hosts", hosts) or _default_hosts(experiment, data),
            ships=words_of("--ship", ship) or ("modules",),
            sources=words_of("--sources", sources) or (None,),
            synthetic_images=numbers_of("--synthetic", synthetic) or experiment.synthetic_images,
            teacher_images=numbers_of("--teacher-images", teacher_images) or (None,),
            teacher_transfers=_transfers(teacher_transfer),
            epochs=epochs,
            steps=steps,
            precision=precision or fast_precision(),
            device="cuda" if bench_device(device) == "cuda" else None,
        )
    )


def _transfers(text: str | None) -> tuple[str | None, ...]:
    words = words_of("--teacher-transfer", text) or ("none",)
    return tuple(None if word == "none" else word for word in words)


def _default_hosts(experiment: Experiment, data: str) -> tuple[str | None, ...]:
    return experiment.hosts.get(data, (None,))


def words_of(flag: str, text: str | None) -> tuple[str, ...] | None:
    """Return the words of a comma list, or None where the flag was left out.

    Raises:
        InvalidSettings: if one is empty or stands twice.
    """
    if text is None:
        return None
    words = tuple(word.strip() for word in text.split(","))
    if not all(words):
        raise InvalidSettings(f"{flag} takes values by comma, none of them empty; got {text!r}")
    if len(set(words)) != len(words):
        raise InvalidSettings(f"{flag} names a value twice: {text!r}")
    return words


def numbers_of(flag: str, text: str | None) -> tuple[int, ...] | None:
    """Return the whole numbers of a comma list, or None where the flag was left out.

    Raises:
        InvalidSettings: if one is no number, or as `words_of` does.
    """
    words = words_of(flag, text)
    if words is None:
        return None
    try:
        return tuple(int(word) for word in words)
    except ValueError as fault:
        raise InvalidSettings(f"{flag} takes whole numbers by comma; got {text!r}") from fault
