"""Every reading is kept here before anything else happens to it, until the server's receipt says that it is committed.

SQLite in WAL mode with `synchronous=FULL`, one commit a reading, the directory synced after creation: measured over every
crash point, this loses nothing that `keep` has returned (docs/explanation/reliability). A PUBACK, a clock or a full disk
never deletes anything. Synchronous on purpose: callers on an event loop use a thread.
"""

import json
import sqlite3
import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Final, NamedTuple, Self, TypeVar
from uuid import UUID

import msgspec
import structlog

from gateway.errors import OutboxFullError
from gateway.file_lock import FileLock, make_directory
from gateway.outbox_bounds import MAX_UNCONFIRMED, forget_oldest_meters, givers, has_room_for_frame, refuse_if_full
from gateway.outbox_file import is_disk_full, looking, transaction
from gateway.outbox_memory import CLOCK_OF, about_of, all_remembered, clock_of, setting_of
from gateway.outbox_receipts import (
    UNCONFIRMED,
    UNSENDABLE,
    confirm_named,
    confirm_some,
    confirmed_spans,
    count_rows,
    highest_named,
    highest_seq,
    rewind_some,
)
from gateway.outbox_rescue import open_whole
from gateway.outbox_rows import Counts, HeldReading, MeterMemory, Unbelieved, instant_text
from gateway.spare_room import SpareRoom
from vitals.envelope import Receipt, decode_stored_reading, encode_reading
from vitals.errors import MalformedError, UnavailableError
from vitals.reading import Reading

KEPT_AFTER_RECEIPT: Final = timedelta(days=30)
"""How far back a restored server can be filled again from here."""

_log = structlog.get_logger(__name__)
_T = TypeVar("_T")


class Row(NamedTuple):
    """A reading waiting to be sent: its number and its bytes."""

    seq: int
    body: bytes


_SET: Final = "insert into setting (name, value) values (?, ?) on conflict (name) do update set value = excluded.value"


