"""Calls that must be refused: which were not, and how many there were in one run of the tests, as a record.

`make access` asks for the record (`TRANSPLANT_ACCESS_RECORDS`: its folder), for `transplant-bench claims`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks.records import Record, RecordBook
from fakes.every_rpc import send

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable
    from pathlib import Path

    import grpc

    from fakes.every_rpc import Rpc


@dataclass
class Tally:
    """Counts of one run of the tests."""

    asked: int = 0
    let_in: int = 0

    def add(self, *, refused: bool) -> None:
        """Count one call that had to be refused."""
        self.asked += 1
        self.let_in += not refused


TALLIES = {"center": Tally(), "predictions": Tally()}
"""What each server was asked."""


def unrefused(
    server: str,
    channel: grpc.Channel,
    rpcs: Iterable[Rpc],
    statuses: Collection[grpc.StatusCode],
    part: str = "",
) -> dict[str, tuple[str, str, list[bytes]]]:
    """Call every RPC and return those that were not refused as they must be.

    Args:
        server: whose they are, for the tally.
        channel: of a caller who may not.
        rpcs: what to call.
        statuses: with one of which it must end.
        part: of the details that come with it.
    """
    tally = TALLIES[server]
    wrong: dict[str, tuple[str, str, list[bytes]]] = {}
    for rpc in rpcs:
        status, details, answers = send(channel, rpc)
        refused = status in statuses and part in details and not answers
        tally.add(refused=refused)
        if not refused:
            wrong[rpc.name] = (status.name, details, answers)
    return wrong


def write_tallies(folder: Path) -> None:
    """Add the records of what every server was asked to those in a folder."""
    book = RecordBook(folder)
    for server, tally in TALLIES.items():
        method = f"{tally.asked} calls"
        book.add(Record("access", "access_let_in", tally.let_in, "count", data=server, method=method))
