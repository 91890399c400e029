"""The report of the quality benches: one Markdown page, the paper's tables beside ours, and pictures."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from benchmarks.journey.figures import write_whole
from benchmarks.quality.cells import METRICS, Bench
from benchmarks.quality.few_table import few_parts
from benchmarks.quality.folder import runs_of
from benchmarks.quality.gallery import inner_pictures, table_pictures
from benchmarks.quality.paper import paper_table
from benchmarks.quality.plan import EXPERIMENTS
from benchmarks.quality.summary import tables_of
from benchmarks.quality.tables import Extras, papers_table, quality_table, speed_sentence, table_line
from benchmarks.quality.transfer_page import transfer_parts
from benchmarks.speed.shipping import HEADER, shipping_records, shipping_rows
from transplant.types import Task

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from benchmarks.records import Record

PAGE = "report.md"
_PICTURES = "pictures"


def write_page(directory: Path, records: Sequence[Record]) -> Path:
    """Write `directory/report.md` and its pictures from records; return the page's path."""
    pictures = directory / _PICTURES
    if pictures.is_dir():
        shutil.rmtree(pictures)  # pictures of records that are no more would be taken for current ones
    pictures.mkdir(parents=True)
    path = directory / PAGE
    write_whole(path, markdown(directory, records, pictures))
    return path


def markdown(directory: Path, records: Sequence[Record], pictures: Path) -> str:
    """Return the page; draws the pictures into `pictures` on the way."""
    extras = Extras(records)
    parts = ["# Quality", _READING]
    bench = None
    for key, mine in tables_of(records).items():
        if key.bench != bench:
            bench = key.bench
            parts.append(f"## {EXPERIMENTS[Bench(bench)].title}")
        seeds = sorted({record.seed for record in mine if record.seed is not None})
        parts += [
            f"### {key.title()}",
            f"Means over {len(seeds)} seed{'s' if len(seeds) != 1 else ''} ({', '.join(map(str, seeds))}).",
            quality_table(key, mine, extras),
        ]
        speed = speed_sentence(mine)
        parts += [speed] if speed and key.metric == METRICS[Task(key.task)][0] else []
        paper = paper_table(key.bench, key.task, key.metric, key.layers)
        if paper is not None:
            parts += [
                f"**The paper's own numbers on its own data** ({paper.source}, {paper.name}): other images, "
                "other nets, one run. Compare orders and gaps, not values.",
                papers_table(paper),
            ]
        parts += [
            _shown(caption, each, directory) for caption, each in table_pictures(key, mine, extras, pictures)
        ]
    shipped = shipping_records(records)
    if shipped:
        lines = [table_line(HEADER), "|:---|:---|---:|---:|---:|", *map(table_line, shipping_rows(shipped))]
        parts += ["## What a site sends", _SHIPPING, "\n".join(lines)]
    parts += few_parts(records)
    parts += transfer_parts(
        directory, records, pictures, lambda caption, path: _shown(caption, path, directory)
    )
    inner = inner_pictures(directory, pictures)
    if inner:
        parts.append("## Inside the nets")
        parts += [_shown(caption, each, directory) for caption, each in inner]
    parts += ["## How it was measured", _runs(directory, records)]
    return "\n\n".join(parts) + "\n"


_READING = (
    "Figures of classification stand with their 95 % Wilson interval, the test images of all seeds "
    "(and, for the average, categories) pooled; where seeds share test images the interval is "
    "somewhat too narrow. Figures of segmentation stand with their smallest and largest value "
    "instead: pixels of one image are not independent. Floor: the better constant answer for "
    "classification, all background for segmentation. Gap closed: the share of the way from the floor "
    "to the teacher, by error or by IoU. Agreement: how often the route answers as the teacher does. "
    "Bytes up: what one site sends for this adapter to be learned, labelled images included where a "
    "method needs them. Each cell asserted that not one bit of f, g_S and g_T changed."
)


_SHIPPING = (
    "Counted by sealing, not measured: a site that ships outputs sends f and its answers to the probe that a "
    "center asks by default, one that ships modules f and its task modules in float32."
)


def _shown(caption: str, path: Path, directory: Path) -> str:
    return f"![{caption}]({path.relative_to(directory)})\n\n*{caption}*"


def _runs(directory: Path, records: Sequence[Record]) -> str:
    lines = [
        f"- `{run['command']}`: {run['cells']} cells, seeds {', '.join(map(str, run['seeds']))}, "
        f"{run['workers']} workers of {run['threads']} threads, {run['seconds']:.0f} s. {run['machine']}."
        if "cells" in run
        else f"- `{run['command']}`: {run['cases']} cases, {run['seconds']:.0f} s. {run['machine']}."
        for run in runs_of(directory)
    ]
    commits = sorted({record.commit for record in records if record.commit})
    return "\n".join([*lines, f"- Commits of the records: {', '.join(commits) or 'not told'}."])
