"""Several sites bring one category: the operator says whose teachers its routes come from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from central.merge.situation import Situation
from central.registry.audit_book import CONSOLE, Action
from central.registry.events_book import CATEGORY_CONTESTED, CATEGORY_DECIDED
from central.usecases.plan_merges import plan_merges
from transplant.errors import NotFound

if TYPE_CHECKING:
    from central.merge.situation import CompleteTeacher
    from central.registry.registry import Books
    from central.usecases.center import Center


@dataclass(frozen=True)
class Claim:
    """A category that several sites brought a complete teacher of; `decided` once an operator has said so."""

    category: str
    sites: tuple[str, ...]
    holder: str
    decided: bool


def claims_of(books: Books) -> tuple[Claim, ...]:
    """Return the categories that more than one site claims."""
    return _claims(Situation(books.teachers.all(), (), (), {}, holders=books.claims.holders()))


def decide_claim(center: Center, category: str, site: str) -> int:
    """Give a category to a site and plan what follows from it; return how many merges that are.

    Everything of the other sites is kept. What is published of them stays published until the chosen site's
    routes have passed the same gates and take its place; a merge of theirs that is under way ends first.

    Raises:
        NotFound: if that site has brought no complete teacher of the category.
    """
    with center.registry.write() as books:
        sites = set(books.teachers.sites_of(category))
        if site not in sites:
            known = ", ".join(sorted(sites)) or "no site has"
            raise NotFound(f"site {site[:80]} has brought no complete teacher of {category[:80]} ({known})")
        now = center.clock.now()
        if books.claims.decide(category, site, now):
            books.audit.append(CONSOLE, Action.CATEGORY_DECIDED, category, site=site, claimed_by=sites)
            books.events.add(CATEGORY_DECIDED, category, now, category=category, detail=site)
        added = plan_merges(center, books)
    center.bell.ring()
    return added


def left_behind(books: Books, category: str, site: str) -> int:
    """Return the newest version that had routes of a site for a category which the net has not; 0: none had.

    A published teacher is not planned again, so nothing brings them back but an operator's `net rollback`.
    """
    versions = books.versions.after(0)
    here = {route.merge_key for route in versions[-1].routes} if versions else set[str]()
    for version in reversed(versions):
        keys = [route.merge_key for route in version.routes if route.category == category]
        gone = [key for key in keys if key not in here]
        if any(books.merges.get(key).task.site == site for key in gone):
            return version.number
    return 0


def note_claim(center: Center, books: Books, teacher: CompleteTeacher, actor: str) -> None:
    """Tell the operator of a new teacher whose category another site holds."""
    sites = books.teachers.sites_of(teacher.category)
    holder = books.claims.holders().get(teacher.category, sites[0] if sites else teacher.site)
    if holder != teacher.site:
        now = center.clock.now()
        books.audit.append(actor, Action.CATEGORY_CONTESTED, teacher.category, holder=holder)
        books.events.add(
            CATEGORY_CONTESTED, teacher.category, now, category=teacher.category, detail=teacher.site
        )


def _claims(situation: Situation) -> tuple[Claim, ...]:
    found: list[Claim] = []
    for category, teachers in situation.claims.items():
        sites = tuple(dict.fromkeys(teacher.site for teacher in teachers))
        if len(sites) > 1:
            decided = category in situation.holders
            found.append(Claim(category, sites, situation.holder_of(category), decided))
    return tuple(found)
