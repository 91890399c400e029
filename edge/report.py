"""SITEHOME/report.json: what the universal net does for this site's own category, in percent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edge.outbox import Outbox
from edge.site_home import SiteHome, write_document

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from edge.evaluate import RouteFigures
    from transplant.types import MergeState, Task


def write_report(
    home: SiteHome,
    *,
    site: str,
    category: str,
    version: int,
    routes: Sequence[RouteFigures],
    states: Mapping[Task, MergeState],
    raw_bytes: int,
) -> dict[str, Any]:
    """Write the report and return it.

    Args:
        home: the site.
        site: its name.
        category: its category.
        version: number of the transplant net's version that was measured; 0 for none.
        routes: the figures of every task.
        states: how far each task's merge is, as far as it is known.
        raw_bytes: size of the data that stayed.
    """
    document: dict[str, Any] = {
        "site": site,
        "category": category,
        "version": version,
        "routes": [
            figures.to_dict() | {"state": states[figures.task].value if figures.task in states else ""}
            for figures in routes
        ],
        "bytes_shipped": Outbox(home.outbox).shipped_bytes(),
        "raw_bytes_kept": raw_bytes,
    }
    write_document(home.report, document)
    return document


def report_lines(report: dict[str, Any]) -> list[str]:
    """Return the report as a few plain lines: the measure that counts, three ways."""
    lines = [
        f"{report['site']}: {report['category']} through version {report['version']} of the universal net"
    ]
    for route in report["routes"]:
        for name in ("error", "pixel_accuracy", "iou"):
            if name in route["teacher"]:
                through = route["transplanted"].get(name)
                shown = "no route yet" if through is None else f"{through:.2f} %"
                lines.append(
                    f"  {route['task']:<14}  {name.replace('_', ' '):<14}"
                    f"  teacher {route['teacher'][name]:.2f} %  transplanted {shown}"
                    f"  floor {route['floor'][name]:.2f} %  ({route['sample_count']} samples)"
                )
    lines.append(f"  shipped {report['bytes_shipped']} bytes; raw data of {report['raw_bytes_kept']} stayed")
    return lines
