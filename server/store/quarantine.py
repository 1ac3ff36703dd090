"""What goes into quarantine, and its way out: for the people who look at it, and for a meter that has found its patient.

Every function runs inside the caller's transaction. Whose a reading is, and why it is nobody's, is decided elsewhere
(`server.ledger`).
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, TypeVar

from psycopg.rows import class_row, dict_row

from server.store.alarms import AlarmKind, clear_alarm
from server.store.intake import Fate
from server.store.postgres import Connection, load_sql
from server.store.vault import safes

SQL = load_sql("quarantine")

T = TypeVar("T")

ROWS_A_DAY: Final = 10_000
"""Of one gateway (reliability: input limits): more than any home can measure, little enough for a disk. What comes beyond it is
counted, and the first and the last of it are kept."""

WRONG_GATEWAY_MESSAGES: Final = 3
"""Messages in another gateway's name before a gateway is suspended: one may be a mistake while renaming it."""

RELEASABLE: Final = ("unknown_meter", "unmapped_slot", "binding_conflict", "no_consent")
"""What may become a reading later: its meter is bound, or the patient agrees to be watched again."""

WANTING_AN_OWNER: Final = RELEASABLE[:3]
"""The reasons that a later binding may do away with. The others are about the bytes, the time or the gateway."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Detained:
    """What goes to quarantine: the reason, and as much of the bytes as is kept. `message_hash`: of what brought it."""

    gateway_id: str
    reason: str
    detail: str
    epoch: str | None
    seq: int | None
    meter_id: str | None
    user_slot: int | None
    raw: bytes
    fingerprint: bytes
    message_hash: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Detention:
    """What became of rows that were to be put away, by fingerprint; those in neither had been put away before.

    `beyond`: counted and not kept, for the gateway had filled its day.
    """

    kept: frozenset[bytes]
    beyond: frozenset[bytes]

    @property
    def new(self) -> frozenset[bytes]:
        return self.kept | self.beyond


@dataclass(frozen=True, slots=True, kw_only=True)
class Conflict:
    """A meter bound in one home and read in another. `is_own`: the patient's own meter, read at `gateway_id` elsewhere; else
    somebody else's meter, read at the patient's gateway."""

    meter_id: str
    gateway_id: str
    is_own: bool
    first_at: datetime
    last_at: datetime
    readings: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenRow:
    """A row that waits for a person. What was measured is not in it."""

    quarantine_id: int
    gateway_id: str
    reason: str
    meter_id: str | None
    user_slot: int | None
    received_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A reading that had no owner when it came; `raw` is its JSON as the gateway sent it, at most the first 4 KiB."""

    quarantine_id: int
    gateway_id: str
    meter_id: str
    seq: int
    raw: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Unread:
    """What the build of its time could not read: a message of a newer wire version, whole; or, with a `seq`, one reading of a
    kind that it did not know."""

    quarantine_id: int
    gateway_id: str
    epoch: str | None
    seq: int | None
    raw: bytes


def detain(conn: Connection, rows: Sequence[Detained]) -> Detention:
    """Put rows (no fingerprint twice) into quarantine, each once for all time, and of each gateway so many a day.

    Rows in another gateway's name are always kept: they are few, for the third message of them suspends.
    """
    if not rows:
        return Detention(kept=frozenset(), beyond=frozenset())
    gateway_ids = sorted({row.gateway_id for row in rows})
    fingerprints = [row.fingerprint for row in rows]
    known = conn.execute(SQL["known"], {"gateway_id": gateway_ids, "fingerprint": fingerprints}).fetchall()
    old = {bytes(found[0]) for found in known}
    kept_today: dict[str, int] = defaultdict(
        int, conn.execute(SQL["kept_today"], {"gateway_id": gateway_ids}).fetchall()
    )
    fitting: list[Detained] = []
    beyond: dict[str, list[Detained]] = defaultdict(list)
    for row in rows:
        if row.fingerprint in old:
            continue
        if kept_today[row.gateway_id] < ROWS_A_DAY or row.reason == "wrong_gateway":
            kept_today[row.gateway_id] += 1
            fitting.append(row)
        else:
            beyond[row.gateway_id].append(row)
    kept = _put_away(conn, fitting)
    for gateway_id in gateway_ids:
        count = sum(row.gateway_id == gateway_id and row.fingerprint in kept for row in fitting)
        _count_day(conn, gateway_id, count, beyond[gateway_id])
    return Detention(kept=kept, beyond=frozenset(row.fingerprint for each in beyond.values() for row in each))


def _put_away(conn: Connection, rows: Sequence[Detained]) -> frozenset[bytes]:
    if not rows:
        return frozenset()
    columns = {name: [getattr(row, name) for row in rows] for name in Detained.__slots__}
    holders = [holder_of(row.meter_id, row.gateway_id) for row in rows]
    keys = safes(conn, dict.fromkeys(sorted(set(holders))))
    columns["raw"] = [
        keys[holder].seal(row.raw, place_of(row.gateway_id, row.fingerprint))
        for row, holder in zip(rows, holders, strict=True)
    ]
    return frozenset(bytes(found[0]) for found in conn.execute(SQL["put_away"], columns))


