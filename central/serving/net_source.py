"""Where served versions come from: a center's registry and store, or an exported folder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from central.home import identity_folder, open_known_registry, store_place
from central.identity.server_tls import ServerTls
from central.servicers.access import AccessInterceptor
from central.serving.grpc_front import RIGHTS
from central.serving.stock import stock_version
from transplant.artifact.net_folder import NetFolder
from transplant.backends.system_clock import SystemClock
from transplant.rpc.channel import renewable_server_credentials

if TYPE_CHECKING:
    from pathlib import Path

    import grpc

    from central.settings import CentralSettings


class NetSource(Protocol):
    """Where versions come from, and how callers of a server in front of them are known."""

    @property
    def root(self) -> Path:
        """Return the folder that replicas read."""
        ...

    def ready(self, number: int) -> int:
        """Make sure that a version (0: the newest) lies in the folder; return its number.

        Raises:
            NotFound: if there is no such version.
        """
        ...

    def access(self) -> tuple[grpc.ServerCredentials | None, tuple[grpc.ServerInterceptor, ...]]:
        """Return the credentials of a server and what checks its callers; None: nobody can be known."""
        ...

    def close(self) -> None:
        """Let go of what is held."""
        ...


class FolderSource:
    """An exported net."""

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()

    def ready(self, number: int) -> int:
        """Return the number of a version that lies there."""
        return NetFolder.at(self.root).version(number).number

    def access(self) -> tuple[grpc.ServerCredentials | None, tuple[grpc.ServerInterceptor, ...]]:
        """Return no credentials: a folder has no certificates."""
        return None, ()

    def close(self) -> None:
        """Do nothing: nothing is held."""


class CenterSource:
    """A center, which may serve its sites meanwhile: registry and store are only read.

    Args:
        settings: where it is.
        guide_images: see `stock_version`.

    Raises:
        InvalidSettings: if nothing was provisioned there.
        CertificateInvalid: if its server certificate cannot be used.
    """

    def __init__(self, settings: CentralSettings, guide_images: int | None = None) -> None:
        self._registry = open_known_registry(settings)
        self._store = store_place(settings).open()
        self._tls = ServerTls(identity_folder(settings.home))
        self._guide_images = guide_images
        self._drawings = settings.drawings
        self.root = settings.home / "serving"

    def ready(self, number: int) -> int:
        """Lay a version ready for replicas; return its number."""
        folder = NetFolder.at(self.root)
        return stock_version(
            self._registry, self._store, folder, number, self._guide_images, self._drawings
        ).number

    def access(self) -> tuple[grpc.ServerCredentials | None, tuple[grpc.ServerInterceptor, ...]]:
        """Return the center's certificate, and the check of kits against its registry."""
        credentials = renewable_server_credentials(self._tls.first, self._tls.renewed)
        return credentials, (AccessInterceptor(self._registry, SystemClock(), RIGHTS),)

    def close(self) -> None:
        """Close the registry."""
        self._registry.close()
