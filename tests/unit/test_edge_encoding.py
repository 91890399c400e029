"""A site chooses how its weights are written; what it tells is about the weights that the center gets."""

from __future__ import annotations

import pytest
import torch
from fakes.taught_site import seal_squares, taught_squares

from edge.datasets.site_dataset import Split
from edge.disclosing import Policy
from edge.seal import payload_path, read_sealed
from edge.settings import EdgeSettings
from transplant.artifact.codec import load_module
from transplant.artifact.encoding import Encoding
from transplant.errors import InvalidSettings
from transplant.nets.measures import mean_norm
from transplant.types import Disclosure


@pytest.fixture(scope="module")
def taught(tmp_path_factory):
    return taught_squares(tmp_path_factory.mktemp("teacher"), count=100, batch_size=20)


def test_the_encoding_is_part_of_what_was_sealed(taught, home):
    plain = seal_squares(taught, home)
    short = seal_squares(taught, home, policy=Policy(encoding=Encoding.INT8))
    assert short == read_sealed(home) == seal_squares(taught, home, policy=Policy(encoding=Encoding.INT8))
    for before, after in zip(plain.manifests(), short.manifests(), strict=True):
        assert {tensor.dtype for tensor in before.tensors} == {"f32"}
        assert {tensor.dtype for tensor in after.tensors} == {"f32", "i8"}
        assert after.payload_bytes < before.payload_bytes
    assert seal_squares(taught, home) == plain


def test_what_is_told_about_features_is_told_about_those_that_the_center_sees(taught, home):
    teacher, data = taught
    policy = Policy(Disclosure.SCALE, encoding=Encoding.INT8)
    f = seal_squares(taught, home, policy=policy).category_module
    received = load_module(f, payload_path(home.sealed, f.module_id))
    images = data.load(Split.TRAIN).images
    assert f.statistics.mean_norm == pytest.approx(mean_norm(received, images), rel=1e-6)
    own = mean_norm(teacher.net.category_module, images)
    assert f.statistics.mean_norm != pytest.approx(own, rel=1e-6)
    assert not torch.equal(next(received.parameters()), next(teacher.net.category_module.parameters()))


def test_the_flag_becomes_the_policy(tmp_path):
    assert EdgeSettings.of({"home": tmp_path}).policy.encoding is Encoding.F32
    assert EdgeSettings.of({"home": tmp_path, "encoding": "bf16"}).policy.encoding is Encoding.BF16
    with pytest.raises(InvalidSettings, match="--encoding"):
        EdgeSettings.of({"home": tmp_path, "encoding": "int4"})
