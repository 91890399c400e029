"""One registry is served by one center: two merge loops on it would work against each other.

On PostgreSQL the lock is a session-level advisory one, on a connection of its own: it goes with the
process that holds it, however that ends. When the database restarts, all of its sessions end; `keep` takes
the lock again, unless another center was faster. SQLite's is a lock on a file beside the database.
A pooler between center and database must pool sessions, not transactions.
"""

from __future__ import annotations

import fcntl
import os
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from sqlalchemy.exc import DBAPIError

from central.registry.driver_errors import registry_errors
from transplant.errors import AlreadyServing, InvalidSettings

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import Connection, Engine

_KEY = 0x73657276  # "serv"; the advisory lock of writers is another
_GRACE_S = 3.0  # a center that was just killed is still there for a moment
_FILE_GRACE_S = 1.0
_PAUSE_S = 0.05
_HOLDER = f"""
SELECT a.pid, a.backend_start, coalesce(host(a.client_addr), 'the database''s own machine')
FROM pg_locks l JOIN pg_stat_activity a USING (pid) JOIN pg_database d ON d.oid = l.database
WHERE d.datname = current_database() AND l.locktype = 'advisory' AND l.granted
AND l.classid = 0 AND l.objid = {_KEY} AND l.objsubid = 1
"""  # noqa: S608 - a number of our own


class ServingLock(Protocol):
    """The right to serve a registry."""

    def take(self) -> None:
        """Take the lock.

        Raises:
            AlreadyServing: if another center has it.
            RegistryUnavailable: if the database does not answer.
        """
        ...

    def keep(self) -> None:
        """Look whether it is still held, and take it again where the connection was lost.

        Raises:
            AlreadyServing: if another center has taken it meanwhile: this one has to stop.
            RegistryUnavailable: if the database does not answer yet: look again.
        """
        ...

    def release(self) -> None:
        """Give it back; harmless where it is not held."""
        ...


class SessionLock:
    """Implements `ServingLock` by an advisory lock of PostgreSQL's.

    Args:
        engine: what connects to the database.
        grace_s: how long to wait for one who is about to go; default: some seconds.
    """

    def __init__(self, engine: Engine, grace_s: float | None = None) -> None:
        self._engine = engine
        self._grace_s = _GRACE_S if grace_s is None else grace_s
        self._connection: Connection | None = None
        self._session: tuple[int, datetime] | None = (
            None  # process and start of the session that held it last
        )

    def take(self) -> None:
        """Take the lock."""
        with registry_errors():
            connection = self._engine.connect().execution_options(isolation_level="AUTOCOMMIT")
            connection.detach()  # from the pool: it is not lent to others
            try:
                self._take_on(connection)
            except BaseException:
                connection.close()
                raise
        self._connection = connection

    def keep(self) -> None:
        """Look whether the session that holds the lock is still there."""
        if self._connection is not None:
            try:
                self._connection.exec_driver_sql("SELECT 1")
            except DBAPIError:
                self._drop()
            else:
                return
        self.take()

    def release(self) -> None:
        """End the session, and the lock with it."""
        self._drop()

    def _take_on(self, connection: Connection) -> None:
        deadline, pause = time.monotonic() + self._grace_s, threading.Event()
        while not connection.exec_driver_sql(f"SELECT pg_try_advisory_lock({_KEY})").scalar_one():
            holder = connection.exec_driver_sql(_HOLDER).one_or_none()
            if holder is not None and (holder[0], holder[1]) == self._session:
                # our own, which the network cut off: the server would wait long for it
                connection.exec_driver_sql(f"SELECT pg_terminate_backend({int(holder[0])})")
            elif time.monotonic() > deadline:
                told = "" if holder is None else f", from {holder[2]} since {holder[1]:%Y-%m-%d %H:%M:%S} UTC"
                raise AlreadyServing(
                    f"another `transplant-central serve` works on this registry already{told}"
                )
            pause.wait(_PAUSE_S)
        query = "SELECT pid, backend_start FROM pg_stat_activity WHERE pid = pg_backend_pid()"
        pid, start = connection.exec_driver_sql(query).one()
        self._session = (pid, start)

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


class FileLock:
    """Implements `ServingLock` by a lock on a file, which goes with the process that holds it.

    Args:
        path: of the file; it is made where there is none, and stays.
        what: what is locked, for the message.
        grace_s: how long to wait for one who is about to go, or only looks; default: a second.
    """

    def __init__(self, path: Path, what: str, grace_s: float | None = None) -> None:
        self._path = path
        self._what = what
        self._grace_s = _FILE_GRACE_S if grace_s is None else grace_s
        self._descriptor: int | None = None

    def take(self) -> None:
        """Take the lock."""
        try:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise InvalidSettings(f"cannot lock {self._path}: {error.strerror}") from error
        deadline, pause = time.monotonic() + self._grace_s, threading.Event()
        while not _locked(descriptor, fcntl.LOCK_EX):
            if time.monotonic() > deadline:
                os.close(descriptor)
                raise AlreadyServing(f"another `transplant-central serve` works on {self._what} already")
            pause.wait(_PAUSE_S)
        self._descriptor = descriptor

    def keep(self) -> None:
        """Do nothing: no one can take a held file lock away."""

    def release(self) -> None:
        """Close the file, and the lock with it."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def is_locked(path: Path) -> bool:
    """Tell whether somebody holds the `FileLock` of a file. Who looks at the same time sees the same."""
    try:
        descriptor = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        return False
    try:
        return not _locked(descriptor, fcntl.LOCK_SH)
    finally:
        os.close(descriptor)


def _locked(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def serving_lock(engine: Engine) -> ServingLock:
    """Return the lock of the registry behind an engine."""
    if engine.dialect.name == "postgresql":
        return SessionLock(engine)
    database = Path(str(engine.url.database))
    return FileLock(database.with_name(f"{database.name}.serve-lock"), str(database))
