"""Every reading is kept here before anything else happens to it, until the server's receipt says that it is committed.

SQLite in WAL mode with `synchronous=FULL`, one commit a reading, the directory synced after creation: measured over every
crash point, this loses nothing that `keep` has returned (docs/explanation/reliability). A PUBACK, a clock or a full disk
never deletes anything. Synchronous on purpose: callers on an event loop use a thread.
"""

import json
import secrets
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Final, NamedTuple, Self, TypeVar

import msgspec
import structlog

from gateway.errors import OutboxFullError, OutboxVersionError
from gateway.file_lock import FileLock, sync_directory
from gateway.outbox_rows import Counts, HeldReading, MeterMemory, Unbelieved, instant_text
from gateway.spare_room import SpareRoom
from vitals.envelope import Receipt, decode_stored_reading, encode_reading
from vitals.errors import UnavailableError
from vitals.reading import Reading

SCHEMA_VERSION: Final = 1
APPLICATION_ID: Final = 0x484D5647
"""`HMVG`: tells an outbox from somebody else's SQLite file."""
MAX_UNCONFIRMED: Final = 50_000
"""90 days offline of a household of many meters; at this bound the outbox refuses and never overwrites."""
KEPT_AFTER_RECEIPT: Final = timedelta(days=30)
"""How far back a restored server can be filled again from here."""
CONFIRMED_AT_A_TIME: Final = 500
MAX_QUARANTINED: Final = 10_000
"""Different undecodable frames; beyond it only their number grows (docs/reference/limits)."""

_log = structlog.get_logger(__name__)
_T = TypeVar("_T")
_UNCONFIRMED: Final = "confirmed_at is null and rejected_reason is null"


class Row(NamedTuple):
    """A reading waiting to be sent: its number and its bytes."""

    seq: int
    body: bytes


