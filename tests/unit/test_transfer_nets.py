"""Architectures of transfer: the papers' parameter counts, the points that are looked at, how they start."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

from transplant.errors import TransferNotPossible
from transplant.transfer.lenet import LAYERS, lenet, nearest_vector, squash, target_vectors, tile_sums
from transplant.transfer.resnet import SmallResNet, large_resnet, small_resnet
from transplant.transfer.tapped_net import Tap, TappedNet
from transplant.transfer.vgg import vgg9_bn


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def parameter_count(net: nn.Module) -> int:
    return sum(weight.numel() for weight in net.parameters())


def test_the_lenet_has_the_papers_parameters() -> None:
    net = lenet(seeded())
    counts = {name: parameter_count(layer) for name, layer in net.named_children()}
    assert counts == {"C1": 156, "S2": 12, "C3": 1516, "S4": 32, "C5": 48120, "F6": 2420}
    assert sum(counts.values()) == 52256
    assert tuple(counts) == LAYERS


def test_the_lenet_sees_what_lecuns_table_lets_it_see() -> None:
    net = lenet(seeded())
    maps = torch.zeros(1, 6, 14, 14)
    silent = net.C3(maps)
    maps[:, 3] = 1.0  # S2's fourth map
    heard = (net.C3(maps) - silent).abs().amax(dim=(0, 2, 3)) > 0
    assert heard.nonzero().flatten().tolist() == [1, 2, 3, 6, 7, 8, 9, 12, 14, 15]


def test_a_fresh_subsampling_is_the_mean_of_its_tile() -> None:
    maps = torch.rand(2, 6, 28, 28, generator=seeded())
    means = maps.reshape(2, 6, 14, 2, 14, 2).mean(dim=(3, 5))
    torch.testing.assert_close(lenet(seeded()).S2(maps), 1.7159 * torch.tanh(2 * means / 3))


def test_the_fast_forms_of_tiles_and_of_c5_are_what_they_stand_for() -> None:
    maps = torch.randn(3, 6, 28, 28, generator=seeded(), requires_grad=True)
    sums, plain = tile_sums(maps), 4 * functional.avg_pool2d(maps, 2)
    torch.testing.assert_close(sums, plain)
    towards = torch.randn(sums.shape, generator=seeded())
    torch.testing.assert_close(
        *(torch.autograd.grad((each * towards).sum(), maps)[0] for each in (sums, plain))
    )
    layer, seen = lenet(seeded()).C5, torch.randn(3, 16, 5, 5, generator=seeded())
    torch.testing.assert_close(layer(seen), squash(layer.convolution(seen)))
    assert layer(torch.randn(3, 16, 8, 6)).shape == (3, 120, 4, 2)  # larger images: a convolution after all


def test_target_vectors_are_distinct_and_the_nearest_one_names_the_class() -> None:
    vectors = target_vectors(20, seeded())
    assert vectors.shape == (20, 20)
    assert set(vectors.flatten().tolist()) == {-1.0, 1.0}
    assert nearest_vector(vectors + 0.3, vectors).tolist() == list(range(20))
    assert len(torch.unique(target_vectors(4, seeded(), bits=2), dim=0)) == 4  # all there are


@pytest.mark.parametrize(("depth", "count"), [(20, 269722), (32, 464154)])
def test_small_resnets_have_he_and_others_parameters(depth: int, count: int) -> None:
    net = small_resnet(depth, 10, seeded())
    assert parameter_count(net) == count  # 0.27 and 0.46 million, table 6 of He et al. 2016
    assert net.feature_shapes(torch.zeros(1, 3, 32, 32)) == [(16, 32, 32), (32, 16, 16), (64, 8, 8)]
    with pytest.raises(ValueError, match="6n"):
        SmallResNet(19, 10)


@pytest.mark.parametrize(("depth", "count"), [(18, 11689512), (34, 21797672)])
def test_large_resnets_are_torchvisions(depth: int, count: int) -> None:
    with torch.device("meta"):
        net = large_resnet(depth, 1000, torch.Generator())
    assert parameter_count(net) == count
    shapes = net.to_empty(device="cpu").feature_shapes(torch.zeros(1, 3, 64, 64))
    assert shapes == [(64, 16, 16), (128, 8, 8), (256, 4, 4), (512, 2, 2)]


def test_vgg9_is_looked_at_before_its_five_pools() -> None:
    net = vgg9_bn(10, seeded())
    assert parameter_count(net) == 9231114
    shapes = net.feature_shapes(torch.zeros(1, 3, 32, 32))
    assert shapes == [(64, 32, 32), (128, 16, 16), (256, 8, 8), (512, 4, 4), (512, 2, 2)]


def test_a_tapped_net_shows_inputs_and_outputs_and_leaves_no_hook() -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(16, 2))
    tapped = TappedNet(net, [Tap("2", "input"), Tap("2")])
    images = torch.randn(2, 3, 4, 4, generator=seeded())
    seen = tapped(images)
    torch.testing.assert_close(seen.features[0], net[1](net[0](images)))
    torch.testing.assert_close(seen.features[1], net[2](seen.features[0]))
    torch.testing.assert_close(seen.answers, net(images))
    assert not any(layer._forward_hooks or layer._forward_pre_hooks for layer in net)
    with pytest.raises(TransferNotPossible, match="no layers nowhere"):
        TappedNet(net, [Tap("nowhere")])


def test_a_look_at_the_shapes_moves_no_running_statistics() -> None:
    net = vgg9_bn(3, seeded(), width=8).train()
    before = {name: buffer.clone() for name, buffer in net.named_buffers()}
    net.feature_shapes(torch.randn(2, 3, 32, 32))
    assert net.training
    assert all(torch.equal(buffer, before[name]) for name, buffer in net.named_buffers())
