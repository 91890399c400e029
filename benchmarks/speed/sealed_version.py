"""A net in memory as a version on a disk, sealed module by module as a center hands it out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from transplant.artifact.codec import seal, write_artifact
from transplant.artifact.digest import canonical_json, sha256_hex
from transplant.artifact.net_document import net_document
from transplant.artifact.net_folder import NetFolder
from transplant.nets.adapter import Adapter
from transplant.nets.architecture_table import adapter_architecture, seam_of
from transplant.types import Architecture, ModuleKind, NetVersion, Route, Task

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from torch import nn

    from transplant.nets.transplant_net import TransplantNet

SITE = "site-a"


def write_version(
    root: Path, net: TransplantNet, routes: Sequence[Route], number: int, architecture: Architecture
) -> tuple[NetFolder, NetVersion]:
    """Write the modules of a net and its routes, under the ids that the modules then have.

    Args:
        root: folder of the net; modules that an earlier version wrote there are written once.
        net: whose modules.
        routes: of it, the founder's first, into whose task modules all lead.
        number: of the version.
        architecture: of every category and task module.
    """
    folder, founder = NetFolder.at(root), routes[0].category
    ids: dict[int, str] = {}
    written: list[Route] = []

    def sealed(
        module: nn.Module, kind: ModuleKind, category: str, task: Task | None, parents: tuple[str, ...] = ()
    ) -> str:
        if id(module) not in ids:
            manifest, payload = seal(
                module, site=SITE, category=category, kind=kind, task=task,
                architecture=_described(module, architecture), parents=parents,
            )  # fmt: skip
            write_artifact(folder.modules[0], manifest, payload)
            ids[id(module)] = manifest.module_id
        return ids[id(module)]

    for route in routes:
        parts = net.assemble(route)
        f = sealed(parts.category_module, ModuleKind.CATEGORY, route.category, None)
        g = sealed(parts.task_module, ModuleKind.TASK, founder, route.task, (f,))
        h = None
        if route.adapter is not None:
            h = sealed(parts.adapter, ModuleKind.ADAPTER, route.category, route.task)
        key = sha256_hex(canonical_json({"number": number, "merge": route.merge_key}))
        written.append(Route(route.category, route.task, f, h, g, key, route.supervised_by))
    version = NetVersion(number, None if number == 1 else "0" * 64, tuple(written))
    path = folder.net / str(number) / "net.json"
    path.parent.mkdir(parents=True)
    path.write_bytes(net_document(version))
    return folder, version


def shift(task_module: nn.Module, by: float) -> None:
    """Add a number to every answer of a task module, whose last layer must have a bias."""
    last = [layer for layer in task_module.modules() if isinstance(layer, torch.nn.Conv2d)][-1]
    if last.bias is None:
        raise ValueError("the last layer has no bias to shift")
    last.bias.data.add_(by)


def _described(module: nn.Module, architecture: Architecture) -> Architecture:
    if not isinstance(module, Adapter):
        return architecture
    channels, order = seam_of(architecture).channels, module.reorder
    return adapter_architecture(
        channels, channels, len(module.chain), module.kernel, None if order is None else order.tolist()
    )
