"""A version of the net on a disk, sealed module by module as a center hands it out."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import torch

from fakes.grown_net import architecture, grown_net
from transplant.artifact.codec import seal, write_artifact
from transplant.artifact.net_document import net_document
from transplant.artifact.net_folder import NetFolder
from transplant.nets.adapter import Adapter
from transplant.nets.architecture_table import adapter_architecture
from transplant.types import ModuleKind, NetVersion, Route, Task

if TYPE_CHECKING:
    from pathlib import Path

    from torch import nn

    from transplant.artifact.manifest import Manifest


def net_on_disk(
    root: Path, categories: int = 3, *, number: int = 1, seed: int = 0, supervised: str = ""
) -> tuple[NetFolder, NetVersion]:
    """Write a version with both tasks of some categories; `seed` changes the answers of all of them.

    `supervised` names a category whose segmentation the teacher of c0 taught.
    """
    net = grown_net(categories)
    if seed:
        shift(net.route("c0", Task.CLASSIFICATION).task_module, seed)
    folder = NetFolder.at(root)
    ids: dict[int, str] = {}
    routes: list[Route] = []
    for line in net.version.routes:
        parts = net.assemble(line)
        f = _written(folder, parts.category_module, ModuleKind.CATEGORY, line.category, None, ids)
        g = _written(folder, parts.task_module, ModuleKind.TASK, "c0", line.task, ids, parents=(f,))
        h = None
        if line.adapter is not None:
            h = _written(folder, parts.adapter, ModuleKind.ADAPTER, line.category, line.task, ids)
        key = hashlib.sha256(f"{line.merge_key}{seed}".encode()).hexdigest()
        told = "c0" if (line.category, line.task) == (supervised, Task.SEGMENTATION) else ""
        routes.append(Route(line.category, line.task, f, h, g, key, told))
    version = NetVersion(number, None if number == 1 else "0" * 64, tuple(routes))
    path = folder.net / str(number) / "net.json"
    path.parent.mkdir(parents=True)
    path.write_bytes(net_document(version))
    return folder, version


def shift(task_module: nn.Module, by: float) -> None:
    """Add a number to every answer of a task module."""
    last = [layer for layer in task_module.modules() if isinstance(layer, torch.nn.Conv2d)][-1]
    assert last.bias is not None
    with torch.no_grad():
        last.bias.add_(by)


def _written(
    folder: NetFolder,
    net: nn.Module,
    kind: ModuleKind,
    category: str,
    task: Task | None,
    ids: dict[int, str],
    parents: tuple[str, ...] = (),
) -> str:
    if id(net) not in ids:
        described = architecture(8)
        if isinstance(net, Adapter):
            order = None if net.reorder is None else net.reorder.tolist()
            described = adapter_architecture(8, 8, len(net.chain), net.kernel, order)
        manifest, payload = seal(
            net,
            site="site-a",
            category=category,
            kind=kind,
            task=task,
            architecture=described,
            parents=parents,
        )
        write_artifact(folder.modules[0], manifest, payload)
        ids[id(net)] = _id(manifest)
    return ids[id(net)]


def _id(manifest: Manifest) -> str:
    return manifest.module_id
