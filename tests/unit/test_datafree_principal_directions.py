"""Principal directions of a stream: those of an exact SVD, with the variance that they leave out."""

from __future__ import annotations

import torch

from transplant.datafree.principal_directions import DirectionSketch


def _spectrum_maps(count, falling):
    """Maps (count, 4, 6, 5) whose covariance has the eigenvalues `falling`^2, on a mean that is not zero."""
    generator = torch.Generator().manual_seed(5)
    basis = torch.linalg.qr(torch.randn((120, 120), generator=generator)).Q
    scores = torch.randn((count, 120), generator=generator) * falling
    return (scores @ basis.T + torch.randn(120, generator=generator)).view(count, 4, 6, 5)


def _sketched(maps, batch, directions):
    sketch = DirectionSketch(2 * directions)
    for part in maps.split(batch):
        sketch.add(part)
    return sketch.finish(directions)


def test_directions_are_those_of_an_exact_svd():
    maps = _spectrum_maps(400, 3 * 0.8 ** torch.arange(120))
    parts = _sketched(maps, 37, 6)
    flat = maps.double().flatten(1)
    _, values, vectors = torch.linalg.svd(flat - flat.mean(0), full_matrices=False)
    exact = values[:6] / 20  # sqrt(400)
    told = parts.directions_KCHW.flatten(1).double()
    torch.testing.assert_close(parts.mean_map_CHW.flatten().double(), flat.mean(0), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(told.norm(dim=1), exact, rtol=1e-3, atol=0)
    aligned = (told / told.norm(dim=1, keepdim=True) * vectors[:6]).sum(1).abs()
    assert float(aligned.min()) > 0.999
    residual = flat.var(0, correction=0) - (exact[:, None] * vectors[:6]).square().sum(0)
    torch.testing.assert_close(parts.residual_C.double(), residual.view(4, 30).mean(1), rtol=5e-3, atol=1e-6)


def test_directions_and_residual_hold_the_whole_variance_whatever_the_spectrum():
    maps = _spectrum_maps(300, torch.ones(120))  # flat: truncation loses most
    parts = _sketched(maps, 300, 4)
    told = parts.directions_KCHW.square().sum(0).mean((1, 2)) + parts.residual_C
    torch.testing.assert_close(told, maps.var(0, correction=0).mean((1, 2)), rtol=1e-4, atol=1e-5)


def test_how_the_stream_is_cut_changes_no_direction():
    maps = _spectrum_maps(150, 0.9 ** torch.arange(120))
    whole, cut = _sketched(maps, 150, 5), _sketched(maps, 7, 5)
    for a, b in zip(whole, cut, strict=True):
        assert torch.equal(a, b)


def test_fewer_maps_than_directions_leave_the_others_empty():
    parts = _sketched(_spectrum_maps(3, torch.ones(120)), 3, 8)
    assert parts.directions_KCHW.shape == (8, 4, 6, 5)
    assert float(parts.directions_KCHW[4:].abs().max()) < 1e-4
