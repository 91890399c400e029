"""The card of an exported version: what it is, whose work is in it, and how its answers are read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from transplant.artifact.net_document import net_digest
from transplant.nets.architecture_table import image_px
from transplant.nets.route_guide import RouteGuide
from transplant.types import ModuleKind, Task

if TYPE_CHECKING:
    from collections.abc import Mapping

    from transplant.artifact.manifest import Manifest
    from transplant.nets.transplant_net import TransplantNet
    from transplant.types import Route

_ANSWERS = {
    Task.CLASSIFICATION: "one logit an image and category; over 0: the category is in the picture",
    Task.SEGMENTATION: "one logit a pixel and category; over 0: the pixel shows the category",
}

_TOLD = {
    "site", "category", "kind", "task", "architecture", "parents", "metrics", "training", "libraries",
    "payload_sha256", "payload_bytes",
}  # fmt: skip


def net_card(net: TransplantNet, manifests: Mapping[str, Manifest]) -> dict[str, Any]:
    """Return the card as plain JSON values.

    Args:
        net: the version.
        manifests: module id -> manifest, of every module of the version.
    """
    version = net.version
    return {
        "format": 1,
        "version": version.number,
        "digest": net_digest(version),
        "parent_digest": version.parent_digest,
        "input": {
            "images": "float32 (number, 3, side, side) in 0 to 1, RGB, scaled to the side",
            "side": sorted({_side(line, manifests) for line in version.routes}),
        },
        "answers": {task.value: _ANSWERS[task] for task in Task if net.categories(task)},
        "probability": "sigmoid((logit - offset) / temperature)",
        "routes": [_route(net, line) for line in version.routes],
        "modules": {module_id: _module(manifests[module_id]) for module_id in version.module_ids()},
    }


def _side(line: Route, manifests: Mapping[str, Manifest]) -> int:
    return image_px(manifests[line.category_module].architecture.to_type())


def _route(net: TransplantNet, line: Route) -> dict[str, Any]:
    calibration = net.guides.get((line.category, line.task), RouteGuide()).calibration
    return {
        "category": line.category,
        "task": line.task.value,
        "category_module": line.category_module,
        "adapter": line.adapter,
        "task_module": line.task_module,
        "merge_key": line.merge_key,
        "supervised_by": line.supervised_by,
        "temperature": calibration.temperature,
        "offset": calibration.offset,
    }


def _module(manifest: Manifest) -> dict[str, Any]:
    told = manifest.model_dump(mode="json", include=_TOLD)
    if manifest.kind is ModuleKind.CATEGORY:
        told["disclosure"] = manifest.statistics.level.value
    return told
