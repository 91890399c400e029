"""`transplant-bench claims`: every claim with what was measured, missed ones and unmeasured ones included."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from benchmarks.records import FILE_NAME, Record, read_records
from transplant.errors import BenchmarkFailed, InvalidSettings

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from benchmarks.claims.judge import Finding

RESULTS = Path(__file__).resolve().parents[1] / "results"

_STYLES = {"met": "green", "missed": "red", "not measured": "yellow"}


def claims(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(help="records: folders of benches, or .json results (those of the source tree)"),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON document")] = False,
    strict: Annotated[
        bool, typer.Option("--strict", help="fail if a claim is missed or not measured")
    ] = False,
) -> None:
    """Hold what the project claims against what was measured."""
    from benchmarks.claims.claim import read_claims
    from benchmarks.claims.judge import Verdict, judge  # both take seconds to import: --help should not

    records = [record for path in paths or [RESULTS] for record in records_of(path)]
    stated = read_claims()
    findings = {name: judge(claim, records) for name, claim in stated.items()}
    says = {name: claim.says for name, claim in stated.items()}
    if as_json:
        typer.echo(json.dumps(_document(says, findings), indent=1, ensure_ascii=False))
    else:
        Console(width=None if sys.stdout.isatty() else 200).print(_table(says, findings))
    short = [name for name, finding in findings.items() if finding.verdict is not Verdict.MET]
    if strict and short:
        raise BenchmarkFailed(f"{len(short)} of {len(findings)} claims are not met: {', '.join(short)}")


def records_of(path: Path) -> list[Record]:
    """Return the records under a path, each cell once.

    Args:
        path: a folder with a `records.jsonl`, a result file with a list `records`, or a folder of such files.

    Raises:
        InvalidSettings: if there is nothing of the kind, or a file cannot be read.
    """
    if (path / FILE_NAME).is_file():
        return read_records(path)
    files = sorted(path.glob("*.json")) if path.is_dir() else [path]
    if not files:
        raise InvalidSettings(f"{path} holds neither {FILE_NAME} nor .json results")
    unique = {record.key(): record for file in files for record in _records_in(file)}
    return list(unique.values())


def _records_in(file: Path) -> list[Record]:
    try:
        content: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        return [Record(**record) for record in content.get("records", [])]  # journeys have routes instead
    except (OSError, ValueError, TypeError) as error:
        raise InvalidSettings(f"{file} is not a result of a bench: {error}") from error


def _document(says: Mapping[str, str], findings: Mapping[str, Finding]) -> list[dict[str, object]]:
    return [
        {"claim": name, "says": says[name], "verdict": finding.verdict.value, "figures": list(finding.lines)}
        for name, finding in findings.items()
    ]


def _table(says: Mapping[str, str], findings: Mapping[str, Finding]) -> Table:
    table = Table("claim", "says", "verdict", "figures", show_lines=True)
    for name, finding in findings.items():
        style = _STYLES[finding.verdict.value]
        verdict = f"[{style}]{finding.verdict.value}[/{style}]"
        table.add_row(name, says[name], verdict, "\n".join(_first(finding.lines)))
    return table


def _first(lines: Iterable[str], most: int = 4) -> list[str]:
    shown = list(lines)
    return shown if len(shown) <= most else [*shown[:most], f"and {len(shown) - most} more"]
