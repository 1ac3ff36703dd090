"""Which patients a user may see: those whose own doctor the user is, those on the user's panel, and those whose record the user
has opened in an emergency (`break_glass`). No role sees more.

A patient outside that does not exist for the user: the answer is the one for a number that was never given. Panels are changed by
whoever runs the clinic, by number, and each change has a reason and stays on record.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from server.people.errors import DecisionConflictError, NotOnPanelError, OnlyInEmergencyError
from server.store import audit, people
from server.store import panels as store
from server.store.panels import Change, Member, Sees
from server.store.postgres import Connection
from vitals.errors import MalformedError

REASON_MAX: Final = 200


class Act(StrEnum):
    """`TRANSFERRED`: from one clinician to another, with the doctor's place if the first has it."""

    ADDED = "added"
    REMOVED = "removed"
    TRANSFERRED = "transferred"
    DOCTOR_SET = "doctor_set"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """A change that somebody wants; `by` as the audit names people. `reason`: never a word about the patient's health."""

    act: Act
    patient_id: int
    from_user: int | None = None
    to_user: int | None = None
    reason: str
    by: str
    now: datetime


def check(conn: Connection, *, user_id: int, patient_id: int) -> None:
    """Raises `NotOnPanelError` unless the user may see the patient."""
    if not people.is_on_panel(conn, user_id=user_id, patient_id=patient_id):
        raise NotOnPanelError("no such patient")


def check_regular(conn: Connection, *, user_id: int, patient_id: int) -> None:
    """As `check`; and who sees the patient in an emergency alone is told that this is for others.

    An hour's sight of a record is for treating somebody. What is done by it must not outlive it: not a silence, a threshold,
    a plan or a correction by which others judge and are told later, nor a copy of the record, consent taken back, or erasure.

    Raises `NotOnPanelError`, `OnlyInEmergencyError`.
    """
    check(conn, user_id=user_id, patient_id=patient_id)
    if not people.is_on_panel_regularly(conn, user_id=user_id, patient_id=patient_id):
        raise OnlyInEmergencyError(
            "open to you in an emergency: this is for those who look after the patient; ask the patient's doctor,"
            " or an admin to put the patient on your panel"
        )


def add(conn: Connection, *, user_id: int, patient_id: int) -> None:
    """From now on the user sees the patient. Adding twice changes nothing, and is not on record."""
    people.add_to_panel(conn, user_id=user_id, patient_id=patient_id)


def change(conn: Connection, wish: Wish) -> int:
    """Do it, at once, for open pages as well; the number of the change.

    Raises `NotOnPanelError` (no such patient), `MalformedError` (somebody who is no clinician, no reason),
    `DecisionConflictError` (it is so already, or was never so).
    """
    is_there, doctor_id = store.lock_patient(conn, wish.patient_id)
    if not is_there:
        raise NotOnPanelError("no such patient")
    _check(conn, wish)
    from_user = doctor_id if wish.act is Act.DOCTOR_SET else wish.from_user
    if not _do(conn, wish, doctor_id):
        raise DecisionConflictError("so already, or was never so", what="panel")
    if from_user is not None and not people.is_on_panel(conn, user_id=from_user, patient_id=wish.patient_id):
        store.unassign(conn, user_id=from_user, patient_id=wish.patient_id)
    return _note(conn, wish, from_user)


def hand_over(conn: Connection, *, from_user: int, to_user: int, reason: str, by: str, now: datetime) -> int:
    """Every patient of one clinician is another's, those included whose own doctor the first is; how many they were.

    All or none; whose record is kept under seal or erased stays. Raises as `change` does.
    """
    moved = 0
    for each in members(conn, from_user):
        try:
            change(
                conn,
                Wish(
                    act=Act.TRANSFERRED,
                    patient_id=each.patient_id,
                    from_user=from_user,
                    to_user=to_user,
                    reason=reason,
                    by=by,
                    now=now,
                ),
            )
        except NotOnPanelError:
            continue
        moved += 1
    return moved


def leave(conn: Connection, user_id: int, *, reason: str, by: str, now: datetime) -> int:
    """Who is a clinician no longer sees nobody any more; how many patients it was. Whom nobody else sees is in `unkept` then."""
    members = store.list_members(conn, user_id)
    for each in members:
        is_there, _ = store.lock_patient(conn, each.patient_id)
        store.remove(conn, user_id=user_id, patient_id=each.patient_id)
        if each.is_doctor:
            store.set_doctor(conn, user_id=None, patient_id=each.patient_id)
        if is_there:  # of a record under seal nothing is written any more
            store.unassign(conn, user_id=user_id, patient_id=each.patient_id)
            act = Wish(act=Act.REMOVED, patient_id=each.patient_id, from_user=user_id, reason=reason, by=by, now=now)
            _note(conn, act, user_id)
    return len(members)


