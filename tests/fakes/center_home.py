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

    from central.registry.registry import Registry


def home_with_kits(folder: Path, sites: Iterable[str], category: str) -> Path:
    """Return a center's home with its certificates and the kits of sites of one category."""
    registry = open_registry(read_settings({"home": folder}))
    provision_sites(folder, registry, sites, category)
    registry.close()
    return folder


def provision_sites(folder: Path, registry: Registry, sites: Iterable[str], category: str) -> None:
    """Give a home its certificates and the kits of sites of one category, as `kits/SITE`."""
    identity = identity_folder(folder)
    provision_authority(identity, (), 1)
    for name in sites:
        provision_kit(
            registry,
            SystemClock(),
            identity.authority(),
            Identity(Role.SITE, name),
            categories=(category,),
            center="127.0.0.1:7443",
            days=1,
            out=folder / "kits" / name,
        )
