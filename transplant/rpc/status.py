"""Errors to gRPC statuses and back, so that both sides of the wire raise the same class."""

from __future__ import annotations

import logging
import uuid
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import grpc
from grpc._cython import cygrpc

from transplant.errors import (
    ERRORS,
    CenterUnreachable,
    CertificateInvalid,
    NotAllowed,
    NotAuthenticated,
    NotFound,
    TooLarge,
    TooManyCalls,
    TransplantError,
    UnexpectedFailure,
)
from transplant.rpc.handlers import Behavior, with_behavior

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

log = logging.getLogger(__name__)

ERROR_KEY = "transplant-error"
RETRY_KEY = "transplant-retry"
_DETAIL_CHARS = 2000  # a status travels in HTTP/2 headers, whose total size is bounded
_TLS_SIGNS = ("CERTIFICATE_VERIFY_FAILED", "SSL_ERROR_SSL", "Hostname Verification")
_CROWDED = "Concurrent RPC limit exceeded!"  # gRPC's own words, before any interceptor of ours is asked
_BY_STATUS: dict[grpc.StatusCode, type[TransplantError]] = {
    grpc.StatusCode.UNAVAILABLE: CenterUnreachable,
    grpc.StatusCode.DEADLINE_EXCEEDED: CenterUnreachable,
    grpc.StatusCode.CANCELLED: CenterUnreachable,
    grpc.StatusCode.UNAUTHENTICATED: NotAuthenticated,
    grpc.StatusCode.PERMISSION_DENIED: NotAllowed,
    grpc.StatusCode.RESOURCE_EXHAUSTED: TooLarge,
    grpc.StatusCode.NOT_FOUND: NotFound,
}

Metadata = tuple[tuple[str, str], ...]
T = TypeVar("T")


def to_status(error: TransplantError) -> tuple[grpc.StatusCode, str, Metadata]:
    """Return status, message and trailing metadata (class name and retry flag) of an error."""
    metadata = ((ERROR_KEY, error.code()), (RETRY_KEY, "1" if error.retry else "0"))
    return grpc.StatusCode[error.status], str(error)[:_DETAIL_CHARS], metadata


def from_rpc_error(error: grpc.RpcError) -> TransplantError:
    """Return the error that the server raised, or the one that the broken link amounts to."""
    if not isinstance(error, grpc.Call):
        return CenterUnreachable(f"the call ended without a status: {error!r}")
    details = error.details() or ""
    metadata: Any = error.trailing_metadata() or ()
    for key, value in metadata:
        if key == ERROR_KEY and value in ERRORS:
            return ERRORS[value](details)
    status = error.code()
    if status is grpc.StatusCode.RESOURCE_EXHAUSTED and details == _CROWDED:
        return TooManyCalls(details)
    if status is grpc.StatusCode.UNAVAILABLE and any(sign in details for sign in _TLS_SIGNS):
        return CertificateInvalid(f"the center and this kit do not trust each other: {details}")
    if status is grpc.StatusCode.UNAVAILABLE and _hung_up_on(details):
        details += " (if the center is up, it may not accept the certificate of this kit)"
    kind = _BY_STATUS.get(status, UnexpectedFailure)
    return kind(f"{status.name}: {details}" if details else status.name)


def end_call(context: grpc.ServicerContext, error: TransplantError) -> None:
    """End a call from another thread than its own, with the status of `error`; one that has ended stays so.

    `ServicerContext.abort` works in the call's own thread only, and that one may wait inside gRPC for a
    message that never comes. gRPC's core can end it at once, whatever it waits for. The public way to that
    is `cancel`, which has no status to give; the one below it has.
    """
    status = getattr(cygrpc.StatusCode, error.status.lower())
    call = getattr(getattr(context, "_rpc_event", None), "call", None)
    if call is None:
        context.cancel()
    else:
        call.cancel(status, str(error)[:_DETAIL_CHARS])


def _hung_up_on(details: str) -> bool:
    """Tell whether the other side closed during connecting: under TLS 1.3 a refusal looks like that."""
    return "failed to connect" in details and ("Socket closed" in details or "reset by peer" in details)


class ServerInterceptor(grpc.ServerInterceptor):
    """Translates what a servicer raises; the only place of the server that does.

    A `TransplantError` becomes its status with the class name beside it. Anything else is a bug: the
    caller gets INTERNAL and an incident id, the log gets the trace under the same id.
    """

    def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Any],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """Wrap the method's behaviour, whichever of the four shapes it has."""
        handler = continuation(handler_call_details)
        method = str(handler_call_details.method)
        streams = handler is not None and handler.response_streaming
        guard = _streaming if streams else _unary
        return with_behavior(handler, lambda behavior: guard(behavior, method))


def _unary(behavior: Behavior, method: str) -> Behavior:
    def call(request: Any, context: grpc.ServicerContext) -> Any:
        try:
            return behavior(request, context)
        except Exception as error:  # noqa: BLE001 - the boundary: everything is translated
            _abort(error, context, method)

    return call


def _streaming(behavior: Behavior, method: str) -> Behavior:
    def call(request: Any, context: grpc.ServicerContext) -> Iterator[Any]:
        try:
            yield from behavior(request, context)
        except Exception as error:  # noqa: BLE001 - the boundary: everything is translated
            _abort(error, context, method)

    return call


def _abort(error: Exception, context: grpc.ServicerContext, method: str) -> NoReturn:
    if isinstance(error, grpc.RpcError) or context.code() is not None:  # pyright: ignore[reportAttributeAccessIssue]
        raise error  # the caller went away, or the servicer has set a status itself
    if not isinstance(error, TransplantError):
        incident = uuid.uuid4().hex[:12]
        log.error("incident %s in %s", incident, method, exc_info=error)
        error = UnexpectedFailure(f"the center failed; its log has the details under incident {incident}")
    else:
        log.info("%s: %s: %s", method, error.code(), error)
    status, details, metadata = to_status(error)
    context.set_trailing_metadata(metadata)
    context.abort(status, details)
    raise AssertionError("abort always raises")
