"""Opening the record of somebody else's patient in an emergency: with a reason, for an hour, in everybody's sight.

It is the only way past a panel, and it is loud: the patient's doctor has it in the inbox at once, the audit has every try, and
whoever sees the patient sees who came. Whoever opens a record learns that the number is somebody's; so tries are few, and each is
on record.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import uuid5

from server.people.errors import DecisionConflictError, NotAClinicianError, NotOnPanelError, TooManyAttemptsError
from server.store import audit, contacts, notes, people, pushes
from server.store import panels as store
from server.store.panels import Glass
from server.store.postgres import Connection, Pool, in_transaction, transaction
from vitals.errors import MalformedError

LASTS_FOR: Final = timedelta(minutes=60)
"""Long enough for an emergency, too short to work a panel by (reliability 6.2)."""

TRIES: Final = 5
TRIES_WITHIN: Final = timedelta(hours=1)
"""Of one person, whatever came of them: nobody finds patients by trying numbers."""

TOLD_WITHIN: Final = timedelta(hours=24)
"""After that it is no news by telephone any more; in the inbox it stays."""

REASON_LENGTHS: Final = (10, 500)
SHOWN_FOR: Final = timedelta(days=30)

_TEXT: Final = {
    "en": {
        "title": "A colleague has opened the record in an emergency",
        "body": "It is open for one hour. Who it was stands on the patient's page and in the audit.",
    },
    "zh": {"title": "有同事紧急打开了该患者的档案", "body": "将开放一小时。打开者可在患者页面和审计记录中查看。"},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Emergency:
    """Who wants to see whom, and why."""

    user_id: int
    role: str
    patient_id: int
    reason: str
    now: datetime

    @property
    def actor(self) -> str:
        return f"user:{self.user_id}"


def open_record(house: Pool, emergency: Emergency) -> Glass:
    """From now on, and for an hour, the user sees the patient.

    Raises `NotAClinicianError`, `MalformedError` (no reason), `TooManyAttemptsError`, `NotOnPanelError` (no such patient),
    `DecisionConflictError` (the user sees the patient already).
    """
    shortest, longest = REASON_LENGTHS
    if emergency.role not in ("doctor", "nurse"):
        raise NotAClinicianError("only a doctor or a nurse opens a record in an emergency")
    if not shortest <= len(emergency.reason.strip()) <= longest:
        raise MalformedError(
            "reason", f"say why, in {shortest} to {longest} characters; the patient's doctor may read it"
        )
    glass = in_transaction(house, lambda conn: _open(conn, emergency))
    if glass is None:
        raise NotOnPanelError("no such patient")
    return glass


def end(house: Pool, *, user_id: int, break_glass_id: int, now: datetime) -> None:
    """Before its time. Raises `NotOnPanelError` if the user has no such record open."""
    with transaction(house) as conn:
        patient_id = store.end_glass(conn, break_glass_id=break_glass_id, user_id=user_id, now=now)
        if patient_id is None:
            raise NotOnPanelError("no such record is open")
        actor = f"user:{user_id}"
        audit.note(conn, actor=actor, act="break_glass.end", at=now, patient_id=patient_id, subject=str(break_glass_id))


def open_now(house: Pool, user_id: int, *, now: datetime) -> Sequence[Glass]:
    """What the user has open, the first to end first."""
    with transaction(house) as conn:
        return store.list_open(conn, user_id, now=now)


def _open(conn: Connection, emergency: Emergency) -> Glass | None:
    """None where there is nobody to open; the try is on record all the same, so this transaction is not rolled back for it."""
    now = emergency.now
    tries, first_at = store.count_tries(conn, emergency.actor, since=now - TRIES_WITHIN)
    if tries >= TRIES:
        assert first_at is not None
        raise TooManyAttemptsError(first_at + TRIES_WITHIN - now)
    is_there, _ = store.lock_patient(conn, emergency.patient_id)
    if is_there and people.is_on_panel(conn, user_id=emergency.user_id, patient_id=emergency.patient_id):
        raise DecisionConflictError("open to you already", what="record")
    if not is_there:
        audit.note(
            conn,
            actor=emergency.actor,
            act="break_glass.refuse",
            at=now,
            subject=str(emergency.patient_id),
        )
        return None
    kept = notes.seal(conn, emergency.patient_id, emergency.reason.strip(), "break_glass.reason")
    assert kept is not None
    ends_at = now + LASTS_FOR
    break_glass_id = store.open_glass(
        conn,
        user_id=emergency.user_id,
        patient_id=emergency.patient_id,
        reason=kept,
        opened_at=now,
        ends_at=ends_at,
    )
    _tell(conn, emergency.patient_id, break_glass_id, now=now)
    audit.note(
        conn,
        actor=emergency.actor,
        act="break_glass.open",
        at=now,
        patient_id=emergency.patient_id,
        subject=str(break_glass_id),
    )
    return Glass(
        break_glass_id=break_glass_id,
        user_id=emergency.user_id,
        patient_id=emergency.patient_id,
        opened_at=now,
        ends_at=ends_at,
    )


def _tell(conn: Connection, patient_id: int, break_glass_id: int, *, now: datetime) -> None:
    """In the doctor's inbox, and by whatever ways the doctor is told of what is urgent."""
    push_id = uuid5(pushes.NAMESPACE, f"break_glass|{break_glass_id}")
    recipient = store.tell_doctor(conn, push_id=push_id, patient_id=patient_id, text=_TEXT, now=now)
    for channel in contacts.kinds_of(conn, patient_id, recipient, priority="high", is_next=False):
        contacts.queue_beside(
            conn,
            push_id,
            push_id=uuid5(pushes.NAMESPACE, f"break_glass|{break_glass_id}|{channel}"),
            channel=channel,
            now=now,
            expires_at=now + TOLD_WITHIN,
        )
    pushes.ring(conn)
