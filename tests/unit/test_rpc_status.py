"""The error table is total, and both sides of the wire raise the same class."""

from __future__ import annotations

import grpc
import pytest

import transplant.errors
from transplant.errors import (
    ERRORS,
    CenterUnreachable,
    CertificateInvalid,
    NotAllowed,
    NotAuthenticated,
    TooLarge,
    TransplantError,
    UnexpectedFailure,
)
from transplant.rpc.status import from_rpc_error, to_status


class Ended(grpc.RpcError, grpc.Call):
    """A call that ended as it is told, in the way a client sees it."""

    def __init__(self, code, details, metadata=()):
        self._code, self._details, self._metadata = code, details, metadata

    def code(self):
        return self._code

    def details(self):
        return self._details

    def trailing_metadata(self):
        return self._metadata

    def initial_metadata(self):
        return ()

    def is_active(self):
        return False

    def time_remaining(self):
        return None

    def cancel(self):
        return False

    def add_callback(self, _callback):
        return False


def test_the_table_holds_every_class():
    defined = {
        value
        for value in vars(transplant.errors).values()
        if isinstance(value, type) and issubclass(value, TransplantError)
    }
    assert set(ERRORS.values()) == defined
    assert {name: cls.__name__ for name, cls in ERRORS.items()} == {name: name for name in ERRORS}


@pytest.mark.parametrize("cls", ERRORS.values(), ids=ERRORS)
def test_every_class_has_a_status_an_exit_code_and_a_sentence(cls):
    assert grpc.StatusCode[cls.status] is not grpc.StatusCode.OK
    assert 64 <= cls.exit_code <= 78
    assert isinstance(cls.retry, bool)
    assert cls.__doc__


@pytest.mark.parametrize("cls", ERRORS.values(), ids=ERRORS)
def test_a_class_survives_the_wire(cls):
    error = from_rpc_error(Ended(*to_status(cls("what to do: ünïcode"))))
    assert type(error) is cls
    assert str(error) == "what to do: ünïcode"


def test_a_long_message_is_cut_to_what_a_header_carries():
    _, details, _ = to_status(TransplantError("x" * 100_000))
    assert len(details) == 2000


@pytest.mark.parametrize(
    ("code", "details", "cls"),
    [
        (grpc.StatusCode.UNAVAILABLE, "connection refused", CenterUnreachable),
        (grpc.StatusCode.DEADLINE_EXCEEDED, "Deadline Exceeded", CenterUnreachable),
        (grpc.StatusCode.CANCELLED, "Channel closed!", CenterUnreachable),
        (grpc.StatusCode.UNAUTHENTICATED, "", NotAuthenticated),
        (grpc.StatusCode.PERMISSION_DENIED, "", NotAllowed),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "Received message larger than max", TooLarge),
        (grpc.StatusCode.UNIMPLEMENTED, "Method not found!", UnexpectedFailure),
        (grpc.StatusCode.UNKNOWN, "Exception calling application", UnexpectedFailure),
        (grpc.StatusCode.UNAVAILABLE, "Ssl handshake failed: CERTIFICATE_VERIFY_FAILED", CertificateInvalid),
    ],
)
def test_what_grpc_says_by_itself_has_a_class(code, details, cls):
    assert type(from_rpc_error(Ended(code, details))) is cls


def test_an_unknown_class_name_falls_back_to_the_status():
    ended = Ended(grpc.StatusCode.PERMISSION_DENIED, "no", (("transplant-error", "SystemExit"),))
    assert type(from_rpc_error(ended)) is NotAllowed


def test_an_error_without_a_status_is_a_broken_link():
    assert type(from_rpc_error(grpc.RpcError())) is CenterUnreachable
