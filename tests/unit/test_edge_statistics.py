"""Aggregates of features: exact, streamed, and never of a few images."""

from __future__ import annotations

import pytest
import torch

from edge.teach.statistics import MINIMUM_SAMPLES, ChannelMoments, disclose
from transplant.errors import DatasetInvalid, InvalidSettings
from transplant.nets.architectures import build_category_module, default_architecture
from transplant.nets.measures import as_images
from transplant.types import Disclosure


def _images(count):
    return torch.randint(
        0, 256, (count, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )


def test_streamed_moments_are_those_of_the_whole():
    features = torch.randn(70, 5, 4, 4, generator=torch.Generator().manual_seed(0)) * 3 + 100
    moments = ChannelMoments()
    for part in features.split([1, 30, 39]):
        moments.add(part)
    exact = features.double().transpose(0, 1).flatten(1)
    assert moments.count == 70 * 16
    torch.testing.assert_close(moments.mean_C, exact.mean(1))
    torch.testing.assert_close(moments.variance_C, exact.var(1, correction=0))


def test_scale_tells_norm_mean_and_variance():
    torch.manual_seed(0)
    f = build_category_module(default_architecture("vgg_small", 32)).eval()
    images = _images(MINIMUM_SAMPLES)
    told = disclose(f, images.split(30), Disclosure.SCALE)
    with torch.no_grad():
        features = f(as_images(images))
    assert told.sample_count == MINIMUM_SAMPLES
    assert told.mean_norm == pytest.approx(float(features.flatten(1).norm(dim=1).mean()), rel=1e-5)
    assert told.channel_mean == pytest.approx(features.mean((0, 2, 3)).tolist(), rel=1e-4)
    assert told.channel_variance == pytest.approx(features.var((0, 2, 3), correction=0).tolist(), rel=1e-4)


def test_none_looks_at_no_image():
    told = disclose(torch.nn.Identity(), iter(()), Disclosure.NONE)
    assert (told.level, told.sample_count, told.channel_mean) == (Disclosure.NONE, 0, ())


def test_few_images_are_no_aggregate():
    with pytest.raises(DatasetInvalid, match=f"needs {MINIMUM_SAMPLES} images .* has 99"):
        disclose(torch.nn.Identity(), _images(99).split(50), Disclosure.SCALE)


def test_levels_that_no_field_carries_are_refused():
    with pytest.raises(InvalidSettings, match="none or scale"):
        disclose(torch.nn.Identity(), iter(()), Disclosure.PCA)
