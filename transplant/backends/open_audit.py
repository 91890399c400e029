"""A log of the files that this process opens, for the proof that only a site opens its own data.

Off unless the environment names a folder. It sees what goes through Python's `open` and `os.open`
(datasets, images, checkpoints, NumPy files); a file that a C++ library opens by itself goes unseen.
"""

from __future__ import annotations

import json
import os
import stat
import sys
import threading

_LOG = "TRANSPLANT_OPEN_LOG"
_ROOTS = "TRANSPLANT_OPEN_ROOTS"


def install_open_audit() -> None:
    """Append `{"pid", "argv0", "path"}` to `$TRANSPLANT_OPEN_LOG/<pid>.jsonl` for each file opened.

    Only regular files below one of the folders in `TRANSPLANT_OPEN_ROOTS` (joined like `PATH`), each
    once a process. An audit hook cannot be taken out again, so a second call does nothing.
    """
    folder, roots = os.environ.get(_LOG), os.environ.get(_ROOTS)
    if not folder or not roots or _installed:
        return
    _installed.append(_OpenLog(folder, [root for root in roots.split(os.pathsep) if root]))
    sys.addaudithook(_installed[0].hook)


class _OpenLog:
    def __init__(self, folder: str, roots: list[str]) -> None:
        self._folder = os.path.realpath(folder)
        self._roots = tuple(os.path.join(os.path.realpath(root), "") for root in roots)  # noqa: PTH118
        self._own = threading.local()
        self._pid = 0
        self._descriptor = -1
        self._seen: set[str] = set()

    def hook(self, event: str, arguments: tuple[object, ...]) -> None:
        if event != "open" or getattr(self._own, "busy", False):
            return
        path = arguments[0]
        if not isinstance(path, (str, bytes)):  # a descriptor: it was opened by name before
            return
        self._own.busy = True  # realpath and the log's own open come back here
        try:
            self._note(os.path.realpath(os.fsdecode(path)))
        except (OSError, ValueError):
            pass  # an observer must never make the observed fail
        finally:
            self._own.busy = False

    def _note(self, path: str) -> None:
        if not path.startswith(self._roots):
            return
        if self._pid != os.getpid():  # first use, or a forked child: its log is its own
            self._pid, self._seen = os.getpid(), set()
            name = os.path.join(self._folder, f"{self._pid}.jsonl")  # noqa: PTH118
            self._descriptor = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        if path in self._seen or not stat.S_ISREG(os.stat(path).st_mode):  # noqa: PTH116
            return
        self._seen.add(path)
        argv0 = sys.argv[0] if getattr(sys, "argv", None) else ""
        line = json.dumps({"pid": self._pid, "argv0": argv0, "path": path}) + "\n"
        os.write(self._descriptor, line.encode())


_installed: list[_OpenLog] = []