class Outbox:
    """One outbox file, held by one gateway process. Every method is a transaction and may be called from any thread."""

    def __init__(self, path: Path, *, now: datetime, max_unconfirmed: int = MAX_UNCONFIRMED) -> None:
        """Open or create. Raises `OutboxBusyError`, or `OutboxVersionError` for a file of a newer build (left untouched)."""
        self.path = path
        self._max_unconfirmed = max_unconfirmed
        self._mutex = threading.Lock()
        self._ignored_receipts = 0
        path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = FileLock(path)
        try:
            self._db = _open(path, now)
        except BaseException:
            self._lock.release()
            raise
        self._spare = SpareRoom(path)
        self._spare.set_aside()
        self.epoch: str = self._db.execute("select epoch from life").fetchone()[0]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        with self._mutex:
            self._db.close()
            self._lock.release()

    def keep(self, reading: Reading, *, unbelieved: Unbelieved | None = None) -> int | None:
        """Make `reading` durable; its seq, or None if the same `reading_id` has been kept before.

        `unbelieved` marks a reading taken while our own clock could not be believed: it waits for `settle`. When this
        returns, the reading survives power loss. Raises `OutboxFullError`, and then nothing has changed.
        """
        body = encode_reading(reading)
        held = None if unbelieved is None else msgspec.json.encode(unbelieved)
        kept_at = instant_text(reading.received_at)

        def work(db: sqlite3.Connection) -> int | None:
            key = reading.reading_id.bytes
            if db.execute("select 1 from reading where reading_id = ?", (key,)).fetchone():
                return None
            if self._unconfirmed_count(db) >= self._max_unconfirmed:
                raise OutboxFullError(
                    f"{self._max_unconfirmed} readings wait for the server: check the network and the broker; nothing is lost yet"
                )
            seq = _highest_seq(db) + 1
            db.execute(
                "insert into reading (seq, reading_id, body, kept_at, held) values (?, ?, ?, ?, ?)",
                (seq, key, body, kept_at, held),
            )
            return seq

        return self._write(work, may_drain=False)

    def set_aside(
        self, *, reason: str, detail: str, meter_id: str, characteristic: str, raw: bytes, now: datetime
    ) -> bool:
        """Keep a frame that is no reading; False if the same one has been seen before or the bound is reached."""

        def work(db: sqlite3.Connection) -> bool:
            at = instant_text(now)
            key = (meter_id, characteristic, reason, raw)
            seen = db.execute(
                "update quarantine set times = times + 1, last_at = ?"
                " where meter_id = ? and characteristic = ? and reason = ? and raw = ?",
                (at, *key),
            ).rowcount
            if seen:
                return False
            if _number(db, "select count(*) from quarantine") >= MAX_QUARANTINED:
                _log.error("quarantine_full", meter_id=meter_id, reason=reason, bound=MAX_QUARANTINED)
                return False
            db.execute(
                "insert into quarantine (meter_id, characteristic, reason, raw, detail, first_at, last_at)"
                " values (?, ?, ?, ?, ?, ?, ?)",
                (*key, detail[:200], at, at),
            )
            return True

        return self._write(work, may_drain=False)

    def unconfirmed(self, limit: int) -> list[Row]:
        """The first `limit` readings that may be sent and that no receipt has named, by seq."""
        query = f"select seq, body from reading where {_UNCONFIRMED} and held is null order by seq limit ?"
        return self._read(lambda db: [Row(*row) for row in db.execute(query, (limit,))])

    def apply(self, receipt: Receipt, *, now: datetime) -> int:
        """Confirm what the server has committed; how many readings it changed.

        A receipt of another epoch, or one that names a seq which was never given, is ignored whole and counted: it cannot be
        about these readings. Nothing is ever deleted here.
        """

        named = (receipt.upto, *receipt.extra, *(rejection.seq for rejection in receipt.rejected))
        highest = self._read(_highest_seq)
        if receipt.epoch != self.epoch or max(named) > highest:
            self._ignored_receipts += 1
            _log.warning("receipt_ignored", epoch=receipt.epoch, upto=receipt.upto, highest_seq=highest)
            return 0
        changed = self._write(lambda db: _apply_named(db, receipt, instant_text(now)), may_drain=True)
        while done := self._write(lambda db: _confirm_some(db, receipt.upto, instant_text(now)), may_drain=True):
            changed += done
        return changed

    def reject(self, seq: int, reason: str) -> None:
        """Never send this reading: it stays here with `reason`, and the server sees the hole in the numbers."""
        self._write(lambda db: _reject(db, seq, reason), may_drain=True)

    def newest_instant(self) -> datetime | None:
        """The newest instant at which a reading was kept by a clock that was believed."""
        return self._read(_newest_instant)

    def held(self, limit: int) -> list[HeldReading]:
        """The first `limit` readings that wait for a clock."""
        query = "select seq, body, held from reading where held is not null order by seq limit ?"
        rows = self._read(lambda db: db.execute(query, (limit,)).fetchall())
        return [
            HeldReading(
                seq=seq, reading=decode_stored_reading(body), unbelieved=msgspec.json.decode(held, type=Unbelieved)
            )
            for seq, body, held in rows
        ]

    def settle(self, seq: int, reading: Reading) -> None:
        """Replace the held reading `seq` by the same one with its time corrected; from now on it may be sent."""

        def work(db: sqlite3.Connection) -> None:
            changed = db.execute(
                "update reading set body = ?, kept_at = ?, held = null where seq = ? and reading_id = ? and held is not null",
                (encode_reading(reading), instant_text(reading.received_at), seq, reading.reading_id.bytes),
            ).rowcount
            assert changed == 1, seq

        self._write(work, may_drain=True)

    def recall(self, meter_id: str) -> MeterMemory:
        """What is remembered of a meter; empty for one never read."""
        query = "select highest_sequence, about, battery_percent from meter where meter_id = ?"
        row = self._read(lambda db: db.execute(query, (meter_id,)).fetchone())
        if row is None:
            return MeterMemory(meter_id=meter_id)
        return MeterMemory(meter_id=meter_id, highest_sequence=row[0], about=json.loads(row[1]), battery_percent=row[2])

    def remember(self, memory: MeterMemory, *, now: datetime) -> None:
        """Keep `memory` in the place of what was known of its meter."""
        row = (
            memory.meter_id,
            memory.highest_sequence,
            json.dumps(memory.about),
            memory.battery_percent,
            instant_text(now),
        )
        query = (
            "insert into meter (meter_id, highest_sequence, about, battery_percent, last_read_at) values (?, ?, ?, ?, ?)"
            " on conflict (meter_id) do update set highest_sequence = excluded.highest_sequence, about = excluded.about,"
            " battery_percent = excluded.battery_percent, last_read_at = excluded.last_read_at"
        )
        self._write(lambda db: db.execute(query, row), may_drain=False)

    def setting(self, name: str) -> str | None:
        row = self._read(lambda db: db.execute("select value from setting where name = ?", (name,)).fetchone())
        return None if row is None else str(row[0])

    def set_setting(self, name: str, value: str) -> None:
        query = (
            "insert into setting (name, value) values (?, ?) on conflict (name) do update set value = excluded.value"
        )
        self._write(lambda db: db.execute(query, (name, value)), may_drain=False)

    def purge(self, *, now: datetime) -> int:
        """Drop the bodies of readings confirmed more than 30 days ago, and set spare room aside again; how many."""
        before = instant_text(now - KEPT_AFTER_RECEIPT)
        query = "update reading set body = null where confirmed_at < ? and body is not null"
        purged = self._write(lambda db: db.execute(query, (before,)).rowcount, may_drain=True)
        self._spare.set_aside()
        return purged

    def counts(self) -> Counts:
        """How many, for people and for the status message."""
        return self._read(lambda db: _counts(db, self._ignored_receipts, disk_is_full=self._spare.is_used))

    def _unconfirmed_count(self, db: sqlite3.Connection) -> int:
        return _number(db, f"select count(*) from reading where {_UNCONFIRMED}")

    def _read(self, work: Callable[[sqlite3.Connection], _T]) -> _T:
        with self._mutex:
            return work(self._db)

    def _write(self, work: Callable[[sqlite3.Connection], _T], *, may_drain: bool) -> _T:
        """`work` in one durable transaction. On a full disk spare room is given up; its last part only for work that drains."""
        with self._mutex:
            while True:
                try:
                    with _transaction(self._db):
                        return work(self._db)
                except sqlite3.OperationalError as e:
                    if e.sqlite_errorcode != sqlite3.SQLITE_FULL:
                        raise
                    if not self._spare.give_up(to_drain=may_drain):
                        raise OutboxFullError(
                            f"the disk of {self.path} is full: free some space; what is kept is safe"
                        ) from e
                    _log.error("disk_full", path=str(self.path), advice="free some space; spare room is in use now")


