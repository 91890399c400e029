"""How long a method of one shot waits for sites: until late joiners are there, and a few rounds more."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor

    from benchmarks.sites.engine import Engine, Setting, SiteReply, SiteWork

ASKED_AT_MOST = 5
"""Times that a site is asked once all have joined: who drops out of a round may be there in the next."""


def ask_until_all(
    engine: Engine,
    work: SiteWork,
    sites: Sequence[int],
    sent: Mapping[str, Tensor],
    settings: Mapping[str, Setting],
) -> dict[int, SiteReply]:
    """Ask sites, and those that did not answer again; a reply that comes later is as good.

    Rounds in which the center waits in vain count as rounds, and no bytes travel in them.

    Returns:
        The replies in the order of `sites`; a site is missing that was away each time.
    """
    last = max(engine.traffic.rounds, engine.late_until - 1) + ASKED_AT_MOST
    replies: dict[int, SiteReply] = {}
    missing = list(sites)
    while missing and engine.traffic.rounds < last:
        replies |= engine.ask(work, missing, sent, settings)
        missing = [site for site in sites if site not in replies]
    return {site: replies[site] for site in sites if site in replies}
