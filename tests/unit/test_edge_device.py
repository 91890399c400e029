"""A site on another device: trained, told, answered, validated and predicted there; all of it comes home."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import torch
from fakes.grown_net import grown_net
from fakes.other_device import OTHER, install
from fakes.tiny_data import SquareData
from typer.testing import CliRunner

from edge.cli import app, run
from edge.datasets.open_data import RememberedData
from edge.datasets.site_dataset import Split
from edge.disclosing import Policy, told_about_features
from edge.evaluate import measure_route
from edge.probe import answer_probe
from edge.settings import EdgeSettings
from edge.site import Site
from edge.teach.recipe import Recipe
from edge.teach.teach import Teacher, teach
from edge.teach.teaching import begin
from transplant.datafree.procedural_images import GENERATOR_ID
from transplant.errors import InvalidSettings
from transplant.nets.architecture_table import seam_of
from transplant.nets.disclosures import ProbeRequest
from transplant.nets.placement import CPU, device_of, placed
from transplant.types import Disclosure, Task

if TYPE_CHECKING:
    from pathlib import Path

RECIPE = Recipe(epochs=2, batch_size=8, learning_rate=0.01, seed=7)
COMMANDS = ("train", "seal", "answer", "evaluate", "agent", "predict")


def _taught(folder: Path, device: torch.device = CPU, recipe: Recipe = RECIPE) -> Teacher:
    return teach(SquareData(count=24), "vgg_small", recipe, folder, device=device)


def _near(one: Teacher, other: Teacher) -> None:
    assert device_of(one.net) == device_of(other.net) == CPU
    for name, tensor in one.net.state_dict().items():
        told = other.net.state_dict()[name]
        assert type(told) is torch.Tensor
        torch.testing.assert_close(told, tensor, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("optimiser", ["sgd", "adamw"])
def test_a_teacher_of_another_device_is_the_same_and_comes_home(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, optimiser: str
) -> None:
    recipe = replace(RECIPE, optimiser=optimiser)
    at_home = _taught(tmp_path / "home", recipe=recipe)
    install(monkeypatch)
    trained_on: set[torch.device] = set()
    clip = torch.nn.utils.clip_grad_norm_

    def spied(weights, norm):
        weights = list(weights)
        trained_on.update(weight.device for weight in weights)
        return clip(weights, norm)

    monkeypatch.setattr(torch.nn.utils, "clip_grad_norm_", spied)
    away = _taught(tmp_path / "away", OTHER, recipe)
    assert trained_on == {OTHER}
    assert away.training_key == at_home.training_key, "the device is no input of a training"
    _near(at_home, away)


def test_a_training_goes_on_on_another_device(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    whole = _taught(tmp_path / "whole")

    class Killer:
        def on_batch(self, *_: int) -> None: ...

        def say(self, _text: str) -> None: ...

        def on_epoch(self, _record: object) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        teach(SquareData(count=24), "vgg_small", RECIPE, tmp_path / "killed", progress=Killer())
    install(monkeypatch)
    _near(whole, _taught(tmp_path / "killed", OTHER))


@pytest.fixture(scope="module")
def taught(tmp_path_factory: pytest.TempPathFactory) -> tuple[Teacher, RememberedData]:
    data = RememberedData(SquareData(count=220))
    folder = tmp_path_factory.mktemp("teacher")
    return teach(data, "vgg_small", replace(RECIPE, epochs=1), folder), data


@pytest.mark.parametrize("level", [Disclosure.SCALE, Disclosure.MOMENTS, Disclosure.PCA])
def test_statistics_are_those_of_the_cpu(
    monkeypatch: pytest.MonkeyPatch, taught: tuple[Teacher, RememberedData], level: Disclosure
) -> None:
    teacher, data = taught
    given = (teacher.net.category_module, data.load(Split.TRAIN), seam_of(teacher.architecture))
    figures, statistics = told_about_features(*given, Policy(level, directions=4))
    install(monkeypatch)
    moved, others = told_about_features(*given, Policy(level, directions=4), OTHER)
    assert moved.mean_norm == pytest.approx(figures.mean_norm, rel=1e-5)
    assert moved.channel_mean == pytest.approx(figures.channel_mean, rel=1e-4, abs=1e-6)
    if statistics is not None and others is not None:
        for one, other in zip(statistics.classes, others.classes, strict=True):
            torch.testing.assert_close(other.covariance_CC, one.covariance_CC, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("task", list(Task))
def test_answers_and_figures_are_those_of_the_cpu(
    monkeypatch: pytest.MonkeyPatch, taught: tuple[Teacher, RememberedData], task: Task
) -> None:
    teacher, data = taught
    net = teacher.net
    grid = 4 if task is Task.SEGMENTATION else 1
    request = ProbeRequest(GENERATOR_ID, 3, 96, 40, 32, 50, grid, task)
    answers = answer_probe(request, net.category_module, net.task_modules[task.value])
    figures = measure_route(net, net.route(task), data.load(Split.VALIDATION), task)
    install(monkeypatch)
    parts = placed((net.category_module, net.task_modules[task.value]), OTHER)
    away = answer_probe(request, *parts)
    assert type(away.codes) is torch.Tensor
    assert int((away.chosen_N != answers.chosen_N).sum()) <= 2
    assert (away.low, away.high) == pytest.approx((answers.low, answers.high), rel=1e-4)
    assert measure_route(net, net.route(task), data.load(Split.VALIDATION), task, OTHER) == figures
    assert device_of(net) == CPU


@pytest.mark.parametrize("task", list(Task))
@pytest.mark.parametrize("count", [1, 12])
def test_predictions_are_those_of_the_cpu(monkeypatch: pytest.MonkeyPatch, task: Task, count: int) -> None:
    net = grown_net(hosts=2, layers=(1, 2))
    images = torch.rand(count, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    told = net.predict(images, task=task)
    assert net.on(CPU) is net
    install(monkeypatch)
    away = net.on(OTHER).predict(images, task=task)
    assert type(away.logits_BG) is torch.Tensor
    torch.testing.assert_close(away.logits_BG, told.logits_BG, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(away.probabilities_BG, told.probabilities_BG, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_that_computes_takes_a_device(command: str) -> None:
    assert "--device" in CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "200"}).output


def test_a_gpu_that_is_demanded_and_not_there_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert Site(EdgeSettings.of({"home": tmp_path})).device == CPU, "auto"
    with pytest.raises(InvalidSettings, match="sees no GPU"):
        _ = Site(EdgeSettings.of({"home": tmp_path, "device": "cuda"})).device
    with pytest.raises(InvalidSettings, match="--device"):
        EdgeSettings.of({"home": tmp_path, "device": "tpu"})
    assert run(["predict", str(tmp_path), "--home", str(tmp_path), "--device", "tpu"]) == 64
    assert "--device takes auto, cpu, cuda; got tpu" in capsys.readouterr().err
    monkeypatch.setenv("TRANSPLANT_EDGE_DEVICE", "cuda")
    assert run(["predict", str(tmp_path), "--home", str(tmp_path)]) == 64
    assert "sees no GPU" in capsys.readouterr().err


def test_a_penalty_is_computed_on_the_cpu_and_says_so(taught: tuple[Teacher, RememberedData]) -> None:
    from edge.teach.borrowing import Loan, Transfer

    loan = Loan(Transfer.FM, lender=None)  # type: ignore[arg-type] - not looked at
    with pytest.raises(InvalidSettings, match="--transfer fm is computed on the CPU"):
        begin(taught[0].architecture, (Task.CLASSIFICATION,), RECIPE, loan, OTHER)
