"""A PostgreSQL server of the tests' own: a throw-away cluster on a unix socket that ends with them."""

from __future__ import annotations

import itertools
import os
import pwd
import re
import shutil
import subprocess
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import create_engine, text
from sqlalchemy.engine import URL

if TYPE_CHECKING:
    from collections.abc import Iterator

OWNER = "center"  # what a center calls as: it owns its databases and has no other rights
STRANGER = "stranger"  # may connect, owns nothing
_ADMIN = "postgres"
_LONGEST_FOLDER = 80  # a unix socket's path has at most 107 characters
_READY_S = 60.0
# A server somewhere else: times are India's, words are ordered as people do. Nothing is synced: what is here
# need not outlive the machine.
_SETTINGS = {
    "listen_addresses": "",
    "timezone": "Asia/Kolkata",
    "fsync": "off",
    "full_page_writes": "off",
    "shared_buffers": "16MB",
    "max_connections": "60",
}
_PEOPLES_ORDER = ("--locale-provider=icu", "--icu-locale=en-u-ka-shifted")  # where this server has ICU
# The shell sends the server the signal that it reads. Where its input just ends, the test process was killed.
_WATCHED = """
folder=$1 server=$2; shift 2; "$server" "$@" & pid=$!
read -r signal
kill -${signal:-QUIT} $pid; wait $pid
[ -n "$signal" ] || rm -rf "$folder"
"""


class PostgresMissingError(Exception):
    """No server can be started here; the message says why."""


@dataclass
class PostgresServer:
    """One cluster, in one folder, run as an ordinary user.

    Args:
        programs: the folder of `initdb` and `postgres`.
        folder: where the cluster and its socket are; owned by `user`.
        user: whom to run as, or None to run as the caller.
    """

    programs: Path
    folder: Path
    user: str | None
    _process: subprocess.Popen[bytes] | None = None
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def initialise(self) -> None:
        """Make the cluster, a role that owns databases and one that does not."""
        fixed = ("-D", str(self._data), "-U", _ADMIN, "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
        made = self._run("initdb", *fixed, *_PEOPLES_ORDER)
        if made.returncode:
            made = self._run("initdb", *fixed)
        if made.returncode:
            raise PostgresMissingError(f"initdb failed: {made.stderr.decode().strip()}")
        self.start()
        for role in (OWNER, STRANGER):
            self.ask(f"CREATE ROLE {role} LOGIN")

    def start(self) -> None:
        """Start the server and wait until it accepts connections."""
        flags = [f"--{name}={value}" for name, value in _SETTINGS.items()]
        command = [self.programs / "postgres", "-D", self._data, "-k", self.folder, *flags]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                ["/bin/sh", "-c", _WATCHED, "sh", *map(str, [self.folder, *command])],
                stdin=subprocess.PIPE, stdout=log, stderr=log, cwd=self.folder,
                start_new_session=True,  # Ctrl-C is for the tests; they stop the server when they are done
                **self._identity(),
            )  # fmt: skip
        deadline, pause = time.monotonic() + _READY_S, threading.Event()
        while self._run("pg_isready", "-q", "-h", str(self.folder), "-U", _ADMIN).returncode:
            if time.monotonic() > deadline:
                raise PostgresMissingError(f"the server did not start: {self._log.read_text()[-2000:]}")
            pause.wait(0.02)

    def stop(self, signal: str = "INT") -> None:
        """Stop the server; clients lose their connections."""
        if self._process is not None:
            self._process.communicate(f"{signal}\n".encode(), timeout=_READY_S)
            self._process = None

    def restart(self) -> None:
        """Stop and start: what an operator does."""
        self.stop()
        self.start()

    def remove(self) -> None:
        """Stop the server, at once and untidily, and delete the cluster."""
        self.stop("QUIT")
        shutil.rmtree(self.folder)

    def url(self, database: str, role: str = OWNER) -> str:
        """Return the URL of a database, as an operator would write it."""
        where = URL.create("postgresql+psycopg", role, database=database, query={"host": str(self.folder)})
        return where.render_as_string(hide_password=False)

    def create_database(self, options: str = "") -> str:
        """Make a database and return its name; `options` are of CREATE DATABASE."""
        name = f"registry_{next(self._numbers)}"
        self.ask(f"CREATE DATABASE {name} OWNER {OWNER} {options}")
        return name

    def drop_database(self, name: str) -> None:
        """Delete a database, whoever uses it."""
        self.ask(f"DROP DATABASE {name} WITH (FORCE)")

    def terminate(self, name: str, state: str = "%") -> int:
        """Cut the connections to a database that are in a state; return how many."""
        query = (
            "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity "  # noqa: S608 - names of our own
            f"WHERE datname = '{name}' AND state LIKE '{state}'"
        )
        return len(self.ask(query))

    def ask(self, statement: str, database: str = "postgres") -> list[Any]:
        """Execute a statement as the administrator; return its rows."""
        engine = create_engine(self.url(database, _ADMIN), isolation_level="AUTOCOMMIT")
        try:
            with engine.connect() as connection:
                result = connection.execute(text(statement))
                return list(result) if result.returns_rows else []
        finally:
            engine.dispose()

    @property
    def _data(self) -> Path:
        return self.folder / "data"

    @property
    def _log(self) -> Path:
        return self.folder / "log"

    def _run(self, program: str, *arguments: str) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [self.programs / program, *arguments],
            capture_output=True, check=False, cwd=self.folder, timeout=_READY_S, **self._identity(),
        )  # fmt: skip

    def _identity(self) -> dict[str, Any]:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
        if self.user is None:
            return {"env": environment}
        return {"env": environment, "user": self.user, "group": _group_of(self.user), "extra_groups": []}


