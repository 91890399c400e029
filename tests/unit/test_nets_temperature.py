"""A temperature is found from labelled logits, and a few lucky answers are no certainty."""

from __future__ import annotations

import pytest
import torch

from transplant.errors import InvalidSettings
from transplant.nets.temperature import COLDEST, HOTTEST, fitted_temperature, route_temperature

GENERATOR = torch.Generator().manual_seed(0)


@pytest.mark.parametrize("temperature", [0.3, 1.0, 4.0])
def test_the_temperature_under_which_labels_were_drawn_is_found(temperature):
    logits = 3 * torch.randn(20000, generator=GENERATOR)
    drawn = torch.rand(20000, generator=GENERATOR) < torch.sigmoid(logits / temperature)
    assert fitted_temperature(logits, drawn.to(torch.uint8)) == pytest.approx(temperature, rel=0.05)


def test_the_cross_entropy_is_lowest_there():
    logits = torch.randn(500, generator=GENERATOR)
    targets = (torch.rand(500, generator=GENERATOR) < torch.sigmoid(logits / 0.5)).to(torch.uint8)
    found, count = fitted_temperature(logits, targets), int(targets.sum())
    smooth = torch.where(targets == 1, (count + 1) / (count + 2), 1 / (500 - count + 2))  # Platt's

    def loss(temperature):
        told = torch.nn.functional.binary_cross_entropy_with_logits(logits / temperature, smooth)
        return float(told)

    assert loss(found) < min(loss(0.9 * found), loss(1.1 * found))


def test_ten_right_answers_are_no_certainty_and_a_thousand_nearly_are():
    few, many = (
        fitted_temperature(torch.tensor([2.0, -2.0]).repeat(count), torch.tensor([1, 0]).repeat(count))
        for count in (5, 500)
    )
    assert COLDEST < many < few
    assert float(torch.sigmoid(torch.tensor(2.0 / few))) == pytest.approx(6 / 7, abs=1e-3)


def test_a_route_that_says_the_contrary_is_not_believed_at_all():
    assert fitted_temperature(torch.tensor([5.0, -5.0]), torch.tensor([0, 1])) == pytest.approx(HOTTEST)


def test_void_pixels_are_not_looked_at_and_of_large_images_only_some_are():
    asked = []

    def net(images):
        asked.append(images.shape)
        return images[:, :1] * 8 - 4

    images = torch.zeros(2, 3, 96, 96, dtype=torch.uint8)
    images[:, :, 48:] = 255
    masks = (images[:, 0] == 255).to(torch.uint8)
    plain = route_temperature(net, [(images, masks)])
    masks[:, :8] = 255
    images[:, :, :8] = 255  # as wrong as can be, and void
    assert route_temperature(net, [(images, masks)]) == pytest.approx(plain, rel=0.05)
    assert plain < 1.0
    assert asked == [(2, 3, 96, 96)] * 2


def test_nothing_to_look_at_is_said():
    with pytest.raises(InvalidSettings, match="there is none"):
        route_temperature(lambda images: images, [])
    with pytest.raises(InvalidSettings, match="there is none"):
        fitted_temperature(torch.empty(0), torch.empty(0))
