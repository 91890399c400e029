"""From a case to its records: time in turns in this process, memory alone in a fresh one each."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import torch

from benchmarks.speed.cases import Subject
from benchmarks.speed.fresh_process import in_fresh_process
from benchmarks.speed.stopwatch import in_turns
from benchmarks.speed.variants import BASELINE, OURS, variants_of
from transplant.nets.allocator import keep_freed_memory

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.records import Record
    from benchmarks.speed.cases import Case

    Progress = Callable[[str, str, int, int], None]  # variant, phase, steps done, steps in all

_LEAST_S = {"vgg_small": 3.0, "vgg16": 0.0}
_METRICS = {
    Subject.CHAIN: ("pseudo_gradient_cpu", "pseudo_gradient_memory"),
    Subject.STEP: ("step_cpu", "step_memory"),
    Subject.LEARNER: ("learner_cpu", "learner_memory"),
    Subject.MERGE: ("merge_seconds", "merge_peak_rss"),
}


def metrics_of(case: Case) -> tuple[str, str]:
    """Return the names of a case's metric of time and of memory."""
    return _METRICS[case.subject]


def measured(case: Case, repetitions: int, commit: str, progress: Progress) -> list[Record]:
    """Measure a case.

    Args:
        case: what.
        repetitions: of each variant, in turns; a whole merge is run once.
        commit: of the source tree.
        progress: called while a process of its own is at work.
    """
    if case.subject is Subject.MERGE:
        return _merge(case, commit, progress)
    torch.set_num_threads(case.threads)
    keep_freed_memory()  # as every process that learns does
    timings = in_turns(variants_of(case), repetitions, _LEAST_S[case.arch])
    alone = {variant: in_fresh_process(case, variant) for variant in (OURS, BASELINE)}
    needed = {
        variant: max(1, told["peak_rss_bytes"] - told["resting_rss_bytes"]) for variant, told in alone.items()
    }
    common = _common(timings[OURS].seconds, timings[OURS].cpu_seconds, alone[OURS], commit)
    time_metric, memory_metric = metrics_of(case)
    ours, baseline = timings[OURS].cpu_seconds, timings[BASELINE].cpu_seconds
    return [
        case.record(time_metric, ours, "s", baseline=baseline, ratio=ours / baseline, **common),
        case.record(
            memory_metric, needed[OURS], "bytes",
            baseline=needed[BASELINE], ratio=needed[OURS] / needed[BASELINE], **common,
        ),
    ]  # fmt: skip


def _merge(case: Case, commit: str, progress: Progress) -> list[Record]:
    alone = {
        variant: in_fresh_process(case, variant, partial(progress, variant)) for variant in (BASELINE, OURS)
    }
    ours, baseline = alone[OURS], alone[BASELINE]
    common = _common(ours["seconds"], ours["cpu_seconds"], ours, commit)
    time_metric, memory_metric = metrics_of(case)
    compared = [(time_metric, "seconds", "s"), (memory_metric, "peak_rss_bytes", "bytes")]
    records = [
        case.record(
            metric, ours[name], unit, baseline=baseline[name], ratio=ours[name] / baseline[name], **common
        )
        for metric, name, unit in compared
    ]
    phases = ("closed_form_s", "synthesis_s", "steps_s", "check_s")
    return records + [case.record(f"merge_{phase[:-2]}", ours[phase], "s", **common) for phase in phases]


def _common(seconds: float, cpu_seconds: float, alone: dict[str, Any], commit: str) -> dict[str, Any]:
    return {
        "seconds": round(seconds, 6),
        "cpu_seconds": round(cpu_seconds, 6),
        "peak_rss_bytes": alone["peak_rss_bytes"],
        "commit": commit,
    }
