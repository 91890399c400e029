"""The lineage of a route as rich tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rich.console import RenderableType


def lineage_tables(document: Mapping[str, Any]) -> list[RenderableType]:
    """Return `lineage_document` for a person."""
    merge, version, gates = document["merge"], document["version"], document["gates"]
    supervised = document["route"]["supervised_by"]
    taught = f", supervised by the teacher of {supervised}" if supervised else ""
    published = f"{version['digest'][:12]}, {version['published_at'][:16]}"
    head = Text(
        f"{document['category']}/{document['task']} in version {version['number']} ({published}){taught}; "
        f"sites: {', '.join(document['sites'])}; disclosed: {', '.join(document['disclosures'])}; "
        f"merge {merge['merge_key'][:12]}, seed {merge['seed']}"
    )
    refined = _refinement(merge["refinement"])
    return [
        head,
        _modules(document),
        _gate_lines(gates),
        *refined,
        *_who_and_when(document),
        *_attempts(document),
    ]


def _refinement(told: Mapping[str, Any] | None) -> list[RenderableType]:
    """Return how a published route became this one, if it did: by whom, how, with what labels and noise."""
    if told is None:
        return []
    if "fine_tuned" in told:
        return [
            Text(
                f"With the task module {told['fine_tuned'][:12]}, fine-tuned from {told['from'][:12]} on "
                f"{', '.join(told['categories'])} in {told['steps']} steps, seed {told['seed']}; until then "
                f"merge {told['of'][:12]}."
            )
        ]
    labels = f"{told['labels']:.0f} labels" if told["labels"] else "no label"
    if told["labels"] is None:
        labels = f"at most {told['settings']['labels']} labels a site"
    noise = f", noise of {told['privacy']}" if told["privacy"] else ""
    return [
        Text(
            f"Refined from merge {told['of'][:12]} in {told['rounds']} rounds ({told['strategy']}, seed "
            f"{told['seed']}) with {labels}{noise} at {', '.join(told['sites'])}."
        )
    ]


def _modules(document: Mapping[str, Any]) -> Table:
    names = ("role", "module", "site", "samples", "MB of data", "seed", "disclosure", "made with")
    table = Table(*names, title="Made of")
    for each in document["modules"]:
        libraries = ", ".join(f"{name} {version}" for name, version in each["libraries"].items())
        words = (
            each["role"],
            each["module_id"][:12],
            each["site"],
            str(each["samples"] or "-"),
            f"{each['raw_bytes'] / 1e6:.1f}" if each["raw_bytes"] else "-",
            str(each["seed"]) if each["samples"] else "-",  # what was never trained has none
            each["disclosure"],
            libraries,
        )
        table.add_row(*map(Text, words))
    return table


def _gate_lines(gates: Mapping[str, Any]) -> Table:
    table = Table("gate", "figure", title="Gates")
    agreement, verdict, unchanged = gates["agreement"], gates["verdict"], gates["unchanged"]
    table.add_row("data-free agreement", "-" if agreement is None else f"{agreement:.1f} %")
    if verdict is None:
        table.add_row("the site's verdict", "none")
    else:
        samples = verdict["figures"].get("validation_samples", 0)
        signed = f"signature {verdict['signature']} (certificate {verdict['certificate'] or '-'})"
        told = f"closes {verdict['closed']:.1f} % on {samples:.0f} samples of {verdict['site']}, {signed}"
        table.add_row("the site's verdict", Text(told))
    table.add_row("nothing forgotten", f"{unchanged['equal']} of {unchanged['compared']} bit-identical")
    return table


def _who_and_when(document: Mapping[str, Any]) -> list[RenderableType]:
    approved = "; ".join(f"{each['who']} ({each['by']})" for each in document["approved_by"])
    history = ", ".join(f"{each['what']} with version {each['version']}" for each in document["history"])
    return [Text(f"Approved by {approved}."), Text(f"The route: {history}.")]


def _attempts(document: Mapping[str, Any]) -> list[RenderableType]:
    table = Table(
        "merge", "into", "layers", "supervised by", "state", "agree %", "why", title="Other attempts"
    )
    for each in document["attempts"]:
        agreement = each["figures"].get("agreement")
        words = (
            each["merge_key"][:12],
            each["host"] or "-",
            str(each["layers"] or "-"),
            each["supervised_by"] or "-",
            each["state"],
            "-" if agreement is None else f"{agreement:.1f}",
            each["reason"],
        )
        table.add_row(*map(Text, words))
    return [table] if document["attempts"] else []
