"""Bring a version of the transplant net home: every module verified, cached by its id."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge.seal import payload_path
from transplant.artifact.codec import load_module, read_manifest
from transplant.artifact.durable_file import write_durably
from transplant.artifact.net_document import net_document, parse_net_document
from transplant.errors import NotFound
from transplant.nets.transplant_net import TransplantNet

if TYPE_CHECKING:
    from pathlib import Path

    from torch import nn

    from edge.site_home import SiteHome
    from transplant.rpc.client import CentralClient
    from transplant.types import NetVersion


def pull_version(client: CentralClient, home: SiteHome, number: int = 0) -> NetVersion:
    """Fetch one version and all its modules into SITEHOME.

    Args:
        client: the connection to the center.
        home: the site.
        number: which version; 0 is the newest.

    Raises:
        NotFound: if the center has no such version (yet).
        ArtifactRejected: if a module is not what its id says.
    """
    version = client.get_version(number)
    document = net_document(version)
    path = home.net / str(version.number) / "net.json"
    if path.is_file() and path.read_bytes() == document:
        return version
    for module_id in version.module_ids():
        fetch(client, home, module_id)
    path.parent.mkdir(parents=True, exist_ok=True)
    # The document comes last: where it stands, every module of the version is in the cache.
    write_durably(path, document)
    return version


def read_version(home: SiteHome, number: int = 0) -> NetVersion:
    """Read a version that was pulled; 0 is the newest of them.

    Raises:
        NotFound: if it was not pulled.
    """
    pulled = sorted(int(path.parent.name) for path in home.net.glob("*/net.json"))
    if not pulled or (number and number not in pulled):
        wanted = f"version {number}" if number else "any version"
        raise NotFound(f"{wanted} of the transplant net is not in {home.net}: run transplant-edge pull first")
    return parse_net_document((home.net / str(number or pulled[-1]) / "net.json").read_bytes())


def load_net(home: SiteHome, version: NetVersion) -> TransplantNet:
    """Assemble a pulled version from the cache; every module is verified again on the way in.

    Raises:
        NotFound: if a module is not in the cache.
        ArtifactRejected: if a cached module was damaged.
    """
    return TransplantNet(
        version, {module_id: cached_module(home, module_id) for module_id in version.module_ids()}
    )


def fetch(client: CentralClient, home: SiteHome, module_id: str) -> None:
    """Make sure that a module is at the site; the client verifies what it downloads.

    Raises:
        NotFound: if the center has no such module for this site.
        ArtifactRejected: if what comes is not what the id says.
    """
    if _cached_in(home, module_id) is None:
        client.download(module_id, home.modules)


def cached_module(home: SiteHome, module_id: str) -> nn.Module:
    """Return a module that is at the site already: pulled, or sealed here.

    Raises:
        NotFound: if it is not.
        ArtifactRejected: if it was damaged.
    """
    directory = _cached_in(home, module_id)
    if directory is None:
        raise NotFound(f"module {module_id[:12]} is not in {home.modules}: run transplant-edge pull first")
    return load_module(read_manifest(directory / f"{module_id}.json"), payload_path(directory, module_id))


def _cached_in(home: SiteHome, module_id: str) -> Path | None:
    for directory in (home.sealed, home.modules):
        if (directory / f"{module_id}.json").is_file() and payload_path(directory, module_id).is_file():
            return directory
    return None
