"""A connection to the merge server: who calls, deadlines and retries, a kit that is renewed under way."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from transplant.rpc.caller import Caller
from transplant.rpc.channel import Kit, open_channel
from transplant.rpc.convert_identity import described_from_proto
from transplant.rpc.renewal import renewed_kit, signing_request, swap_kit
from transplant.rpc.retry import RetryPolicy
from transplant.v1 import identity_pb2
from transplant.v1.catalog_pb2_grpc import CatalogStub
from transplant.v1.identity_pb2_grpc import IdentityStub
from transplant.v1.intake_pb2_grpc import IntakeStub
from transplant.v1.merge_pb2_grpc import MergeStub
from transplant.v1.probe_pb2_grpc import ProbeStub
from transplant.v1.validation_pb2_grpc import ValidationStub

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

    from transplant.rpc.messages import Described


class Connection:
    """What every service's calls share, and the calls about the caller itself.

    Each method raises the very `TransplantError` that the center raised. Errors that a retry can cure
    (a lost link, a restarted center) are retried until the policy's deadline, then raised.

    Args:
        kit: who calls, and which CA vouches for the center.
        address: `host:port` instead of the kit's.
        policy: how long calls are repeated.
        call_s: deadline of one unary attempt.
        stream_s: deadline of one stream; transfers and watches go on in the next.
    """

    def __init__(
        self,
        kit: Kit,
        address: str | None = None,
        *,
        policy: RetryPolicy | None = None,
        call_s: float = 30.0,
        stream_s: float = 300.0,
    ) -> None:
        self._address = address
        self._caller = Caller(policy or RetryPolicy(), call_s, stream_s)
        self._connect(kit)

    def _connect(self, kit: Kit) -> None:
        self.kit = kit
        self._channel = open_channel(kit, self._address)
        self._identity = IdentityStub(self._channel)
        self._intake = IntakeStub(self._channel)
        self._catalog = CatalogStub(self._channel)
        self._merge = MergeStub(self._channel)
        self._probe = ProbeStub(self._channel)
        self._validation = ValidationStub(self._channel)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Hang up; calls in other threads end with `CenterUnreachable`."""
        self._caller.stopped.set()
        self._channel.close()

    def describe(self) -> Described:
        """Ask who this kit is to the center, what time it is there, and what it speaks."""
        return described_from_proto(
            self._caller.unary(self._identity.Describe, identity_pb2.DescribeRequest())
        )

    def renew(self, directory: Path) -> Kit:
        """Renew the kit in `directory`, which this client was made with, and go on with the new one.

        See `use` for other threads. If anything fails the old kit is still good and in use.

        Raises:
            NotAllowed: if the center does not renew over the wire, or it is too early.
            CertificateInvalid: if what came back does not fit, or the folder cannot be written.
        """
        key, request = signing_request(self.kit)
        answer = self._caller.unary(self._identity.Renew, identity_pb2.RenewRequest(csr=request))
        kit = renewed_kit(self.kit, key, answer.certificate, directory)
        swap_kit(directory, kit)
        self.use(kit)
        return kit

    def use(self, kit: Kit) -> None:
        """Go on with another kit of the same identity.

        A watch, in whatever thread, goes on with it, too; no other thread may be calling otherwise.
        """
        old = self._channel
        self._connect(kit)
        old.close()
