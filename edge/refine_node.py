"""This site's node in the center's federated rounds: Flower's SuperNode as a child of the agent.

Its certificate authority is the kit's and its key is that of the site's certificate, so the center knows who
answers. It is started anew whenever it ended: the center's SuperLink is there for the time of a run
only, and a node that finds another one must begin again. All it needs of the site is its folder.
"""

from __future__ import annotations

import logging
import os
import time
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from edge.refine_launch import write_programs
from transplant.artifact.durable_file import storage_errors
from transplant.backends.flower_programs import TiedProcess, flower_environment, free_port, program
from transplant.errors import InvalidSettings

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

    from edge.site import Site
    from transplant.rpc.channel import Kit

log = logging.getLogger(__name__)

_LEAST_S, _MOST_S = 1.0, 60.0


class RefineNode:
    """Kept alive by `turn`, which never raises for what a later turn can mend.

    Args:
        site: this site; it takes part where its settings name the center's SuperLink.
    """

    def __init__(self, site: Site) -> None:
        self._site = site
        self._node: TiedProcess | None = None
        self._kit: Kit | None = None
        self._pause_s = _LEAST_S
        self._not_before_s = 0.0

    def __enter__(self) -> RefineNode:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._node is not None:
            self._node.stop()

    def turn(self, kit: Kit | None = None) -> None:
        """See to it that the node runs, with the key of this kit [the site's own].

        Raises:
            InvalidSettings: if the site's folder cannot be named to Flower, or Flower is not installed.
        """
        link = self._site.settings.refine
        if link is None:
            return
        wanted = self._site.kit if kit is None else kit
        if self._node is not None and self._node.running:
            self._node.shorten_log()
            if self._kit == wanted:
                self._pause_s = _LEAST_S
                return
            self._node.stop()  # the certificate was renewed: so is the key
        now_s = time.monotonic()
        if now_s < self._not_before_s:
            return
        if self._node is not None and self._kit == wanted:
            log.info(
                "the node of the federated rounds ended (%s); starting it again", self._node.last_words()
            )
        self._pause_s = min(_MOST_S, 2 * self._pause_s)
        self._not_before_s = now_s + self._pause_s
        self._kit = wanted
        self._node = supernode(self._site, wanted, link)
        self._node.start()


def supernode(site: Site, kit: Kit, link: str) -> TiedProcess:
    """Return the SuperNode of a site, ready to start; TLS and its key are never optional.

    Raises:
        InvalidSettings: if the site's folder cannot be named to Flower, or Flower is not installed.
    """
    home = site.home.root.absolute()
    if any(letter in str(home) for letter in "\"'\\\n"):
        raise InvalidSettings(f"--home {home} cannot be told to Flower: take one without quotes")
    folder = home / "refine"
    with storage_errors(folder):
        write_programs(folder / "programs")
        key, ca = folder / "node.key", folder / "ca.pem"
        _write_key(key, kit)
        ca.write_bytes(kit.ca)
    command = [
        *(str(program("flower-supernode")), "--superlink", link),
        *("--root-certificates", str(ca), "--auth-supernode-private-key", str(key)),
        *("--host", "127.0.0.1", "--port", str(free_port())),
        *("--node-config", f'home="{home}"'),
    ]
    environment = flower_environment(folder / "flower", folder / "programs")
    return TiedProcess(command, folder / "node.log", environment)


def _write_key(path: Path, kit: Kit) -> None:
    """Write the key of a certificate as Flower reads it, for nobody else to read."""
    key = load_pem_private_key(kit.key, password=None)
    text = key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(text)
