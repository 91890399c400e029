"""What the center sends sites of a net's modules, so that each counts once on its way to each site."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.sites.engine import AT_HOME, for_site

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from torch import Tensor, nn

    from benchmarks.sites.transplanting_center import Offer


class Parcels:
    """Packs frozen modules for sites, and remembers which of them has which.

    A site has what it made, and what it was sent in a round that it answered. A module that went to a site
    which did not answer is sent again, and counts again: the center cannot know whether it came through.
    """

    def __init__(self) -> None:
        self._held: dict[int, dict[int, nn.Module]] = {}
        self._under_way: dict[int, dict[int, tuple[nn.Module, str]]] = {}

    def made(self, offers: Iterable[Offer]) -> None:
        """Note that sites have the teachers that they offer."""
        for offer in offers:
            for module in (offer.category_module, offer.task_module):
                self._held.setdefault(offer.site, {})[id(module)] = module

    def packed(self, site: int, modules: Mapping[str, nn.Module]) -> dict[str, Tensor]:
        """Return the tensors `NAME.TENSOR` of modules by name as they go to one site.

        A simulated site remembers nothing, so that what it has comes along, too, but does not count; nor
        does what goes to it in the same round under another name.
        """
        held, under_way = self._held.get(site, {}), self._under_way.setdefault(site, {})
        tensors: dict[str, Tensor] = {}
        for name, module in modules.items():
            _, first = under_way.setdefault(id(module), (module, name))
            home = AT_HOME if id(module) in held or first != name else ""
            tensors |= {
                for_site(site, f"{home}{name}.{key}"): each for key, each in module.state_dict().items()
            }
        return tensors

    def answered(self, sites: Iterable[int]) -> None:
        """Note the end of a round: these sites have all that they were sent in it."""
        for site in sites:
            sent = self._under_way.get(site, {})
            self._held.setdefault(site, {}).update({key: module for key, (module, _) in sent.items()})
        self._under_way.clear()
