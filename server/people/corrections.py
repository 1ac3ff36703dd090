"""What a clinician says of a reading: that it is not to be used, that it is somebody else's, or that it was right after all.

Nothing is deleted and nothing of the reading changes: each thing said is a row with who, when and why, and whoever judges leaves
out what is nobody's and counts what is another's there. In the same transaction all whom it concerns become due, so that alerts
which rest on the reading no longer hold, and others begin where it belongs.

Two people cannot both win: a correction names the version that was on the screen, and corrections of one reading wait for one
another. Who corrects sees every patient whom it concerns; for anybody else there is no such reading.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, time
from enum import StrEnum
from typing import Final
from uuid import UUID

import structlog

from server.people import panels
from server.people.decisions import NOTE_MAX
from server.people.errors import DecisionConflictError, NotAClinicianError, NotOnPanelError, StaleVersionError
from server.store import audit, intake
from server.store import corrections as store
from server.store.corrections import Standing
from server.store.enrolment import BEFORE_ENROLMENT
from server.store.postgres import Connection, Pool, in_transaction
from vitals.errors import MalformedError

log = structlog.get_logger()

CLINICIANS: Final = frozenset({"doctor", "nurse"})
"""Roles that may say what a reading is worth; who runs the house may not."""


class Action(StrEnum):
    VOID = "void"
    """It is not to be used."""
    REASSIGN = "reassign"
    """It is another patient's."""
    RESTORE = "restore"
    """It counts again where it came in."""


class Reason(StrEnum):
    """Why, in the words of the list from which it was chosen."""

    WRONG_PERSON = "wrong_person"
    BAD_MEASUREMENT = "bad_measurement"
    METER_PROBLEM = "meter_problem"
    WRONG_TIME = "wrong_time"
    TRIAL = "trial"
    WRONG_BINDING = "wrong_binding"
    CHECKED = "checked"
    MISTAKE = "mistake"
    OTHER = "other"


REASONS: Final[Mapping[Action, tuple[Reason, ...]]] = {
    Action.VOID: (
        Reason.WRONG_PERSON,
        Reason.BAD_MEASUREMENT,
        Reason.METER_PROBLEM,
        Reason.WRONG_TIME,
        Reason.TRIAL,
        Reason.OTHER,
    ),
    Action.REASSIGN: (Reason.WRONG_PERSON, Reason.WRONG_BINDING, Reason.OTHER),
    Action.RESTORE: (Reason.CHECKED, Reason.MISTAKE, Reason.OTHER),
}
"""Which reasons there are for what. `OTHER` needs a note."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Correction:
    """Who says something of which version of which reading in whose record, why, and when."""

    patient_id: int
    reading_id: UUID
    version: int
    reason: Reason
    note: str
    user_id: int
    role: str
    now: datetime


def void(pool: Pool, correction: Correction) -> None:
    """The reading is nobody's from now on.

    Raises `NotAClinicianError`, `NotOnPanelError`, `StaleVersionError`, `DecisionConflictError`; `MalformedError` for a reason
    that is none of this action's, or that lacks its note.
    """
    _correct(pool, correction, Action.VOID, None)


def reassign(pool: Pool, correction: Correction, *, to_patient_id: int) -> None:
    """The reading is another patient's from now on. Raises as `void`; `MalformedError`, too, for a time before that patient's."""
    _correct(pool, correction, Action.REASSIGN, to_patient_id)


def restore(pool: Pool, correction: Correction) -> None:
    """The reading counts again as it came in, for the patient whose meter measured it. Raises as `void`."""
    _correct(pool, correction, Action.RESTORE, None)


def _correct(pool: Pool, correction: Correction, action: Action, to_patient_id: int | None) -> None:
    _check(correction, action)

    def work(conn: Connection) -> None:
        standing = _standing(conn, correction)
        owner_id = standing.stored_as if action is Action.RESTORE else to_patient_id
        concerned = {each for each in (standing.owner_id, owner_id) if each is not None}
        for patient_id in sorted(concerned | {correction.patient_id}):
            panels.check_regular(conn, user_id=correction.user_id, patient_id=patient_id)
        _check_version(conn, correction, standing)
        if owner_id == standing.owner_id:
            raise DecisionConflictError(standing.standing, what="reading")
        if action is Action.REASSIGN:
            assert owner_id is not None
            _check_time(conn, standing, owner_id)
        store.note_correction(
            conn,
            correction.reading_id,
            standing,
            action=action,
            reason=correction.reason,
            note=correction.note,
            said_in=correction.patient_id,
            to_patient_id=owner_id,
            user_id=correction.user_id,
            now=correction.now,
        )
        intake.mark_due(conn, dict.fromkeys(concerned, standing.measured_at), quiet=False)
        for patient_id in sorted(concerned | {correction.patient_id}):
            audit.note(
                conn,
                actor=f"user:{correction.user_id}",
                act=f"reading.{action}",
                at=correction.now,
                patient_id=patient_id,
                subject=str(correction.reading_id),
                detail={"reason": correction.reason},
            )

    in_transaction(pool, work)
    log.info(
        "reading_corrected",
        reading_id=str(correction.reading_id),
        action=action,
        reason=correction.reason,
        user_id=correction.user_id,
    )


def _check(correction: Correction, action: Action) -> None:
    assert len(correction.note) <= NOTE_MAX, len(correction.note)
    if correction.role not in CLINICIANS:
        raise NotAClinicianError("only a doctor or a nurse may correct a reading")
    if correction.reason not in REASONS[action]:
        known = ", ".join(REASONS[action])
        raise MalformedError("reason", f"there is no reason {correction.reason} to {action}; there are {known}")
    if correction.reason is Reason.OTHER and not correction.note:
        raise MalformedError("note", "a reason that is none of the list needs a note")


def _standing(conn: Connection, correction: Correction) -> Standing:
    store.lock_reading(conn, correction.reading_id)
    standing = store.standing_of(conn, correction.reading_id, patient_id=correction.patient_id)
    if standing is None:
        raise NotOnPanelError("no such reading")
    return standing


def _check_version(conn: Connection, correction: Correction, standing: Standing) -> None:
    if standing.version != correction.version:
        last = store.last_correction(conn, correction.reading_id)
        raise StaleVersionError(
            version=standing.version,
            state=standing.standing,
            changed_by=last.changed_by if last else None,
            changed_at=last.changed_at if last else None,
            what="reading",
        )


def _check_time(conn: Connection, standing: Standing, patient_id: int) -> None:
    """The bound that intake has: nobody has readings from long before the own enrolment."""
    enrolled_on = store.enrolled_on(conn, patient_id)
    if standing.measured_at < datetime.combine(enrolled_on, time(), tzinfo=UTC) - BEFORE_ENROLMENT:
        raise MalformedError(
            "before_enrolment", f"it was measured long before that patient was enrolled ({enrolled_on})"
        )
