"""One journey from nothing to its report: start, watch, prove, measure, draw."""

from __future__ import annotations

import json
import os
import resource
import time
from typing import TYPE_CHECKING, Any

from benchmarks.journey.change_proof import FINAL, differences
from benchmarks.journey.direct_learn import direct_learn
from benchmarks.journey.federation import Federation
from benchmarks.journey.figures import (
    Figure,
    missed_bars,
    read_site_report,
    records_of,
    report_document,
    write_whole,
)
from benchmarks.journey.open_proof import HARNESS, prove_opens
from benchmarks.journey.pictures import draw_bars, draw_net
from benchmarks.journey.report import BESIDE_NAME, Outcome, markdown
from benchmarks.journey.screen import Screen
from benchmarks.journey.table import rich_table
from benchmarks.journey.watch import Watcher
from benchmarks.machine import this_machine
from benchmarks.records import Record, RecordBook
from transplant.backends.open_audit import install_open_audit

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from rich.console import Console

    from benchmarks.journey.plan import JourneyPlan
    from transplant.types import NetVersion

DIRECT_LEARN_SAMPLES = 100


def run_journey(
    plan: JourneyPlan,
    out: Path,
    console: Console,
    *,
    command: str,
    data_root: Path | None,
    compare: bool,
    timeout_s: float,
) -> Outcome:
    """Run a whole federation and write `report.json`, `report.md`, `records.jsonl` and the pictures.

    Args:
        plan: who takes part.
        out: a folder made ready by `prepare_folder`.
        console: where progress and the final table go.
        command: how a person starts this journey again.
        data_root: folder of the data packs, or None where the data needs none.
        compare: whether to learn the same adapters from labels afterwards, for comparison.
        timeout_s: how long the federation may take.

    Raises:
        BenchmarkFailed: if it cannot be finished.
    """
    out = out.resolve()
    federation = Federation(plan, out, data_root=data_root)
    _audit_myself(federation)
    began_s = time.monotonic()
    with federation, Screen(console, [federation.center, *federation.sites.values()]) as screen:
        screen.tell("provisioning the certificate authority and a kit for each site")
        federation.provision()
        versions, watcher = _watched(federation, screen, timeout_s)
    seconds = _leg(out, time.monotonic() - began_s)
    opens = prove_opens(federation.opens, federation.homes(), _shared(federation))
    reports = [
        read_site_report(federation.site_home(category) / "report.json", plan.founder)
        for category in plan.categories
    ]
    figures = [figure for report in reports for figure in report.figures]
    beside = _baseline(federation, figures, versions, watcher, console) if compare else {}
    outcome = Outcome(
        plan=plan,
        figures=figures,
        versions=len(versions),
        changes=differences(watcher.witness.sightings),
        opens=opens,
        missed=[sentence for report in reports for sentence in report.missing] + missed_bars(figures),
        seconds=seconds,
        command=command,
        machine=this_machine(),
        pictures=_pictures(federation, figures, versions, beside),
        beside=beside,
    )
    _write(outcome, out)
    console.print(
        rich_table(figures, f"{plan.data}: {len(versions)} versions, {seconds:.0f} s, 0 labels at the center")
    )
    return outcome


def _watched(federation: Federation, screen: Screen, timeout_s: float) -> tuple[list[NetVersion], Watcher]:
    federation.start(lambda: None)
    screen.tell(f"the center accepts calls on {federation.address}; {len(federation.sites)} sites started")
    watcher = Watcher(federation.kit("witness"), federation.out / "witness", screen.tell)
    watcher.start()
    try:

        def on_tick(happened: list[str]) -> None:
            for sentence in happened:
                screen.tell(sentence)
            screen.show(watcher.seen())

        federation.run(on_tick, timeout_s)
        screen.tell("every site has its routes; downloading all versions once more")
        return watcher.finish(), watcher
    finally:
        watcher.close()


