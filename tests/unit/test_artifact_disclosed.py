"""Statistics and answers as artifacts: they come back exactly, and are no nets."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from fakes.artifacts import TINY, sealed
from fakes.disclosures import answers_of, net, request_of, statistics_of

from transplant.artifact.codec import encode_tensors, load_module, write_artifact
from transplant.artifact.disclosed import load_answers, load_statistics, seal_answers, seal_statistics
from transplant.artifact.manifest import parse_manifest
from transplant.errors import ManifestInvalid, PayloadMalformed, UnknownArchitecture
from transplant.nets.architecture_table import checked_architecture
from transplant.nets.architectures import tensor_layout
from transplant.nets.disclosure_layouts import answers_architecture, statistics_architecture
from transplant.nets.disclosure_layouts import request_of as request_in
from transplant.rpc.convert import (
    asked_probe_from_proto,
    asked_probe_to_proto,
    manifest_from_proto,
    manifest_to_proto,
)
from transplant.rpc.messages import AskedProbe
from transplant.types import Disclosure, ModuleKind, Seam, Task
from transplant.v1 import manifest_pb2

F, _ = sealed()


@pytest.mark.parametrize("level", [Disclosure.MOMENTS, Disclosure.PCA])
def test_statistics_come_back(level, tmp_path):
    statistics = statistics_of(net(TINY, ModuleKind.CATEGORY), level)
    manifest, payload = seal_statistics(statistics, F)
    assert (manifest.kind, manifest.task, manifest.parents) == (ModuleKind.STATISTICS, None, (F.module_id,))
    assert parse_manifest(manifest.canonical_bytes()) == manifest
    back = load_statistics(manifest, write_artifact(tmp_path, manifest, payload))
    assert (back.level, back.epsilon, back.delta) == (level, 0.0, 0.0)
    for told, read in zip(statistics.classes, back.classes, strict=True):
        assert told.sample_count == read.sample_count
        for name in ("mean_C", "covariance_CC", "mean_map_CHW", "directions_KCHW", "residual_C"):
            before, after = getattr(told, name), getattr(read, name)
            assert (before is None and after is None) or torch.equal(before, after)


def test_the_noise_stands_in_the_manifest(tmp_path):
    statistics = statistics_of(net(TINY, ModuleKind.CATEGORY))
    noisy = replace(statistics, epsilon=2.0, delta=1e-6, clip_norm=20.0)
    manifest, payload = seal_statistics(noisy, F)
    assert manifest.metrics == {"epsilon": 2.0, "delta": 1e-6, "clip_norm": 20.0}
    assert load_statistics(manifest, write_artifact(tmp_path, manifest, payload)).clip_norm == 20.0


@pytest.mark.parametrize("task", list(Task))
def test_answers_come_back_over_the_wire(task, tmp_path):
    answers = answers_of(TINY, request_of(task))
    manifest, payload = seal_answers(answers, F)
    assert (manifest.kind, manifest.task, manifest.parents) == (ModuleKind.ANSWERS, task, (F.module_id,))
    wire = manifest_to_proto(manifest).SerializeToString()
    manifest = manifest_from_proto(manifest_pb2.Manifest.FromString(wire))
    back = load_answers(manifest, write_artifact(tmp_path, manifest, payload))
    assert back.request == answers.request
    assert torch.equal(back.chosen_N, answers.chosen_N)
    assert torch.equal(back.codes, answers.codes)
    assert (back.low, back.high) == (answers.low, answers.high)


def test_they_are_no_nets(tmp_path):
    manifest, payload = seal_answers(answers_of(TINY, request_of()), F)
    with pytest.raises(UnknownArchitecture, match="holds no net"):
        load_module(manifest, write_artifact(tmp_path, manifest, payload))


def test_only_the_types_of_the_closed_list_are_sealed():
    with pytest.raises(PayloadMalformed, match="allowed are F32, U8 and I32"):
        encode_tensors({"chosen": torch.arange(3)})


def test_a_request_goes_over_the_wire_and_into_an_architecture():
    request = request_of(Task.SEGMENTATION, seed=2**31 - 1, pool=1 << 20, count=1 << 16)
    asked = AskedProbe("a" * 64, request)
    assert asked_probe_from_proto(asked_probe_to_proto(asked)) == asked
    assert request_in(answers_architecture(request), Task.SEGMENTATION) == request


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"pool": (1 << 20) + 1}, "answers.pool"),
        ({"count": 193}, "at most answers.pool"),
        ({"count": 0}, "answers.count"),
        ({"grid": 2}, "grid is 1 for classification"),
        ({"image_px": 100_000}, "answers.image_px"),
        ({"drawings_percent": 101}, "answers.drawings_percent"),
        ({"generator": ""}, "answers.generator"),
        ({"generator": "leaves 1"}, "answers.generator"),
        ({"generator": "l" * 33}, "answers.generator"),
    ],
)
def test_a_site_does_not_work_for_a_request_that_is_out_of_bounds(changes, message):
    with pytest.raises(UnknownArchitecture, match=message):
        asked_probe_from_proto(asked_probe_to_proto(AskedProbe("a" * 64, request_of(**changes))))


def test_the_layout_of_statistics_is_closed():
    layout = tensor_layout(statistics_architecture(Seam(4, 8, 8), 3), ModuleKind.STATISTICS, None)
    assert layout["1.directions"] == (3, 4, 8, 8)
    assert len(layout) == 14
    for seam, directions in ((Seam(4, 8, 8), 129), (Seam(513, 8, 8), 0), (Seam(4, 257, 8), 0)):
        with pytest.raises(UnknownArchitecture):
            checked_architecture(statistics_architecture(seam, directions), ModuleKind.STATISTICS)
    with pytest.raises(UnknownArchitecture):
        checked_architecture(statistics_architecture(Seam(4, 8, 8)), ModuleKind.CATEGORY)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"parents": ()}, "parents"),
        ({"parents": ("a" * 64, "b" * 64)}, "parents"),
        ({"task": None}, "task"),
        ({"seam": F.seam}, "seam"),
        ({"kind": ModuleKind.STATISTICS, "task": None}, "statistics"),
    ],
)
def test_a_manifest_of_answers_has_a_task_and_one_parent(changes, message):
    manifest, _ = seal_answers(answers_of(TINY, request_of()), F)
    with pytest.raises((ManifestInvalid, UnknownArchitecture), match=message):
        parse_manifest(manifest.model_copy(update=changes).canonical_bytes())
