"""A work order: what a merge's worker is told, as text. No torch: Ray's driver reads it, too."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transplant.types import Device


@dataclass(frozen=True)
class WorkOrder:
    """Everything a worker needs to know, as plain text: it travels to Ray as JSON.

    `manifests` are the canonical manifests of teacher f, teacher g_T ("" where it stays at its site), host
    f and host g_S; `statistics` and `answers` those of what else the site gave, "" where it did not;
    `supervisor` that of the f which the teacher g_T belongs to, where that is another category's.
    `device` is what the operator wants learned on; no part of the task, because it is no input of it.
    `gpu_share` (of one GPU, 0: none) and `memory_bytes` (0: unknown) are what the worker is given to work
    with. `proxy` is the folder of the public images that the task names, "" where it names none.
    `store`, `cache` and `cache_bytes` are a `transplant.backends.blob_stores.StorePlace`.
    """

    merge_key: str
    task: str
    manifests: tuple[str, str, str, str]
    store: str
    bench: str
    statistics: str = ""
    answers: str = ""
    supervisor: str = ""
    device: Device = "auto"
    gpu_share: float = 0.0
    memory_bytes: int = 0
    cache: str = ""
    cache_bytes: int = 0
    proxy: str = ""

    def to_json(self) -> str:
        """Return one line."""
        return json.dumps(asdict(self), ensure_ascii=True)


def order_from_json(line: str) -> WorkOrder:
    """Read `WorkOrder.to_json`."""
    fields = json.loads(line)
    return WorkOrder(**fields | {"manifests": tuple(fields["manifests"])})
