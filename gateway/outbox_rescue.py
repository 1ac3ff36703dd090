"""What becomes of an outbox file that the card has damaged: it is set aside and never deleted, and a new one begins with every
reading that waited and can still be read. A box that would only say so, again and again, would collect nothing more.

Rescued is what waits for the server; what it has had, it has. The new file is a new epoch: the clinic sees that something has
happened. A file of another program or of a newer build is not ours to move.
"""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import structlog

from gateway.errors import OutboxVersionError
from gateway.file_lock import sync_directory
from gateway.outbox_file import open_file, transaction
from gateway.outbox_receipts import UNCONFIRMED
from gateway.spare_room import SpareRoom

_DAMAGE: Final = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_JOURNALS: Final = ("-wal", "-shm", "-journal")

_log = structlog.get_logger(__name__)


def open_whole(path: Path, now: datetime) -> sqlite3.Connection:
    """The outbox at `path`, or in the place of a damaged one a new one with what could be rescued. Raises like `open_file`."""
    try:
        db = open_file(path, now)
    except (sqlite3.DatabaseError, OutboxVersionError) as e:
        if not _is_damage(e, path):
            raise
        return _begun_anew(path, now, str(e))
    found = _looked_through(db)
    if found == "ok":
        return db
    db.close()
    return _begun_anew(path, now, found)


def _looked_through(db: sqlite3.Connection) -> str:
    """Every page is where it belongs, or what is wrong with the first that is not; some 20 MB a second."""
    try:
        return str(db.execute("pragma quick_check(1)").fetchone()[0])
    except sqlite3.DatabaseError as e:
        return str(e)


def _is_damage(e: Exception, path: Path) -> bool:
    """Whether the file is an outbox that was hurt. One whose very name of itself is lost is known by what lies beside it."""
    cause = e if isinstance(e, sqlite3.Error) else e.__cause__
    code = getattr(cause, "sqlite_errorcode", None)
    if code is None or code & 0xFF not in _DAMAGE:
        return False
    return code & 0xFF == sqlite3.SQLITE_CORRUPT or SpareRoom(path).was_here


def _begun_anew(path: Path, now: datetime, why: str) -> sqlite3.Connection:
    """Every step may be cut off: until the last, the damaged file is the outbox and is found again."""
    fresh = path.with_name(f"{path.name}.rescue")
    for name in ("", *_JOURNALS):
        fresh.with_name(fresh.name + name).unlink(missing_ok=True)
    with closing(open_file(fresh, now)) as db:
        rescued = _rescue(path, db)
    aside = _free_name(path)
    os.link(path, aside)
    for name in _JOURNALS:
        with suppress(FileNotFoundError):
            path.with_name(path.name + name).rename(aside.with_name(aside.name + name))
    fresh.replace(path)
    sync_directory(path.parent)
    advice = "the card may be failing: a new one; keep the damaged file for whoever can read more of it"
    _log.error("outbox_damaged", why=why, set_aside=str(aside), rescued=rescued, advice=advice)
    return open_file(path, now)


def _rescue(path: Path, into: sqlite3.Connection) -> int:
    """Take over what waits, and what is remembered; how many readings."""
    waits = f"select seq, reading_id, body, kept_at, held from reading where {UNCONFIRMED} and body is not null order by seq"
    with closing(sqlite3.connect(path)) as damaged, transaction(into):
        rows = {row[0]: row[1:] for order in ("", " desc") for row in _as_far_as(damaged, waits + order)}
        for seq in sorted(rows):
            into.execute(
                "insert or ignore into reading (reading_id, body, kept_at, held) values (?, ?, ?, ?)", rows[seq]
            )
        for row in _as_far_as(damaged, "select name, value from setting"):
            into.execute("insert or ignore into setting (name, value) values (?, ?)", row)
        what = "meter_id, highest_sequence, about, battery_percent, last_read_at"
        for row in _as_far_as(damaged, f"select {what} from meter"):
            into.execute(f"insert or ignore into meter ({what}) values (?, ?, ?, ?, ?)", row)
    return len(rows)


def _as_far_as(db: sqlite3.Connection, query: str) -> Iterator[tuple[Any, ...]]:
    """The rows until the first that cannot be read."""
    with suppress(sqlite3.DatabaseError):
        yield from db.execute(query)


def _free_name(path: Path) -> Path:
    number = 1
    while (found := path.with_name(f"{path.name}.damaged-{number}")).exists():
        number += 1
    return found
