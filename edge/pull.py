"""Bring a version of the transplant net home: every module verified, cached by its id."""

from __future__ import annotations

from typing import TYPE_CHECKING

from transplant.artifact.durable_file import write_durably
from transplant.artifact.net_document import net_document
from transplant.artifact.net_folder import NetFolder
from transplant.errors import NotFound

if TYPE_CHECKING:
    from edge.site_home import SiteHome
    from transplant.nets.transplant_net import TransplantNet
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
    net_folder(home).keep_reports(version, client.route_reports(version.number))
    path.parent.mkdir(parents=True, exist_ok=True)
    # The document comes last: where it stands, every module of the version is in the cache.
    write_durably(path, document)
    return version


def read_version(home: SiteHome, number: int = 0) -> NetVersion:
    """Read a version that was pulled; 0 is the newest of them.

    Raises:
        NotFound: if it was not pulled.
    """
    return net_folder(home).version(number)


def load_net(home: SiteHome, version: NetVersion) -> TransplantNet:
    """Assemble a pulled version from the cache; every module is verified again on the way in.

    Raises:
        NotFound: if a module is not in the cache.
        ArtifactRejected: if a cached module was damaged.
    """
    return net_folder(home).load_net(version)


def net_folder(home: SiteHome) -> NetFolder:
    """Return where versions and modules lie at a site: modules were pulled, or sealed here."""
    return NetFolder(home.net, (home.sealed, home.modules))


def fetch(client: CentralClient, home: SiteHome, module_id: str) -> None:
    """Make sure that a module is at the site; the client verifies what it downloads.

    Raises:
        NotFound: if the center has no such module for this site.
        ArtifactRejected: if what comes is not what the id says.
    """
    try:
        net_folder(home).payload(module_id)
    except NotFound:
        client.download(module_id, home.modules)
