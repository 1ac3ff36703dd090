"""The alarms of the house: what is wrong with the line itself, apart from any patient's readings.

An alarm is news once and stays open until what it says is over or a person has looked at it. Whoever finds something wrong
raises it in the transaction in which it was found; `server.watch` computes the states that nobody stumbles upon.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

import structlog
from psycopg.rows import class_row

from server.store.postgres import Connection, load_sql

log = structlog.get_logger()

SQL = load_sql("alarms")


class AlarmKind(StrEnum):
    """What can be wrong. The first group are states, raised and cleared by `server.watch`; the second are events, which
    stay until a person clears them."""

    GATEWAY_UNHEARD = "gateway_unheard"
    """A gateway has said nothing for 15 minutes."""
    NOBODY_HEARD = "nobody_heard"
    """No gateway at all is heard, though some were within a day: the fault is in the house, not in any home."""
    GATEWAY_AILING = "gateway_ailing"
    """A gateway says that its disk is full or nearly so, that its power supply is too weak, that it starts again and again, or
    that it still does not know the time."""
    BATTERY_LOW = "battery_low"
    """A meter's battery runs down."""
    METER_SILENT = "meter_silent"
    """A bound meter has brought nothing for days, though its gateway is heard and the patient's other meters bring readings."""
    PATIENT_SILENT = "patient_silent"
    """A patient has measured nothing for days, though the gateway is heard."""
    JUDGE_LAG = "judge_lag"
    """Something has been due for longer than a minute and nobody judges it."""
    PUSH_UNDELIVERED = "push_undelivered"
    """A message has been due for longer than a minute and has not reached its recipient."""
    HOLE = "hole"
    """Numbers of an outbox are missing for longer than 10 minutes: a reading that was kept has not come."""
    ACCOUNT_UNBALANCED = "account_unbalanced"
    """received = stored + repeated + quarantined does not hold for a gateway."""
    WATCHDOG_LATE = "watchdog_late"
    """The watchdog's reading did not come out as a message within a minute."""
    RECOMPUTE_DIFFERENT = "recompute_different"
    """The nightly recompute came to other alerts than the judge."""
    RECOMPUTE_OVERDUE = "recompute_overdue"
    """The nightly recompute has not run to its end for 26 hours."""
    RULES_WAITING = "rules_waiting"
    """A version of a rule waits for a doctor's decision, or no rule is in force at all."""
    RULE_EDITED = "rule_edited"
    """This build brings a rule with another text than that which its version had before. It is not used."""
    AUDIT_UNANCHORED = "audit_unanchored"
    """For an hour nobody outside has been told how far the audit trail has come."""

    SERVER_LOST = "server_lost"
    """A gateway says that readings were confirmed which are not here: the database was set back. They are asked for again."""
    PUSH_DEAD = "push_dead"
    """A message was given up, or its recipient could not be reached by any channel."""
    NOT_ANSWERED = "not_answered"
    """No clinician's decision about an urgent alert was on record ten minutes after the server had the reading."""
    ID_COLLISION = "id_collision"
    """Two contents came under one reading id: a bug or tampering."""
    BINDING_CONFLICT = "binding_conflict"
    """A meter bound in one home was read in another."""
    GATEWAY_SUSPENDED = "gateway_suspended"
    """A gateway spoke in another's name and is no longer listened to."""
    IDENTITY_COPIED = "identity_copied"
    """Two boxes speak as one gateway by turns: a card was copied."""
    FLOOD = "flood"
    """A gateway sends far more than a home can measure."""
    QUARANTINE_FULL = "quarantine_full"
    """A gateway's quarantine has reached its bound for the day; what came after it is only counted and sampled."""
    TRACE_LEFT = "trace_left"
    """Somebody was erased, and something of them was found afterwards. Its subject is a number, and an admin alone sees it."""
    AUDIT_CHANGED = "audit_changed"
    """Something that was written down is not any more what was sealed: somebody has changed it past the product."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarm:
    """One open alarm."""

    alarm_id: int
    kind: str
    subject: str
    detail: str
    raised_at: datetime
    last_seen_at: datetime
    times: int


def raise_alarm(conn: Connection, kind: AlarmKind, *, subject: str = "", detail: str = "") -> bool:
    """Open the alarm, or count it once more; True if it is news."""
    row = conn.execute(SQL["raise"], {"kind": kind.value, "subject": subject, "detail": detail[:500]}).fetchone()
    assert row is not None
    if row[0]:
        log.error("alarm_raised", kind=kind.value, subject=subject, detail=detail)
    return bool(row[0])


def clear_alarm(conn: Connection, kind: AlarmKind, *, subject: str = "", cleared_by: str | None = None) -> bool:
    """Close the alarm; False if it was not open. `cleared_by`: the login of the person who looked at it."""
    row = {"kind": kind.value, "subject": subject, "cleared_by": cleared_by}
    is_cleared = conn.execute(SQL["clear"], row).rowcount > 0
    if is_cleared:
        log.info("alarm_cleared", kind=kind.value, subject=subject)
    return is_cleared


def state_alarms(conn: Connection, kind: AlarmKind, found: Mapping[str, str]) -> None:
    """Make the open alarms of a kind of state exactly these: `found` is the detail by subject."""
    for subject, detail in sorted(found.items()):
        raise_alarm(conn, kind, subject=subject, detail=detail)
    for (subject,) in conn.execute(SQL["clear_others"], {"kind": kind.value, "subjects": list(found)}).fetchall():
        log.info("alarm_cleared", kind=kind.value, subject=subject)


def open_alarms(conn: Connection) -> tuple[Alarm, ...]:
    """Every alarm that is open, the oldest first."""
    with conn.cursor(row_factory=class_row(Alarm)) as cursor:
        return tuple(cursor.execute(SQL["open"]))
