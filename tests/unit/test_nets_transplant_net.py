"""Routes are LEGO: shared, frozen, and untouched by what is added later."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from transplant.errors import NotFound
from transplant.nets.architecture_table import adapter_architecture
from transplant.nets.architectures import build_adapter
from transplant.nets.teacher_net import TeacherNet
from transplant.nets.transplant_net import TransplantNet
from transplant.types import Architecture, NetVersion, Route, Task

SMALL = Architecture(
    "vgg_small", (("image_px", (32,)), ("channels", (8,)), ("widths", (8, 8)), ("hidden", (8,)))
)


def _teacher(seed: int) -> TeacherNet:
    net = TeacherNet(SMALL, [Task.CLASSIFICATION])
    net.initialise(seed)
    return net


def _founded() -> tuple[NetVersion, dict[str, nn.Module]]:
    dog = _teacher(0)
    route = Route("dog", Task.CLASSIFICATION, "f-dog", None, "g-dog", "founding")
    return NetVersion(1, None, (route,)), {
        "f-dog": dog.category_module,
        "g-dog": dog.task_modules["classification"],
    }


def _grown(version: NetVersion, modules: dict[str, nn.Module], seed: int) -> NetVersion:
    name = f"cat{seed}"
    adapter = build_adapter(adapter_architecture(8, 8, 2, 3))
    torch.manual_seed(seed)
    for convolution in adapter.convolutions:
        nn.init.normal_(convolution.weight, std=0.1)
    modules |= {f"f-{name}": _teacher(seed).category_module, f"h-{name}": adapter}
    route = Route(name, Task.CLASSIFICATION, f"f-{name}", f"h-{name}", "g-dog", name)
    return NetVersion(version.number + 1, "parent", (*version.routes, route))


def test_a_route_is_the_composition_of_its_modules() -> None:
    version, modules = _founded()
    version = _grown(version, modules, 1)
    net = TransplantNet(version, modules)
    images = torch.rand(2, 3, 32, 32)
    route = net.route("cat1", Task.CLASSIFICATION)
    by_hand = modules["g-dog"](modules["h-cat1"](modules["f-cat1"](images)))
    assert torch.equal(route(images), by_hand)
    assert not route.training
    assert not any(parameter.requires_grad for parameter in route.parameters())
    assert net.route("dog", Task.CLASSIFICATION).task_module is route.task_module


def test_missing_parts_are_named() -> None:
    version, modules = _founded()
    with pytest.raises(NotFound, match="g-dog"):
        TransplantNet(version, {"f-dog": modules["f-dog"]})
    with pytest.raises(NotFound, match="dog/classification"):
        TransplantNet(version, modules).route("cow", Task.CLASSIFICATION)


@settings(max_examples=10, deadline=None)
@given(st.lists(st.integers(1, 1000), min_size=1, max_size=4, unique=True))
def test_adding_categories_leaves_every_old_output_bit_identical(seeds: list[int]) -> None:
    version, modules = _founded()
    images = torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    before: dict[str, torch.Tensor] = {}
    for seed in [0, *seeds]:
        if seed:
            version = _grown(version, modules, seed)
        net = TransplantNet(version, modules)
        now = {line.category: net.assemble(line)(images) for line in version.routes}
        for category, logits in before.items():
            assert torch.equal(logits, now[category])
        before = now
