"""What a teacher learned from: nets, the modules of a whole route among them, if each site lends."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest
from fakes.artifacts import sealed, sealed_adapter

from central.usecases.admit_module import check_lenders
from transplant.errors import TransferForbidden
from transplant.types import ModuleKind, Task

if TYPE_CHECKING:
    from central.registry.registry import Books
    from transplant.artifact.manifest import Manifest

F = sealed(site="site-dog")[0]
H = sealed_adapter()[0]


def _books(*known: Manifest) -> Books:
    rows = {each.module_id: SimpleNamespace(manifest=each.canonical_bytes()) for each in known}
    modules = SimpleNamespace(has=lambda name: name in rows, get=lambda name: rows[name])
    return cast("Books", SimpleNamespace(modules=modules))


def _task(**changes: Any) -> Manifest:
    return sealed(ModuleKind.TASK, Task.CLASSIFICATION, parents=(F.module_id,), site="site-dog", **changes)[0]


def _learner(*lenders: Manifest) -> Manifest:
    return sealed(seed=9, site="site-cat", category="cat", parents=tuple(each.module_id for each in lenders))[
        0
    ]


def test_a_whole_route_may_lend() -> None:
    route = (F, H, _task())
    check_lenders(_books(*route), _learner(*route))


def test_a_route_lends_nothing_if_one_of_its_modules_does_not() -> None:
    route = (F, H, _task(transfer_forbidden=True))
    with pytest.raises(TransferForbidden, match="site-dog does not allow"):
        check_lenders(_books(*route), _learner(*route))
