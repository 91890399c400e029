"""The site's certificate does not expire unseen: it is renewed in the last third of its life.

Where the center renews over the wire (its `renewal = automatic`), a new key is made here, the center signs
it, and the kit's folder changes in one step. Where its operator renews by hand, the log says in time that a
new kit is needed, and one that is put into the kit's folder is taken without a restart.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from transplant.errors import InvalidSettings, TransplantError
from transplant.rpc.channel import load_kit
from transplant.rpc.renewal import renewable_from, settle_kit

if TYPE_CHECKING:
    from pathlib import Path

    from transplant.ports.clock import Clock
    from transplant.rpc.client import CentralClient

log = logging.getLogger(__name__)

AGAIN_S = 3600.0
_SOON_S = 60.0


class KitRenewal:
    """Looks after one kit.

    Args:
        directory: the kit's folder.
        client: the connection that was opened with it, and that shall go on with the renewed one.
        clock: the site's.
    """

    def __init__(self, directory: Path, client: CentralClient, clock: Clock) -> None:
        self._directory = directory
        self._client = client
        self._clock = clock
        self._due_s = clock.monotonic_s()

    def turn(self) -> bool:
        """Renew the kit if it is time to; say whether the client has another one now. Never raises."""
        if self._clock.monotonic_s() < self._due_s:
            return False
        self._due_s = self._clock.monotonic_s() + _SOON_S
        if self._clock.now() < renewable_from(self._client.kit.cert):
            return False
        try:
            return self._renewed()
        except TransplantError as error:
            self._due_s = self._clock.monotonic_s() + (_SOON_S if error.retry else AGAIN_S)
            log.warning("the kit in %s could not be renewed: %s: %s", self._directory, error.code(), error)
            return False

    def _renewed(self) -> bool:
        settle_kit(self._directory)
        found = load_kit(self._directory)
        if found.cert != self._client.kit.cert:
            if (found.role, found.name) != (self._client.kit.role, self._client.kit.name):
                raise InvalidSettings(
                    f"{self._directory} holds the kit of {found.role} {found.name} now: put this site's there"
                )
            self._client.use(found)
            log.info("going on with the new kit in %s", self._directory)
            return True
        described = self._client.describe()
        if not described.renews:
            self._due_s = self._clock.monotonic_s() + AGAIN_S
            log.warning(
                "the certificate of this site expires on %s: ask the center's operator for a new kit "
                "and put it into %s",
                f"{described.expires_at:%Y-%m-%d %H:%M} UTC",
                self._directory,
            )
            return False
        self._client.renew(self._directory)
        log.info("renewed the kit in %s", self._directory)
        return True
