"""Which commit of this package is installed, where its installer noted it."""

from __future__ import annotations

import json
import re
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution

_COMMIT = re.compile(r"[0-9a-f]{7,64}")


@cache
def own_commit() -> dict[str, str]:
    """Return {"transplant-commit": its id}; nothing where the package was not installed from a repository.

    Only what the installer wrote down counts (PEP 610): it stays what it is while a center runs. A checkout's
    head may move between two workers, and then the same merge would have two ids.
    """
    try:
        noted = distribution("transplant").read_text("direct_url.json")
        commit = json.loads(noted or "{}").get("vcs_info", {}).get("commit_id", "")
    except (PackageNotFoundError, ValueError, AttributeError):
        return {}
    known = isinstance(commit, str) and _COMMIT.fullmatch(commit)
    return {"transplant-commit": commit} if known else {}
