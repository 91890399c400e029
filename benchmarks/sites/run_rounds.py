"""Rounds of a federation: who is there, with which seed, and what was sent, whatever carries the work.

A carrier takes work to sites: in this process (`in_process`), on Flower's simulation engine
(`flower_engine`), or from what an earlier run kept (`run_kept`). Everything that an outcome depends on is
decided here, so that all carriers lead to the same bytes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from benchmarks.sites.engine import SiteReply, Traffic, for_site
from benchmarks.sites.run_works import Done, Told, as_sent, name_of, tensor_bytes
from benchmarks.sites.scenarios_attendance import Attendance, Presence
from transplant.artifact.digest import derive_seed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from torch import Tensor

    from benchmarks.sites.engine import Setting, SiteWork


class Carrier(Protocol):
    """Takes named work to sites and brings back what they reply."""

    def carry(self, work: str, told: Mapping[int, Told]) -> dict[int, Done]:
        """Run work at each site of `told` and return all replies.

        Raises:
            TransplantError: what a site raised, or BenchmarkFailed if a site did not answer.
        """
        ...


class Rounds:
    """Implements `Engine` on a carrier.

    Args:
        carrier: takes the work to sites.
        attendance: who is there in which round.
        after_round: called behind each round, for whoever watches the memory.
    """

    def __init__(
        self,
        carrier: Carrier,
        attendance: Attendance | None = None,
        after_round: Callable[[], None] = lambda: None,
    ) -> None:
        self._carrier = carrier
        self._attendance = attendance or Attendance()
        self._after_round = after_round
        self._traffic = Traffic()
        self._site_seconds = 0.0
        self._heard: set[int] = set()

    @property
    def late_until(self) -> int:
        """Return the first round, counted from 1, at which no site is still to join."""
        return self._attendance.late_until if self._attendance.late else 1

    @property
    def heard(self) -> frozenset[int]:
        """Return the sites that have ever answered."""
        return frozenset(self._heard)

    @property
    def traffic(self) -> Traffic:
        """Return what was sent so far."""
        return self._traffic

    @property
    def site_seconds(self) -> float:
        """Return the processor seconds that sites worked so far, summed over sites."""
        return self._site_seconds

    def ask(
        self,
        work: SiteWork,
        sites: Sequence[int],
        sent: Mapping[str, Tensor],
        settings: Mapping[str, Setting],
    ) -> dict[int, SiteReply]:
        """Run one round; see `Engine.ask`. What a straggler was sent counts, its answer does not."""
        number = self._traffic.rounds + 1
        presence = {site: self._attendance.presence(site, number) for site in sites}
        here = [site for site, each in presence.items() if each is Presence.HERE]
        reached = [site for site, each in presence.items() if each is not Presence.AWAY]
        parcels = _parcels(reached, as_sent(sent))
        seed = str(settings.get("seed", 0))
        told = {
            site: Told(
                parcels[site],
                dict(settings) | {"seed": derive_seed("site work", seed, str(site), str(number))},
            )
            for site in here
        }
        done = self._carrier.carry(name_of(work), told) if told else {}
        replies = {site: done[site].reply for site in here}
        self._heard |= set(replies)
        self._traffic = Traffic(
            bytes_up=self._traffic.bytes_up + sum(tensor_bytes(each.tensors) for each in replies.values()),
            bytes_down=self._traffic.bytes_down + sum(map(tensor_bytes, parcels.values())),
            rounds=number,
        )
        self._site_seconds += sum(each.seconds for each in done.values())
        self._after_round()
        return replies


def _parcels(sites: Sequence[int], sent: Mapping[str, Tensor]) -> dict[int, Mapping[str, Tensor]]:
    """Return what each site gets; without anything for one site alone all get the same mapping."""
    common = {name: tensor for name, tensor in sent.items() if not name.startswith("@")}
    parcels: dict[int, Mapping[str, Tensor]] = {}
    for site in sites:
        prefix = for_site(site, "")
        own = {name.removeprefix(prefix): each for name, each in sent.items() if name.startswith(prefix)}
        parcels[site] = common | own if own else common
    return parcels
