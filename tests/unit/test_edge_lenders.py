"""Whom a teacher may borrow from: a category of the pulled net, one of its routes, torchvision."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import torch
from fakes.artifacts import sealed
from fakes.lent_teacher import RECIPE, lend_squares, no_center, taught

from edge.pull import net_folder
from edge.settings import EdgeSettings
from edge.site import Site
from edge.site_home import SiteHome
from edge.teach.borrowing import Loan, Transfer
from edge.teach.lender import open_lender
from transplant.artifact.codec import write_artifact
from transplant.errors import InvalidSettings, NotFound, TransferForbidden, TransferNotPossible
from transplant.nets.architecture_table import adapter_architecture
from transplant.types import ModuleKind, NetVersion, Route, RouteReport, Task

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from edge.seal import SealedTeacher
    from transplant.artifact.manifest import Manifest


@pytest.fixture(scope="module")
def lent(tmp_path_factory: pytest.TempPathFactory) -> tuple[SiteHome, SealedTeacher]:
    return lend_squares(tmp_path_factory.mktemp("lender"))


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