def _audit_myself(federation: Federation) -> None:
    """Put this process under the same audit as those that it starts."""
    environment = federation.audit_of(HARNESS)
    os.environ.update(environment)
    install_open_audit()


def _shared(federation: Federation) -> dict[str, frozenset[str]]:
    if federation.data_root is None:
        return {}
    return {str(federation.data_root): frozenset(federation.sites)}


def _leg(out: Path, seconds: float) -> float:
    """Add this run to the earlier, interrupted ones of the same journey."""
    note = out / "seconds"
    before = float(note.read_text(encoding="utf-8")) if note.is_file() else 0.0
    write_whole(note, str(before + seconds))
    return before + seconds


def _baseline(
    federation: Federation,
    figures: Sequence[Figure],
    versions: Sequence[NetVersion],
    watcher: Watcher,
    console: Console,
) -> dict[tuple[str, str, str], float]:
    """Learn each transplanted route's adapter once more, from labels, in this process."""
    plan = federation.plan
    beside: dict[tuple[str, str, str], float] = {}
    folder = watcher.witness.directory / FINAL
    for route in versions[-1].routes:
        if route.adapter is None:
            continue
        console.print(f"for comparison: {BESIDE_NAME}, {route.category} {route.task}")
        measured = direct_learn(
            route,
            versions[-1],
            folder,
            data=plan.data,
            home=federation.out / "comparison" / route.category,
            data_root=federation.data_root or federation.out,
            samples=DIRECT_LEARN_SAMPLES,
            seed=plan.seed,
        )
        for metric, value in measured.items():
            beside[route.category, route.task, metric] = value
    wanted = {(each.category, each.task, each.metric) for each in figures}
    return {name: value for name, value in beside.items() if name in wanted}


def _pictures(
    federation: Federation,
    figures: Sequence[Figure],
    versions: Sequence[NetVersion],
    beside: dict[tuple[str, str, str], float],
) -> list[Path]:
    folder = federation.out / "pictures"
    folder.mkdir(exist_ok=True)
    draw: list[tuple[str, Callable[[Path], None]]] = [
        ("errors.png", lambda path: draw_bars(figures, path, beside, BESIDE_NAME)),
        ("net.png", lambda path: draw_net(versions, path)),
    ]
    for name, function in draw:
        function(folder / name)
    drawn = [folder / name for name, _ in draw]
    return drawn + [path for path in map(federation.preview, federation.plan.categories) if path.is_file()]


def _write(outcome: Outcome, out: Path) -> None:
    document = report_document(
        outcome.figures,
        unchanged=not outcome.changes,
        versions=outcome.versions,
        seconds=outcome.seconds,
    )
    book = RecordBook(out)
    plan = outcome.plan
    common: dict[str, Any] = {
        "data": plan.data,
        "seed": plan.seed,
        "disclosure": plan.disclosure,
        "commit": outcome.machine.commit,
    }
    for record in records_of(outcome.figures, common):
        book.add(record)
    for (category, task, metric), value in outcome.beside.items():
        same = next(
            each
            for each in outcome.figures
            if (each.category, each.task, each.metric) == (category, task, metric)
        )
        book.add(
            Record(
                bench="journey", metric=metric, value=value, unit="percent", category=category, task=task,
                method="direct-learn", samples=DIRECT_LEARN_SAMPLES, teacher=same.teacher, floor=same.floor,
                **common,
            )
        )  # fmt: skip
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    book.add(
        Record(
            bench="journey", metric="duration", value=round(outcome.seconds, 1), unit="seconds",
            seconds=round(outcome.seconds, 1), cpu_seconds=round(used.ru_utime + used.ru_stime, 1),
            peak_rss_bytes=used.ru_maxrss * 1024, **common,
        )
    )  # fmt: skip
    write_whole(out / "report.md", markdown(outcome, out))
    write_whole(out / "report.json", json.dumps(document, indent=2))
