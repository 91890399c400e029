"""The SuperLink of one run, as processes: up with TLS and registered keys, one run, down again.

Insecure modes are not offered. Who may join is decided before the run: the SuperLink knows the keys of the
certificates that this center issued to the sites of the category and has not revoked, and no others. Whose
certificate is revoked or expires during the run is shut out within seconds.
"""

from __future__ import annotations

import json
import logging
import subprocess
import time
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from central.refine.federated_run import RunFolder, RunRecord, RunState
from central.refine.fleet_gate import FleetGate
from transplant.backends.flower_programs import (
    TiedProcess,
    flower_environment,
    free_port,
    listens,
    program,
)
from transplant.errors import MergeEngineUnavailable, TransplantError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from central.identity.files import IdentityFolder
    from central.refine.federated_run import FederatedRun

log = logging.getLogger(__name__)

_NAME = "center"
_READY_S = 60.0
_BEGIN_S = 120.0
_SLACK_S = 120.0
_LOOK_S = 0.2
_KEYS_S = 2.0
_AT_ONCE = 4
"""So many calls of `flwr`: each is a Python of its own, and many would keep each other from an end."""

_APP = """\
[build-system]
requires = ["setuptools>=77"]
build-backend = "setuptools.build_meta"

[project]
name = "rounds"
version = "1.0.0"
description = "Federated rounds of the transplant net; its code is what is installed"
license = "Apache-2.0"
dependencies = []

[tool.flwr.app]
publisher = "transplant"

[tool.flwr.app.components]
serverapp = "central.refine.server_app:app"
clientapp = "edge.refine_app:app"

[tool.flwr.app.config]
folder = ""
"""


