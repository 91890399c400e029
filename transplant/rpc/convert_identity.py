"""`Identity.Describe`, there and back."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from transplant.errors import NotAuthenticated
from transplant.rpc.messages import Described
from transplant.types import Identity, Role
from transplant.v1 import identity_pb2

if TYPE_CHECKING:
    from collections.abc import Mapping

_ROLES: Mapping[str, Role] = {role.value: role for role in Role}


def described_to_proto(described: Described) -> identity_pb2.DescribeResponse:
    """Return the message."""
    return identity_pb2.DescribeResponse(
        role=described.identity.role.value,
        name=described.identity.name,
        categories=described.categories,
        serial=described.serial,
        expires_at_ms=_milliseconds(described.expires_at),
        server_time_ms=_milliseconds(described.server_time),
        protocol=described.protocol,
        release=described.release,
        renews=described.renews,
    )


def described_from_proto(message: identity_pb2.DescribeResponse) -> Described:
    """Return the value.

    Raises:
        NotAuthenticated: if the center takes the caller for something that there is not.
    """
    if message.role not in _ROLES:
        raise NotAuthenticated(f"the center takes this kit for a {message.role!r}, which there is not")
    return Described(
        identity=Identity(_ROLES[message.role], message.name),
        categories=tuple(message.categories),
        serial=message.serial,
        expires_at=_moment(message.expires_at_ms),
        server_time=_moment(message.server_time_ms),
        protocol=message.protocol,
        release=message.release,
        renews=message.renews,
    )


def _milliseconds(moment: datetime) -> int:
    return round(1000 * moment.timestamp())


def _moment(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)
