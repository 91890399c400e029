"""Large feature maps are told as two factors: small, checked, and enough to draw coherent samples from."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from fakes.artifacts import TINY, sealed
from fakes.disclosures import net, statistics_of
from fakes.tiny_nets import strangers

from transplant.artifact.codec import write_artifact
from transplant.artifact.disclosed import load_statistics, seal_statistics
from transplant.artifact.manifest import parse_manifest
from transplant.datafree import feature_statistics
from transplant.datafree.channel_moments import ChannelMoments
from transplant.datafree.feature_sampling import sample_features
from transplant.datafree.feature_statistics import collect_statistics
from transplant.datafree.kronecker_factors import FULL_FORM_NUMBERS, KroneckerSketch, grid_of, on_places
from transplant.datafree.privacy import gaussian_mechanism
from transplant.datafree.procedural_images import procedural_images
from transplant.datafree.sources import synthesise
from transplant.datafree.statistics_tensors import statistics_from_tensors, statistics_to_tensors
from transplant.errors import InvalidSettings, PayloadMalformed, SeamMismatch, UnknownArchitecture
from transplant.nets.architecture_table import checked_architecture, default_architecture, seam_of
from transplant.nets.architectures import tensor_layout
from transplant.nets.disclosure_layouts import statistics_architecture
from transplant.nets.learner_config import LearnerConfig
from transplant.types import Disclosure, ModuleKind, Seam

F, _ = sealed()
SEAM = seam_of(TINY)
LARGE = Seam(4, 64, 48)
"""Of more places than a grid has cells."""


def _smooth(count: int, seam: Seam, seed: int = 0) -> torch.Tensor:
    """Return maps of features: smooth, not negative, brighter in the middle, channels that go together."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.randn((count, seam.channels, 6, 6), generator=generator)
    mixing = torch.randn((seam.channels, seam.channels), generator=generator)
    mixed = torch.einsum("cd,bdhw->bchw", mixing, coarse)
    size = (seam.height, seam.width)
    maps = torch.nn.functional.interpolate(mixed, size=size, mode="bicubic", align_corners=False)
    middle = torch.hann_window(seam.height).view(-1, 1) * torch.hann_window(seam.width)
    fine = torch.randn(maps.shape, generator=generator)
    return (maps + 2 * middle + 0.3 * fine).relu()


class _Given(torch.nn.Module):
    """An f whose features are given: image i, a single grey, stands for the map i."""

    def __init__(self, maps: torch.Tensor) -> None:
        super().__init__()
        self._maps = maps

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self._maps[(images[:, 0, 0, 0] * 255).round().to(torch.int64)]


def _collected(maps: torch.Tensor, directions: int = 16, batch: int = 100):
    """Collect statistics of maps 0 to 255; every second one counts as the category's."""
    images = torch.arange(len(maps)).to(torch.uint8).view(-1, 1, 1, 1).expand(-1, 3, 2, 2)
    labels = (torch.arange(len(maps)) % 2).to(torch.uint8)
    batches = zip(images.split(batch), labels.split(batch), strict=True)
    return collect_statistics(_Given(maps), batches, Disclosure.PCA, directions=directions)


@pytest.fixture
def everything_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feature_statistics, "FULL_FORM_NUMBERS", 1)


@pytest.fixture
def told(everything_is_large):  # noqa: ARG001
    return _collected(_smooth(256, LARGE), directions=32)


# --- what is collected ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("side", "cells"), [(16, 16), (32, 32), (48, 24), (64, 32), (112, 28), (128, 32), (37, 1)]
)
def test_a_grid_cuts_the_map_into_equal_cells(side, cells):
    assert grid_of(side, 2 * side)[0] == cells


