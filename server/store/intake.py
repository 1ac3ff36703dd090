"""What the door writes: readings once each, which numbers have come, the accounts, and what is now due to be judged.

Every function runs inside the caller's transaction. Nothing here decides whose a reading is or what a gateway is told.
"""

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from itertools import groupby
from typing import Any, Final
from uuid import UUID

import msgspec
import psycopg
import structlog
from psycopg.rows import class_row

from server.store.postgres import Connection, load_sql
from server.store.vault import safes_of, seal_frames
from vitals.quality import Quality
from vitals.reading import Glucose, Measurement, Reading, kind_of

log = structlog.get_logger()

SQL = load_sql("intake")

SPANS_SHOWN: Final = 5
"""Spans of missing numbers that an alarm names; it also says how many numbers there are in all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Binding:
    """This slot of this meter, seen by this gateway, was this patient's from `valid_from` to before `valid_to`."""

    meter_id: str
    user_slot: int | None
    gateway_id: str
    patient_id: int
    valid_from: datetime
    valid_to: datetime | None
    enrolled_on: date
    is_watched: bool = True
    """Whether the patient has agreed to it, and is not to be erased."""

    def holds_at(self, instant: datetime) -> bool:
        return self.valid_from <= instant and (self.valid_to is None or instant < self.valid_to)


@dataclass(frozen=True, slots=True, kw_only=True)
class Attributed:
    """A reading that is somebody's, with its absolute marks and the bytes in which the gateway sent it."""

    patient_id: int
    reading: Reading
    sent: bytes
    quality: Quality
    quality_reasons: tuple[str, ...]

    @property
    def key(self) -> tuple[int, str, datetime, UUID]:
        return self.patient_id, kind_of(self.reading.measurement), self.reading.measured_at, self.reading.reading_id

    @property
    def content_hash(self) -> bytes:
        """Of what was measured, as sent and as decoded. Not of corrected time or context, which may come later."""
        measurement: Measurement = self.reading.measurement
        if isinstance(measurement, Glucose):
            measurement = msgspec.structs.replace(measurement, meal=None)
        return hashlib.sha256(msgspec.json.encode(measurement) + b"|" + self.reading.raw).digest()


class Fate(StrEnum):
    """What became of a row that was to be stored."""

    STORED = "stored"
    REPEATED = "repeated"
    COLLISION = "id_collision"
    POISON = "poison"


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxLife:
    """One outbox file of a gateway, as far as it has come here. More than one: the file was lost and another one was made."""

    gateway_id: str
    epoch: str
    first_at: datetime
    last_at: datetime
    hole_since: datetime | None
    highest: int
    missing: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """What a gateway's counters say against the rows that are there."""

    gateway_id: str
    received: int
    stored: int
    repeated: int
    quarantined: int
    rows_stored: int
    rows_quarantined: int

    @property
    def is_balanced(self) -> bool:
        """received = stored + repeated + quarantined, and what was counted is there."""
        return (
            self.received == self.stored + self.repeated + self.quarantined
            and self.stored == self.rows_stored
            and self.quarantined == self.rows_quarantined
        )


def gateway_states(conn: Connection, gateway_ids: Collection[str]) -> dict[str, str]:
    """`active`, `suspended` or `revoked` for each that is enrolled."""
    return dict(conn.execute(SQL["gateways"], {"gateway_ids": list(gateway_ids)}).fetchall())


def transaction_time(conn: Connection) -> datetime:
    """The database's clock at the start of this transaction."""
    row = conn.execute(SQL["now"]).fetchone()
    assert row is not None
    instant: datetime = row[0]
    return instant


def bindings_of(conn: Connection, meter_ids: Collection[str]) -> dict[str, tuple[Binding, ...]]:
    """All bindings, past and present, by meter."""
    if not meter_ids:
        return {}
    with conn.cursor(row_factory=class_row(Binding)) as cursor:
        found = cursor.execute(SQL["bindings"], {"meter_ids": list(meter_ids)}).fetchall()
    found.sort(key=lambda binding: binding.meter_id)
    return {meter_id: tuple(each) for meter_id, each in groupby(found, key=lambda binding: binding.meter_id)}


def make_room(conn: Connection, months: Iterable[datetime]) -> None:
    """See that storage exists for the months of these instants; before anything else is written."""
    wanted = sorted(months)
    if wanted:
        conn.execute(SQL["make_room"], {"months": wanted})


def store_readings(conn: Connection, rows: Sequence[Attributed]) -> list[Fate]:
    """Store each reading once and say what became of each row, in the order given.

    A row that PostgreSQL cannot take (`poison`) costs no other row: the batch is then tried row by row.
    """
    firsts: dict[UUID, Attributed] = {}
    for row in rows:
        firsts.setdefault(row.reading.reading_id, row)
    fates = _store_or_single_out(conn, sorted(firsts.values(), key=lambda row: row.key))
    return [_fate(row, firsts[row.reading.reading_id], fates) for row in rows]