class SuperLink:
    """A SuperLink on loopback with the gate that sites come through, while it is entered.

    Args:
        folder: everything of the run lies below it.
        identity: the center's certificates.
        listen: HOST:PORT as sites reach it.
    """

    def __init__(self, folder: Path, identity: IdentityFolder, listen: str) -> None:
        self._folder = folder
        self._identity = identity
        self._port = free_port()
        self._home = folder / "flower"
        self._environment = flower_environment(self._home)
        identity.server_credentials()
        command = [
            *(str(program("flower-superlink")), "--host", "127.0.0.1", "--port", str(self._port)),
            *("--ssl-certfile", str(identity.server), "--ssl-keyfile", str(identity.server_key)),
            *("--ssl-ca-certfile", str(identity.ca), "--enable-supernode-auth"),
            "--disable-runtime-dependency-installation",
        ]
        self._process = TiedProcess(command, folder / "superlink.log", self._environment)
        self._gate = FleetGate(listen, self._port, identity)
        self._nodes: dict[tuple[str, bytes], str] = {}

    def __enter__(self) -> SuperLink:
        """Start it, and open the gate once it takes calls.

        Raises:
            MergeEngineUnavailable: if it does not start.
            InvalidSettings: if the gate's address cannot be had.
        """
        self._home.mkdir(parents=True, exist_ok=True)
        settings = f'address = "127.0.0.1:{self._port}"\nroot-certificates = "{self._identity.ca}"\n'
        text = f'[superlink]\ndefault = "{_NAME}"\n[superlink.{_NAME}]\n{settings}'
        (self._home / "config.toml").write_text(text, encoding="utf-8")
        self._process.start()
        try:
            self._wait_until_up()
            self._gate.__enter__()
        except BaseException:
            self._process.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._gate.__exit__()
        self._process.stop()

    @property
    def command(self) -> tuple[str, ...]:
        """Return the command that the SuperLink is started with."""
        return self._process.command

    @property
    def address(self) -> str:
        """Return HOST:PORT of the gate, as bound."""
        return self._gate.address

    def register(self, keys: Sequence[tuple[str, bytes]]) -> dict[str, str]:
        """Register the keys of certificates; return the id of each node with its site.

        Args:
            keys: site and certificate (PEM), several for a site whose certificate was renewed.

        Raises:
            MergeEngineUnavailable: if the SuperLink refuses one.
        """
        calls: dict[str, tuple[str, ...]] = {}
        for place, (site, certificate) in enumerate(keys):
            key = x509.load_pem_x509_certificate(certificate).public_key()
            path = self._home / f"{place}.pub"
            path.write_bytes(key.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH))
            calls[f"key {place} of site {site}"] = "supernode", "register", str(path), _NAME, "--name", site
        told = self._flwr(calls)
        self._nodes = {key: str(each["node-id"]) for key, each in zip(keys, told, strict=True)}
        return {node: site for (site, _), node in self._nodes.items()}

    def run(
        self,
        run: FederatedRun,
        progress: Callable[[str], None],
        stopped: Callable[[], bool] = lambda: False,
        keys: Callable[[], Sequence[tuple[str, bytes]]] | None = None,
    ) -> RunRecord:
        """Start a run and wait for its end; whatever happens, it has one.

        Args:
            run: what to do.
            progress: told a line now and then.
            stopped: asked between two looks.
            keys: returns what `register` was given, as it is now, asked every few seconds: the node of a key
                that is not among them any more is shut out.

        Raises:
            MergeEngineUnavailable: if the SuperLink does not take the run.
        """
        folder = RunFolder(self._folder)
        folder.run.write_bytes(run.to_json())
        app = self._folder / "app"
        app.mkdir(exist_ok=True)
        (app / "pyproject.toml").write_text(_APP, encoding="utf-8")
        self._flwr({"the run": ("run", str(app), _NAME, "--run-config", f"folder='{self._folder}'")})
        began_s = time.monotonic()
        progress(f"run {run.run[:12]} is under way; sites join at {self.address}")
        looked_s = began_s
        while (record := folder.ended()) is None:
            if keys is not None and time.monotonic() > looked_s + _KEYS_S:
                self._look_at(keys, folder)
                looked_s = time.monotonic()
            passed_s = time.monotonic() - began_s
            if stopped():
                record = RunRecord(RunState.STOPPED, "it was stopped here")
            elif not self._process.running:
                record = RunRecord(RunState.FAILED, f"the SuperLink ended: {self._process.last_words()}")
            elif not folder.begun.exists() and passed_s > _BEGIN_S:
                record = RunRecord(
                    RunState.FAILED, f"the ServerApp did not start: {self._process.last_words()}"
                )
            elif passed_s > run.longest_s + _SLACK_S:
                record = RunRecord(RunState.TIMED_OUT, f"it was not done within {passed_s:.0f} s")
            else:
                time.sleep(_LOOK_S)
                continue
            folder.leave(record)
        return record

    def _look_at(self, keys: Callable[[], Sequence[tuple[str, bytes]]], folder: RunFolder) -> None:
        """Shut out the nodes of keys that are not good any more: what they answer, then they themselves."""
        try:
            good = set(keys())
        except TransplantError as error:
            if not error.retry:
                raise
            log.warning("%s: %s; the sites' keys are looked at again", error.code(), error)
            return
        shut, bad = folder.shut_nodes(), {key: self._nodes[key] for key in self._nodes.keys() - good}
        gone = {node: site for (site, _), node in bad.items() if node not in shut}
        if not gone:
            return
        folder.shut_out(shut | gone.keys())
        log.warning("shut out, for their keys are not good any more: %s", ", ".join(sorted(gone.values())))
        try:
            self._flwr(
                {f"leave of {site}": ("supernode", "unregister", node, _NAME) for node, site in gone.items()}
            )
        except MergeEngineUnavailable as error:
            log.warning("%s; no answer of theirs is taken all the same", error)

    def _flwr(self, calls: Mapping[str, Sequence[str]]) -> list[Mapping[str, object]]:
        """Call `flwr` a few times at once; return what each call printed.

        Args:
            calls: what is asked for -> the words of the command.

        Raises:
            MergeEngineUnavailable: if one fails, or is not done in time.
        """
        told: list[Mapping[str, object]] = []
        waiting = list(calls.items())
        while waiting:
            batch, waiting = waiting[:_AT_ONCE], waiting[_AT_ONCE:]
            children = [self._child(words) for _, words in batch]
            try:
                told += [_told(child, what) for child, (what, _) in zip(children, batch, strict=True)]
            finally:
                for child in children:
                    with child:
                        child.kill()  # those that ended do not mind
        return told

    def _child(self, words: Sequence[str]) -> subprocess.Popen[str]:
        return subprocess.Popen(  # noqa: S603 - the command is ours
            [str(program("flwr")), *words, "--format", "json"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=self._environment,
            cwd=self._home,
        )

    def _wait_until_up(self) -> None:
        until_s = time.monotonic() + _READY_S
        while not listens(self._port):
            if not self._process.running or time.monotonic() > until_s:
                raise MergeEngineUnavailable(f"the SuperLink did not start: {self._process.last_words()}")
            time.sleep(_LOOK_S)


def _told(call: subprocess.Popen[str], what: str) -> Mapping[str, object]:
    """Return what a call of `flwr` printed.

    Raises:
        MergeEngineUnavailable: if it failed, or is not done in time.
    """
    try:
        out, err = call.communicate(timeout=_READY_S)
    except subprocess.TimeoutExpired as error:
        raise MergeEngineUnavailable(f"the SuperLink has not taken {what} in {_READY_S:g} s") from error
    try:
        told = json.loads(out[out.index("{") :])
    except ValueError:
        told = {}
    if call.returncode or not told.get("success"):
        said = told.get("error-message") or (err or out).strip()[-400:]
        raise MergeEngineUnavailable(f"the SuperLink does not take {what}: {said}")
    return told
