"""Guides of routes in one safetensors file: a tensor a route, named by its merge.

A tensor holds temperature, offset, then the weights of the plausibility where there are any. The file is made
where it is read (by a site, or beside a center's replicas) and is never sent; it is checked all the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from safetensors.torch import load as load_tensors

from transplant.artifact.codec import encode_tensors
from transplant.artifact.durable_file import storage_errors, write_durably
from transplant.artifact.limits import DEFAULT_LIMITS
from transplant.artifact.manifest_fields import WEIGHT_DTYPES
from transplant.artifact.safetensors_header import read_header
from transplant.errors import ArtifactRejected, CheckpointInvalid, InvalidSettings
from transplant.nets.prediction import Calibration
from transplant.nets.route_guide import RouteGuide

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from transplant.types import NetVersion, Task

_CALIBRATION = 2


def write_guides(path: Path, version: NetVersion, guides: Mapping[tuple[str, Task], RouteGuide]) -> None:
    """Write the guides of a version's routes; routes without one are left out.

    Raises:
        InvalidSettings: if there is none to write.
        StorageFull: if the disk is full.
    """
    tensors = {
        route.merge_key: _told(guides[route.category, route.task])
        for route in version.routes
        if (route.category, route.task) in guides
    }
    if not tensors:
        raise InvalidSettings(f"none of these guides is of a route of version {version.number}")
    payload, _ = encode_tensors(tensors, WEIGHT_DTYPES)
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    write_durably(path, payload)


def read_guides(path: Path, version: NetVersion) -> dict[tuple[str, Task], RouteGuide]:
    """Return the guides of a version's routes by category and task.

    Raises:
        CheckpointInvalid: if the file is damaged: delete it, and learn the guides again.
    """
    try:
        read_header(path, DEFAULT_LIMITS, WEIGHT_DTYPES)
        tensors = load_tensors(path.read_bytes())
        return {
            (route.category, route.task): _guide(tensors[route.merge_key])
            for route in version.routes
            if route.merge_key in tensors
        }
    except (ArtifactRejected, InvalidSettings) as error:
        raise CheckpointInvalid(
            f"{path} is damaged ({error}): delete it; guides are learned again"
        ) from error


def _told(guide: RouteGuide) -> torch.Tensor:
    calibration = torch.tensor([guide.calibration.temperature, guide.calibration.offset])
    weights = guide.plausibility_D
    return calibration if weights is None else torch.cat([calibration, weights])


def _guide(tensor: torch.Tensor) -> RouteGuide:
    if tensor.dim() != 1 or len(tensor) < _CALIBRATION:
        raise InvalidSettings(f"a guide of shape {list(tensor.shape)}")
    temperature, offset = tensor[:_CALIBRATION].tolist()
    weights = tensor[_CALIBRATION:].clone()
    return RouteGuide(Calibration(temperature, offset), weights if len(weights) else None)
