"""A teacher that borrows: what it learns, what its manifest says, what is refused, and why."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import torch
from fakes.lent_teacher import RECIPE, lend_squares, lender_of, no_center, taught
from fakes.tiny_data import SquareData, write_folder
from safetensors.torch import load
from torch import Tensor

from edge.cli import run
from edge.datasets.open_data import RememberedData
from edge.datasets.site_dataset import Split
from edge.disclosing import Policy
from edge.seal import seal_teacher
from edge.settings import EdgeSettings
from edge.site_home import SiteHome
from edge.teach.borrowing import Loan, Transfer
from edge.teach.choose_retained import right_answers
from edge.teach.lender import open_lender
from edge.teach.teach import teach
from transplant.errors import CheckpointInvalid, InvalidSettings, TransferForbidden, TransferNotPossible
from transplant.nets.architecture_table import default_architecture
from transplant.nets.teacher_net import TeacherNet
from transplant.types import Task

if TYPE_CHECKING:
    from pathlib import Path

    from edge.seal import SealedTeacher
    from edge.teach.teach import Teacher


@pytest.fixture(scope="module")
def lent(tmp_path_factory: pytest.TempPathFactory) -> tuple[SiteHome, SealedTeacher]:
    return lend_squares(tmp_path_factory.mktemp("lender"))


def weights(teacher: Teacher) -> dict[str, torch.Tensor]:
    return dict(teacher.net.state_dict())


@pytest.mark.parametrize("transfer", [Transfer.FM, Transfer.AT, Transfer.LWF, Transfer.L2T])
def test_a_penalty_changes_what_is_learned_and_a_resumed_training_ends_the_same(
    transfer: Transfer, lent: tuple[SiteHome, SealedTeacher], tmp_path: Path
) -> None:
    loan = Loan(transfer, lender_of(lent))
    whole = taught(tmp_path / "whole", loan)
    alone = taught(tmp_path / "alone", None)
    assert any(not torch.equal(tensor, weights(alone)[name]) for name, tensor in weights(whole).items())
    assert whole.lenders == loan.lender.digests
    assert alone.lenders == ()
    _interrupted(tmp_path / "cut", loan)
    resumed = taught(tmp_path / "cut", loan)
    for name, tensor in weights(resumed).items():
        assert torch.equal(tensor, weights(whole)[name]), name
    with pytest.raises(CheckpointInvalid, match="loan"):
        taught(tmp_path / "cut", None)


class _CutError(Exception):
    pass


def _interrupted(folder: Path, loan: Loan) -> None:
    class Cutting:
        def on_batch(self, epoch: int, done: int, of: int) -> None:
            del done, of
            if epoch == 1:
                raise _CutError

        def on_epoch(self, record: object) -> None: ...

        def say(self, line: str) -> None: ...

    with pytest.raises(_CutError):
        taught(folder, loan, progress=Cutting())


def test_retained_layers_are_the_lenders_bit_for_bit(
    lent: tuple[SiteHome, SealedTeacher], tmp_path: Path
) -> None:
    lender = lender_of(lent)
    teacher = taught(tmp_path / "three", Loan(Transfer.LAYER, lender, 3))
    frozen = [layer.weight for layer in lender.chain]
    own = [tensor for name, tensor in weights(teacher).items() if name.endswith("weight")]
    assert [torch.equal(a, b) for a, b in zip(own, frozen, strict=True)] == [True] * 3 + [False] * 5


def test_auto_chooses_once_and_remembers(lent: tuple[SiteHome, SealedTeacher], tmp_path: Path) -> None:
    said: list[str] = []

    class Listening:
        def on_batch(self, epoch: int, done: int, of: int) -> None: ...

        def on_epoch(self, record: object) -> None: ...

        def say(self, line: str) -> None:
            said.append(line)

    loan = Loan(Transfer.LAYER, lender_of(lent, task=None))
    first = taught(tmp_path, loan, progress=Listening())
    assert [line.partition(":")[0] for line in said] == [f"{n} layers retained" for n in (0, 1, 2)]
    said.clear()
    again = taught(tmp_path, loan, progress=Listening())
    assert not said
    assert all(torch.equal(tensor, weights(first)[name]) for name, tensor in weights(again).items())


def test_an_image_counts_by_the_share_of_its_answers_that_are_right() -> None:
    data = SquareData(count=6).load(Split.VALIDATION)
    masks = data.masks
    assert masks is not None
    masks[0, :16] = 255  # void
    masks[1] = 255

    class Says(torch.nn.Module):
        def __init__(self, logit: float, *size: int) -> None:
            super().__init__()
            self.logit, self.size = logit, size

        def forward(self, features: Tensor) -> Tensor:
            return torch.full((len(features), *self.size), self.logit)

    net = TeacherNet(default_architecture("vgg_small", 32), tuple(Task))
    net.task_modules[Task.CLASSIFICATION.value] = Says(1.0, 1)
    net.task_modules[Task.SEGMENTATION.value] = Says(-1.0, 1, 32, 32)
    right = right_answers(net, data)
    told = [mask[mask != 255] for mask in masks if (mask != 255).any()]
    assert len(told) == len(masks) - 1
    background = [float((mask == 0).to(torch.float64).mean()) for mask in told]
    assert right.tolist() == pytest.approx([*data.labels.tolist(), *background])


def test_the_manifest_names_whom_the_teacher_learned_from(
    lent: tuple[SiteHome, SealedTeacher], tmp_path: Path
) -> None:
    data = RememberedData(SquareData(count=16, colour=1))
    loan = Loan(Transfer.AT, lender_of(lent))
    teacher = teach(data, "vgg_small", RECIPE, tmp_path / "teacher", tasks=(Task.CLASSIFICATION,), loan=loan)
    home = SiteHome(tmp_path / "home")
    sealed = seal_teacher(teacher, data, home, site="site-b", category="blob", policy=Policy(lend=False))
    home_a, theirs = lent
    del home_a
    assert sealed.category_module.parents == (
        theirs.category_module.module_id,
        theirs.task_modules[Task.CLASSIFICATION].module_id,
    )
    assert sealed.task_modules[Task.CLASSIFICATION].parents == (sealed.category_module.module_id,)
    assert all(manifest.transfer_forbidden for manifest in sealed.manifests())
    assert not any(manifest.transfer_forbidden for manifest in theirs.manifests())
    path = str(home.sealed / f"{sealed.category_module.module_id}.safetensors")
    with pytest.raises(TransferForbidden, match="site-b does not allow"):
        open_lender(path, "site-c", home, no_center)
    with pytest.raises(TransferForbidden):
        open_lender(path, None, home, no_center)
    assert open_lender(path, "site-b", home, no_center).digests == (sealed.category_module.module_id,)


def test_what_does_not_fit_is_refused_before_training(
    lent: tuple[SiteHome, SealedTeacher], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    features = lender_of(lent, task=None)
    with pytest.raises(TransferNotPossible, match="no class answers"):
        taught(tmp_path / "a", Loan(Transfer.LWF, features))
    with pytest.raises(TransferNotPossible, match="retain fewer"):
        taught(tmp_path / "b", Loan(Transfer.LAYER, features, 3))
    with pytest.raises(TransferNotPossible, match="at least one must be trained"):
        taught(tmp_path / "c", Loan(Transfer.LAYER, lender_of(lent), 8))
    foreign = replace(features, chain=(torch.nn.Conv2d(3, 5, 7),))
    with pytest.raises(TransferNotPossible, match="not even the first layer"):
        taught(tmp_path / "d", Loan(Transfer.LAYER, foreign))
    monkeypatch.setattr("fakes.tiny_data.square_pictures", _larger_squares)
    with pytest.raises(TransferNotPossible, match="images of 64 px"):
        taught(tmp_path / "e", Loan(Transfer.LWF, lender_of(lent)))


def _larger_squares(count: int, seed: int, colour: int = 0) -> Any:
    import numpy as np

    drawn = np.random.default_rng(seed).integers(0, 255, (count, 64, 64, 3), dtype=np.uint8)
    labels = (np.arange(count) % 2).astype(np.uint8)
    del colour
    return drawn, labels, np.zeros((count, 64, 64), np.uint8)


def test_both_flags_or_neither(tmp_path: Path) -> None:
    with pytest.raises(InvalidSettings, match="give both"):
        EdgeSettings.of({"home": tmp_path, "transfer": "at"}).required_lender()
    with pytest.raises(InvalidSettings, match="give both"):
        EdgeSettings.of({"home": tmp_path, "lender": "catalog:cat/1"}).required_lender()
    settings = EdgeSettings.of({"home": tmp_path, "transfer": "layer", "lender": "x.json", "retain": "2"})
    assert (settings.required_lender(), settings.retained) == ("x.json", 2)
    with pytest.raises(InvalidSettings, match="--retain"):
        EdgeSettings.of({"home": tmp_path, "retain": "all"})


def test_the_command_trains_from_a_file(
    lent: tuple[SiteHome, SealedTeacher], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home, sealed = lent
    data = write_folder(tmp_path / "own", count=24)
    path = home.sealed / f"{sealed.category_module.module_id}.json"
    flags = ["--home", str(tmp_path / "home"), "--data", f"folder:{data}", "--category", "blob"]
    flags += ["--image-px", "32", "--epochs", "1", "--task", "classification", "--site", "site-b"]
    assert run(["train", *flags, "--transfer", "layer", "--from", str(path), "--retain", "2"]) == 0
    assert "best of 1 epochs" in capsys.readouterr().out
    kept = load((tmp_path / "home" / "teacher" / "epoch-0001.safetensors").read_bytes())
    lender = lender_of(lent, task=None)
    assert torch.equal(kept["net.category_module.layers.2.weight"], lender.chain[1].weight)
    assert run(["train", *flags, "--transfer", "lwf", "--from", str(path)]) == TransferNotPossible.exit_code
    assert "TransferNotPossible" in capsys.readouterr().err
