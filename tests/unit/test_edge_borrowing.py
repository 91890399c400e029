"""A teacher that borrows: from a file, from the catalog, from torchvision; what is refused, and why."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import torch
from fakes.artifacts import sealed
from fakes.taught_site import seal_squares, taught_squares
from fakes.tiny_data import SquareData, write_folder
from safetensors.torch import load

from edge.cli import run
from edge.datasets.open_data import RememberedData
from edge.disclosing import Policy
from edge.pull import net_folder
from edge.seal import seal_teacher
from edge.settings import EdgeSettings
from edge.site import Site
from edge.site_home import SiteHome
from edge.teach.borrowing import Loan, Transfer
from edge.teach.lender import open_lender
from edge.teach.recipe import Recipe
from edge.teach.teach import teach
from transplant.artifact.codec import write_artifact
from transplant.errors import (
    CheckpointInvalid,
    InvalidSettings,
    NotFound,
    TransferForbidden,
    TransferNotPossible,
)
from transplant.nets.architecture_table import adapter_architecture
from transplant.types import ModuleKind, NetVersion, Route, RouteReport, Task

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from edge.seal import SealedTeacher
    from edge.teach.lender import Lender
    from edge.teach.teach import Teacher
    from transplant.artifact.manifest import Manifest

RECIPE = Recipe(epochs=2, batch_size=8, learning_rate=0.01, seed=3)


@pytest.fixture(scope="module")
def lent(tmp_path_factory: pytest.TempPathFactory) -> tuple[SiteHome, SealedTeacher]:
    """A sealed teacher of another site, lent to all."""
    folder = tmp_path_factory.mktemp("lender")
    home = SiteHome(folder / "home")
    return home, seal_squares(taught_squares(folder / "teacher", 16, 8), home)


def no_center() -> Any:
    raise AssertionError("a file needs no center")


def lender_of(lent: tuple[SiteHome, SealedTeacher], *, task: Task | None = Task.CLASSIFICATION) -> Lender:
    home, sealed = lent
    manifest = sealed.category_module if task is None else sealed.task_modules[task]
    return open_lender(str(home.sealed / f"{manifest.module_id}.json"), "site-b", home, no_center)


def taught(folder: Path, loan: Loan | None, recipe: Recipe = RECIPE, **changes: Any) -> Teacher:
    options: dict[str, Any] = {"tasks": (Task.CLASSIFICATION,)} | changes
    return teach(SquareData(count=8, colour=1), "vgg_small", recipe, folder, loan=loan, **options)


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


class _Catalog:
    """A center with one version of the net, of the lent modules and an adapter that it has learned."""

    def __init__(
        self,
        lent: tuple[SiteHome, SealedTeacher],
        adapter: tuple[Manifest, bytes] | None = None,
        task: Task = Task.CLASSIFICATION,
    ) -> None:
        self._home, self._sealed = lent
        self._adapter, self._task = adapter, task

    def __enter__(self) -> _Catalog:
        return self

    def __exit__(self, *_: object) -> None: ...

    def route_reports(self, number: int = 0) -> dict[tuple[str, Task], RouteReport]:
        return {("square", self._task): RouteReport(10.0)} if number else {}

    def get_version(self, number: int = 0) -> NetVersion:
        if number > 1:
            raise NotFound(f"no version {number}")
        f, g = self._sealed.category_module, self._sealed.task_modules[self._task]
        h = None if self._adapter is None else self._adapter[0].module_id
        route = Route("square", self._task, f.module_id, h, g.module_id, "c" * 64)
        return NetVersion(1, None, (route,))

    def download(self, module_id: str, directory: Path) -> Path:
        directory.mkdir(parents=True, exist_ok=True)
        if self._adapter is not None and module_id == self._adapter[0].module_id:
            write_artifact(directory, *self._adapter)
            return directory
        for suffix in (".json", ".safetensors"):
            made = directory / f"{module_id}{suffix}"
            made.write_bytes((self._home.sealed / made.name).read_bytes())
        return directory


def test_a_category_of_the_pulled_net_lends(lent: tuple[SiteHome, SealedTeacher], home: SiteHome) -> None:
    client: Callable[[], Any] = lambda: contextlib.nullcontext(_Catalog(lent))  # noqa: E731
    lender = open_lender("catalog:square/1", "site-b", home, client)
    assert lender.digests == (lent[1].category_module.module_id,)
    assert not lender.answers
    assert len(lender.chain) == 2
    with pytest.raises(NotFound, match="it has square"):
        open_lender("catalog:cat/1", "site-b", home, client)
    with pytest.raises(NotFound, match="no version 7"):
        open_lender("catalog:square/7", "site-b", home, client)
    with pytest.raises(InvalidSettings, match="which version"):
        open_lender("catalog:square", "site-b", home, client)


def _adapter(lent: tuple[SiteHome, SealedTeacher], **changes: Any) -> tuple[Manifest, bytes]:
    channels = lent[1].category_module.seam.channels
    architecture = adapter_architecture(channels, channels, 1, 1)
    options: dict[str, Any] = {"site": "central", "category": "square"} | changes
    return sealed(ModuleKind.ADAPTER, Task.CLASSIFICATION, architecture, **options)


def _client(catalog: _Catalog) -> Callable[[], Any]:
    return lambda: contextlib.nullcontext(catalog)


def test_the_whole_route_lends_where_answers_are_borrowed(
    lent: tuple[SiteHome, SealedTeacher], home: SiteHome, tmp_path: Path
) -> None:
    made = _adapter(lent)
    client = _client(_Catalog(lent, made))
    lender = open_lender("catalog:square/1", "site-b", home, client, for_answers=True)
    f, g = lent[1].category_module, lent[1].task_modules[Task.CLASSIFICATION]
    assert lender.digests == (f.module_id, made[0].module_id, g.module_id)
    assert lender.answers
    images = torch.rand(2, 3, 32, 32)
    folder = net_folder(home)
    route = [folder.load(module_id) for module_id in lender.digests]
    assert torch.equal(lender.net(images).answers, route[2](route[1](route[0](images))))
    assert taught(tmp_path, Loan(Transfer.LWF, lender)).lenders == lender.digests
    founder = open_lender("catalog:square/1", "site-b", SiteHome(tmp_path / "other"), _client(_Catalog(lent)),
                          for_answers=True)  # fmt: skip
    assert founder.digests == (f.module_id, g.module_id)


def test_a_route_lends_only_if_every_module_of_it_does_and_if_it_classifies(
    lent: tuple[SiteHome, SealedTeacher], home: SiteHome
) -> None:
    client = _client(_Catalog(lent, _adapter(lent, site="site-x", transfer_forbidden=True)))
    with pytest.raises(TransferForbidden, match=r"site-x does not allow.*adapter"):
        open_lender("catalog:square/1", "site-b", home, client, for_answers=True)
    assert not open_lender("catalog:square/1", "site-b", home, client).answers, "f alone is lent"
    client = _client(_Catalog(lent, task=Task.SEGMENTATION))
    with pytest.raises(TransferNotPossible, match="not classified"):
        open_lender("catalog:square/1", "site-b", SiteHome(home.root / "b"), client, for_answers=True)


@pytest.mark.parametrize("transfer", [Transfer.LWF, Transfer.L2T])
def test_a_site_asks_for_answers_where_it_borrows_them(
    transfer: Transfer, lent: tuple[SiteHome, SealedTeacher], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Site, "client", lambda _site: contextlib.nullcontext(_Catalog(lent, _adapter(lent))))
    chosen = {"home": tmp_path, "site": "site-b", "transfer": transfer.value, "lender": "catalog:square/1"}
    loan = Site(EdgeSettings.of(chosen)).loan
    assert loan is not None
    assert loan.lender.answers == (transfer is Transfer.LWF)
    assert len(loan.lender.digests) == (3 if transfer is Transfer.LWF else 1)


def test_public_weights_come_through_torchvisions_own_door(
    home: SiteHome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transplant.nets.torchvision_ops import ensure_torchvision_ops

    ensure_torchvision_ops()
    from torchvision.models import resnet18

    asked: list[str] = []

    def downloaded(url: str, **_: object) -> dict[str, torch.Tensor]:
        asked.append(url)
        torch.manual_seed(0)
        return resnet18(weights=None).state_dict()

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", downloaded)
    lender = open_lender("torchvision:resnet18", None, home, no_center)
    assert asked
    assert "resnet18" in asked[0]
    assert lender.answers
    assert len(lender.digests[0]) == 64
    teacher = taught(tmp_path, Loan(Transfer.LWF, lender), replace(RECIPE, epochs=1))
    assert teacher.lenders == lender.digests
    with pytest.raises(InvalidSettings, match="resnet34"):
        open_lender("torchvision:alexnet", None, home, no_center)
    with pytest.raises(InvalidSettings, match="catalog:CATEGORY"):
        open_lender("weights.pth", None, home, no_center)
    with pytest.raises(NotFound, match="no manifest"):
        open_lender(str(tmp_path / "gone.json"), None, home, no_center)


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