@pytest.mark.parametrize("batch", [60, 7, 1])
def test_the_factors_are_those_of_the_whole_however_it_is_cut(batch):
    maps = _smooth(60, LARGE)
    sketch = KroneckerSketch()
    for part in maps.split(batch):
        sketch.add(part)
    told = sketch.finish(4 * 1000)
    cells = torch.nn.functional.avg_pool2d(maps.double(), 2).flatten(2)
    centred = cells - cells.mean(0)
    channels = torch.einsum("bcg,bdg->cd", centred, centred) / (60 * 768)
    places = torch.einsum("bcg,bch->gh", centred, centred) / (60 * 4)
    torch.testing.assert_close(told.mean_CGG.flatten(1).double(), cells.mean(0), rtol=1e-5, atol=1e-6)
    a, b = told.channel_CK.double(), told.spatial_LGG.flatten(1).double()
    torch.testing.assert_close(a @ a.T, channels, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(b.T @ b * channels.trace() / 4, places, rtol=1e-3, atol=1e-4)
    assert float(b.square().sum(0).mean()) == pytest.approx(1, rel=1e-4)


def test_a_matrix_normal_law_is_found_again():
    generator = torch.Generator().manual_seed(1)
    a, b = torch.randn((3, 2), generator=generator), torch.randn((2, 64), generator=generator)
    b /= b.square().sum(0).mean().sqrt()
    maps = (5 + a @ torch.randn((6000, 2, 2), generator=generator) @ b).view(-1, 3, 8, 8)
    sketch = KroneckerSketch()
    sketch.add(maps)
    told = sketch.finish(2)
    assert (told.channel_CK.shape, told.spatial_LGG.shape) == ((3, 2), (2, 8, 8))
    found = told.spatial_LGG.flatten(1)
    law = torch.kron(told.channel_CK @ told.channel_CK.T, found.T @ found)
    exact = torch.kron(a @ a.T, b.T @ b)
    assert float((law - exact).norm() / exact.norm()) < 0.05
    assert float((told.mean_CGG - 5).abs().max()) < 0.2


def test_nothing_that_varies_gives_factors_of_zero():
    sketch = KroneckerSketch()
    sketch.add(torch.ones(5, 2, 8, 8))
    told = sketch.finish(3)
    assert float(told.channel_CK.abs().max()) == float(told.spatial_LGG.abs().max()) == 0


def test_interpolation_keeps_means_and_adds_no_variance():
    cells = torch.randn((5, 28, 14), generator=torch.Generator().manual_seed(0))
    maps = on_places(cells, Seam(5, 112, 112))
    torch.testing.assert_close(maps.mean((1, 2)), cells.mean((1, 2)), rtol=1e-4, atol=1e-6)
    assert bool((maps.square().mean((1, 2)) <= cells.square().mean((1, 2)) * (1 + 1e-5)).all())


def test_small_maps_are_told_in_full_and_large_ones_are_not():
    def numbers(name, side):
        seam = seam_of(default_architecture(name, side))
        return seam.channels * seam.height * seam.width

    assert max(numbers("vgg_small", 128), numbers("vgg16", 64)) <= FULL_FORM_NUMBERS < numbers("vgg16", 224)
    assert _collected(_smooth(220, Seam(4, 16, 16))).classes[1].kronecker is None


def test_vgg16_at_224_px_tells_a_megabyte_and_not_a_hundred():
    seam = seam_of(default_architecture("vgg16", 224))

    def size(directions, grid=None):
        description = statistics_architecture(seam, directions, grid)
        return 4 * sum(map(math.prod, tensor_layout(description, ModuleKind.STATISTICS, None).values()))

    grid = grid_of(seam.height, seam.width)
    assert size(32, grid) < 700_000
    assert size(128, grid) < 1_400_000  # the most that may be asked for
    assert size(32) > 200_000_000  # what the full form would be


# --- what travels ----------------------------------------------------------------------------------


@pytest.mark.usefixtures("everything_is_large")
def test_factors_come_back_from_an_artifact(tmp_path):
    statistics = statistics_of(net(TINY, ModuleKind.CATEGORY), Disclosure.PCA, directions=20)
    manifest, payload = seal_statistics(statistics, F)
    assert parse_manifest(manifest.canonical_bytes()) == manifest
    names = dict(manifest.architecture.to_type().hyper_parameters)
    assert (names["directions"], names["grid"]) == ((20,), (SEAM.height, SEAM.width))
    back = load_statistics(manifest, write_artifact(tmp_path, manifest, payload))
    assert back.level is Disclosure.PCA
    for before, after in zip(statistics.classes, back.classes, strict=True):
        assert after.mean_map_CHW is None
        assert after.kronecker is not None
        assert after.kronecker.channel_CK.shape == (SEAM.channels, min(20, SEAM.channels))
        for name, tensor in vars(before.kronecker).items():
            assert torch.equal(getattr(after.kronecker, name), tensor), name


def _without(name):
    return lambda tensors: {key: tensor for key, tensor in tensors.items() if name not in key}


def _changed(name, change):
    return lambda tensors: tensors | {name: change(tensors[name].clone())}


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_without("1.mean_grid"), "lack tensors .* 1.mean_grid"),
        (lambda tensors: tensors | {"0.directions": torch.zeros(1)}, "strange ones: 0.directions"),
        (_changed("0.mean_grid", lambda t: t[:, ::2]), "0.mean_grid has the shape"),
        (_changed("0.mean_grid", lambda t: t + 1), "another mean"),
        (_changed("1.channel_factor", lambda t: t * 3), "tells more variance than 1.covariance"),
        (_changed("1.channel_factor", lambda t: t[:, :2]), "1.channel_factor has the shape"),
        (_changed("0.channel_factor", lambda t: t.flatten()), "0.channel_factor has the shape"),
        (_changed("0.spatial_factor", lambda t: t * 2), "tells .* of the variance"),
        (_changed("0.spatial_factor", lambda t: t[:0]), "rank"),
        (_changed("1.spatial_factor", lambda t: t.repeat(9, 1, 1)), "rank .* are taken"),
        (_changed("1.spatial_factor", lambda t: t[0, 0, 0]), "rank"),
        (_changed("1.spatial_factor", lambda t: t.transpose(1, 2)), "1.spatial_factor has the shape"),
    ],
)
def test_spoiled_factors_are_refused(told, spoil, message):
    tensors = statistics_to_tensors(told)
    assert statistics_from_tensors(tensors, Disclosure.PCA, LARGE).classes[0].kronecker is not None
    with pytest.raises(PayloadMalformed, match=message):
        statistics_from_tensors(spoil(tensors), Disclosure.PCA, LARGE)