def _fate(row: Attributed, first: Attributed, fates: Mapping[UUID, Fate]) -> Fate:
    fate = fates[row.reading.reading_id]
    if row is first or fate is Fate.POISON:
        return fate
    return Fate.REPEATED if row.content_hash == first.content_hash and fate is not Fate.COLLISION else Fate.COLLISION


_POISON: Final = (psycopg.DataError, psycopg.IntegrityError, UnicodeEncodeError)


def _store_or_single_out(conn: Connection, rows: Sequence[Attributed]) -> dict[UUID, Fate]:
    if not rows:
        return {}
    try:
        with conn.transaction():
            return _store(conn, rows)
    except _POISON:
        if len(rows) == 1:
            return {rows[0].reading.reading_id: Fate.POISON}
    fates: dict[UUID, Fate] = {}
    for row in rows:
        fates |= _store_or_single_out(conn, [row])
    return fates


def _store(conn: Connection, rows: Sequence[Attributed]) -> dict[UUID, Fate]:
    hashes = {row.reading.reading_id: row.content_hash for row in rows}
    claim = {
        "reading_id": list(hashes),
        "content_hash": list(hashes.values()),
        "gateway_id": [row.reading.gateway_id for row in rows],
    }
    new = {found[0] for found in conn.execute(SQL["claim"], claim)}
    stored = _insert(conn, [row for row in rows if row.reading.reading_id in new])
    old = [reading_id for reading_id in hashes if reading_id not in new]
    known: dict[UUID, bytes] = dict(conn.execute(SQL["known_content"], {"reading_id": old}).fetchall()) if old else {}
    fates = {reading_id: Fate.STORED if reading_id in stored else Fate.REPEATED for reading_id in new}
    for reading_id in old:
        fates[reading_id] = Fate.REPEATED if known[reading_id] == hashes[reading_id] else Fate.COLLISION
    return fates


def _insert(conn: Connection, rows: Sequence[Attributed]) -> set[UUID]:
    if not rows:
        return set()
    columns = [_columns(row) for row in rows]
    stored = conn.execute(SQL["insert_readings"], {name: [each[name] for each in columns] for name in columns[0]})
    found = {each[0] for each in stored}
    conn.execute(SQL["insert_raw"], _sealed_frames(conn, rows))
    return found


def _sealed_frames(conn: Connection, rows: Sequence[Attributed]) -> Mapping[str, Any]:
    """The frames as they came, and what the gateway made of them, for the eyes of whoever has the patient's key."""
    keys = safes_of(conn, {row.patient_id for row in rows})
    sealed = [
        seal_frames(keys[row.patient_id], row.reading.reading_id, row.reading.raw, row.reading.context_raw, row.sent)
        for row in rows
    ]
    raw, context_raw, sent = zip(*sealed, strict=True)
    return {
        "reading_id": [row.reading.reading_id for row in rows],
        "patient_id": [row.patient_id for row in rows],
        "raw": list(raw),
        "context_raw": list(context_raw),
        "sent": list(sent),
    }


MEASURED: Final[Mapping[str, str]] = {
    "systolic_mmhg": "systolic_mmhg",
    "diastolic_mmhg": "diastolic_mmhg",
    "mean_mmhg": "mean_mmhg",
    "pulse_bpm": "pulse_bpm",
    "glucose_mmol_l": "glucose_mmol_l",
    "glucose_mg_dl": "glucose_mg_dl",
    "glucose_censored": "censored",
    "meal": "meal",
    "weight_kg": "weight_kg",
    "spo2_percent": "spo2_percent",
    "temperature_celsius": "temperature_celsius",
    "unit_sent": "unit_sent",
    "meter_status": "status",
}
"""What is kept of a measurement in a column of its own, and the field that holds it; null where the kind has no such field."""


def _columns(row: Attributed) -> dict[str, Any]:
    reading, measured = row.reading, row.reading.measurement
    return {
        "patient_id": row.patient_id,
        "kind": kind_of(measured),
        "measured_at": reading.measured_at,
        "reading_id": reading.reading_id,
        "gateway_id": reading.gateway_id,
        "meter_id": reading.meter_id,
        "user_slot": reading.user_slot,
        **{column: getattr(measured, field, None) for column, field in MEASURED.items()},
        "quality": row.quality.value,
        "quality_reasons": ",".join(row.quality_reasons),
        "time_quality": reading.time_quality.value,
        "meter_time": reading.meter_time,
        "clock_offset_s": reading.clock_offset_s,
        "zone": reading.zone,
        "received_at": reading.received_at,
        "decoder": reading.decoder,
    }


