"""The log of opened files, in a process of its own: an audit hook stays for good."""

from __future__ import annotations

import json
import os
import subprocess
import sys

PROGRAM = """
import os, sys
from pathlib import Path
from transplant.backends.open_audit import install_open_audit
install_open_audit(); install_open_audit()
root, other = Path(sys.argv[1]), Path(sys.argv[2])
for _ in range(3):
    (root / "image.png").read_bytes()
os.close(os.open(root / "folder", os.O_RDONLY))
(other / "outside.txt").read_bytes()
(other / "link.png").read_bytes()
os.chdir(root)
open("relative.png", "rb").close()
open(bytes(root / "bytes.png"), "rb").close()
try:
    open(root / "missing.png")
except FileNotFoundError:
    pass
child = os.fork()
if child == 0:
    (root / "image.png").read_bytes()
    os._exit(0)
os.waitpid(child, 0)
print(os.getpid(), child)
"""


def _run(tmp_path, repository, environment):
    root, other, log = (tmp_path / name for name in ("data", "other", "log"))
    for folder in (root / "folder", other, log):
        folder.mkdir(parents=True)
    for name in ("image.png", "relative.png", "bytes.png"):
        (root / name).write_bytes(b"x")
    (other / "outside.txt").write_bytes(b"x")
    (root / "linked.png").write_bytes(b"x")
    (other / "link.png").symlink_to(root / "linked.png")
    variables = {key: value.format(log=log, root=root) for key, value in environment.items()}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(root), str(other)],
        env=os.environ | {"PYTHONPATH": str(repository)} | variables,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return root, log, [int(word) for word in done.stdout.split()]


def test_each_file_below_a_root_is_logged_once_a_process(tmp_path, repository):
    environment = {
        "TRANSPLANT_OPEN_LOG": "{log}",
        "TRANSPLANT_OPEN_ROOTS": "/nowhere" + os.pathsep + "{root}",
    }
    root, log, (pid, child) = _run(tmp_path, repository, environment)
    lines = [json.loads(line) for line in (log / f"{pid}.jsonl").read_text().splitlines()]
    assert [line["path"] for line in lines] == [
        str(root / name) for name in ("image.png", "linked.png", "relative.png", "bytes.png")
    ]
    assert {(line["pid"], line["argv0"]) for line in lines} == {(pid, "-c")}
    forked = [json.loads(line) for line in (log / f"{child}.jsonl").read_text().splitlines()]
    assert [line["path"] for line in forked] == [str(root / "image.png")]


def test_without_the_environment_nothing_is_logged(tmp_path, repository):
    _, log, _ = _run(tmp_path, repository, {"TRANSPLANT_OPEN_ROOTS": "{root}", "TRANSPLANT_OPEN_LOG": ""})
    assert list(log.iterdir()) == []
