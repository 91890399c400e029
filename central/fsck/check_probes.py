"""Do the routes still answer as they did when they were published? All of them are built and asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from central.fsck.check_net import every_route
from central.fsck.finding import Finding
from central.merge.forgetting import check_forgetting
from central.usecases.module_shelf import ModuleShelf
from transplant.types import NetVersion

if TYPE_CHECKING:
    from collections.abc import Iterator

    from central.fsck.tables import Tables
    from transplant.ports.blob_store import BlobStore


def check_probes(tables: Tables, store: BlobStore) -> Iterator[Finding]:
    """Compare the routes' answers to the probe with what was recorded by machines with these numerics.

    Routes that have left the net are asked, too: a rollback may bring them back.
    Only where all else is whole: a net with a damaged module cannot be built.

    Raises:
        RegistryDamaged: if a module cannot be read after all.
    """
    newest = max(tables.by("versions", "number"), default=0)
    if not newest:
        return
    torch.set_num_threads(1)  # as a serving center does
    shelf = ModuleShelf(store, {row["module_id"]: row["manifest"] for row in tables["modules"]})
    every = NetVersion(newest, None, every_route(tables))
    answered = check_forgetting(None, every, shelf)
    routes = {route.merge_key: f"{route.category}/{route.task.value}" for route in every.routes}
    for row in tables["probe_digests"]:
        key = row["merge_key"]
        if row["numerics"] == answered.numerics and answered.digests.get(key) != row["logits_sha256"]:
            where = f"route {routes.get(key, '')} of merge {key}"
            yield Finding("probe-digest", where, f"recorded by {row['numerics']}")
