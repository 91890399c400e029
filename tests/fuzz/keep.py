"""`python -m fuzz.keep TARGET FOLDER`: copy from FOLDER the smallest input for each way that a parse can end.

What fuzzing collects is thousands of files. Kept in the repository is one for each distinct sentence of a
refusal (numbers and quoted parts aside) and for each kind of thing that is taken.
"""

from __future__ import annotations

import importlib
import re
import sys
from pathlib import Path
from typing import Any

from fuzz import watch
from transplant.artifact.digest import sha256_hex
from transplant.errors import ArtifactRejected

CORPUS = Path(__file__).resolve().parent / "corpus"
_MOST_BYTES = 4096
_CHANGING = re.compile(r"'[^']*'|0x[0-9a-f]+|[0-9]+")


def ends_of(target: Any, data: bytes) -> frozenset[str]:
    """Return how each parse of an input ends."""
    ends: set[str] = set()

    def noted(parse):
        try:
            found = parse()
        except ArtifactRejected as error:
            ends.add(f"{error.code()} {_CHANGING.sub('#', str(error))[:60]}")
            return None
        dtypes = sorted({spec.dtype for spec in found}) if isinstance(found, tuple) else ""
        ends.add(f"taken: {getattr(found, 'kind', type(found).__name__)} {dtypes}")
        return found

    target.tried = noted
    try:
        target.run(data)
    finally:
        target.tried = watch.tried
    return frozenset(ends)


def main() -> None:
    """Add to the corpus what ends in a way that nothing smaller in it does."""
    name, folder = sys.argv[1], Path(sys.argv[2])
    target = importlib.import_module(f"fuzz.fuzz_{name}")
    inputs = [path.read_bytes() for path in (*(CORPUS / name).iterdir(), *folder.iterdir())]
    seen: set[str] = set()
    for path in (CORPUS / name).iterdir():
        path.unlink()
    for data in sorted(set(inputs), key=lambda data: (len(data), data)):
        ends = ends_of(target, data) if len(data) <= _MOST_BYTES else frozenset()
        if ends - seen:
            seen |= ends
            (CORPUS / name / f"{sha256_hex(data)[:12]}{target.suffix(data)}").write_bytes(data)
    print(f"{name}: {len(seen)} ends, {len(list((CORPUS / name).iterdir()))} inputs")  # noqa: T201 - a command


if __name__ == "__main__":
    main()
