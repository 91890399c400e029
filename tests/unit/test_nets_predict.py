"""Predicting over all categories at once answers as the routes do one by one."""

from __future__ import annotations

import pytest
import torch
from fakes.grown_net import grown_net
from torch import nn

from transplant.errors import ImagesInvalid, InvalidSettings, NotFound
from transplant.nets.category_group import GROUPED_IMAGES
from transplant.types import Task


def one_by_one(net, images, task):
    categories = net.categories(task)
    return torch.stack([net.route(c, task)(images).squeeze(1) for c in categories], dim=1)


@pytest.mark.parametrize("task", list(Task))
@pytest.mark.parametrize("count", [1, GROUPED_IMAGES - 1, GROUPED_IMAGES, 37])
def test_all_categories_at_once_answer_as_each_route_does(task: Task, count: int) -> None:
    net = grown_net()
    images = torch.rand(count, 3, 32, 32, generator=torch.Generator().manual_seed(count))
    told = net.predict(images, task=task)
    torch.testing.assert_close(told.logits_BG, one_by_one(net, images, task), rtol=1e-4, atol=1e-5)
    assert told.categories == net.categories(task)
    assert told.version == net.version.number
    assert told.ran_BG.all()
    assert (told.logits_BG.flatten(1).std(dim=1) > 0).all()  # the categories do differ


def test_two_hosts_and_several_forms_keep_their_order() -> None:
    net = grown_net(hosts=2, layers=(1, 2, 3), widths=(8, 4))
    images = torch.rand(3, 3, 32, 32)
    told = net.predict(images, task=Task.CLASSIFICATION)
    expected = one_by_one(net, images, Task.CLASSIFICATION)
    torch.testing.assert_close(told.logits_BG, expected, rtol=1e-4, atol=1e-5)
    some = tuple(reversed(told.categories[1:4]))
    chosen = net.predict(images, task=Task.CLASSIFICATION, categories=some)
    torch.testing.assert_close(chosen.logits_BG, expected[:, [3, 2, 1]], rtol=1e-4, atol=1e-5)


def test_stored_images_and_float_images_are_answered_alike() -> None:
    net = grown_net()
    stored = torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8)
    ours = net.predict(stored, task=Task.CLASSIFICATION)
    assert torch.equal(ours.logits_BG, net.predict(stored / 255, task=Task.CLASSIFICATION).logits_BG)


def test_a_module_of_a_kind_that_is_not_known_runs_by_itself() -> None:
    net = grown_net(categories=3)
    odd = net.version.routes[1]
    parts = dict(net._modules)
    parts[odd.category_module] = nn.Sequential(parts[odd.category_module])
    other = type(net)(net.version, parts)
    images = torch.rand(2, 3, 32, 32)
    for task in Task:
        torch.testing.assert_close(
            other.predict(images, task=task).logits_BG, net.predict(images, task=task).logits_BG
        )


@pytest.mark.parametrize(
    ("images", "said"),
    [
        (torch.zeros(1, 3, 32, 32, dtype=torch.float64), "uint8 .* or float32 .*, not float64"),
        (torch.zeros(3, 32, 32), r"\(number, 3, side, side\)"),
        (torch.zeros(1, 1, 32, 32), r"got \[1, 1, 32, 32\]"),
        (torch.zeros(0, 3, 32, 32), "at least one"),
        (torch.zeros(1, 3, 32, 16), r"got \[1, 3, 32, 16\]"),
        (torch.zeros(1, 3, 48, 48), "32 x 32 pixels, not 48 x 48"),
        (torch.full((1, 3, 32, 32), 200.0), "divide by 255"),
        (torch.full((1, 3, 32, 32), torch.nan), "0 to 1"),
    ],
)
def test_images_that_no_net_takes_are_refused_with_what_to_do(images: torch.Tensor, said: str) -> None:
    with pytest.raises(ImagesInvalid, match=said):
        grown_net(categories=2).predict(images, task=Task.CLASSIFICATION)


def test_segmentation_takes_sides_that_its_pools_divide() -> None:
    net = grown_net(categories=2)
    assert net.predict(torch.zeros(1, 3, 48, 48), task=Task.SEGMENTATION).logits_BG.shape == (1, 2, 48, 48)
    with pytest.raises(ImagesInvalid, match="multiple of 8"):
        net.predict(torch.zeros(1, 3, 36, 36), task=Task.SEGMENTATION)


def test_routes_that_are_not_there_are_named() -> None:
    net = grown_net(categories=2, tasks=[Task.CLASSIFICATION])
    images = torch.zeros(1, 3, 32, 32)
    with pytest.raises(NotFound, match="no route for segmentation"):
        net.predict(images, task=Task.SEGMENTATION)
    with pytest.raises(NotFound, match="no route cow/classification"):
        net.predict(images, task=Task.CLASSIFICATION, categories=["cow"])
    with pytest.raises(InvalidSettings, match="twice"):
        net.predict(images, task=Task.CLASSIFICATION, categories=["c0", "c0"])
