"""Answer the center's candidates: measure a route on the site's own data, report figures, never data.

Measured on the validation split, so that the test split stays untouched by what is admitted.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from edge.evaluate import measure_route
from edge.pull import fetch, load_net
from edge.site_home import SiteHome, read_document, write_document
from transplant.errors import MergeNotPossible
from transplant.nets.placement import CPU
from transplant.nets.temperature import TEMPERATURE, TemperatureFit
from transplant.types import NetVersion, Route, Task, Verdict

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch

    from edge.datasets.site_dataset import SiteDataset
    from transplant.nets.teacher_net import TeacherNet
    from transplant.rpc.client import CentralClient


def answer_candidates(
    client: CentralClient,
    home: SiteHome,
    teacher: TeacherNet,
    category: str,
    tasks: Sequence[Task],
    data: SiteDataset,
    device: torch.device = CPU,
) -> list[Verdict]:
    """Measure and answer every candidate route that learned from this site's teacher.

    Most are of its own category. Where another category's site never taught the task and learned it from
    this teacher, this site is the one that has data of the task, and measures that route, too.

    A verdict is written down before it is sent: after a crash the same figures are sent again.

    Returns:
        The verdicts that were sent.

    Raises:
        ArtifactRejected: if a module of a candidate is not what its id says.
    """
    sent: list[Verdict] = []
    for merge_key, route in client.fetch_candidates():
        taught_by = route.supervised_by or route.category
        if taught_by != category or route.task not in tasks:
            continue  # another category of the same site: its own agent answers
        path = home.verdicts / f"{merge_key}.json"
        document = read_document(path)
        verdict = (
            Verdict(**document)
            if document
            else _measured(client, home, teacher, merge_key, route, data, device)
        )
        if document is None:
            write_document(path, asdict(verdict))
        try:
            client.report_verdict(verdict)
        except MergeNotPossible:
            continue  # decided meanwhile (deadline, cancelled): nothing waits for this answer any more
        sent.append(verdict)
    return sent


def _measured(
    client: CentralClient,
    home: SiteHome,
    teacher: TeacherNet,
    merge_key: str,
    route: Route,
    data: SiteDataset,
    device: torch.device,
) -> Verdict:
    # A candidate is not in any version yet: it is assembled as a net of this one route.
    alone = NetVersion(0, None, (route,))
    for module_id in alone.module_ids():
        fetch(client, home, module_id)
    candidate = load_net(home, alone).route(route.category, route.task)
    # How sure the route's answers may sound, the site alone can tell; whoever uses the net is told.
    fit = TemperatureFit()
    figures = measure_route(teacher, candidate, data, route.task, device, fit.look)
    transplanted = figures.transplanted | {TEMPERATURE: fit.temperature()}
    return Verdict(merge_key, figures.teacher, transplanted, figures.floor, figures.sample_count)
