"""What a contender asks of the federation: work at sites, with every byte sent or received counted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor

    from benchmarks.sites.federation import LocalData

Setting = str | int | float | bool

AT_HOME = "home/"
"""How the name of a tensor begins that lies at the site already: it is carried, and not counted."""


def for_site(site: int, name: str) -> str:
    """Return the name under which a tensor goes to one site alone, which gets it as `name`."""
    return f"@{site}/{name}"


@dataclass(frozen=True, eq=False)
class SiteReply:
    """What a site sends back: named tensors and named figures."""

    tensors: Mapping[str, Tensor]
    figures: Mapping[str, float]


class SiteWork(Protocol):
    """Work that a site does on its own data; a plain function of a module, so that a worker finds it by name.

    It is a function of its arguments alone: every seed comes in `settings`.
    """

    def __call__(
        self, data: LocalData, sent: Mapping[str, Tensor], settings: Mapping[str, Setting]
    ) -> SiteReply:
        """Return the site's reply to what the center sent."""
        ...


@dataclass(frozen=True)
class Traffic:
    """What went between sites and center so far: bytes of tensors each way, and rounds."""

    bytes_up: int = 0
    bytes_down: int = 0
    rounds: int = 0


class Engine(Protocol):
    """Carries work to sites, on Flower's simulation engine or in this process."""

    @property
    def traffic(self) -> Traffic:
        """Return what was sent so far."""
        ...

    @property
    def site_seconds(self) -> float:
        """Return the processor seconds that sites worked so far, summed over sites."""
        ...

    @property
    def late_until(self) -> int:
        """Return the first round, counted from 1, at which no site is still to join."""
        ...

    def ask(
        self,
        work: SiteWork,
        sites: Sequence[int],
        sent: Mapping[str, Tensor],
        settings: Mapping[str, Setting],
    ) -> dict[int, SiteReply]:
        """Run one round at these sites and return the replies in the order of `sites`.

        A site that drops out or comes too late by the scenario's plan is missing from the answer; a site
        whose work raises ends the run with that site's error. The seed that `work` sees is its own:
        `settings["seed"]` is mixed with the number of the site and of the round. What is sent under a
        name of `for_site` reaches that site alone; what then begins with `AT_HOME` does not count.
        """
        ...
