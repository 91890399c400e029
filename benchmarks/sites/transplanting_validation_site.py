"""What a site does to validate routes: measure them on what its teachers held out; only figures leave it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from benchmarks.sites.engine import AT_HOME, SiteReply
from benchmarks.sites.transplanting_center import adapter_shape, category_of
from benchmarks.sites.transplanting_site import split_for, teacher_seed
from transplant.errors import InvalidSettings
from transplant.nets.architecture_table import default_architecture
from transplant.nets.architectures import build_adapter, build_category_module, build_task_module
from transplant.nets.measures import measure
from transplant.nets.temperature import TEMPERATURE, TemperatureFit
from transplant.nets.transplant_net import RouteNet, freeze
from transplant.types import Task

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor, nn

    from benchmarks.sites.engine import Setting
    from benchmarks.sites.federation import LocalData
    from edge.datasets.site_dataset import SiteDataset
    from transplant.types import Architecture

_BATCH_OF_MEASURES = 256


def validate_routes(
    data: LocalData, sent: Mapping[str, Tensor], settings: Mapping[str, Setting]
) -> SiteReply:
    """Measure each route that was sent (a `SiteWork`).

    Args:
        data: the site's pictures; only what its teacher of a route's category held out is looked at.
        sent: g_S as `host.NAME`, and of each route `ROUTE.f.NAME` and, unless it is the founder's own,
            `ROUTE.h.NAME`, ROUTE as `route_key` names it. What lies at the site begins with `AT_HOME`.
        settings: `arch`, `run_seed`.

    Returns:
        No tensor; figures `ROUTE.error` in percent, `ROUTE.temperature`, and `ROUTE.held_out`, on how many
        pictures.

    Raises:
        InvalidSettings: if the site has no teacher of a route's category.
    """
    tensors = {name.removeprefix(AT_HOME): tensor for name, tensor in sent.items()}
    architecture = default_architecture(str(settings["arch"]), int(data.images.shape[-1]))
    host = loaded(build_task_module(architecture, Task.CLASSIFICATION), tensors, "host.")
    figures: dict[str, float] = {}
    for key in routes_in(tensors):
        held_out = splits_of(data, category_of(key), settings)[1]
        route = RouteNet(
            loaded(build_category_module(architecture), tensors, f"{key}.f."),
            _adapter(key, tensors, architecture),
            host,
        )
        parts = (each.split(_BATCH_OF_MEASURES) for each in (held_out.images, held_out.labels))
        fit, batches = TemperatureFit(), zip(*parts, strict=True)
        figures[f"{key}.error"] = measure(route, batches, Task.CLASSIFICATION, fit.look)["error"]
        figures[f"{key}.{TEMPERATURE}"] = fit.temperature()
        figures[f"{key}.held_out"] = float(len(held_out))
    return SiteReply({}, figures)


def routes_in(tensors: Mapping[str, Tensor]) -> list[str]:
    """Return the keys of the routes whose f was sent."""
    return sorted({name.partition(".")[0] for name in tensors if ".f." in name and name[0].isdigit()})


def splits_of(
    data: LocalData, category: int, settings: Mapping[str, Setting]
) -> tuple[SiteDataset, SiteDataset]:
    """Return what the site's teacher of a category learned from, and what it held out.

    Raises:
        InvalidSettings: if it has none.
    """
    splits = split_for(data, category, teacher_seed(data, category, int(settings["run_seed"])))
    if splits is None:
        raise InvalidSettings(f"a site that taught nothing of category {category} was asked about its routes")
    return splits


def loaded(module: nn.Module, tensors: Mapping[str, Tensor], prefix: str) -> nn.Module:
    """Return the module with the tensors of this prefix, frozen.

    Raises:
        InvalidSettings: if none was sent.
    """
    own = {name.removeprefix(prefix): each for name, each in tensors.items() if name.startswith(prefix)}
    if not own:
        raise InvalidSettings(f"a site was sent no tensor {prefix}*: it cannot run the route")
    module.load_state_dict(own)
    module.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue] - absent from the stubs
    return freeze(module)


def _adapter(key: str, tensors: Mapping[str, Tensor], architecture: Architecture) -> nn.Module:
    if not any(name.startswith(f"{key}.h.") for name in tensors):
        return torch.nn.Identity()
    return loaded(build_adapter(adapter_shape(architecture)), tensors, f"{key}.h.")
