"""A process that serves gRPC may start others at any moment: a handshake is no reason to hang."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parent.parent

# A server asks for its certificate, and is not answered before another process was forked.
SERVES = """
import os, subprocess, threading, time
from concurrent.futures import ThreadPoolExecutor
import PACKAGE
import grpc
from fakes.pki import Authority
from transplant.rpc.channel import open_channel, renewable_server_credentials

authority, asked, forked = Authority(), threading.Event(), threading.Event()
own = authority.server()

def renewed():
    asked.set()
    forked.wait(1.0)
    return None

server = grpc.server(ThreadPoolExecutor(1))
credentials = renewable_server_credentials((authority.cert, own.cert, own.key), renewed)
port = server.add_secure_port("127.0.0.1:0", credentials)
server.start()
channel = open_channel(authority.kit(f"127.0.0.1:{port}"))
ready = grpc.channel_ready_future(channel)
ready.add_done_callback(lambda _: None)
assert asked.wait(10.0)
subprocess.run(["true"], preexec_fn=lambda: None, check=True)  # a function to call first: a true fork
forked.set()
ready.result(10.0)
print("served", flush=True)
os._exit(0)
"""


@pytest.mark.parametrize("package", ["transplant", "central", "edge", "benchmarks"])
def test_a_fork_during_a_handshake_does_not_hang(package):
    environment = {name: value for name, value in os.environ.items() if name != "GRPC_ENABLE_FORK_SUPPORT"}
    environment["PYTHONPATH"] = os.pathsep.join([str(TESTS), str(TESTS.parent)])
    done = subprocess.run(
        [sys.executable, "-c", SERVES.replace("PACKAGE", package)],
        capture_output=True, text=True, env=environment, timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "served\n"), done.stderr
