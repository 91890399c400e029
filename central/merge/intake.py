"""What a worker's end means for its merge: its adapter is stored and registered, or its failure recorded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from central.merge.events import AdapterLearned, EngineMissed, LearningFailed, WorkerDied
from central.registry.audit_book import CENTRAL
from central.runners.engine import Died, Finished, Hindered
from central.usecases.move_merge import feed, move_merge
from central.usecases.register_made import register_made
from transplant.artifact.codec import verify_payload
from transplant.artifact.manifest import parse_manifest
from transplant.errors import ERRORS

if TYPE_CHECKING:
    from central.runners.engine import Ending
    from central.usecases.center import Center


def take_ending(center: Center, ending: Ending) -> bool:
    """Move a merge as its worker's end has it; return whether it is to be tried again, but not at once."""
    key = ending.merge_key
    if isinstance(ending, Died):
        feed(center, key, WorkerDied(ending.reason))
        return False
    if not isinstance(ending, Finished):
        feed(center, key, EngineMissed(ending.reason))
        return isinstance(ending, Hindered)
    outcome = center.workshop.bench(key).outcome()
    if outcome is None:
        feed(center, key, WorkerDied("the worker ended without a result"))
        return False
    if outcome.error:
        passing = outcome.error in ERRORS and ERRORS[outcome.error].retry
        reason = f"{outcome.error}: {outcome.message}"
        feed(center, key, EngineMissed(reason) if passing else LearningFailed(reason))
        return passing
    _take_in(center, key, outcome.manifest, outcome.figures)
    return False


def _take_in(center: Center, key: str, document: bytes, figures: dict[str, float]) -> None:
    """Store and register an adapter and move its merge, as a site's module would be: blob, then rows."""
    bench = center.workshop.bench(key)
    manifest = parse_manifest(document)
    verify_payload(manifest, bench.adapter)
    center.store.put_bytes(bench.adapter.read_bytes())
    now = center.clock.now()
    with center.registry.write() as books:
        register_made(books, manifest, now, CENTRAL, merge=key)
        move_merge(center, books, key, AdapterLearned(manifest.module_id, figures))
    bench.tidy()
    center.bell.ring()
