"""What federated rounds let in: at a site's node and at the center's gate."""

from __future__ import annotations

import os
import socket
import ssl
import subprocess
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from fakes.center_home import home_with_kits

from central.home import identity_folder, open_registry
from central.identity.provision import revoke_certificates
from central.refine.fleet_gate import FleetGate
from central.refine.refinement import keys_now, site_keys
from central.refine.superlink import SuperLink
from central.settings import read_settings
from edge.refine_launch import write_programs
from edge.refine_node import supernode
from edge.settings import EdgeSettings
from edge.site import Site
from transplant.backends.flower_programs import flower_environment
from transplant.backends.system_clock import SystemClock
from transplant.errors import CertificateInvalid, InvalidSettings
from transplant.types import Role

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return home_with_kits(tmp_path / "home", ("site-ada", "site-bob"), "cat")


@contextmanager
def upstream(home: Path, heard: list[bytes]) -> Iterator[int]:
    """Yield the port of a TLS server that answers every request with 200 and notes it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    identity = identity_folder(home)
    context.load_cert_chain(identity.server, identity.server_key)
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                plain, _ = listener.accept()
            except OSError:
                return
            with plain, context.wrap_socket(plain, server_side=True) as client:
                data = client.recv(65536)
                while b"\r\n\r\n" not in data or len(data.split(b"\r\n\r\n", 1)[1]) < 4:
                    data += client.recv(65536)
                heard.append(data)
                client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


def ask(address: str, home: Path, request: bytes) -> bytes:
    context = ssl.create_default_context(cafile=str(identity_folder(home).ca))
    host, _, port = address.rpartition(":")
    plain = socket.create_connection((host, int(port)), timeout=10)
    with context.wrap_socket(plain, server_hostname=host) as client:
        client.sendall(request)
        answer = b""
        while block := client.recv(65536):
            answer += block
    return answer


def request_of(path: str, fields: str = "Content-Length: 4\r\n", method: str = "POST") -> bytes:
    return f"{method} {path} HTTP/1.1\r\nHost: center\r\n{fields}\r\nbody".encode()


def test_the_gate_hands_on_the_fleet_api_and_nothing_else(home: Path):
    heard: list[bytes] = []
    with upstream(home, heard) as port, FleetGate("127.0.0.1:0", port, identity_folder(home)) as gate:
        assert ask(gate.address, home, request_of("/v1/fleet/pull-messages")).endswith(b"ok")
        (seen,) = heard
        assert seen.endswith(b"body")
        assert b"Connection: close" in seen
        for refused in (
            request_of("/v1/control/register-node"),
            request_of("/v1/control/start-run"),
            request_of("/v1/runtime/get-nodes"),
            request_of("/v1/fleet/../control/start-run"),
            request_of("/v1/fleet/%2e%2e/control"),
            request_of("/docs", method="GET"),
            request_of("/v1/fleet/get-run", "Transfer-Encoding: chunked\r\n"),
            request_of("/v1/fleet/get-run", "Content-Length: 4\r\nContent-Length: 9\r\n"),
            request_of("/v1/fleet/get-run", "Content-Length: 999999999999\r\n"),
            request_of("/v1/fleet/get-run", "Content-Length : 4\r\n"),
            request_of("/v1/fleet/get-run", "Upgrade: h2c\r\nContent-Length: 4\r\n"),
            request_of("/v1/fleet/get-run", f"X: {'y' * 40_000}\r\nContent-Length: 4\r\n"),
        ):
            assert ask(gate.address, home, refused).startswith(b"HTTP/1.1 4"), refused[:60]
        assert len(heard) == 1


def test_the_gate_speaks_tls_only(home: Path):
    with FleetGate("127.0.0.1:0", 1, identity_folder(home)) as gate:
        host, _, port = gate.address.rpartition(":")
        with socket.create_connection((host, int(port)), timeout=10) as plain:
            plain.sendall(request_of("/v1/fleet/pull-messages"))
            assert b"HTTP" not in plain.recv(4096)
        with pytest.raises(InvalidSettings, match="cannot listen"):
            FleetGate(gate.address, 1, identity_folder(home)).__enter__()


@pytest.mark.parametrize("listen", ["center:74430", "center", "center:", ":7443", "center:http", "[]:1"])
def test_an_address_that_is_none_is_refused_before_anything_starts(home: Path, listen: str):
    with pytest.raises(InvalidSettings, match=r"--listen .*HOST:PORT"):
        FleetGate(listen, 1, identity_folder(home))
    with pytest.raises(InvalidSettings, match="--listen"):
        SuperLink(home / "run", identity_folder(home), listen)


@pytest.mark.timeout(30)
def test_whatever_keeps_the_gate_from_listening_is_told_and_not_waited_for(
    home: Path, monkeypatch: pytest.MonkeyPatch
):
    with pytest.raises(InvalidSettings, match="cannot listen"):
        FleetGate("cen..ter:0", 1, identity_folder(home)).__enter__()
    gate = FleetGate("127.0.0.1:0", 1, identity_folder(home))
    monkeypatch.setattr(gate, "_listen", ("127.0.0.1", 74430))
    with pytest.raises(OverflowError):
        gate.__enter__()


def test_a_node_imports_nothing_that_came_with_an_app(tmp_path: Path):
    app = tmp_path / "flower" / "apps" / "evil"
    app.mkdir(parents=True)
    (app / "evil.py").write_text("raise SystemExit('code of somebody else ran')")
    (app / "json.py").write_text("raise SystemExit('code of somebody else ran')")
    code = (
        "import sys; from pathlib import Path; from edge.refine_launch import import_nothing_below as close;"
        f"close(Path({str(tmp_path / 'flower')!r})); sys.path.insert(0, {str(app)!r}); import json;"
        "\ntry:\n import evil\nexcept ModuleNotFoundError: print('closed')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "closed", done.stderr


def test_a_nodes_programs_are_two_and_its_environment_is_quiet(tmp_path: Path):
    write_programs(tmp_path / "programs")
    assert sorted(each.name for each in (tmp_path / "programs").iterdir()) == [
        "flower-superexec",
        "flwr-clientapp",
    ]
    environment = flower_environment(tmp_path / "flower", tmp_path / "programs")
    assert environment["PATH"] == str(tmp_path / "programs")
    assert environment["FLWR_TELEMETRY_ENABLED"] == "0"
    assert environment["FLWR_DISABLE_UPDATE_CHECK"] == "1"


def test_neither_side_can_be_started_without_tls_and_keys(home: Path, tmp_path: Path):
    flags = {"home": tmp_path / "site", "kit": home / "kits" / "site-ada", "category": "cat"}
    member = Site(EdgeSettings.of(flags | {"refine": "127.0.0.1:9"}))
    node = supernode(member, member.kit, "127.0.0.1:9").command
    link = SuperLink(tmp_path / "run", identity_folder(home), "127.0.0.1:0").command
    assert "--insecure" not in (*node, *link)
    assert {"--root-certificates", "--auth-supernode-private-key"} <= set(node)
    assert {"--ssl-certfile", "--enable-supernode-auth", "--disable-runtime-dependency-installation"} <= set(
        link
    )
    assert link[link.index("--host") + 1] == "127.0.0.1"
    key = tmp_path / "site" / "refine" / "node.key"
    assert os.stat(key).st_mode & 0o777 == 0o600  # noqa: PTH116
    with pytest.raises(CertificateInvalid):
        SuperLink(tmp_path / "run", identity_folder(tmp_path / "nowhere"), "127.0.0.1:0")


def test_only_sites_with_a_certificate_that_is_good_now_may_join(home: Path):
    settings = read_settings({"home": home})
    registry = open_registry(settings)
    from central.compose import compose_center

    center = compose_center(settings, registry)
    assert [site for site, _ in site_keys(center, settings, ("site-ada", "site-bob"), 2)] == [
        "site-ada",
        "site-bob",
    ]
    revoke_certificates(registry, SystemClock(), Role.SITE, "site-bob", None)
    assert [site for site, _ in site_keys(center, settings, ("site-ada", "site-bob"), 1)] == ["site-ada"]
    with pytest.raises(CertificateInvalid, match="site-bob"):
        site_keys(center, settings, ("site-ada", "site-bob"), 2)
    assert [site for site, _ in keys_now(center, settings, ("cat", "dog"))] == ["site-ada"]
    with registry.write() as books:
        books.sites.withdraw("site-ada", ["cat"])
    assert keys_now(center, settings, ("cat", "dog")) == []
    registry.close()