def read_counts(path: Path) -> Counts:
    """The counts of an outbox that another process may have open; changes nothing."""
    with _looking(path) as db:
        return _counts(db, ignored_receipts=0, disk_is_full=SpareRoom(path).is_used)


def read_newest_instant(path: Path) -> datetime | None:
    """`Outbox.newest_instant` of an outbox that another process may have open; changes nothing."""
    with _looking(path) as db:
        return _newest_instant(db)


@contextmanager
def _looking(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection that can change nothing. Raises `OutboxVersionError`, or `UnavailableError` for a file that cannot be read."""
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as db:
            _check_version(db, path)
            yield db
    except sqlite3.DatabaseError as e:
        if e.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT):
            raise OutboxVersionError(f"{path} is not an outbox, or a damaged one ({e}); it has not been touched") from e
        raise UnavailableError(f"{path} cannot be read as an outbox now: {e}") from e


def _open(path: Path, now: datetime) -> sqlite3.Connection:
    if path.exists() and path.stat().st_size > 0:
        with _looking(path):  # opening for writing already changes a file: one that is not ours is recognised first
            pass
    db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    try:
        db.execute("pragma journal_mode = wal")
        db.execute("pragma synchronous = full")
        db.execute("pragma wal_autocheckpoint = 100")  # pages: a short journal leaves the spare room to readings
        if _number(db, "pragma user_version") == 0:
            _create(db, now)
        sync_directory(path.parent)
    except BaseException:
        db.close()
        raise
    return db


def _check_version(db: sqlite3.Connection, path: Path) -> None:
    version, application = _number(db, "pragma user_version"), _number(db, "pragma application_id")
    tables = _number(db, "select count(*) from sqlite_schema")
    if application != APPLICATION_ID and (application or version or tables):
        raise OutboxVersionError(f"{path} is not an outbox; it has not been touched")
    if version > SCHEMA_VERSION:
        raise OutboxVersionError(
            f"{path} is an outbox of version {version}, this build reads up to {SCHEMA_VERSION}: install the newer build again"
        )


def _create(db: sqlite3.Connection, now: datetime) -> None:
    """The schema in one transaction, `user_version` last: a creation cut short starts anew."""
    schema = Path(__file__).with_name("outbox_schema.sql").read_text(encoding="utf-8")
    with _transaction(db):
        for statement in _statements(schema):
            db.execute(statement)
        db.execute("insert into life (epoch, created_at) values (?, ?)", (secrets.token_hex(8), instant_text(now)))
        db.execute(f"pragma application_id = {APPLICATION_ID}")
        db.execute(f"pragma user_version = {SCHEMA_VERSION}")


def _statements(script: str) -> Iterator[str]:
    """The statements of `script`; `executescript` would commit behind our back."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""


@contextmanager
def _transaction(db: sqlite3.Connection) -> Iterator[None]:
    db.execute("begin immediate")
    try:
        yield
        db.execute("commit")
    except BaseException:
        if db.in_transaction:
            db.execute("rollback")
        raise


def _number(db: sqlite3.Connection, query: str) -> int:
    value = db.execute(query).fetchone()[0]
    return 0 if value is None else int(value)


def _highest_seq(db: sqlite3.Connection) -> int:
    return _number(db, "select max(seq) from reading")


def _newest_instant(db: sqlite3.Connection) -> datetime | None:
    found = db.execute("select kept_at from reading where held is null order by seq desc limit 1").fetchone()
    return None if found is None else datetime.fromisoformat(found[0])


def _apply_named(db: sqlite3.Connection, receipt: Receipt, at: str) -> int:
    changed = sum(_reject(db, rejection.seq, rejection.reason) for rejection in receipt.rejected)
    query = f"update reading set confirmed_at = ? where seq = ? and {_UNCONFIRMED} and held is null"
    return changed + sum(db.execute(query, (at, seq)).rowcount for seq in receipt.extra)


def _confirm_some(db: sqlite3.Connection, upto: int, at: str) -> int:
    """Confirm the next rows up to the watermark: few at a time, so that the journal of a long backlog fits the spare room."""
    some = f"select seq from reading where {_UNCONFIRMED} and held is null and seq <= ? order by seq limit ?"
    return db.execute(
        f"update reading set confirmed_at = ? where seq in ({some})", (at, upto, CONFIRMED_AT_A_TIME)
    ).rowcount


def _reject(db: sqlite3.Connection, seq: int, reason: str) -> int:
    query = f"update reading set rejected_reason = ? where seq = ? and {_UNCONFIRMED} and held is null"
    return db.execute(query, (reason, seq)).rowcount


def _counts(db: sqlite3.Connection, ignored_receipts: int, *, disk_is_full: bool) -> Counts:
    kept = _highest_seq(db)
    unconfirmed = _number(db, f"select count(*) from reading where {_UNCONFIRMED}")
    rejected = _number(db, "select count(*) from reading where rejected_reason is not null")
    return Counts(
        kept=kept,
        unconfirmed=unconfirmed,
        held=_number(db, "select count(*) from reading where held is not null"),
        confirmed=kept - unconfirmed - rejected,
        rejected=rejected,
        quarantined=_number(db, "select count(*) from quarantine"),
        ignored_receipts=ignored_receipts,
        disk_is_full=disk_is_full,
    )
