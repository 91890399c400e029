"""A version of the net on a disk, sealed module by module as a center hands it out."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from benchmarks.speed.sealed_version import shift, write_version
from fakes.grown_net import architecture, grown_net
from transplant.types import Task

if TYPE_CHECKING:
    from pathlib import Path

    from transplant.artifact.net_folder import NetFolder
    from transplant.types import NetVersion


def net_on_disk(
    root: Path, categories: int = 3, *, number: int = 1, seed: int = 0, supervised: str = ""
) -> tuple[NetFolder, NetVersion]:
    """Write a version with both tasks of some categories; `seed` changes the answers of all of them.

    `supervised` names a category whose segmentation the teacher of c0 taught.
    """
    net = grown_net(categories)
    if seed:
        shift(net.route("c0", Task.CLASSIFICATION).task_module, seed)
    routes = [
        replace(line, supervised_by="c0")
        if (line.category, line.task) == (supervised, Task.SEGMENTATION)
        else line
        for line in net.version.routes
    ]
    return write_version(root, net, routes, number, architecture(8))
