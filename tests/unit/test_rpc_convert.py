"""Values to messages and back, and requests with fields from the future."""

from __future__ import annotations

import pytest
from fakes.artifacts import sealed, sealed_adapter, sealed_task

from transplant.errors import DigestMismatch, InvalidSettings, ManifestInvalid
from transplant.rpc import convert
from transplant.rpc.messages import Declared, Event, ModuleSummary, UploadPhase, UploadState
from transplant.types import ByteRange, MergeState, MergeSummary, ModuleKind, NetVersion, Route, Task, Verdict
from transplant.v1 import intake_pb2, manifest_pb2, validation_pb2

ROUTE = Route("dog", Task.SEGMENTATION, "1" * 64, "2" * 64, "3" * 64, "4" * 64)
FOUNDER = Route("cat", Task.CLASSIFICATION, "1" * 64, None, "3" * 64, "4" * 64)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("manifest", sealed()[0]),
        ("manifest", sealed_task()[0]),
        ("manifest", sealed_adapter()[0]),
        ("net_version", NetVersion(1, None, (FOUNDER,))),
        ("net_version", NetVersion(2, "a" * 64, (FOUNDER, ROUTE))),
        ("route", ROUTE),
        ("route", FOUNDER),
        ("declared", Declared("u", "m", (ByteRange(0, 5), ByteRange(7, 9)), False)),
        *(("upload_state", UploadState(5, (ByteRange(5, 9),), phase, "m")) for phase in UploadPhase),
        (
            "upload_state",
            UploadState(9, (), UploadPhase.REJECTED, "m", "TensorNotFinite", "why", {"weights.norm": 2.5}),
        ),
        ("module_summary", ModuleSummary("m", "s", "dog", ModuleKind.CATEGORY, None, 12)),
        ("module_summary", ModuleSummary("m", "s", "dog", ModuleKind.TASK, Task.SEGMENTATION, 12)),
        ("event", Event(3, "ModuleAccepted", "m", "d")),
        ("verdict", Verdict("k", {"error": 1.5}, {"error": 2.5, "iou": 3.0}, {}, 7)),
        *(
            ("merge_summary", MergeSummary("k", "dog", task, state, 1, 2, {"loss": 0.5}, "why", 3))
            for task in Task
            for state in MergeState
        ),
    ],
)
def test_there_and_back(name, value):
    message = getattr(convert, f"{name}_to_proto")(value)
    again = type(message).FromString(message.SerializeToString())
    assert getattr(convert, f"{name}_from_proto")(again) == value


def test_the_answer_of_a_center_from_before_there_were_phases_is_read():
    for registered, phase in ((True, UploadPhase.REGISTERED), (False, UploadPhase.RECEIVING)):
        old = intake_pb2.UploadStatusResponse(durable_offset=3, registered=registered, module_id="m")
        assert convert.upload_state_from_proto(old) == UploadState(3, (), phase, "m")


def test_a_candidate_is_its_key_and_its_route():
    assert convert.candidate_from_proto(convert.candidate_to_proto("k", ROUTE)) == ("k", ROUTE)


def test_a_version_with_another_digest_is_refused():
    message = convert.net_version_to_proto(NetVersion(1, None, (FOUNDER,)))
    message.routes[0].category = "dog"
    with pytest.raises(DigestMismatch, match="version 1 of the net"):
        convert.net_version_from_proto(message)


def test_a_version_with_a_broken_rule_is_refused_whatever_its_digest():
    message = convert.net_version_to_proto(NetVersion(1, "not a digest", (FOUNDER,)))
    with pytest.raises(ManifestInvalid, match="parent_digest"):
        convert.net_version_from_proto(message)
    message.routes[0].task = manifest_pb2.TASK_UNSPECIFIED
    with pytest.raises(ManifestInvalid, match="task"):
        convert.net_version_from_proto(message)


def test_a_request_with_an_unknown_field_is_refused():
    message = convert.verdict_to_proto(Verdict("k", {"error": 1.0}))
    message.teacher[0].MergeFromString(b"\xa2\x06\x05image")  # field 100: bytes nobody asked for
    with pytest.raises(InvalidSettings, match=r"teacher\.0\.100: there is no such field"):
        convert.verdict_from_proto(message)


def test_a_figure_twice_is_refused():
    message = validation_pb2.ReportVerdictRequest(merge_key="k")
    for value in (1.0, 2.0):
        message.floor.add(name="error", value=value)
    with pytest.raises(InvalidSettings, match="given twice"):
        convert.verdict_from_proto(message)


def test_no_task_is_none():
    assert convert.task_from_proto(convert.task_to_proto(None)) is None
    with pytest.raises(InvalidSettings, match="task: 9 is not one of"):
        convert.task_from_proto(9)