class Outbox:
    """One outbox file, held by one gateway process. Every method is a transaction and may be called from any thread."""

    def __init__(self, path: Path, *, now: datetime, max_unconfirmed: int = MAX_UNCONFIRMED) -> None:
        """Open or create. Raises `OutboxBusyError`, or `OutboxVersionError` for a file of a newer build (left untouched)."""
        self.path = path
        self._max_unconfirmed = max_unconfirmed
        self._mutex = threading.Lock()
        self._ignored_receipts = 0
        self._beyond = 0
        make_directory(path.parent)
        self._lock = FileLock(path)
        self._spare = SpareRoom(path)
        try:
            self._db = self._with_room(lambda: open_whole(path, now), may_drain=True)
        except BaseException:
            self._lock.release()
            raise
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
            if _is_known(db, reading.reading_id):
                return None
            refuse_if_full(db, reading.meter_id, self._max_unconfirmed)
            seq = highest_seq(db) + 1
            db.execute(
                "insert into reading (seq, reading_id, body, kept_at, held) values (?, ?, ?, ?, ?)",
                (seq, key, body, kept_at, held),
            )
            return seq

        return self._write(work, may_drain=False)

    def finish(self, reading: Reading, *, unbelieved: Unbelieved | None = None) -> bool:
        """Put `reading` in the place of the one with its id that was kept provisionally (`until_s`); False if there is none such.
        `unbelieved` as for `keep`: then it goes on waiting for a clock."""
        body = encode_reading(reading)
        still = None if unbelieved is None else msgspec.json.encode(unbelieved)

        def work(db: sqlite3.Connection) -> bool:
            query = "select held from reading where reading_id = ? and held is not null"
            row = db.execute(query, (reading.reading_id.bytes,)).fetchone()
            if row is None or msgspec.json.decode(row[0], type=Unbelieved).until_s is None:
                return False
            db.execute(
                "update reading set body = ?, held = ? where reading_id = ?", (body, still, reading.reading_id.bytes)
            )
            return True

        return self._write(work, may_drain=True)

    def knows(self, reading_id: UUID) -> bool:
        """Whether a reading with this id has ever been kept here."""
        return self._read(lambda db: _is_known(db, reading_id))

    def kept_at(self, reading_id: UUID) -> datetime | None:
        """When the reading with this id was received; None if there is none."""
        query = "select kept_at from reading where reading_id = ?"
        row = self._read(lambda db: db.execute(query, (reading_id.bytes,)).fetchone())
        return None if row is None else datetime.fromisoformat(row[0])

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
            if not has_room_for_frame(db, meter_id):
                _log.error("quarantine_full", meter_id=meter_id, reason=reason)
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
        query = f"select seq, body from reading where {UNCONFIRMED} and held is null order by seq limit ?"
        return self._read(lambda db: [Row(*row) for row in db.execute(query, (limit,))])

    def newest(self, limit: int) -> list[bytes]:
        """The bodies of the last `limit` readings whose time is known, as far as they are here, newest first."""
        query = "select body from reading where held is null and body is not null order by seq desc limit ?"
        return self._read(lambda db: [bytes(row[0]) for row in db.execute(query, (limit,))])

    def givers(self) -> frozenset[str]:
        """The meters that have given the last readings, as far as these are still here."""
        return self._read(givers)

    def apply(self, receipt: Receipt, *, now: datetime) -> int:
        """Confirm what the server has committed, and let wait again what it has lost; how many readings that changed.

        A receipt of another epoch, or one that names a seq which was never given, is ignored whole and counted: it cannot be
        about these readings.
        """
        highest = self._read(highest_seq)
        is_ours, named = receipt.epoch == self.epoch, highest_named(receipt)
        self._beyond = named if is_ours and named > highest else 0
        if not is_ours or self._beyond:
            self._ignored_receipts += 1
            _log.warning("receipt_ignored", epoch=receipt.epoch, upto=receipt.upto, highest_seq=highest)
            return 0
        at = instant_text(now)
        changed = self._write(lambda db: confirm_named(db, receipt, at), may_drain=True)
        changed += sum(self._every(confirm_some, span, at) for span in confirmed_spans(receipt))
        rewound = sum(self._every(rewind_some, span, at) for span in receipt.missing)
        if rewound:
            _log.warning("rewound", epoch=self.epoch, readings=rewound, spans=len(receipt.missing))
        return changed + rewound

    def _every(self, some: Callable[[sqlite3.Connection, int, int, str], int], span: tuple[int, int], at: str) -> int:
        total = 0
        while done := self._write(lambda db: some(db, *span, at), may_drain=True):
            total += done
        return total

    def reject(self, seq: int, reason: str) -> None:
        """Do not send this reading: it stays here as unsendable, and the server sees the hole in the numbers."""
        query = f"update reading set rejected_reason = ? where seq = ? and {UNCONFIRMED} and held is null"
        self._write(lambda db: db.execute(query, (reason, seq)), may_drain=True)

    def readmit(self) -> int:
        """Let everything unsendable wait again, for a broker or a build that takes more; how many."""
        query = f"update reading set rejected_reason = null where {UNSENDABLE}"
        return self._write(lambda db: db.execute(query).rowcount, may_drain=True)

    def held(self, limit: int) -> list[HeldReading]:
        """The first `limit` readings that wait for a clock."""
        query = "select seq, body, held from reading where held is not null and rejected_reason is null order by seq limit ?"
        found = []
        for seq, body, held in self._read(lambda db: db.execute(query, (limit,)).fetchall()):
            try:
                reading, unbelieved = decode_stored_reading(body), msgspec.json.decode(held, type=Unbelieved)
            except (MalformedError, ValueError):
                self._set_damaged_aside(seq)
            else:
                found.append(HeldReading(seq=seq, reading=reading, unbelieved=unbelieved))
        return found

    def _set_damaged_aside(self, seq: int) -> None:
        """A card has changed it: its time will never be known. It stays, and is not sent."""
        _log.error("reading_damaged", seq=seq, advice="the card may be failing: a new one")
        query = "update reading set rejected_reason = 'damaged' where seq = ?"
        self._write(lambda db: db.execute(query, (seq,)), may_drain=True)

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

        def work(db: sqlite3.Connection) -> MeterMemory:
            row, clock = db.execute(query, (meter_id,)).fetchone(), clock_of(db, meter_id)
            if row is None:
                return MeterMemory(meter_id=meter_id, clock=clock)
            return MeterMemory(
                meter_id=meter_id,
                highest_sequence=row[0],
                about=about_of(row[1]),
                battery_percent=row[2],
                clock=clock,
            )

        return self._read(work)

    def remembered(self) -> list[tuple[MeterMemory, datetime]]:
        """Every meter that was ever read, and when it last was, newest first."""
        return self._read(all_remembered)

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

        def work(db: sqlite3.Connection) -> None:
            db.execute(query, row)
            db.execute(_SET, (CLOCK_OF + memory.meter_id, msgspec.json.encode(memory.clock).decode()))
            forget_oldest_meters(db, CLOCK_OF)

        self._write(work, may_drain=False)

    def setting(self, name: str) -> str | None:
        return self._read(lambda db: setting_of(db, name))

    def set_setting(self, name: str, value: str) -> None:
        self._write(lambda db: db.execute(_SET, (name, value)), may_drain=False)

    def purge(self, *, now: datetime) -> int:
        """Drop the bodies of readings confirmed more than 30 days ago, and set spare room aside again; how many."""
        before = instant_text(now - KEPT_AFTER_RECEIPT)
        query = (  # a box that did not know the time yet may have noted the receipt in 1970
            "update reading set body = null"
            " where answered_at < ? and kept_at < ? and body is not null and rejected_reason is null"
        )
        purged = self._write(lambda db: db.execute(query, (before, before)).rowcount, may_drain=True)
        self._spare.set_aside()
        return purged

    def counts(self) -> Counts:
        """How many, for people and for the status message."""
        return self._read(
            lambda db: count_rows(
                db,
                ignored_receipts=self._ignored_receipts,
                beyond=self._beyond,
                disk_is_full=self._spare.is_used,
            )
        )

    def _read(self, work: Callable[[sqlite3.Connection], _T]) -> _T:
        with self._mutex:
            return work(self._db)

    def _write(self, work: Callable[[sqlite3.Connection], _T], *, may_drain: bool) -> _T:
        """`work` in one durable transaction."""

        def whole() -> _T:
            with transaction(self._db):
                return work(self._db)

        with self._mutex:
            return self._with_room(whole, may_drain=may_drain)

    def _with_room(self, work: Callable[[], _T], *, may_drain: bool) -> _T:
        """On a full disk spare room is given up for `work`; its last part only for work that drains."""
        while True:
            try:
                return work()
            except (sqlite3.OperationalError, UnavailableError) as e:
                if not is_disk_full(e):
                    raise
                if not self._spare.give_up(to_drain=may_drain):
                    raise OutboxFullError(
                        f"the disk of {self.path} is full: free some space; what is kept is safe"
                    ) from e
                _log.error("disk_full", path=str(self.path), advice="free some space; spare room is in use now")


def _is_known(db: sqlite3.Connection, reading_id: UUID) -> bool:
    return db.execute("select 1 from reading where reading_id = ?", (reading_id.bytes,)).fetchone() is not None


def read_counts(path: Path) -> Counts:
    """The counts of an outbox that another process may have open; changes nothing."""
    with looking(path) as db:
        return count_rows(db, ignored_receipts=0, beyond=0, disk_is_full=SpareRoom(path).is_used)


def read_remembered(path: Path) -> list[tuple[MeterMemory, datetime]]:
    """What is remembered of meters in an outbox that another process may have open; changes nothing."""
    with looking(path) as db:
        return all_remembered(db)


def read_setting(path: Path, name: str) -> str | None:
    """A setting in an outbox that another process may have open; changes nothing."""
    with looking(path) as db:
        return setting_of(db, name)