def mark_due(conn: Connection, since: Mapping[int, datetime], *, quiet: bool) -> None:
    """These patients are to be judged from these instants on; rings the judges when the transaction commits."""
    if not since:
        return
    conn.execute(SQL["mark_due"], {"patient_id": list(since), "since": list(since.values()), "quiet": quiet})
    conn.execute(SQL["ring"])


def count(conn: Connection, accounts: Sequence[tuple[str, int, int, int, int]]) -> None:
    """Add `(gateway_id, received, stored, repeated, quarantined)` to the counters."""
    names = ("gateway_id", "received", "stored", "repeated", "quarantined")
    conn.execute(SQL["account"], dict(zip(names, map(list, zip(*accounts, strict=True)), strict=True)))


def count_turned_away(conn: Connection, messages: Mapping[str, int]) -> None:
    """Add messages that were neither taken nor answered, by gateway: no part of `received`."""
    conn.execute(SQL["turned_away"], {"gateway_id": list(messages), "messages": list(messages.values())})


def advance(conn: Connection, committed: Mapping[tuple[str, str], Collection[int]]) -> dict[tuple[str, str], int]:
    """Note the seqs committed of each `(gateway_id, epoch)`; returns up to which all of it are."""
    if not committed:
        return {}
    gateway_ids, epochs = zip(*committed, strict=True)
    columns = {
        "gateway_id": list(gateway_ids),
        "epoch": list(epochs),
        "seen": [_multirange(seqs) for seqs in committed.values()],
    }
    upto: dict[tuple[str, str], int] = {}
    for gateway_id, epoch, seq, is_another in conn.execute(SQL["progress"], columns):
        upto[gateway_id, epoch] = seq
        if is_another:
            log.warning("outbox_replaced", gateway_id=gateway_id, epoch=epoch)
    return upto


def forget_reused(conn: Connection, new: Collection[tuple[str, str, int]]) -> None:
    """Forget the numbers of an outbox from the first one on that it has given a second time: `(gateway_id, epoch, seq)` of `new`
    readings whose seq had come before with another reading.

    So a card was set back to an older copy of itself. Were the numbers still known from then, a receipt would confirm readings
    that have not been sent yet.
    """
    if not new:
        return
    gateway_ids, epochs, seqs = zip(*sorted(new), strict=True)
    numbers = {"gateway_id": list(gateway_ids), "epoch": list(epochs), "seq": list(seqs)}
    for gateway_id, epoch, first in conn.execute(SQL["forget_reused"], numbers):
        log.error("outbox_set_back", gateway_id=gateway_id, epoch=epoch, first_seq_given_again=first)


def holes(conn: Connection, *, older_than: timedelta) -> dict[str, str]:
    """What is missing of each gateway's numbers and has been for `older_than`: the detail by `gateway_id`.

    A number that was given and did not come, while later ones did, is a reading that was kept and is not here.
    """
    details: dict[str, list[str]] = {}
    for gateway_id, epoch, since, missing, spans in conn.execute(
        SQL["holes"], {"older_than": older_than, "spans": SPANS_SHOWN}
    ):
        first = ", ".join(str(low) if low == high else f"{low}-{high}" for low, high in spans)
        said = f"epoch {epoch}: {missing} missing since {since.isoformat(timespec='seconds')}: {first}"
        details.setdefault(gateway_id, []).append(said)
    return {gateway_id: "; ".join(each) for gateway_id, each in details.items()}


def outbox_lives(conn: Connection, gateway_id: str | None = None) -> tuple[OutboxLife, ...]:
    """Every outbox that a gateway (or, `None`, any) has had: the newest of a gateway is the last."""
    with conn.cursor(row_factory=class_row(OutboxLife)) as cursor:
        return tuple(cursor.execute(SQL["outbox_lives"], {"gateway_id": gateway_id}))


def _multirange(seqs: Collection[int]) -> str:
    return "{" + ",".join(f"[{seq},{seq}]" for seq in sorted(seqs)) + "}"


def note_heard(conn: Connection, gateway_ids: Collection[str]) -> None:
    conn.execute(SQL["heard"], {"gateway_ids": sorted(gateway_ids)})


def note_status(conn: Connection, gateway_id: str, status: str, *, is_alive: bool) -> None:
    """Keep the latest status of a gateway, JSON text; what PostgreSQL cannot hold (NUL, half a character) is passed over."""
    try:
        with conn.transaction():
            conn.execute(SQL["status"], {"gateway_id": gateway_id, "status": status, "is_alive": is_alive})
    except _POISON:
        log.warning("status_not_kept", gateway_id=gateway_id)


def check_accounts(conn: Connection, *, count_rows: bool = True) -> tuple[Account, ...]:
    """The gateways whose accounts do not balance: none, or there is a bug. Without `count_rows` only the sums are checked."""
    with conn.cursor(row_factory=class_row(Account)) as cursor:
        found = cursor.execute(SQL["accounts" if count_rows else "sums"]).fetchall()
    return tuple(account for account in found if not account.is_balanced)
