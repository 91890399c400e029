"""The gRPC server: mTLS, interceptors, our services, health, and reflection where it is wanted."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from central.servicers.access import AccessInterceptor
from central.servicers.call_limits import CallLimits
from central.servicers.catalog import CatalogServicer
from central.servicers.identity import IdentityServicer
from central.servicers.intake import IntakeServicer
from central.servicers.limits import LimitsInterceptor
from central.servicers.merge import MergeServicer
from central.servicers.probe import ProbeServicer
from central.servicers.validation import ValidationServicer
from central.servicers.watchers import Watchers
from transplant.artifact.chunks import STREAM_AHEAD_BYTES
from transplant.errors import InvalidSettings
from transplant.rpc.channel import renewable_server_credentials, server_options
from transplant.rpc.status import ServerInterceptor
from transplant.v1 import (
    catalog_pb2,
    catalog_pb2_grpc,
    identity_pb2,
    identity_pb2_grpc,
    intake_pb2,
    intake_pb2_grpc,
    merge_pb2,
    merge_pb2_grpc,
    probe_pb2,
    probe_pb2_grpc,
    validation_pb2,
    validation_pb2_grpc,
)

if TYPE_CHECKING:
    from central.identity.renewal import Renewals
    from central.identity.server_tls import ServerTls
    from central.usecases.center import Center

SERVICES = (
    catalog_pb2.DESCRIPTOR.services_by_name["Catalog"].full_name,
    identity_pb2.DESCRIPTOR.services_by_name["Identity"].full_name,
    intake_pb2.DESCRIPTOR.services_by_name["Intake"].full_name,
    merge_pb2.DESCRIPTOR.services_by_name["Merge"].full_name,
    probe_pb2.DESCRIPTOR.services_by_name["Probe"].full_name,
    validation_pb2.DESCRIPTOR.services_by_name["Validation"].full_name,
)
_GRACE_S = 3.0
_WAITING = 1024
"""Calls that may wait for a thread, first come, first served; the next ones are refused and come again.

Where many sites come at once, refusals alone would leave it to chance who is served, and some would be
unlucky for minutes. A call that waits holds some KiB, and no more of its request than one stream's window.
"""


class CentralServer:
    """Serves a center on one address.

    Args:
        center: what the servicers work with.
        listen: host:port; port 0 takes any free one.
        tls: the server's certificate, which may be renewed meanwhile.
        renewals: how callers get their next certificates.
        threads: how many calls are worked on at a time.
        reflect: whether operators may ask for the list of services.
        limits: what one caller may have under way; default: what suits the threads.
        ahead_bytes: of a payload that may be under way in each stream.

    Raises:
        InvalidSettings: if the address cannot be bound.
    """

    def __init__(
        self,
        center: Center,
        listen: str,
        tls: ServerTls,
        renewals: Renewals,
        *,
        threads: int,
        reflect: bool,
        limits: CallLimits | None = None,
        ahead_bytes: int = STREAM_AHEAD_BYTES,
    ) -> None:
        self._watchers = Watchers()
        self._access = AccessInterceptor(center.registry, center.clock)
        self._limits = LimitsInterceptor(limits or CallLimits.of(threads), center.clock)
        self._health = health.HealthServicer()
        self._server = grpc.server(
            ThreadPoolExecutor(threads, thread_name_prefix="rpc"),
            interceptors=[ServerInterceptor(), self._limits, self._access],
            options=server_options(ahead_bytes),
            maximum_concurrent_rpcs=threads + _WAITING,
        )
        intake_pb2_grpc.add_IntakeServicer_to_server(IntakeServicer(center), self._server)
        catalog_pb2_grpc.add_CatalogServicer_to_server(CatalogServicer(center, self._watchers), self._server)
        merge_pb2_grpc.add_MergeServicer_to_server(MergeServicer(center, self._watchers), self._server)
        validation_pb2_grpc.add_ValidationServicer_to_server(ValidationServicer(center), self._server)
        probe_pb2_grpc.add_ProbeServicer_to_server(ProbeServicer(center), self._server)
        identity_pb2_grpc.add_IdentityServicer_to_server(IdentityServicer(renewals), self._server)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        if reflect:
            reflection.enable_server_reflection(
                (*SERVICES, health.SERVICE_NAME, reflection.SERVICE_NAME), self._server
            )
        host = listen.rpartition(":")[0]
        try:
            credentials = renewable_server_credentials(tls.first, tls.renewed)
            port = self._server.add_secure_port(listen, credentials)
        except RuntimeError as error:
            raise InvalidSettings(f"cannot listen on {listen}: is another server running there?") from error
        self.address = f"{host}:{port}"

    def start(self) -> None:
        """Accept calls, and say so to health checks."""
        self._access.streams.start()
        self._limits.patience.start()
        self._server.start()
        for service in ("", *SERVICES):
            self._health.set(service, health_pb2.HealthCheckResponse.SERVING)

    def stop(self) -> None:
        """Say NOT_SERVING, let running calls end for a moment, then hang up."""
        self._health.enter_graceful_shutdown()
        self._watchers.close()
        self._server.stop(_GRACE_S).wait()
        self._access.streams.close()
        self._limits.patience.close()
