"""What the chaos benches measured, as records and as tables; and the bars that were missed."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from statistics import median
from typing import TYPE_CHECKING, Any

from rich.table import Table

from benchmarks.chaos.check import Harm
from benchmarks.chaos.load import percentile
from benchmarks.records import Record

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.chaos.growth import GrowthOutcome
    from benchmarks.chaos.load import LoadOutcome
    from benchmarks.chaos.resume import ResumeOutcome
    from benchmarks.chaos.run import Outcome, Size

CHAOS, RESUME, LOAD, GROWTH = "chaos", "chaos-resume", "chaos-load", "chaos-growth"
_PER_HARM = {
    "chaos_lost": (Harm.LOST, Harm.UNFINISHED),
    "chaos_doubled": (Harm.DOUBLED,),
    "chaos_torn": (Harm.TORN,),
    "chaos_too_early": (Harm.TOO_EARLY,),
    "chaos_leftover": (Harm.LEFTOVER,),
    "chaos_failed": (Harm.FAILED,),
}


def chaos_records(size: Size, outcome: Outcome, commit: str) -> list[Record]:
    """Return one record for each kind of harm, each kind of fault, and the run as a whole."""
    data = "postgresql" if size.registry_url else "sqlite"
    method = f"{size.faults} faults over {size.sites} sites"
    harms = Counter(each.harm for each in outcome.violations)
    counted = {name: sum(harms[harm] for harm in kinds) for name, kinds in _PER_HARM.items()}
    counted |= {
        "chaos_modules": outcome.modules,
        "chaos_versions": outcome.versions,
        "chaos_server_starts": outcome.server_starts,
        "chaos_site_starts": outcome.site_starts,
    }

    def record(metric: str, value: float, unit: str, setting: str = method) -> Record:
        return Record(
            CHAOS, metric, value, unit, data=data, method=setting, seed=size.seed, seconds=outcome.seconds
        )

    made = [record(name, value, "count") for name, value in counted.items()]
    made += [
        record("chaos_faults", count, "count", f"{method}, {kind.value}")
        for kind, count in sorted(outcome.faults.items())
    ]
    made.append(record("chaos_seconds", outcome.seconds, "s"))
    return _committed(made, commit)


def resume_records(outcome: ResumeOutcome, seed: int, commit: str) -> list[Record]:
    """Return what was sent again after kills, and how many digests were right."""
    kills = outcome.server_kills + outcome.site_kills
    again = [each.again_bytes for each in outcome.resumed]
    method = f"{kills} kills"

    def record(metric: str, value: float, unit: str, **more: Any) -> Record:
        return Record(RESUME, metric, value, unit, method=method, seed=seed, seconds=outcome.seconds, **more)

    made = [
        record("resume_kills_server", outcome.server_kills, "count"),
        record("resume_kills_site", outcome.site_kills, "count"),
        record("resume_breaks", len(again), "count"),
        record("resume_again_median", median(again) if again else 0, "bytes"),
        record("resume_again_most", max(again, default=0), "bytes"),
        record(
            "resume_durable_again_most", max((r.beyond_bytes for r in outcome.resumed), default=0), "bytes"
        ),
        record("resume_digests_right", outcome.right, "count", baseline=outcome.modules),
    ]
    return _committed(made, commit)


def load_records(
    outcome: LoadOutcome, connections: int, modules: int, registry_url: str | None, commit: str
) -> list[Record]:
    """Return latencies, errors and memory."""
    data = "postgresql" if registry_url else "sqlite"
    timings = outcome.timings
    method = f"{connections} connections, {modules} modules"

    def record(metric: str, value: float, unit: str, **more: Any) -> Record:
        return Record(LOAD, metric, value, unit, data=data, method=method, **more)

    made = [
        record(f"load_{call}_p{percent}", percentile(seconds, percent), "s")
        for call, seconds in (("declare", timings.declare_s), ("commit", timings.commit_s))
        for percent in (50, 99)
    ]
    made += [
        record("load_errors", len(timings.errors), "count"),
        record("load_registered", outcome.registered, "count"),
        record("load_seconds", outcome.sending_s, "s"),
        record("load_admission_seconds", outcome.deciding_s, "s"),
        record("load_server_rss", outcome.after_bytes, "bytes", baseline=outcome.resident_bytes,
               peak_rss_bytes=outcome.peak_bytes),
    ]  # fmt: skip
    return _committed(made, commit)


def growth_records(outcome: GrowthOutcome, kills: int, seed: int, commit: str) -> list[Record]:
    """Return what was killed, whether the net is the same, and what the kills cost."""
    method = f"{outcome.merges} merges, {kills} kills"

    def record(metric: str, value: float, unit: str, setting: str = method, **more: Any) -> Record:
        return Record(GROWTH, metric, value, unit, method=setting, seed=seed, **more)

    made = [
        record("growth_chaos_same_net", float(outcome.same), "count", baseline=1.0),
        record("growth_chaos_faults", len(outcome.faults), "count", baseline=0.0),
        record("growth_chaos_begun", outcome.begun, "count"),
        record("growth_chaos_center_starts", outcome.center_starts, "count"),
        record("growth_chaos_seconds", outcome.seconds, "s", baseline=outcome.calm_s),
    ]
    made += [
        record("growth_chaos_kills", count, "count", f"{method}, {victim.value}")
        for victim, count in sorted(outcome.kills.items())
    ]
    return _committed(made, commit)


def table(records: Sequence[Record]) -> Table:
    """Return the records of one run for a person."""
    made = Table("metric", "of", "value", "baseline")
    for record in records:
        baseline = "" if record.baseline is None else _amount(record.baseline, record.unit)
        made.add_row(record.metric, record.method, _amount(record.value, record.unit), baseline)
    return made


def _amount(value: float, unit: str) -> str:
    if unit == "bytes":
        return f"{value / 2**20:,.2f} MiB"
    if unit == "s":
        return f"{value * 1000:,.1f} ms" if value < 1 else f"{value:,.1f} s"
    return f"{value:,.0f}"


def _committed(records: list[Record], commit: str) -> list[Record]:
    return [replace(record, commit=commit) for record in records]
