"""More calls at once than the server has threads: they wait in a line, and gRPC refuses none of them."""

from __future__ import annotations

import threading

import pytest
from fakes.attacks import raw_call
from fakes.held_center import STATUS, THREADS, kit_of
from fakes.served_clock import until

from central.servicers import intake
from transplant.errors import NotFound, TransplantError
from transplant.rpc.client import CentralClient
from transplant.v1 import intake_pb2

SITES = tuple(f"site-{number}" for number in range(5 * THREADS))


@pytest.fixture
def crowd(callers):
    """Many sites, each with a certificate of its own."""
    callers.kits |= {name: kit_of(callers.center, name) for name in SITES}
    return callers


@pytest.fixture
def gate(monkeypatch):
    """Hold every call that reaches the center's own code until the gate is opened."""
    opened, entered, answer = threading.Event(), [], intake.upload_status

    def held(*arguments):
        entered.append(arguments)
        assert opened.wait(60)
        return answer(*arguments)

    monkeypatch.setattr(intake, "upload_status", held)
    opened.entered = entered
    return opened


def test_grpc_refuses_none_of_them(crowd, gate):
    request = intake_pb2.UploadStatusRequest(upload_id=crowd.upload_id).SerializeToString()
    calls = [raw_call(crowd.channel(name), STATUS, [request], 60.0) for name in SITES]
    crowd.calls += calls
    until(lambda: len(gate.entered) >= THREADS - 1)
    gate.set()
    told = {call.details() for call in calls if call.code() is not None}
    assert f"no upload {crowd.upload_id}" in told
    assert not [details for details in told if "Concurrent RPC limit" in details]


def test_every_site_has_its_answer_in_the_end(crowd, gate):
    gate.set()
    answers: dict[str, str] = {}

    def ask(name):
        with CentralClient(crowd.kits[name], crowd.center.serving.address) as client:
            try:
                client.upload_status(crowd.upload_id)
            except TransplantError as error:
                answers[name] = error.code()

    threads = [threading.Thread(target=ask, args=(name,)) for name in SITES]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert answers == dict.fromkeys(SITES, NotFound.code())
