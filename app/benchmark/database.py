"""The SQLite file of the benchmarks, or the same in memory: whose it is, its tables, and what to do where it fails.

Each use opens the file anew, so that one that was put right is used again without a restart. A file that cannot be
used is left as it is.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from threading import Lock

from app.errors import ResultsUnavailable

FILE = "benchmarks.sqlite"
APPLICATION = 0x706F6C79  # "poly", by which SQLite and `file` tell whose database it is
VERSION = 1
PATIENCE = 2.0  # seconds to wait for another process's lock

SCHEMA = (
    """CREATE TABLE benchmark (
        id TEXT PRIMARY KEY,
        created TEXT NOT NULL,
        state TEXT NOT NULL,
        status TEXT NOT NULL
    )""",
    "CREATE INDEX benchmark_created ON benchmark (created)",
    """CREATE TABLE subject (
        benchmark TEXT NOT NULL REFERENCES benchmark (id) ON DELETE CASCADE,
        model TEXT NOT NULL,
        PRIMARY KEY (benchmark, model)
    )""",
    """CREATE TABLE series (
        benchmark TEXT NOT NULL REFERENCES benchmark (id) ON DELETE CASCADE,
        place INTEGER NOT NULL,
        who TEXT NOT NULL,
        phase TEXT NOT NULL,
        concurrency INTEGER NOT NULL,
        turns INTEGER NOT NULL,
        seconds BLOB NOT NULL,
        PRIMARY KEY (benchmark, place)
    )""",
    """CREATE TABLE ratio (
        benchmark TEXT NOT NULL REFERENCES benchmark (id) ON DELETE CASCADE,
        place INTEGER NOT NULL,
        kind TEXT NOT NULL,
        base TEXT NOT NULL,
        other TEXT NOT NULL,
        mean REAL NOT NULL,
        low REAL NOT NULL,
        high REAL NOT NULL,
        conditions TEXT NOT NULL,
        onnxruntime TEXT NOT NULL,
        PRIMARY KEY (benchmark, place)
    )""",
)

DAMAGED = "is damaged or no database: move it away, or put a copy in its place"
CLOSED = "cannot be opened or written: make POLYPRUNE_DATA_DIR a folder that the service may write to"
REMEDIES = {
    sqlite3.SQLITE_BUSY: "is held by another process: give each service a data folder of its own, or try again",
    sqlite3.SQLITE_CANTOPEN: CLOSED,
    sqlite3.SQLITE_READONLY: CLOSED,
    sqlite3.SQLITE_PERM: CLOSED,
    sqlite3.SQLITE_FULL: "has no room left: free some on its disk",
    sqlite3.SQLITE_NOTADB: DAMAGED,
    sqlite3.SQLITE_CORRUPT: DAMAGED,
}


class Database:
    """Tables of `SCHEMA`, for one thread at a time.

    Args:
        folder: where the file is, or will be; None for in memory.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._lock = Lock()
        self._memory = _connect(":memory:") if folder is None else None

    def close(self) -> None:
        """Let go of what is kept in memory."""
        if self._memory is not None:
            self._memory.close()

    @contextmanager
    def open(self) -> Iterator[sqlite3.Connection]:
        """The tables, made where there are none.

        Raises:
            ResultsUnavailable: with what is wrong and what to do.
        """
        try:
            with self._lock, self._connected() as database:
                _prepare(database)
                yield database
        except sqlite3.Error as error:
            code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # the primary code of an extended one
            raise ResultsUnavailable(f"{FILE} {REMEDIES.get(code, f'cannot be used ({error})')}.") from error

    @contextmanager
    def _connected(self) -> Iterator[sqlite3.Connection]:
        if self._folder is None:
            assert self._memory is not None  # noqa: S101  (made with the store; narrows the type)
            yield self._memory
            return
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ResultsUnavailable(f"{FILE} {CLOSED} ({error.strerror}).") from error
        with closing(_connect(self._folder / FILE)) as database:
            yield database


def _connect(place: Path | str) -> sqlite3.Connection:
    # Transactions are begun by hand (isolation_level), and a lock sees to one thread at a time.
    return sqlite3.connect(place, timeout=PATIENCE, isolation_level=None, check_same_thread=False)


def _prepare(database: sqlite3.Connection) -> None:
    """Check whose file it is and of which version; give a new one its tables."""
    database.execute("PRAGMA foreign_keys = ON")
    if _stamp(database) == (0, 0) and not database.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
        _create(database)
    application, version = _stamp(database)
    if application != APPLICATION:
        raise ResultsUnavailable(f"{FILE} is another program's database: set POLYPRUNE_DATA_DIR to another folder.")
    if version != VERSION:
        raise ResultsUnavailable(
            f"{FILE} has tables of version {version}, and {VERSION} is expected: run the version of the service that "
            "made it, or move it away."
        )


def _create(database: sqlite3.Connection) -> None:
    with transaction(database):
        if _stamp(database) == (0, 0):  # else another process was quicker
            for statement in SCHEMA:
                database.execute(statement)
            database.execute(f"PRAGMA application_id = {APPLICATION}")
            database.execute(f"PRAGMA user_version = {VERSION}")


def _stamp(database: sqlite3.Connection) -> tuple[int, int]:
    """Whose file, and of which version; 0 and 0 for a new one."""
    (application,) = database.execute("PRAGMA application_id").fetchone()
    (version,) = database.execute("PRAGMA user_version").fetchone()
    return application, version


@contextmanager
def transaction(database: sqlite3.Connection) -> Iterator[None]:
    """What happens inside happens whole or not at all."""
    database.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        if database.in_transaction:  # SQLite itself gives up some, on a full disk for one
            database.execute("ROLLBACK")
        raise
    database.execute("COMMIT")
