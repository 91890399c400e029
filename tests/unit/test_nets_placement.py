"""Learning on another device: nothing is forgotten on the CPU, draws are the same, the result comes home."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pytest
import torch
from fakes.other_device import OTHER, Elsewhere, WrongDeviceError, install
from fakes.tiny_nets import strangers
from torch import nn

from central.merge.learn import learner_of
from central.merge.orders import WorkOrder, order_from_json
from transplant.datafree.feature_statistics import collect_statistics
from transplant.datafree.function_distillation import FunctionLearner
from transplant.datafree.procedural_images import procedural_images
from transplant.errors import InvalidSettings
from transplant.nets.learner_config import LearnerConfig
from transplant.nets.learning import AdapterProblem, LabelledSamples, LearnerState, run_learner
from transplant.nets.placement import CPU, beside, device_of, placed, resolved_device
from transplant.nets.precision import mixed_precision
from transplant.types import Disclosure, Task

if TYPE_CHECKING:
    from transplant.nets.learning import LearnedAdapter
    from transplant.types import Device

CONFIG = LearnerConfig(
    layers=2, steps=2, batch=8, synthetic_images=12, held_out_images=6, checkpoint_every=1, masks=20,
    nudge_steps=2,
)  # fmt: skip
IMAGES = procedural_images(220, 32, 5)
LABELS = (torch.arange(220) % 2).to(torch.uint8)
_NEAR: dict[str, Any] = {"rtol": 1e-5, "atol": 1e-6}  # the fake computes as a CPU does, in other layouts


def _labelled(task: Task) -> LabelledSamples:
    masks = torch.randint(0, 2, (12, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    return LabelledSamples(IMAGES[:12], masks if task is Task.SEGMENTATION else LABELS[:12])


def _given(task: Task, what: str) -> AdapterProblem:
    problem = strangers(task)
    match what:
        case "labels":
            return replace(problem, labelled=_labelled(task))
        case "statistics":
            told = collect_statistics(
                problem.category_module, [(IMAGES, LABELS)], Disclosure.PCA, directions=4
            )
            return replace(problem, statistics=told)
        case "public":
            return replace(problem, proxy_images=IMAGES)
        case "reorder":
            return replace(problem, reorder=tuple(range(8))[::-1])
        case _:
            return problem


def _learn(
    problem: AdapterProblem, config: LearnerConfig, device: Device, resume: bytes | None = None
) -> tuple[LearnedAdapter, list[bytes]]:
    saved: list[bytes] = []
    learner = learner_of(config)
    return run_learner(learner, problem, config, device=device, resume=resume, save=saved.append), saved


CASES: list[tuple[str, Task, str, dict[str, Any]]] = [
    ("transplant", Task.CLASSIFICATION, "labels", {}),
    ("transplant", Task.SEGMENTATION, "public", {}),
    ("function", Task.SEGMENTATION, "statistics", {"source": "moments"}),
    ("function", Task.CLASSIFICATION, "statistics", {"source": "pca"}),
    ("function", Task.SEGMENTATION, "labels", {}),
    ("closed-form", Task.CLASSIFICATION, "reorder", {"dummy": "second"}),
    ("back-distill", Task.SEGMENTATION, "labels", {}),
    ("jacobian-distill", Task.CLASSIFICATION, "labels", {}),
    ("distill", Task.SEGMENTATION, "labels", {}),
]


@pytest.mark.parametrize(("method", "task", "what", "changes"), CASES)
def test_another_device_learns_the_same_and_brings_it_home(
    monkeypatch: pytest.MonkeyPatch, method: str, task: Task, what: str, changes: dict[str, Any]
) -> None:
    config, problem = replace(CONFIG, method=method, **changes), _given(task, what)
    at_home, checkpoints = _learn(problem, config, "cpu")
    install(monkeypatch)
    away, others = _learn(problem, config, "cuda")
    assert (at_home.device, away.device) == ("cpu", OTHER.type)
    assert len(others) == len(checkpoints) > 0
    for one, other in zip(checkpoints, others, strict=True):
        torch.testing.assert_close(
            LearnerState.from_bytes(other).tensors, LearnerState.from_bytes(one).tensors, **_NEAR
        )
    assert away.figures == pytest.approx(at_home.figures, rel=1e-4)
    for name, tensor in at_home.adapter.state_dict().items():
        told = away.adapter.state_dict()[name]
        assert type(told) is torch.Tensor
        torch.testing.assert_close(told, tensor, **_NEAR)
    assert device_of(problem.category_module) == device_of(problem.host_task_module) == CPU


def test_a_checkpoint_goes_on_on_another_device(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = strangers()
    whole, saved = _learn(problem, CONFIG, "cpu")
    install(monkeypatch)
    resumed, _ = _learn(problem, CONFIG, "cuda", resume=saved[0])
    for name, tensor in whole.adapter.state_dict().items():
        assert torch.equal(tensor, resumed.adapter.state_dict()[name]), name


def test_every_tensor_of_problem_material_and_state_is_placed(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch)
    seen: dict[str, set[torch.device]] = {}

    class Spy(FunctionLearner):
        def prepare(self, problem, config):
            nets = [each for each in vars(problem).values() if isinstance(each, nn.Module)]
            seen["problem"] = {device_of(net) for net in nets}
            assert len(nets) == 4
            return super().prepare(problem, config)

        def step(self, problem, config, material, state):
            synthetic = material.synthetic
            tensors = (synthetic.images, synthetic.features, synthetic.answers, material.held_out.answers)
            seen["material"] = {tensor.device for tensor in tensors}
            seen["state"] = {tensor.device for tensor in state.tensors.values()}
            return super().step(problem, config, material, state)

    run_learner(Spy(), strangers(), CONFIG, device="cuda")
    assert seen == {"problem": {OTHER}, "material": {OTHER}, "state": {OTHER}}


def test_the_fake_finds_what_was_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch)
    away = Elsewhere(torch.ones(2))
    with pytest.raises(WrongDeviceError, match="stayed"):
        _ = away + torch.ones(2)
    with pytest.raises(WrongDeviceError, match="outside placement"):
        away.to("cpu")
    assert float((away + torch.tensor(1.0)).sum()) == 4.0


def test_what_is_there_already_is_the_same_object() -> None:
    problem, images = strangers(), torch.zeros(2)
    assert placed(problem, CPU) is problem
    assert beside(images, problem.category_module) is images
    assert device_of(nn.ReLU()) == CPU


def test_one_net_in_two_places_stays_one(monkeypatch: pytest.MonkeyPatch) -> None:
    @dataclass(frozen=True)
    class Pair:
        first: nn.Module
        second: nn.Module

    install(monkeypatch)
    net = nn.Linear(2, 2)
    pair = placed(Pair(net, net), OTHER)
    assert pair.first is pair.second
    assert pair.first is not net
    assert (device_of(net), device_of(pair.first)) == (CPU, OTHER)


@pytest.mark.parametrize("there", [False, True])
def test_auto_takes_a_gpu_where_there_is_one(monkeypatch: pytest.MonkeyPatch, *, there: bool) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: there)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 1)
    gpu = torch.device("cuda", 1)
    assert resolved_device("cpu") == CPU
    assert resolved_device("auto") == (gpu if there else CPU)
    if there:
        assert resolved_device("cuda") == gpu
        return
    with pytest.raises(InvalidSettings, match="sees no GPU: take auto or cpu"):
        resolved_device("cuda")


def test_mixed_precision_is_that_of_the_device() -> None:
    assert mixed_precision("bfloat16").device == "cpu"
    assert mixed_precision("bfloat16", OTHER).device == OTHER.type


def test_a_work_order_tells_the_device_and_its_task_does_not() -> None:
    order = WorkOrder("key", "{}", ("", "", "", ""), "store", "bench", device="cuda")
    assert order_from_json(order.to_json()).device == "cuda"
    assert "device" not in LearnerConfig().to_dict()
