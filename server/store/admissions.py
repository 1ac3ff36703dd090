"""What was done about who may be a gateway: rows that are added and never changed, and how every gateway stands by them.

A row is written in the transaction of what it tells of, so there is none without the other. Never a code or a key.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from psycopg.rows import class_row

from server.store.postgres import Connection, load_sql

SQL: Final = load_sql("admissions")

REFUSALS_PER_HOUR: Final = 100
"""Of these nobody is sure who they are from, and anybody can make them. The log has them all."""
AND_MORE: Final = "; there were more in this hour, which the log alone has"
SHOWN: Final = 1000


class Act(StrEnum):
    CLAIM_MADE = "claim_made"
    CLAIM_TAKEN_BACK = "claim_taken_back"
    CLAIM_REFUSED = "claim_refused"
    ADMITTED = "admitted"
    ADMITTED_AGAIN = "admitted_again"
    """The same answer to the same key: the first was lost on the way."""
    RENEWED = "renewed"
    RENEWED_AGAIN = "renewed_again"
    RENEWAL_REFUSED = "renewal_refused"
    CERTIFICATE_REVOKED = "certificate_revoked"
    GATEWAY_REVOKED = "gateway_revoked"
    GATEWAY_RESTORED = "gateway_restored"


@dataclass(frozen=True, slots=True, kw_only=True)
class AdmissionEvent:
    """One act. `by_login`: the person who did it; None where a box asked, then `asked_from` is its network address."""

    event_id: int
    at: datetime
    act: Act
    gateway_id: str | None
    by_login: str | None
    asked_from: str | None
    serial: str | None
    detail: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """One gateway. `certificate_…` are of the one it was given last; None where the clinic's own authority has given none.

    `good_certificates`: neither revoked nor past; two for a while after a renewal.
    """

    gateway_id: str
    zone: str
    state: str
    enrolled_at: datetime
    last_heard_at: datetime | None
    certificate_serial: str | None
    certificate_ends_at: datetime | None
    certificate_revoked_at: datetime | None
    good_certificates: int
    claim_open_until: datetime | None


def note(
    conn: Connection,
    act: Act,
    *,
    now: datetime,
    gateway_id: str | None,
    by: str | None = None,
    asked_from: str | None = None,
    serial: str | None = None,
    detail: str | None = None,
) -> None:
    """Add a row."""
    facts = {"at": now, "act": act.value, "gateway_id": gateway_id, "by_login": by, "asked_from": asked_from}
    conn.execute(SQL["note"], facts | {"serial": serial, "detail": detail})


def note_refusal(
    conn: Connection,
    act: Act,
    *,
    now: datetime,
    gateway_id: str | None,
    asked_from: str | None,
    serial: str | None = None,
    detail: str,
) -> None:
    """Add a row, unless there are `REFUSALS_PER_HOUR` of the last hour; the last of them says that there were more."""
    facts = {"at": now, "act": act.value, "gateway_id": gateway_id, "asked_from": asked_from, "serial": serial}
    conn.execute(SQL["note_refusal"], facts | {"detail": detail, "most": REFUSALS_PER_HOUR, "and_more": AND_MORE})


def list_events(conn: Connection, gateway_id: str | None = None, *, most: int = SHOWN) -> Sequence[AdmissionEvent]:
    """The newest first, of one gateway or of all."""
    with conn.cursor(row_factory=class_row(AdmissionEvent)) as cursor:
        return cursor.execute(SQL["events"], {"gateway_id": gateway_id, "most": most}).fetchall()


def list_standings(conn: Connection, *, now: datetime) -> Sequence[Standing]:
    """Every gateway that was ever enrolled."""
    with conn.cursor(row_factory=class_row(Standing)) as cursor:
        return cursor.execute(SQL["standings"], {"now": now}).fetchall()
