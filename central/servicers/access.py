"""Access control: every call, before its servicer sees it, is checked against certificate and table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import grpc

from central.identity.peer import Peer, peer_of
from central.servicers.open_streams import OpenStream, OpenStreams
from central.servicers.rights import RIGHTS, SUBJECTS
from transplant.errors import NotAllowed, NotAuthenticated
from transplant.rpc.handlers import with_behavior
from transplant.types import Role

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from central.registry.registry import Books, Registry
    from transplant.ports.clock import Clock
    from transplant.rpc.handlers import Behavior
    from transplant.types import Identity


def caller_of(context: grpc.ServicerContext) -> Identity:
    """Return who calls.

    Raises:
        NotAuthenticated: if the connection has no client certificate with a transplant identity.
    """
    return peer_of(certificate_of(context)).identity


def certificate_of(context: grpc.ServicerContext) -> bytes:
    """Return the client certificate of a call, PEM.

    Raises:
        NotAuthenticated: if the connection has none.
    """
    certificates = context.auth_context().get("x509_pem_cert", [])
    if not certificates:
        raise NotAuthenticated("no client certificate")
    return bytes(certificates[0])


class AccessInterceptor(grpc.ServerInterceptor):
    """Refuses whoever is not known, revoked, expired, or has no right to the method.

    Expiry and revocation are checked on each call, for a connection may outlive a certificate; and again
    and again while a stream lasts (`streams`, which whoever serves starts and closes).

    Args:
        registry: knows which certificates were issued and which were revoked.
        clock: knows what expired.
        rights: RPC full name -> roles; what is not in it is refused.
    """

    def __init__(
        self, registry: Registry, clock: Clock, rights: Mapping[str, frozenset[Role]] = RIGHTS
    ) -> None:
        self._registry = registry
        self._clock = clock
        self._rights = rights
        self.streams = OpenStreams(self._check_again, clock)

    def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Any],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """Put the check in front of the method's behaviour."""
        handler = continuation(handler_call_details)
        method = str(handler_call_details.method)

        def checked(behavior: Behavior) -> Behavior:
            def call(request: Any, context: grpc.ServicerContext) -> Any:
                self.check(method, peer_of(certificate_of(context)))
                return behavior(request, context)

            def stream(request: Any, context: grpc.ServicerContext) -> Iterator[Any]:
                peer = peer_of(certificate_of(context))
                self.check(method, peer)
                opened = OpenStream(method, peer, context)
                with self.streams.lasting(opened):
                    noted = _noted if handler.request_streaming else _noted_one
                    yield from behavior(noted(opened, request), context)

            return stream if handler.response_streaming else call

        return with_behavior(handler, checked)

    def check(self, method: str, peer: Peer) -> None:
        """Check one call.

        Raises:
            NotAuthenticated: if the certificate is expired, revoked, or not one that this center issued.
            NotAllowed: if the role has no right to the method, or the site was withdrawn.
        """
        with self._registry.read() as books:
            self._check_in(books, method, peer)

    def _check_again(self, stream: OpenStream) -> None:
        """Check a stream as if it were called now, down to what it is about."""
        with self._registry.read() as books:
            self._check_in(books, stream.method, stream.peer)
            about = SUBJECTS.get(stream.method)
            if about is not None and stream.subject:
                about.check(books, stream.peer.identity, stream.subject)

    def _check_in(self, books: Books, method: str, peer: Peer) -> None:
        who = f"{peer.identity.role.value} {peer.identity.name}"
        if self._clock.now() > peer.expires_at:
            raise NotAuthenticated(f"the certificate of {who} expired on {peer.expires_at:%Y-%m-%d}")
        certificate = books.sites.certificate(peer.serial)
        if certificate is None or (certificate.role, certificate.name) != (
            peer.identity.role,
            peer.identity.name,
        ):
            raise NotAuthenticated(f"this center has not issued the certificate of {who}")
        if certificate.revoked:
            raise NotAuthenticated(f"the certificate of {who} was revoked")
        if peer.identity.role not in self._rights.get(method, frozenset()):
            raise NotAllowed(f"{who} has no right to call {method}")
        if peer.identity.role is Role.SITE and not books.sites.categories(peer.identity.name):
            raise NotAllowed(f"{who} was withdrawn: no category is left that it may bring")


def _noted_one(stream: OpenStream, request: Any) -> Any:
    about = SUBJECTS.get(stream.method)
    if about is not None:
        stream.subject = about.of(request)
    return request


def _noted(stream: OpenStream, requests: Iterator[Any]) -> Iterator[Any]:
    """Note what the first message is about; the message itself is not kept, for it may be a large one."""
    first = next(requests, None)
    if first is not None:
        yield _noted_one(stream, first)
        del first
        yield from requests
