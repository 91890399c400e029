"""What a merge asks for: memory by its nets and images, and never more than a machine of the cluster has."""

from __future__ import annotations

from dataclasses import replace

import pytest
from fakes.artifacts import TINY, sealed

from central.merge.demand import demand_of
from central.merge.orders import WorkOrder, order_from_json
from central.merge.tasks import Host, MergeTask, learner_document
from central.runners.placement import Machine, machines_of, options_of
from central.settings import read_settings
from transplant.errors import InvalidSettings
from transplant.nets.architecture_table import default_architecture
from transplant.nets.learner_config import LearnerConfig
from transplant.types import ModuleKind, Task

GIB = 1 << 30


def demand(architecture, task=Task.CLASSIFICATION, **settings):
    nets = [
        sealed(kind, of, architecture, parents=() if of is None else ("a" * 64,))[0]
        for kind, of in 2 * [(ModuleKind.CATEGORY, None), (ModuleKind.TASK, task)]
    ]
    learner = learner_document(LearnerConfig(**settings).to_dict())
    host = Host("dog", nets[2].module_id, nets[3].module_id)
    return demand_of(
        MergeTask("cat", task, "site-cat", nets[0].module_id, nets[1].module_id, host, learner), nets
    )


def test_a_tiny_merge_asks_for_little():
    asked = demand(TINY, synthetic_images=64)
    assert 0.3 * GIB < asked.memory_bytes < 1 * GIB


def test_more_images_and_larger_ones_ask_for_more():
    small, larger = (default_architecture("vgg_small", px) for px in (32, 64))
    few, many = demand(small, synthetic_images=1000), demand(small, synthetic_images=20_000)
    assert many.memory_bytes > few.memory_bytes
    assert many.work > few.work
    assert demand(larger, synthetic_images=1000).memory_bytes > few.memory_bytes
    segmented = demand(small, Task.SEGMENTATION, synthetic_images=20_000)
    assert segmented.memory_bytes > many.memory_bytes


def test_images_are_bounded_as_the_learner_bounds_them():
    architecture = default_architecture("vgg_small", 128)
    asked = demand(architecture, Task.SEGMENTATION, synthetic_images=1_000_000)
    assert asked.memory_bytes < 4 * GIB


ORDER = WorkOrder("a" * 64, "{}", ("", "", "", ""), "store", "bench", gpu_share=0.5, memory_bytes=4 * GIB)


def test_an_order_travels_as_a_line():
    assert order_from_json(ORDER.to_json()) == ORDER


@pytest.mark.parametrize(
    ("machines", "wanted"),
    [
        ([Machine(0, 64 * GIB)], {"num_cpus": 1.0, "memory": 4 * GIB}),
        ([Machine(0, 2 * GIB), Machine(0, 3 * GIB)], {"num_cpus": 1.0, "memory": 3 * GIB}),
        ([Machine(0, 64 * GIB), Machine(1, 8 * GIB)], {"num_cpus": 1.0, "num_gpus": 0.5, "memory": 4 * GIB}),
        ([Machine(0, 64 * GIB), Machine(4, 2 * GIB)], {"num_cpus": 1.0, "num_gpus": 0.5, "memory": 2 * GIB}),
        ([], {"num_cpus": 1.0}),
    ],
    ids=["no-gpu", "too-large", "a-gpu", "a-small-machine-with-gpus", "nothing-known"],
)
def test_what_ray_is_asked_for_can_be_had(machines, wanted):
    asked = options_of(ORDER, machines)
    assert asked.pop("name") == "merge-aaaaaaaaaaaa"
    assert asked == wanted


def test_who_wants_no_gpu_gets_none():
    assert "num_gpus" not in options_of(replace(ORDER, gpu_share=0.0), [Machine(1, 8 * GIB)])


def test_dead_nodes_are_no_machines():
    nodes = [
        {"Alive": True, "Resources": {"CPU": 2.0, "memory": 8.0 * GIB, "GPU": 1.0}},
        {"Alive": False, "Resources": {"CPU": 64.0, "memory": 512.0 * GIB}},
    ]
    assert machines_of(nodes) == (Machine(1.0, 8 * GIB),)


def test_an_operators_shares_are_read_from_text(tmp_path, monkeypatch):
    monkeypatch.setenv("TRANSPLANT_CENTRAL_SHARES", "north-farm=3,south=0.5")
    policy = read_settings({"home": tmp_path, "device": "cuda", "gpu_share": 0.25}).policy()
    assert policy.shares == {"north-farm": 3.0, "south": 0.5}
    assert policy.gpu_share == 0.25
    for wrong in ("north-farm", "north-farm=0", "north-farm=many"):
        with pytest.raises(InvalidSettings, match="shares"):
            read_settings({"home": tmp_path, "shares": wrong})
