"""What a clinic arranges about telling: its own ladders, and quiet hours. Each version is kept, with who set it and when.

A clinic may be quicker than the product's own ladder of high priority, never slower. Quiet hours hold back nothing urgent.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, time
from typing import Final

from server.people import panels
from server.people.errors import NotAClinicianError, StaleVersionError
from server.push import ladder
from server.push.ladder import Ladders, Rung
from server.store import audit, telling
from server.store.postgres import Connection
from server.store.telling import StoredQuietHours
from vitals.errors import MalformedError

CLINICIANS: Final = "clinicians"
PATIENTS: Final = "patients"


@dataclass(frozen=True, slots=True, kw_only=True)
class Arranger:
    """Who arranges: a person with a role, or somebody at the server's own console (`user_id` None)."""

    actor: str
    role: str
    user_id: int | None
    now: datetime


def ladders_in_force(conn: Connection) -> Ladders:
    """The clinic's own, or, until it sets any, the product's (version 0)."""
    stored = telling.ladder_in_force(conn)
    return ladder.OURS if stored is None else ladder.read(stored.version, stored.steps, stored.supervisor)


def set_ladders(
    conn: Connection,
    who: Arranger,
    rungs: Mapping[str, Sequence[Rung]],
    *,
    supervisor: int | None,
    version: int,
) -> Ladders:
    """From now on alerts climb these; what has begun to climb goes on as it began. A priority left out has the product's own.

    Raises `MalformedError` for ladders that cannot be or are too slow, `StaleVersionError` if another version than `version` is
    in force, `NotAClinicianError` for anybody but an admin.
    """
    _check_admin(who)
    ladder.check(rungs, supervisor)
    _check_people(conn, rungs, supervisor)
    telling.lock_ladders(conn)
    before = ladders_in_force(conn)
    if before.version != version:
        raise StaleVersionError(
            version=before.version, state="other", changed_by=None, changed_at=None, what="clinic's ladders"
        )
    number = telling.set_ladder(conn, ladder.kept(rungs), supervisor=supervisor, set_by=who.actor, now=who.now)
    audit.note(conn, actor=who.actor, act="ladder.set", at=who.now, subject=str(number), detail={"was": version})
    return ladders_in_force(conn)


def list_quiet_hours(conn: Connection, who: Arranger) -> Sequence[StoredQuietHours]:
    """Those of the whole clinic and one's own; an admin's are everybody's but patients' own."""
    shown = {CLINICIANS, PATIENTS, f"user:{who.user_id}"}
    return [
        each
        for each in telling.list_quiet_hours(conn)
        if each.subject in shown or (who.role == "admin" and not each.subject.startswith("patient:"))
    ]


def set_quiet_hours(conn: Connection, who: Arranger, subject: str, hours: tuple[time, time] | None) -> None:
    """From now on what is not urgent waits for their end; None: there are none, though others may have some.

    The clinic's (`clinicians`, `patients`) are an admin's to set; `user:<id>` that person's own or an admin's; `patient:<id>`
    those who see the patient. Raises `NotAClinicianError`, `NotOnPanelError`, `MalformedError`.
    """
    patient_id = _check_subject(conn, who, subject)
    if hours is not None and hours[0] == hours[1]:
        raise MalformedError("quiet_hours", "they must end at another time than they begin")
    if hours is not None and (hours[0].tzinfo or hours[1].tzinfo):
        raise MalformedError("quiet_hours", "give times of the patient's wall clock, without a zone")
    telling.set_quiet_hours(conn, subject, hours, set_by=who.actor, now=who.now)
    detail = None if hours is None else {"begins_at": f"{hours[0]:%H:%M}", "ends_at": f"{hours[1]:%H:%M}"}
    audit.note(
        conn, actor=who.actor, act="quiet_hours.set", at=who.now, patient_id=patient_id, subject=subject, detail=detail
    )


def _check_admin(who: Arranger) -> None:
    if who.role != "admin":
        raise NotAClinicianError("only an admin arranges this for the whole clinic")


def _check_people(conn: Connection, rungs: Mapping[str, Sequence[Rung]], supervisor: int | None) -> None:
    named = [rung.whom for each in rungs.values() for rung in each if rung.whom.startswith("user:")]
    for whom in [*named, *([] if supervisor is None else [f"user:{supervisor}"])]:
        if not telling.is_clinician(conn, int(whom.removeprefix("user:"))):
            raise MalformedError("ladder", f"{whom} is no doctor or nurse who can sign in")


def _check_subject(conn: Connection, who: Arranger, subject: str) -> int | None:
    """Returns the patient that the subject is about."""
    kind, _, number = subject.partition(":")
    is_number = number.isascii() and number.isdigit() and 0 < len(number) <= 18
    if kind == "patient" and is_number:
        if who.user_id is not None:
            panels.check_regular(conn, user_id=who.user_id, patient_id=int(number))
        return int(number)
    if kind == "user" and is_number:
        if who.user_id != int(number):
            _check_admin(who)
        return None
    if subject not in (CLINICIANS, PATIENTS):
        raise MalformedError("subject", "a subject is clinicians, patients, user:<number> or patient:<number>")
    _check_admin(who)
    return None
