"""What lies in quarantine, and its way out: for the people who look at it, and for a meter that has found its patient.

Every function runs inside the caller's transaction. Whose a reading is, is decided elsewhere (`server.ledger`), and what goes
in is written by `intake`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from psycopg.rows import class_row

from server.store.intake import Fate
from server.store.postgres import Connection, load_sql

SQL = load_sql("quarantine")

WANTING_AN_OWNER: Final = ("unknown_meter", "unmapped_slot", "binding_conflict")
"""The reasons that a later binding may do away with. The others are about the bytes, the time or the gateway."""


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


def list_open(conn: Connection, *, limit: int) -> tuple[Sequence[OpenRow], int]:
    """The newest open rows, at most `limit`, and how many there are in all."""
    row = conn.execute(SQL["count_open"]).fetchone()
    assert row is not None
    with conn.cursor(row_factory=class_row(OpenRow)) as cursor:
        return cursor.execute(SQL["list_open"], {"limit": limit}).fetchall(), int(row[0])


def take_held(conn: Connection, *, meter_id: str, user_slot: int | None) -> Sequence[Held]:
    """Lock and return the meter's readings that wait for an owner, in the order in which they came; `None`: of every slot."""
    wanted = {"meter_id": meter_id, "user_slot": user_slot, "reasons": list(WANTING_AN_OWNER)}
    with conn.cursor(row_factory=class_row(Held)) as cursor:
        return cursor.execute(SQL["take_held"], wanted).fetchall()


def mark_released(conn: Connection, fates: Mapping[int, Fate], *, by: str) -> None:
    """These rows have become readings, by `quarantine_id`: stored now, or found to have been stored before."""
    columns = {"quarantine_id": list(fates), "released_as": [fate.value for fate in fates.values()], "by": by}
    conn.execute(SQL["mark_released"], columns)


def settle_impostures(conn: Connection, gateway_id: str, *, by: str) -> None:
    """Somebody has looked at the messages that this gateway sent in another's name: they suspend it no more."""
    conn.execute(SQL["settle_impostures"], {"gateway_id": gateway_id, "by": by})
