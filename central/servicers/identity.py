"""`transplant.v1.Identity`: who a caller is here, and its next certificate."""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING

from central.identity.peer import peer_of
from central.servicers.access import certificate_of
from transplant.rpc import convert
from transplant.rpc.convert_identity import described_to_proto
from transplant.rpc.messages import PROTOCOL, Described
from transplant.types import Role
from transplant.v1 import identity_pb2, identity_pb2_grpc

if TYPE_CHECKING:
    import grpc

    from central.identity.renewal import Renewals

_RELEASE = version("transplant")


class IdentityServicer(identity_pb2_grpc.IdentityServicer):
    """Parses, calls the use case, replies."""

    def __init__(self, renewals: Renewals) -> None:
        self._renewals = renewals

    def Describe(
        self, request: identity_pb2.DescribeRequest, context: grpc.ServicerContext
    ) -> identity_pb2.DescribeResponse:
        """Tell a caller what the center knows of it, and what time it is here."""
        convert.refuse_unknown_fields(request)
        peer = peer_of(certificate_of(context))
        with self._renewals.registry.read() as books:
            categories = books.sites.categories(peer.identity.name)
        return described_to_proto(
            Described(
                identity=peer.identity,
                categories=tuple(sorted(categories)) if peer.identity.role is Role.SITE else (),
                serial=peer.serial,
                expires_at=peer.expires_at,
                server_time=self._renewals.clock.now(),
                protocol=PROTOCOL,
                release=_RELEASE,
                renews=self._renewals.automatic,
            )
        )

    def Renew(
        self, request: identity_pb2.RenewRequest, context: grpc.ServicerContext
    ) -> identity_pb2.RenewResponse:
        """Sign a new key for the caller's identity."""
        convert.refuse_unknown_fields(request)
        certificate, ca = self._renewals.renew(certificate_of(context), request.csr)
        return identity_pb2.RenewResponse(certificate=certificate, ca=ca)