def start_server() -> PostgresServer:
    """Return a running server.

    Raises:
        PostgresMissingError: if none can be run here.
    """
    programs, user = find_programs(), _ordinary_user()
    parent = tempfile.gettempdir() if len(tempfile.gettempdir()) < _LONGEST_FOLDER else "/tmp"  # noqa: S108
    folder = Path(tempfile.mkdtemp(prefix="postgresql-", dir=parent))
    server = PostgresServer(programs, folder, user)
    try:
        if user is not None:
            shutil.chown(folder, user, _group_of(user))
        server.initialise()
    except (PermissionError, subprocess.SubprocessError, PostgresMissingError) as error:
        server.remove()
        raise PostgresMissingError(f"PostgreSQL of {programs} cannot be run here: {error}") from error
    return server


def find_programs() -> Path:
    """Return the folder of PostgreSQL's server programs, the newest where there are several.

    Raises:
        PostgresMissingError: if there is none.
    """
    candidates: list[Path] = []
    if shutil.which("pg_config"):
        told = subprocess.run(["pg_config", "--bindir"], capture_output=True, text=True, check=False)
        candidates.append(Path(told.stdout.strip()))
    if server := shutil.which("postgres"):
        candidates.append(Path(server).resolve().parent)
    packaged = [*Path("/usr/lib/postgresql").glob("*/bin"), *Path("/usr").glob("pgsql-*/bin")]
    candidates += sorted(packaged, key=_version, reverse=True)
    for folder in candidates:
        if all((folder / name).is_file() for name in ("initdb", "postgres", "pg_isready")):
            return folder
    raise PostgresMissingError("no PostgreSQL server programs (Debian, Ubuntu: apt-get install postgresql)")


def _version(folder: Path) -> int:
    return int("".join(re.findall(r"\d+", folder.parent.name)) or 0)


def _ordinary_user() -> str | None:
    """Return whom to run the server as: it refuses to be root."""
    if os.geteuid() != 0:
        return None
    known = {entry.pw_name for entry in pwd.getpwall()}
    for name in ("postgres", "nobody"):
        if name in known:
            return name
    raise PostgresMissingError("PostgreSQL does not run as root, and there is neither postgres nor nobody")


def _group_of(user: str) -> int:
    return pwd.getpwnam(user).pw_gid
