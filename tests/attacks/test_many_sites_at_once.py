"""More calls at once than the server has threads: they wait in a line, and none is refused."""

from __future__ import annotations

import threading

from fakes.attacks import raw_call
from fakes.held_center import DECLARE, IDLE_S, STATUS, THREADS, kit_of
from fakes.served_clock import until

from central.servicers import intake
from central.servicers.call_limits import CallLimits
from transplant.v1 import intake_pb2

SITES = tuple(f"site-{number}" for number in range(5 * THREADS))


def test_calls_of_many_sites_wait_for_their_turn(callers, monkeypatch):
    may_go, entered, answer = threading.Event(), [], intake.upload_status

    def slow(*arguments):
        entered.append(arguments)
        assert may_go.wait(60)
        return answer(*arguments)

    monkeypatch.setattr(intake, "upload_status", slow)
    request = intake_pb2.UploadStatusRequest(upload_id=callers.upload_id).SerializeToString()
    callers.kits |= {name: kit_of(callers.center, name) for name in SITES}
    calls = [raw_call(callers.channel(name), STATUS, [request], 60.0) for name in SITES]
    callers.calls += calls
    until(lambda: len(entered) == THREADS)
    may_go.set()
    refusals = {call.details() for call in calls if call.code() is not None}
    assert refusals == {f"no upload {callers.upload_id}"}
    assert len(entered) == len(SITES)


def test_one_of_many_whose_request_does_not_come_gives_way_in_time(callers):
    callers.kits |= {name: kit_of(callers.center, name) for name in SITES[:THREADS]}
    held = [callers.press(DECLARE, name=name) for name in SITES[: THREADS - 1]]
    assert all(call.is_active() for call in held)
    callers.clock.advance(CallLimits.of(THREADS, idle_s=IDLE_S).still_s)
    late = callers.press(DECLARE, name=SITES[THREADS - 1])
    assert late.is_active()
    assert [call.is_active() for call in held] == [False] + [True] * (THREADS - 2)
