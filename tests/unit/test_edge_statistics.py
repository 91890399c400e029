"""Figures of features in a manifest: exact, streamed, never of a few images, and implied by higher levels."""

from __future__ import annotations

import pytest
import torch

from edge.teach.statistics import disclose, implied_figures
from transplant.datafree.feature_statistics import MINIMUM_SAMPLES, collect_statistics
from transplant.errors import DatasetInvalid, TensorNotFinite
from transplant.nets.architecture_table import default_architecture, seam_of
from transplant.nets.architectures import build_category_module
from transplant.nets.measures import as_images
from transplant.types import Disclosure

ARCHITECTURE = default_architecture("vgg_small", 32)


def _images(count):
    return torch.randint(
        0, 256, (count, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )


def _category_module():
    torch.manual_seed(0)
    return build_category_module(ARCHITECTURE).eval()


@pytest.mark.parametrize("level", [Disclosure.SCALE, Disclosure.MOMENTS, Disclosure.PCA])
def test_every_level_above_none_tells_norm_mean_and_variance(level):
    f, images = _category_module(), _images(MINIMUM_SAMPLES)
    told = disclose(f, images.split(30), level)
    with torch.no_grad():
        features = f(as_images(images))
    assert told.level is Disclosure.SCALE
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


def test_a_broken_category_module_tells_nothing():
    f = _category_module()
    with torch.no_grad():
        f.layers[0].weight[0] = float("nan")
    with pytest.raises(TensorNotFinite, match="NaN"):
        disclose(f, _images(MINIMUM_SAMPLES).split(50), Disclosure.SCALE)


def test_class_statistics_imply_the_same_figures():
    f, images = _category_module(), _images(3 * MINIMUM_SAMPLES)
    images[:MINIMUM_SAMPLES] //= 2
    labels = (torch.arange(len(images)) < MINIMUM_SAMPLES).to(torch.uint8)
    exact = disclose(f, [images], Disclosure.SCALE)
    implied = implied_figures(
        collect_statistics(f, [(images, labels)], Disclosure.MOMENTS), seam_of(ARCHITECTURE)
    )
    assert implied.sample_count == exact.sample_count
    assert implied.channel_mean == pytest.approx(exact.channel_mean, rel=1e-5)
    assert implied.channel_variance == pytest.approx(exact.channel_variance, rel=1e-4)
    assert exact.mean_norm <= implied.mean_norm < 1.1 * exact.mean_norm