def step_down(conn: Connection, user_id: int, *, reason: str, by: str, now: datetime) -> int:
    """A doctor who is a nurse from now on is nobody's own doctor, and sees the same patients; how many patients it was."""
    members = [each for each in store.list_members(conn, user_id) if each.is_doctor]
    for each in members:
        is_there, _ = store.lock_patient(conn, each.patient_id)
        store.set_doctor(conn, user_id=None, patient_id=each.patient_id)
        if store.add(conn, user_id=user_id, patient_id=each.patient_id) and is_there:
            act = Wish(act=Act.ADDED, patient_id=each.patient_id, to_user=user_id, reason=reason, by=by, now=now)
            _note(conn, act, None)
    return len(members)


def keepers(conn: Connection, patient_id: int) -> Sequence[Sees]:
    """Who sees the patient regularly, the own doctor first. Raises `NotOnPanelError` where there is no such patient."""
    is_there, _ = store.lock_patient(conn, patient_id)
    if not is_there:
        raise NotOnPanelError("no such patient")
    return store.list_keepers(conn, patient_id)


def unkept(conn: Connection, *, limit: int) -> Sequence[int]:
    """Patients, by number, whom nobody who can sign in sees."""
    return store.list_unkept(conn, limit=limit)


def history(
    conn: Connection, *, patient_id: int | None = None, user_id: int | None = None, limit: int
) -> Sequence[Change]:
    """How panels came to be, the newest first."""
    return store.list_changes(conn, patient_id=patient_id, user_id=user_id, limit=limit)


def members(conn: Connection, user_id: int) -> Sequence[Member]:
    """The patients of one clinician, by number. Raises `NotOnPanelError` for somebody who has no panel."""
    if store.role_of_clinician(conn, user_id) is None:
        raise NotOnPanelError("no such clinician")
    return store.list_members(conn, user_id)


def _note(conn: Connection, wish: Wish, from_user: int | None) -> int:
    change_id = store.note_change(
        conn,
        at=wish.now,
        changed_by=wish.by,
        act=wish.act,
        patient_id=wish.patient_id,
        from_user=from_user,
        to_user=wish.to_user,
        reason=wish.reason,
    )
    audit.note(
        conn,
        actor=wish.by,
        act=f"panel.{wish.act}",
        at=wish.now,
        patient_id=wish.patient_id,
        subject=str(change_id),
        detail={"from_user": from_user, "to_user": wish.to_user},
    )
    return change_id


def _check(conn: Connection, wish: Wish) -> None:
    if not wish.reason.strip() or len(wish.reason) > REASON_MAX:
        raise MalformedError("reason", f"say why, in at most {REASON_MAX} characters")
    needed = {
        Act.ADDED: (False, True),
        Act.REMOVED: (True, False),
        Act.TRANSFERRED: (True, True),
        Act.DOCTOR_SET: (False, True),
    }[wish.act]
    if (wish.from_user is not None, wish.to_user is not None) != needed:
        raise MalformedError(
            "act", "added and doctor_set name to_user, removed names from_user, transferred names both"
        )
    if wish.to_user is None:
        return
    role = store.role_of_clinician(conn, wish.to_user)
    if role is None or (wish.act is Act.DOCTOR_SET and role != "doctor"):
        raise MalformedError("to_user", "only a doctor or a nurse has a panel, and only a doctor is a patient's doctor")


def _do(conn: Connection, wish: Wish, doctor_id: int | None) -> bool:
    """False if nothing would be different."""
    patient_id = wish.patient_id
    match wish.act:
        case Act.DOCTOR_SET:
            store.set_doctor(conn, user_id=wish.to_user, patient_id=patient_id)
            return wish.to_user != doctor_id
        case Act.ADDED:
            assert wish.to_user is not None
            return store.add(conn, user_id=wish.to_user, patient_id=patient_id)
        case Act.REMOVED:
            assert wish.from_user is not None
            return store.remove(conn, user_id=wish.from_user, patient_id=patient_id)
        case Act.TRANSFERRED:
            return _transfer(conn, wish, doctor_id)


def _transfer(conn: Connection, wish: Wish, doctor_id: int | None) -> bool:
    assert wish.from_user is not None
    assert wish.to_user is not None
    was_on_panel = store.remove(conn, user_id=wish.from_user, patient_id=wish.patient_id)
    is_doctors = doctor_id == wish.from_user
    if wish.from_user == wish.to_user or not (was_on_panel or is_doctors):
        return False
    if is_doctors and store.role_of_clinician(conn, wish.to_user) == "doctor":
        store.set_doctor(conn, user_id=wish.to_user, patient_id=wish.patient_id)
        return True
    if is_doctors:
        raise MalformedError("to_user", "the patient's own doctor is followed by a doctor")
    return store.add(conn, user_id=wish.to_user, patient_id=wish.patient_id) or was_on_panel
