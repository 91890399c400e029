"""A center's home as an operator has provisioned it, with the kits of sites."""

from __future__ import annotations

from typing import TYPE_CHECKING

from central.home import identity_folder, open_registry
from central.identity.provision import provision_authority, provision_kit
from central.settings import read_settings
from transplant.backends.system_clock import SystemClock
from transplant.types import Identity, Role

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


def home_with_kits(folder: Path, sites: Iterable[str], category: str) -> Path:
    """Return a center's home with its certificates and the kits of sites of one category."""
    provision_authority(identity_folder(folder), (), 1)
    registry = open_registry(read_settings({"home": folder}))
    for name in sites:
        provision_kit(
            registry,
            SystemClock(),
            identity_folder(folder).authority(),
            Identity(Role.SITE, name),
            categories=(category,),
            center="127.0.0.1:7443",
            days=1,
            out=folder / "kits" / name,
        )
    registry.close()
    return folder
