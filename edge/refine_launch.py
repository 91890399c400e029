"""What this site's node runs in place of Flower's `flwr-clientapp`: the same program, with a closed door.

Flower sends the code of an app along with the first message of a run, and a node would run it. No code is
taken from anybody here. The node finds programs by name in one folder, which holds two: Flower's
`flower-superexec`, and this. It makes nothing below the folder of received apps importable and then
becomes Flower's program: what it loads can only be what is installed at this site (`edge.refine_app`). Of a
received app only its settings count.
"""

from __future__ import annotations

import os
import sys
from importlib.abc import PathEntryFinder
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING

from transplant.backends.flower_programs import program

if TYPE_CHECKING:
    from importlib.machinery import ModuleSpec
    from types import ModuleType

_EXECUTOR, _CLIENT = "flower-superexec", "flwr-clientapp"


class _Empty(PathEntryFinder):
    """Finds no module, whatever lies there."""

    def find_spec(self, fullname: str, target: ModuleType | None = None) -> ModuleSpec | None:
        del fullname, target


def import_nothing_below(folder: Path) -> None:
    """Make every module below a folder impossible to import, from now on in this process."""
    closed = folder.resolve()

    def hook(entry: str) -> PathEntryFinder:
        if Path(entry).resolve().is_relative_to(closed):
            return _Empty()
        raise ImportError("the usual finders may look there")

    sys.path_hooks.insert(0, hook)
    sys.path_importer_cache.clear()


def write_programs(folder: Path) -> None:
    """Make the folder that is the node's whole PATH.

    Raises:
        InvalidSettings: if Flower is not installed beside this program.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name, command in {
        _EXECUTOR: f'"{program(_EXECUTOR)}"',
        _CLIENT: f'"{sys.executable}" -P -m {__name__}',
    }.items():
        path = folder / name
        path.write_text(f'#!/bin/sh\nexec {command} "$@"\n', encoding="utf-8")
        path.chmod(0o755)


def main() -> None:
    """Close the door and run Flower's own command."""
    import_nothing_below(Path(os.environ["FLWR_HOME"]))
    (command,) = entry_points(group="console_scripts", name=_CLIENT)
    sys.argv[0] = _CLIENT
    command.load()()


if __name__ == "__main__":
    main()
