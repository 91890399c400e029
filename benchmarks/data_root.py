"""Where the data packs are: as said, else `TRANSPLANT_DATA`, else beside the project."""

from __future__ import annotations

import os
from pathlib import Path

from transplant.errors import BenchmarkFailed


def data_root_of(chosen: Path | None) -> Path:
    """Return the folder of the data packs.

    Raises:
        BenchmarkFailed: if there is none.
    """
    root = chosen or Path(os.environ.get("TRANSPLANT_DATA", "../shared/data"))
    if not root.is_dir():
        raise BenchmarkFailed(f"no data packs at {root}: set --data-root or TRANSPLANT_DATA")
    return root.resolve()