def _count_day(conn: Connection, gateway_id: str, kept: int, beyond: Sequence[Detained]) -> None:
    if not (kept or beyond):
        return
    key = safes(conn, {f"gateway:{gateway_id}": None})[f"gateway:{gateway_id}"]
    day = {
        "gateway_id": gateway_id,
        "kept": kept,
        "beyond": len(beyond),
        "first_reason": beyond[0].reason if beyond else None,
        "first_raw": key.seal(beyond[0].raw, f"quarantine_day.first_raw/{gateway_id}") if beyond else None,
        "last_reason": beyond[-1].reason if beyond else None,
        "last_raw": key.seal(beyond[-1].raw, f"quarantine_day.last_raw/{gateway_id}") if beyond else None,
    }
    conn.execute(SQL["count_day"], day)


def suspend_impostors(conn: Connection, gateway_ids: Collection[str]) -> tuple[str, ...]:
    """Suspend those which have spoken too often in another gateway's name; returns which."""
    wanted = {"gateway_ids": sorted(gateway_ids), "messages": WRONG_GATEWAY_MESSAGES}
    return tuple(found[0] for found in conn.execute(SQL["suspend_impostors"], wanted))


def binding_conflicts(conn: Connection, *, patient_id: int) -> Sequence[Conflict]:
    """What nobody has resolved yet of meters in the wrong home, seen from this patient's side; the latest first."""
    with conn.cursor(row_factory=class_row(Conflict)) as cursor:
        return cursor.execute(SQL["binding_conflicts"], {"patient_id": patient_id}).fetchall()


def list_open(conn: Connection, *, limit: int) -> tuple[Sequence[OpenRow], int]:
    """The newest open rows, at most `limit`, and how many there are in all."""
    row = conn.execute(SQL["count_open"]).fetchone()
    assert row is not None
    with conn.cursor(row_factory=class_row(OpenRow)) as cursor:
        return cursor.execute(SQL["list_open"], {"limit": limit}).fetchall(), int(row[0])


def take_held(conn: Connection, *, meter_id: str, user_slot: int | None) -> Sequence[Held]:
    """Lock and return the meter's readings that wait for an owner, in the order in which they came; `None`: of every slot."""
    wanted = {"meter_id": meter_id, "user_slot": user_slot, "reasons": list(RELEASABLE)}
    return _opened(conn, Held, conn.cursor(row_factory=dict_row).execute(SQL["take_held"], wanted).fetchall())


def take_these(conn: Connection, quarantine_ids: Sequence[int]) -> Sequence[Held]:
    """Lock and return those of them that are readings that wait for an owner."""
    wanted = {"quarantine_id": list(quarantine_ids), "reasons": list(RELEASABLE)}
    return _opened(conn, Held, conn.cursor(row_factory=dict_row).execute(SQL["take_these"], wanted).fetchall())


def raws(conn: Connection, quarantine_ids: Sequence[int]) -> Sequence[Held]:
    """Readings of persons, opened to be looked at; who may look is the caller's matter. Those whose key is gone are left out."""
    wanted = {"quarantine_id": list(quarantine_ids)}
    return _opened(conn, Held, conn.cursor(row_factory=dict_row).execute(SQL["raws"], wanted).fetchall())


def take_newer(conn: Connection, *, after: int, limit: int) -> Sequence[Unread]:
    """Lock and return the next that no build could read when they came."""
    wanted = {"after": after, "limit": limit}
    return _opened(conn, Unread, conn.cursor(row_factory=dict_row).execute(SQL["take_newer"], wanted).fetchall())


def holder_of(meter_id: str | None, gateway_id: str) -> str:
    """Whose key seals what is nobody's yet: the meter's, for it will be one person's; failing that, the gateway's."""
    return f"gateway:{gateway_id}" if meter_id is None else f"meter:{meter_id}"


def place_of(gateway_id: str, fingerprint: bytes | None, quarantine_id: int | None = None) -> str:
    """Where in `quarantine` the bytes lie. Rows of the first builds have no fingerprint."""
    return f"quarantine.raw/{gateway_id}/{quarantine_id if fingerprint is None else bytes(fingerprint).hex()}"


def _opened(conn: Connection, cls: Callable[..., T], rows: Sequence[dict[str, Any]]) -> Sequence[T]:
    """The rows with their bytes; those whose key has been destroyed are gone."""
    holders = [holder_of(row["holder_meter"], row["gateway_id"]) for row in rows]
    keys = safes(conn, dict.fromkeys(sorted(set(holders))))
    found: list[T] = []
    for row, holder in zip(rows, holders, strict=True):
        place = place_of(row["gateway_id"], row.pop("fingerprint"), row["quarantine_id"])
        row.pop("holder_meter")
        if holder in keys:
            found.append(cls(**row | {"raw": keys[holder].open(row["raw"], place)}))
    return found


def mark_replayed(conn: Connection, quarantine_ids: Sequence[int], *, by: str) -> None:
    """These have been opened again; each of their rows has a fate of its own by now."""
    conn.execute(SQL["mark_replayed"], {"quarantine_id": list(quarantine_ids), "by": by})


def mark_released(conn: Connection, fates: Mapping[int, Fate], *, by: str) -> None:
    """These rows have become readings, by `quarantine_id`: stored now, or found to have been stored before. Their bytes go."""
    columns = {"quarantine_id": list(fates), "released_as": [fate.value for fate in fates.values()], "by": by}
    conn.execute(SQL["mark_released"], columns)


def settle_impostures(conn: Connection, gateway_id: str, *, by: str) -> None:
    """Somebody has looked at the messages that this gateway sent in another's name: they suspend it no more."""
    conn.execute(SQL["settle_impostures"], {"gateway_id": gateway_id, "by": by})
    clear_alarm(conn, AlarmKind.GATEWAY_SUSPENDED, subject=gateway_id, cleared_by=by)
