"""The report of a journey for people: report.md with the table, the pictures, the proofs, the machine."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from benchmarks.journey.table import markdown_table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from benchmarks.journey.figures import Figure
    from benchmarks.journey.open_proof import OpenProof
    from benchmarks.journey.plan import JourneyPlan
    from benchmarks.machine import Machine

BESIDE_NAME = "direct-learn, 100 labels"


@dataclass(frozen=True)
class Outcome:
    """Everything a finished journey found."""

    plan: JourneyPlan
    figures: Sequence[Figure]
    versions: int
    changes: Sequence[str]
    opens: OpenProof
    missed: Sequence[str]
    seconds: float
    command: str
    machine: Machine
    pictures: Sequence[Path]
    beside: Mapping[tuple[str, str, str], float] = field(default_factory=dict[tuple[str, str, str], float])

    @property
    def faults(self) -> list[str]:
        """Return every broken promise and every missed bar, in plain sentences."""
        return [
            *(f"changed: {change}" for change in self.changes),
            *(f"foreign open: {sentence}" for sentence in self.opens.foreign),
            *(f"bar missed: {sentence}" for sentence in self.missed),
        ]


def markdown(outcome: Outcome, out: Path) -> str:
    """Return report.md; picture links are relative to `out`."""
    plan = outcome.plan
    hosted = ", ".join(plan.categories[1:]) + (" was" if len(plan.categories) == 2 else " were")
    parts = [
        f"# A journey on {plan.data}",
        f"`{plan.founder}` founded the net; {hosted} transplanted into it with **no labelled sample and no "
        f"image at the center** (disclosure `{plan.disclosure}`). Each figure is measured by the site "
        "itself, on test images that only the site has, through the published net.",
        markdown_table(outcome.figures, outcome.beside, BESIDE_NAME),
        _explanation(bool(outcome.beside)),
        "## What was proved",
        _proofs(outcome),
        "## Pictures",
        *(f"![{path.stem}]({path.relative_to(out)})" for path in outcome.pictures),
        "## How it was measured",
        f"`{outcome.command}`, seed {plan.seed}, {outcome.seconds:.0f} s from the first process to the last "
        f"verdict. {outcome.machine.sentence()}.",
    ]
    return "\n\n".join(parts) + "\n"


def _explanation(beside: bool) -> str:
    text = (
        "Floor: the better constant answer for classification, all background for segmentation. Closed: "
        "the share of the distance from the floor to the teacher. Shipped: what the site sent of itself. "
        "Raw, kept: the size of the images, labels and masks that stayed."
    )
    if beside:
        text += (
            f" {BESIDE_NAME}: for comparison only, and outside the federation. It is the same adapter, but "
            "learned from 100 labelled images of the site's training split, which the benchmark reads from "
            "the data pack."
        )
    return text


def _proofs(outcome: Outcome) -> str:
    changes = (
        "no module changed a byte and no route changed a bit of its logits"
        if not outcome.changes
        else "BROKEN: " + "; ".join(outcome.changes)
    )
    seen = sum(outcome.opens.opens.values())
    opens = (
        "none opened anything of a site but the site itself"
        if outcome.opens.holds
        else "BROKEN: " + "; ".join(outcome.opens.foreign[:5])
    )
    bars = (
        "every transplanted route at least halves the distance from the floor to its teacher"
        if not outcome.missed
        else "MISSED: " + "; ".join(outcome.missed)
    )
    return "\n".join(
        [
            f"- Nothing is forgotten: a reader downloaded each of the {outcome.versions} versions when it "
            f"was published and all again at the end; {changes}.",
            f"- Data stays: {seen} opens of files below the homes and the data packs were logged by the "
            f"interpreter of each process, Ray's workers too; {opens}.",
            f"- Quality: {bars}.",
        ]
    )
