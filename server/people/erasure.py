"""Who is to be forgotten: kept under seal while the law has it kept, then destroyed; never while somebody holds it.

PIPL, article 47, and GDPR, article 17 (3): where a legal period runs, storing and protecting is all that may still be done. Two
people want it, so that nobody's record is lost by one hand. What is destroyed is the key (`server.store.vault`): what it sealed
is gone here and in every backup, whatever lies where.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Literal

from server.people.errors import NotOnPanelError, PeopleError
from server.store import audit, erasure
from server.store.postgres import Connection
from vitals.errors import MalformedError

CLINICAL_YEARS: Final = 15
"""Records of Internet consultations (draft supervision rules of 2021: 15 years at least). From the last entry on."""

Reason = Literal["asked", "withdrawn", "over", "ordered"]


class HeldError(PeopleError):
    """Somebody holds the record; the message says who, until when, and why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """Who is to be erased, why, and which two people want it (logins)."""

    patient_id: int
    reason: Reason
    by: str
    second: str
    actor: str
    now: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """`is_destroyed`: gone; else kept under seal until then."""

    is_destroyed: bool
    keep_until: datetime


def erase(conn: Connection, wish: Wish, *, clinical_years: int) -> Outcome:
    """Out of everything now; destroyed if no legal period runs.

    Raises `NotOnPanelError` for whom there is not, or not any more; `HeldError`; `MalformedError` (`second`) unless two people
    with accounts want it.
    """
    if erasure.lock(conn, wish.patient_id) not in ("active", "paused"):
        raise NotOnPanelError(f"no patient {wish.patient_id}, or erased already")
    check_hold(conn, wish.patient_id, wish.now)
    people = erasure.users(conn, wish.by, wish.second)
    if len(people) != 2:
        raise MalformedError("second", "two different people with accounts that are in use")
    last = erasure.last_entry(conn, wish.patient_id)
    keep_until = wish.now if last is None else _years_later(last, clinical_years)
    erasure.restrict(
        conn,
        wish.patient_id,
        reason=wish.reason,
        asked_by=people[wish.by],
        second=people[wish.second],
        keep_until=keep_until,
        now=wish.now,
    )
    detail = {
        "reason": wish.reason,
        "keep_until": keep_until.isoformat(),
        "by": people[wish.by],
        "second": people[wish.second],
    }
    audit.note(conn, actor=wish.actor, act="erasure.restrict", at=wish.now, patient_id=wish.patient_id, detail=detail)
    if keep_until > wish.now:
        return Outcome(is_destroyed=False, keep_until=keep_until)
    destroy(conn, wish.patient_id, actor=wish.actor, now=wish.now)
    return Outcome(is_destroyed=True, keep_until=keep_until)


def destroy(conn: Connection, patient_id: int, *, actor: str, now: datetime) -> None:
    """Destroy somebody who is kept under seal. Raises `HeldError`."""
    check_hold(conn, patient_id, now)
    holders = erasure.destroy(conn, patient_id, now=now)
    audit.note(
        conn, actor=actor, act="erasure.destroy", at=now, patient_id=patient_id, detail={"keys_destroyed": len(holders)}
    )


def hold(conn: Connection, patient_id: int, *, reason: str, until: datetime, actor: str, now: datetime) -> int:
    """From now on nothing of the patient is erased. Raises `NotOnPanelError`, `MalformedError` (`until`)."""
    if erasure.lock(conn, patient_id) in (None, "destroyed"):
        raise NotOnPanelError(f"no patient {patient_id}, or destroyed already")
    if until <= now:
        raise MalformedError("until", "a day in the future")
    hold_id = erasure.add_hold(conn, patient_id, reason=reason, until=until, by=actor, now=now)
    detail = {"until": until.isoformat()}
    audit.note(conn, actor=actor, act="hold.add", at=now, patient_id=patient_id, subject=str(hold_id), detail=detail)
    return hold_id


def end_hold(conn: Connection, hold_id: int, *, actor: str, now: datetime) -> bool:
    """False if there is none."""
    patient_id = erasure.end_hold(conn, hold_id, by=actor, now=now)
    if patient_id is not None:
        audit.note(conn, actor=actor, act="hold.end", at=now, patient_id=patient_id, subject=str(hold_id))
    return patient_id is not None


def check_hold(conn: Connection, patient_id: int, now: datetime) -> None:
    """Raises `HeldError`."""
    if (held := erasure.hold_of(conn, patient_id, now=now)) is not None:
        raise HeldError(
            f"hold {held.hold_id} of {held.made_by} until {held.until.date()}: {held.reason}."
            f" Nothing is erased; `server hold end {held.hold_id}` ends it"
        )


def _years_later(instant: datetime, years: int) -> datetime:
    """The first of March for a 29th of February."""
    instant = instant.astimezone(UTC)
    try:
        return instant.replace(year=instant.year + years)
    except ValueError:
        return instant.replace(year=instant.year + years, month=3, day=1)
