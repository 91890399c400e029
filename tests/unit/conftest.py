"""What tests of a site start from: an empty home and a center in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from fakes.memory_center import MemoryCenter

from edge.site_home import SiteHome

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def home(tmp_path: Path) -> SiteHome:
    return SiteHome(tmp_path / "home")


@pytest.fixture
def center(tmp_path: Path) -> MemoryCenter:
    return MemoryCenter(tmp_path / "center")
