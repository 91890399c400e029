"""The server's certificate as it stands on the disk: renewed without a restart, and without a gap."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from transplant.errors import CertificateInvalid
from transplant.rpc.channel import check_certificate

if TYPE_CHECKING:
    from central.identity.files import IdentityFolder

log = logging.getLogger(__name__)


class ServerTls:
    """Reads the server's certificate, and again whenever its files have changed.

    Args:
        folder: the center's identity.

    Raises:
        CertificateInvalid: if a file is missing, or they do not fit together.
    """

    def __init__(self, folder: IdentityFolder) -> None:
        self._folder = folder
        self._seen = self._state()
        self.first = self._read()

    def renewed(self) -> tuple[bytes, bytes, bytes] | None:
        """Return CA certificate, server certificate and key if they are new; None to go on with the last.

        A pair that does not fit (yet: the two files are replaced one after the other) is not taken.
        """
        seen = self._state()
        if seen == self._seen:
            return None
        try:
            tls = self._read()
        except CertificateInvalid as error:
            log.warning("the server's certificate on the disk cannot be used yet: %s", error)
            return None
        self._seen = seen
        log.info("going on with a renewed server certificate")
        return tls

    def _read(self) -> tuple[bytes, bytes, bytes]:
        tls = self._folder.server_credentials()
        check_certificate(*tls, self._folder.root, (self._folder.server.name, self._folder.server_key.name))
        return tls

    def _state(self) -> tuple[tuple[int, int] | None, ...]:
        """Return what tells a replaced file from the one before it."""
        paths = (self._folder.ca, self._folder.server, self._folder.server_key)
        found = [path.stat() if path.exists() else None for path in paths]
        return tuple(None if each is None else (each.st_ino, each.st_mtime_ns) for each in found)
