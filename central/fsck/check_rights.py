"""Who may call and bring what, and whose a category is: the tables against the audit log.

What a center of a release without log let in is told as a warning only, for nothing proves it.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from central.fsck.finding import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from central.fsck.replay_log import Logged
    from central.fsck.tables import Tables

_SAME_STEP = timedelta(minutes=1)  # a row and its entry are written together, each with its own time


def older_than_log(logged: Logged, at: datetime) -> bool:
    """Tell whether something is older than the audit log, so that no entry can be asked for."""
    return logged.began_at is not None and at < logged.began_at - _SAME_STEP


def check_sites(tables: Tables, logged: Logged) -> Iterator[Finding]:
    """Check sites and the categories that they may bring."""
    sites = tables.by("sites", "name")
    held: dict[str, set[str]] = {name: set() for name in sites}
    for row in tables["site_categories"]:
        held.setdefault(row["site"], set()).add(row["category"])
    for name in sorted(set(logged.categories) - set(sites)):
        yield Finding("site-rights", f"site {name}", "it was admitted, and is not there")
    for name, row in sites.items():
        where, older = f"site {name}", older_than_log(logged, row["created_at"])
        if name not in logged.categories:
            told = "no entry admits it"
            yield Finding("rights-unproved" if older else "site-rights", where, told)
            continue
        end = logged.unsure_after.get(name)
        more = {each for each in held[name] - logged.categories[name] if end is None or each <= end}
        less = {each for each in logged.categories[name] - held[name] if end is None or each <= end}
        if more:
            told = f"no entry lets it bring {', '.join(sorted(more))}"
            yield Finding("rights-unproved" if older else "site-rights", where, told)
        if less:
            yield Finding("site-rights", where, f"{', '.join(sorted(less))} was not taken from it")


def check_certificates(tables: Tables, logged: Logged) -> Iterator[Finding]:
    """Check who was given which certificate, and which of them were revoked."""
    rows = tables.by("certificates", "serial")
    older = any(older_than_log(logged, row["created_at"]) for row in tables["sites"])
    for serial in sorted(set(logged.certificates) - set(rows)):
        told = f"it was issued to {logged.certificates[serial].whose}, and is not there"
        yield Finding("certificate-rights", f"certificate {serial}", told)
    for serial, row in rows.items():
        where, whose = f"certificate {serial}", f"{row['role']} {row['name']}"
        revoked, known = row["revoked_at"] is not None, logged.certificates.get(serial)
        if known is None:
            if not revoked and logged.revoked & {serial, whose}:
                yield Finding("certificate-rights", where, "it was revoked, and is let in")
            else:
                told = f"no entry says that it was issued to {whose}"
                yield Finding("rights-unproved" if older else "certificate-rights", where, told)
            continue
        wrong: list[str] = []
        if whose != known.whose:
            wrong.append(f"it is {whose}'s and was issued to {known.whose}")
        if row["expires_at"] != known.expires_at:
            wrong.append(
                f"it expires at {row['expires_at']:%F %T} and was issued until {known.expires_at:%F %T}"
            )
        if revoked != known.revoked:
            wrong.append(
                "it was revoked, and is let in" if known.revoked else "no entry revokes it, and it is refused"
            )
        if wrong:
            yield Finding("certificate-rights", where, "; ".join(wrong))


def check_holders(tables: Tables, logged: Logged) -> Iterator[Finding]:
    """Check whose contested categories are."""
    rows = tables.by("category_holders", "category")
    for category in sorted(set(rows) | set(logged.holders)):
        row, told = rows.get(category), logged.holders.get(category)
        now = None if row is None else (row["site"], row["decisions"])
        if now != told:
            said = ["nobody" if each is None else f"{each[0]} by decision {each[1]}" for each in (now, told)]
            yield Finding(
                "category-holder", f"category {category}", f"it is held by {said[0]}, by the log {said[1]}"
            )
