"""Access control: every call, before its servicer sees it, is checked against certificate and table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import grpc

from central.identity.peer import Peer, peer_of
from central.servicers.rights import RIGHTS
from transplant.errors import NotAllowed, NotAuthenticated
from transplant.rpc.handlers import with_behavior

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from central.registry.registry import Registry
    from transplant.ports.clock import Clock
    from transplant.rpc.handlers import Behavior
    from transplant.types import Identity, Role


def caller_of(context: grpc.ServicerContext) -> Identity:
    """Return who calls.

    Raises:
        NotAuthenticated: if the connection has no client certificate with a transplant identity.
    """
    return _peer(context).identity


class AccessInterceptor(grpc.ServerInterceptor):
    """Refuses whoever is not known, revoked, expired, or has no right to the method.

    Expiry and revocation are checked on each call: a connection may outlive a certificate.

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

    def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Any],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """Put the check in front of the method's behaviour."""
        handler = continuation(handler_call_details)
        method = str(handler_call_details.method)

        def checked(behavior: Behavior) -> Behavior:
            def unary(request: Any, context: grpc.ServicerContext) -> Any:
                self.check(method, _peer(context))
                return behavior(request, context)

            def streaming(request: Any, context: grpc.ServicerContext) -> Iterator[Any]:
                self.check(method, _peer(context))
                yield from behavior(request, context)

            return streaming if handler.response_streaming else unary

        return with_behavior(handler, checked)

    def check(self, method: str, peer: Peer) -> None:
        """Check one call.

        Raises:
            NotAuthenticated: if the certificate is expired, revoked, or not one that this center issued.
            NotAllowed: if the role has no right to the method.
        """
        who = f"{peer.identity.role.value} {peer.identity.name}"
        if self._clock.now() > peer.expires_at:
            raise NotAuthenticated(f"the certificate of {who} expired on {peer.expires_at:%Y-%m-%d}")
        with self._registry.read() as books:
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


def _peer(context: grpc.ServicerContext) -> Peer:
    certificates = context.auth_context().get("x509_pem_cert", [])
    if not certificates:
        raise NotAuthenticated("no client certificate")
    return peer_of(bytes(certificates[0]))