@pytest.mark.parametrize(
    ("directions", "grid"), [(4, (7, 16)), (4, (16, 5)), (0, (16, 16)), (4, (33, 33)), (4, (0, 1))]
)
def test_a_grid_that_does_not_fit_is_no_architecture(directions, grid):
    described = statistics_architecture(Seam(4, 16, 16), directions, grid)
    with pytest.raises(UnknownArchitecture, match="grid"):
        checked_architecture(described, ModuleKind.STATISTICS)


def test_the_gaussian_mechanism_refuses_factors_and_says_what_it_takes(told):
    with pytest.raises(InvalidSettings, match="covers moments, not pca: disclose moments"):
        gaussian_mechanism(told, 1.0, 1e-5, 4.0)


# --- what is drawn ---------------------------------------------------------------------------------


def _neighbours(maps: torch.Tensor) -> float:
    """Return the correlation of an element with the one four places to the right of it."""
    centred = maps - maps.mean(0)
    return float((centred[..., :-4] * centred[..., 4:]).mean() / centred.square().mean())


def test_samples_have_mean_map_moments_and_coherence_of_their_class(told):
    features, classes = sample_features(told, LARGE, 600, torch.Generator().manual_seed(0))
    assert features.shape == (600, 4, 64, 48)
    assert float(features.min()) == 0
    real = _smooth(256, LARGE)
    for label, one in enumerate(told.classes):
        own, theirs = features[classes == label], real[label::2]
        moments = ChannelMoments()
        moments.add(own)
        spread = one.covariance_CC.diagonal().max().sqrt()
        assert float((moments.mean_C - one.mean_C).abs().max() / spread) < 0.05
        error = float((moments.covariance_CC - one.covariance_CC).norm() / one.covariance_CC.norm())
        assert error < 0.15
        assert float((own.mean(0) - theirs.mean(0)).abs().mean() / spread) < 0.12
        assert _neighbours(theirs) > 0.5
        assert _neighbours(own) > 0.75 * _neighbours(theirs)


def test_without_factors_samples_would_not_cohere(told):
    flat = tuple(
        replace(one, kronecker=replace(one.kronecker, channel_CK=0 * one.kronecker.channel_CK))
        for one in told.classes
    )
    features, _ = sample_features(replace(told, classes=flat), LARGE, 60, torch.Generator().manual_seed(0))
    assert _neighbours(features) < 0.2


def test_another_seam_is_refused(told):
    with pytest.raises(SeamMismatch, match="on a grid"):
        sample_features(told, Seam(4, 32, 16), 4, torch.Generator().manual_seed(0))


@pytest.mark.usefixtures("everything_is_large")
def test_features_of_factors_are_learned_from():
    problem = strangers()
    images, labels = procedural_images(220, 32, 1), (torch.arange(220) % 2).to(torch.uint8)
    told = collect_statistics(problem.category_module, [(images, labels)], Disclosure.PCA, directions=8)
    config = LearnerConfig(source="pca", blend=0.5, synthetic_images=20, held_out_images=8, nudged_share=0.0)
    made, held_out = synthesise(replace(problem, statistics=told), config)
    assert (len(made.images), len(made.features)) == (10, 10)
    assert bool(made.answers.isfinite().all())
    assert len(held_out) == 8
