"""The outbox as an SQLite file: how it is opened, made, brought up to date and written, so that nothing written is lost.

Only the outbox's own modules use this; what the rows mean is theirs.
"""

import secrets
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Final

from gateway.errors import OutboxVersionError
from gateway.file_lock import sync_directory
from gateway.outbox_rows import instant_text
from vitals.errors import UnavailableError

SCHEMA_VERSION: Final = 2
APPLICATION_ID: Final = 0x484D5647
"""`HMVG`: tells an outbox from somebody else's SQLite file."""


def open_file(path: Path, now: datetime) -> sqlite3.Connection:
    """Open, create, or bring up to date. Raises `OutboxVersionError` for a file that is not for this build (left untouched)."""
    if path.exists() and path.stat().st_size > 0:
        _recognise(path)
    db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    try:
        _check_version(db, path)  # again: what a creation cut short had written is undone by now
        db.execute("pragma journal_mode = wal")
        db.execute("pragma synchronous = full")
        db.execute("pragma wal_autocheckpoint = 100")  # pages: a short journal leaves the spare room to readings
        db.execute("pragma cache_size = -512")  # KiB: a quarter of SQLite's own; what is read again and again is less
        match number(db, "pragma user_version"):
            case 0:
                _create(db, now)
            case 1:
                _upgrade(db)
        sync_directory(path.parent)
    except BaseException:
        db.close()
        raise
    return db


@contextmanager
def looking(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection that sees one instant of the file and can change nothing; another process may have it open.

    Raises `OutboxVersionError`, or `UnavailableError` for a file that cannot be read.
    """
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, isolation_level=None)) as db:
            db.execute("begin")
            _check_version(db, path)
            yield db
    except sqlite3.DatabaseError as e:
        if e.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT):
            raise OutboxVersionError(f"{path} is not an outbox, or a damaged one ({e}); it has not been touched") from e
        raise UnavailableError(f"{path} cannot be read as an outbox now: {e}") from e


def is_disk_full(e: Exception) -> bool:
    """Whether a full disk is the cause: SQLite has a word of its own for the index of its journal, which is a file, too."""
    cause = e.__cause__ if isinstance(e, UnavailableError) else e
    full = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_SHMSIZE)
    return isinstance(cause, sqlite3.OperationalError) and cause.sqlite_errorcode in full


@contextmanager
def transaction(db: sqlite3.Connection) -> Iterator[None]:
    """All of it, durable when the block has ended; or nothing."""
    db.execute("begin immediate")
    try:
        yield
        db.execute("commit")
    except BaseException:
        if db.in_transaction:
            db.execute("rollback")
        raise


def number(db: sqlite3.Connection, query: str) -> int:
    """The one number that `query` gives; 0 for null."""
    value = db.execute(query).fetchone()[0]
    return 0 if value is None else int(value)


def _recognise(path: Path) -> None:
    """Opening for writing already changes a file: one that is not ours is recognised first."""
    try:
        with looking(path):
            pass
    except UnavailableError as e:
        cause = e.__cause__
        if not isinstance(cause, sqlite3.Error) or cause.sqlite_errorcode != sqlite3.SQLITE_READONLY_ROLLBACK:
            raise
        # The power went while the file was made: only who may write can undo that.


def _check_version(db: sqlite3.Connection, path: Path) -> None:
    version, application = number(db, "pragma user_version"), number(db, "pragma application_id")
    tables = number(db, "select count(*) from sqlite_schema")
    if application != APPLICATION_ID and (application or version or tables):
        raise OutboxVersionError(f"{path} is not an outbox; it has not been touched")
    if version > SCHEMA_VERSION:
        raise OutboxVersionError(
            f"{path} is an outbox of version {version}, this build reads up to {SCHEMA_VERSION}: install the newer build again"
        )


def _create(db: sqlite3.Connection, now: datetime) -> None:
    """The schema in one transaction, `user_version` last: a creation cut short starts anew."""
    with transaction(db):
        _run(db, "outbox_schema.sql")
        db.execute("insert into life (epoch, created_at) values (?, ?)", (secrets.token_hex(8), instant_text(now)))
        db.execute(f"pragma application_id = {APPLICATION_ID}")
        db.execute(f"pragma user_version = {SCHEMA_VERSION}")


def _upgrade(db: sqlite3.Connection) -> None:
    """From version 1, in one transaction: an upgrade cut short has not begun."""
    with transaction(db):
        _run(db, "outbox_upgrade_2.sql")
        db.execute(f"pragma user_version = {SCHEMA_VERSION}")


def _run(db: sqlite3.Connection, script: str) -> None:
    for statement in _statements(Path(__file__).with_name(script).read_text(encoding="utf-8")):
        db.execute(statement)


def _statements(script: str) -> Iterator[str]:
    """The statements of `script`; `executescript` would commit behind our back."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
