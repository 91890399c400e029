"""What a caller may read: modules, versions, events."""

from __future__ import annotations

from typing import TYPE_CHECKING

from central.usecases.route_figures import route_reports
from transplant.artifact.chunks import read_chunks
from transplant.artifact.manifest import parse_manifest
from transplant.errors import InvalidSettings, NotFound, RegistryDamaged
from transplant.rpc.messages import Event, ModuleSummary
from transplant.types import ByteRange, Identity, MergeState, NetVersion, Role, RouteReport

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from central.registry.registry import Books
    from central.registry.values import EventRecord, RegisteredModule
    from central.usecases.center import Center
    from transplant.artifact.chunks import Chunk
    from transplant.artifact.manifest import Manifest
    from transplant.types import Task

_PAGE = 500
_HEARTBEAT_S = 1.0
_CANDIDATE_STATES = (MergeState.CANDIDATE, MergeState.VALIDATING)


def list_modules(
    center: Center, caller: Identity, category: str, page_size: int, page_token: str
) -> tuple[tuple[ModuleSummary, ...], str]:
    """Return one page of the modules that the caller may read, and the token of the next ("" at the end).

    Raises:
        InvalidSettings: if the token is not one that an earlier page gave.
    """
    if page_token and not (page_token.isdecimal() and len(page_token) < 19):
        raise InvalidSettings("page_token: not one of this center's")
    after, size = int(page_token or 0), min(page_size or _PAGE, _PAGE)
    with center.registry.read() as books:
        readable = _readable(books, caller)
        found = [m for m in books.modules.list(category) if m.position > after and readable(m)]
    page = found[:size]
    return tuple(map(_summary, page)), str(page[-1].position) if len(found) > size else ""


def get_manifest(center: Center, caller: Identity, module_id: str) -> Manifest:
    """Return a module's manifest.

    Raises:
        NotFound: if there is no such module for the caller.
    """
    with center.registry.read() as books:
        return parse_manifest(_visible(books, caller, module_id).manifest)


def download(center: Center, caller: Identity, module_id: str, offset: int, length: int) -> Iterator[Chunk]:
    """Yield the bytes [offset, offset + length) of a payload (length 0: to the end).

    Raises:
        NotFound: if there is no such module for the caller.
        InvalidSettings: if the range begins behind the end.
        RegistryDamaged: if the store has lost the payload.
    """
    with center.registry.read() as books:
        module = _visible(books, caller, module_id)
    if offset > module.payload_bytes:
        raise InvalidSettings(f"offset: {offset} is behind the end at {module.payload_bytes}")
    end = min(offset + length, module.payload_bytes) if length else module.payload_bytes
    try:
        path = center.store.path_of(module.payload_sha256)
    except NotFound as error:
        raise RegistryDamaged(f"the payload of module {module_id[:12]} is missing in the store") from error
    yield from read_chunks(path, [ByteRange(offset, end)])


def list_versions(center: Center, after_number: int) -> tuple[NetVersion, ...]:
    """Return the versions with a higher number, oldest first."""
    with center.registry.read() as books:
        return books.versions.after(after_number)


def get_version(center: Center, number: int) -> NetVersion:
    """Return a version (0: the newest).

    Raises:
        NotFound: if there is no such version.
    """
    with center.registry.read() as books:
        return books.versions.get(number)


def reports_of_version(center: Center, number: int) -> dict[tuple[str, Task], RouteReport]:
    """Return what sites measured of the routes of a version, where they told it.

    Raises:
        NotFound: if there is no such version.
    """
    with center.registry.read() as books:
        return route_reports(books, books.versions.get(number))


def watch_events(
    center: Center, caller: Identity, after_event_id: int, going: Callable[[], bool]
) -> Iterator[Event]:
    """Yield the events that the caller may see, past and future, until `going` says no."""
    position = after_event_id
    while going():
        heard = center.bell.rings
        with center.registry.read() as books:
            categories = books.sites.categories(caller.name)
            events = books.events.after(position)
        for event in events:
            position = event.event_id
            if _concerns(caller, categories, event):
                yield Event(event.event_id, event.kind, event.subject, event.detail)
        if not events:
            center.bell.wait(heard, _HEARTBEAT_S)


def _readable(books: Books, caller: Identity) -> Callable[[RegisteredModule], bool]:
    """Return a test: own modules, those of every published version, and those of the caller's candidates."""
    if caller.role is Role.OPERATOR:
        return lambda _: True
    ids = set(books.versions.published_modules())
    if caller.role is Role.SITE:
        for merge in books.merges.list(open_only=True, site=caller.name):
            if merge.status.state in _CANDIDATE_STATES:
                host = merge.task.host
                ids |= {merge.status.adapter or "", merge.task.teacher_category_module}
                ids |= set() if host is None else {host.task_module}
    own = caller.name if caller.role is Role.SITE else None
    return lambda module: module.module_id in ids or module.site == own


def _visible(books: Books, caller: Identity, module_id: str) -> RegisteredModule:
    module = books.modules.get(module_id)
    if not _readable(books, caller)(module):
        raise NotFound(f"no module {module_id[:80]}")  # whether it exists is not the caller's business
    return module


def _concerns(caller: Identity, categories: frozenset[str], event: EventRecord) -> bool:
    return caller.role is not Role.SITE or event.category == "" or event.category in categories


def check_readable(books: Books, caller: Identity, module_id: str) -> None:
    """Check that a caller may read a module.

    Raises:
        NotFound: if there is no such module for the caller.
    """
    _visible(books, caller, module_id)


def _summary(module: RegisteredModule) -> ModuleSummary:
    return ModuleSummary(
        module_id=module.module_id,
        site=module.site,
        category=module.category,
        kind=module.kind,
        task=module.task,
        payload_bytes=module.payload_bytes,
    )
