"""A transplant net of tiny random modules: founders, and categories with real adapters."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from fakes.tiny_nets import tiny_net
from transplant.nets.architecture_table import adapter_architecture
from transplant.nets.architectures import build_adapter
from transplant.nets.transplant_net import TransplantNet
from transplant.types import Architecture, NetVersion, Route, Task

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import nn


def architecture(channels: int) -> Architecture:
    return Architecture(
        "vgg_small", (("image_px", (32,)), ("channels", (channels,)), ("widths", (12, 16)), ("hidden", (20,)))
    )


def grown_net(
    categories: int = 6,
    tasks: Sequence[Task] = tuple(Task),
    *,
    hosts: int = 1,
    layers: Sequence[int] = (2,),
    widths: Sequence[int] = (8,),
    number: int = 1,
) -> TransplantNet:
    """Return a net whose categories are c0, c1, ...; the first `hosts` of them are founders.

    Args:
        categories: how many.
        tasks: each of every category.
        hosts: how many g_S share the others.
        layers: of the adapters, in turn.
        widths: channels of f, in turn; founders have the first.
        number: of the version.
    """
    modules: dict[str, nn.Module] = {}
    routes: list[Route] = []
    founder_width = widths[0]
    for index in range(categories):
        name, founder = f"c{index}", index < hosts
        channels = founder_width if founder else widths[index % len(widths)]
        net = tiny_net(index, architecture(channels), tasks)
        modules[f"f-{name}"] = net.category_module
        for task in tasks:
            host, adapter = f"g-c{index % hosts}-{task}", None
            if founder:
                modules[host] = net.task_modules[task.value]
            else:
                adapter = f"h-{name}-{task}"
                depth = layers[index % len(layers)]
                modules[adapter] = _adapter(channels, founder_width, depth, seed=index)
            routes.append(Route(name, task, f"f-{name}", adapter, host, f"{name}-{task}"))
    return TransplantNet(NetVersion(number, None if number == 1 else "p", tuple(routes)), modules)


def _adapter(channels_in: int, channels_out: int, layers: int, seed: int) -> nn.Module:
    generator = torch.Generator().manual_seed(seed)
    reorder = torch.randperm(channels_in, generator=generator).tolist() if seed % 2 else None
    adapter = build_adapter(adapter_architecture(channels_in, channels_out, layers, 3, reorder))
    adapter.start_near_transparent(0.8, 0.3, generator)
    adapter.set_beta(0.5 + seed / 10)
    with torch.no_grad():
        for convolution in adapter.chain:
            if convolution.bias is not None:
                convolution.bias.normal_(std=0.1, generator=generator)
    return adapter
