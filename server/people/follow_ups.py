"""Follow-up: somebody calls the patient, notes what came of it, and it comes back until it is settled.

A patient has one open task, whatever there is to speak of. An alert of which a doctor is told opens it, in the transaction of the
telling; a person opens one by hand; a plan opens one when its day comes. Two people cannot both win: a change names the version
that was on the screen. A call that reaches nobody comes back on the next working day, and after `ATTEMPTS_MAX` of them in a row
the patient's own doctor has the task.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final
from uuid import UUID

from server.people import panels, working_days
from server.people.errors import DecisionConflictError, NotAClinicianError, NotOnPanelError, StaleVersionError
from server.store import audit
from server.store import follow_ups as store
from server.store.follow_ups import Event, FollowUp, Standing
from server.store.postgres import Connection, Pool, in_transaction
from vitals.errors import MalformedError

ATTEMPTS_MAX: Final = 3
"""So many calls in a row that reach nobody, on as many working days, and it is the doctor's to decide. Engineering choice: calls
lift the share of those who send from 75 to 91 % (JMIR 2021;23:e29018); nothing published says after how many one gives up."""

UNDONE_WITHIN: Final = timedelta(minutes=1)
"""An alert's decision is taken back within seconds."""

AHEAD_MAX: Final = timedelta(days=366)
NOTE_MAX: Final = 2000

CLINICIANS: Final = frozenset({"doctor", "nurse"})


class Result(StrEnum):
    """What came of a call."""

    REACHED = "reached"
    NO_ANSWER = "no_answer"
    WRONG_NUMBER = "wrong_number"
    CALL_BACK = "call_back"
    """Somebody answered and asks to be called at another time."""


REACHED_NOBODY: Final = frozenset({Result.NO_ANSWER, Result.WRONG_NUMBER})


class Outcome(StrEnum):
    """Why a task is closed."""

    SETTLED = "settled"
    ADVISED = "advised"
    VISIT_ARRANGED = "visit_arranged"
    METER_PROBLEM = "meter_problem"
    UNREACHABLE = "unreachable"
    LEFT_PROGRAMME = "left_programme"
    NOT_NEEDED = "not_needed"


WITHDRAWN: Final = "withdrawn"
"""The house's own outcome: all that there was to speak of has been taken back before anybody called."""

SPOKEN_WITH: Final = frozenset({Outcome.SETTLED, Outcome.ADVISED, Outcome.VISIT_ARRANGED, Outcome.METER_PROBLEM})
"""Outcomes that say that the patient was reached: what counts as completed in the programme's figures."""

_ENDINGS: Final = {
    "reached": Outcome.SETTLED,
    "advised": Outcome.ADVISED,
    "medication_changed": Outcome.ADVISED,
    "false_reading": Outcome.NOT_NEEDED,
    "meter_problem": Outcome.METER_PROBLEM,
}
"""How a task ends with the last of its alerts, by how that was resolved."""
_WITHOUT_CALL: Final = frozenset({"false_reading", "meter_problem"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Touch:
    """Who changes which version of which task, and when."""

    follow_up_id: int
    version: int
    user_id: int
    role: str
    now: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A call, and what follows: `outcome` closes the task, `next_at` says when to call again, neither leaves it to the ladder."""

    result: Result
    note: str = ""
    is_medication_changed: bool = False
    next_at: datetime | None = None
    outcome: Outcome | None = None


# -- the house -----------------------------------------------------------------------------------------------------------


def open_for_alert(conn: Connection, *, patient_id: int, episode_id: UUID, due_at: datetime, now: datetime) -> None:
    """A doctor is told of this alert: it is attached to the patient's open task, or opens one. Twice is as once."""
    store.lock_patient(conn, patient_id)
    found = store.find_open(conn, patient_id)
    if found is None:
        follow_up_id = store.open_task(
            conn, patient_id, origin="alert", due_at=max(due_at, now), opened_by=None, now=now
        )
        _note(conn, follow_up_id, patient_id, Event(act="opened", at=now, by_user=None, due_at=max(due_at, now)))
    else:
        follow_up_id = found[0]
    if not store.attach(conn, follow_up_id, episode_id, now=now) or found is None:
        return
    _note(conn, follow_up_id, patient_id, Event(act="attached", at=now, by_user=None))
    if due_at < found[1]:
        _hasten(conn, episode_id, due_at=max(due_at, now), now=now)


def open_for_plan(conn: Connection, *, patient_id: int, now: datetime) -> bool:
    """The patient's plan says that it is time for a call: a task, unless one is open already. Whether one was opened."""
    store.lock_patient(conn, patient_id)
    if store.find_open(conn, patient_id) is not None:
        return False
    follow_up_id = store.open_task(conn, patient_id, origin="plan", due_at=now, opened_by=None, now=now)
    _note(conn, follow_up_id, patient_id, Event(act="opened", at=now, by_user=None, due_at=now))
    return True


def withdraw(conn: Connection, episode_id: UUID, *, now: datetime) -> None:
    """The alert has been taken back: a task that nobody has touched, and that has no other reason, is closed."""
    standing = store.lock_by_episode(conn, episode_id, now=now)
    if standing is None or not store.is_untouched(conn, standing.follow_up_id, episode_id):
        return
    store.close(conn, standing.follow_up_id, outcome=WITHDRAWN, user_id=None, now=now)
    _note(
        conn, standing.follow_up_id, standing.patient_id, Event(act="closed", at=now, by_user=None, outcome=WITHDRAWN)
    )


def note_resolution(conn: Connection, episode_id: UUID, *, resolution: str, user_id: int, now: datetime) -> None:
    """A clinician has closed the alert: what was said counts for its task, which ends with the last of its alerts."""
    standing = store.lock_by_episode(conn, episode_id, now=now)
    if standing is None:
        return
    if resolution == Result.NO_ANSWER:
        _call(conn, standing, Call(result=Result.NO_ANSWER), user_id=user_id, now=now)
        return
    outcome = None if store.is_anything_left(conn, standing.follow_up_id, episode_id) else _ENDINGS[resolution]
    if resolution not in _WITHOUT_CALL:
        is_changed = resolution == "medication_changed"
        call = Call(result=Result.REACHED, is_medication_changed=is_changed, next_at=standing.due_at, outcome=outcome)
        _call(conn, standing, call, user_id=user_id, now=now)
    elif outcome is not None:
        _close(conn, standing, outcome, note="", user_id=user_id, now=now)


def undo_resolution(conn: Connection, episode_id: UUID, *, user_id: int, now: datetime) -> None:
    """Somebody takes back, seconds later, how they closed the alert: its task stands open again, to be called now."""
    task = store.lock_newest_of(conn, episode_id, user_id=user_id, since=now - UNDONE_WITHIN, now=now)
    if task is None:
        return
    store.lock_patient(conn, task.patient_id)
    if task.state == "closed":
        if store.find_open(conn, task.patient_id) is not None:
            return
        store.reopen(conn, task.follow_up_id, due_at=now)
        event = Event(act="reopened", at=now, by_user=user_id, due_at=now)
    else:
        attempts = max(0, task.attempts - 1)
        is_for_doctor = attempts >= ATTEMPTS_MAX
        store.change(
            conn, task, due_at=now, assigned_to=task.assigned_to, attempts=attempts, is_for_doctor=is_for_doctor
        )
        event = Event(act="moved", at=now, by_user=user_id, due_at=now)
    _note(conn, task.follow_up_id, task.patient_id, event)


# -- people --------------------------------------------------------------------------------------------------------------


def open_by_hand(
    pool: Pool,
    *,
    patient_id: int,
    user_id: int,
    role: str,
    note: str,
    due_at: datetime | None,
    assigned_to: int | None,
    now: datetime,
) -> FollowUp:
    """A task that somebody wants, due now or at `due_at`.

    Raises `NotAClinicianError`, `NotOnPanelError`; `DecisionConflictError` if the patient has an open one; `MalformedError` for a
    day past or too far ahead, and for a colleague who does not see the patient.
    """
    _check_role(role)
    _check_ahead(due_at, now)

    def work(conn: Connection) -> FollowUp:
        panels.check(conn, user_id=user_id, patient_id=patient_id)
        store.lock_patient(conn, patient_id)
        if store.find_open(conn, patient_id) is not None:
            raise DecisionConflictError("open already", what="patient's follow-up")
        _check_colleague(conn, patient_id, assigned_to)
        at = due_at or now
        follow_up_id = store.open_task(
            conn, patient_id, origin="by_hand", due_at=at, opened_by=user_id, assigned_to=assigned_to, now=now
        )
        event = Event(act="opened", at=now, by_user=user_id, due_at=at, assigned_to=assigned_to, note=note)
        _note(conn, follow_up_id, patient_id, event)
        return _find(conn, follow_up_id, user_id, now)

    return in_transaction(pool, work)


def call(pool: Pool, touch: Touch, said: Call) -> FollowUp:
    """Notes a call and what follows from it.

    Raises as every change (`_change`); `MalformedError` where somebody answered and it is not said what follows.
    """
    if said.result not in REACHED_NOBODY and said.outcome is None and said.next_at is None:
        raise MalformedError("next_at", "say how it ended (outcome), or when to call again (next_at)")
    if said.outcome is not None and said.next_at is not None:
        raise MalformedError("next_at", "what is closed (outcome) is not called again (next_at)")
    _check_ahead(said.next_at, touch.now)
    return _change(
        pool, touch, "open", lambda conn, task: _call(conn, task, said, user_id=touch.user_id, now=touch.now)
    )


def assign(pool: Pool, touch: Touch, *, assigned_to: int | None) -> FollowUp:
    """Gives the task to a colleague who sees the patient, or (`None`) back to whoever comes to it first. Raises as `call`."""

    def work(conn: Connection, task: Standing) -> None:
        _check_colleague(conn, task.patient_id, assigned_to)
        if assigned_to == task.assigned_to:
            raise DecisionConflictError("so already", what="follow-up")
        store.change(
            conn, task, due_at=task.due_at, assigned_to=assigned_to, attempts=task.attempts, is_for_doctor=False
        )
        event = Event(act="assigned", at=touch.now, by_user=touch.user_id, assigned_to=assigned_to)
        _note(conn, task.follow_up_id, task.patient_id, event)

    return _change(pool, touch, "open", work)


def move(pool: Pool, touch: Touch, *, due_at: datetime, note: str = "") -> FollowUp:
    """Another day for the call. Raises as `call`."""
    _check_ahead(due_at, touch.now)

    def work(conn: Connection, task: Standing) -> None:
        is_for_doctor = task.attempts >= ATTEMPTS_MAX
        store.change(
            conn, task, due_at=due_at, assigned_to=task.assigned_to, attempts=task.attempts, is_for_doctor=is_for_doctor
        )
        event = Event(act="moved", at=touch.now, by_user=touch.user_id, due_at=due_at, note=note)
        _note(conn, task.follow_up_id, task.patient_id, event)

    return _change(pool, touch, "open", work)


def close(pool: Pool, touch: Touch, *, outcome: Outcome, note: str = "") -> FollowUp:
    """Ends the task without a call. Raises as `call`."""
    return _change(
        pool,
        touch,
        "open",
        lambda conn, task: _close(conn, task, outcome, note=note, user_id=touch.user_id, now=touch.now),
    )


def reopen(pool: Pool, touch: Touch, *, due_at: datetime | None = None, note: str = "") -> FollowUp:
    """It is not settled after all. Raises as `call`; `DecisionConflictError` too if the patient has another open task."""
    _check_ahead(due_at, touch.now)

    def work(conn: Connection, task: Standing) -> None:
        store.lock_patient(conn, task.patient_id)
        if store.find_open(conn, task.patient_id) is not None:
            raise DecisionConflictError("closed, and another one is open", what="follow-up")
        at = due_at or touch.now
        store.reopen(conn, task.follow_up_id, due_at=at)
        event = Event(act="reopened", at=touch.now, by_user=touch.user_id, due_at=at, note=note)
        _note(conn, task.follow_up_id, task.patient_id, event)

    return _change(pool, touch, "closed", work)


# -- within a transaction ------------------------------------------------------------------------------------------------


def _change(pool: Pool, touch: Touch, state: str, work: Callable[[Connection, Standing], None]) -> FollowUp:
    """`work` on the task as it was read, which must be in `state`; the task as it is then.

    Raises `NotAClinicianError`, `NotOnPanelError`, `StaleVersionError`, `DecisionConflictError`.
    """
    _check_role(touch.role)

    def whole(conn: Connection) -> FollowUp:
        task = store.lock(conn, touch.follow_up_id, user_id=touch.user_id, now=touch.now)
        if task is None:
            raise NotOnPanelError("no such follow-up")
        if task.version != touch.version:
            last = next(reversed(store.events_of(conn, task.follow_up_id)), None)
            raise StaleVersionError(
                version=task.version,
                state=task.state,
                changed_by=last.by_name if last else None,
                changed_at=last.at if last else None,
                what="follow-up",
            )
        if task.state != state:
            raise DecisionConflictError(task.state, what="follow-up")
        work(conn, task)
        return _find(conn, touch.follow_up_id, touch.user_id, touch.now)

    return in_transaction(pool, whole)


def _call(conn: Connection, task: Standing, said: Call, *, user_id: int, now: datetime) -> None:
    is_in_vain = said.result in REACHED_NOBODY
    attempts = task.attempts + 1 if is_in_vain else 0
    due_at = said.next_at or working_days.next_working_morning(now, task.zone)
    event = Event(
        act="called",
        at=now,
        by_user=user_id,
        result=said.result,
        is_medication_changed=said.is_medication_changed,
        due_at=None if said.outcome else due_at,
        note=said.note,
    )
    _note(conn, task.follow_up_id, task.patient_id, event)
    if said.outcome is not None:
        _close(conn, task, said.outcome, note="", user_id=user_id, now=now)
        return
    is_for_doctor = attempts >= ATTEMPTS_MAX
    hands_over = is_for_doctor and task.attempts < ATTEMPTS_MAX
    assigned_to = task.doctor_id if hands_over and task.doctor_id is not None else task.assigned_to
    store.change(conn, task, due_at=due_at, assigned_to=assigned_to, attempts=attempts, is_for_doctor=is_for_doctor)
    if hands_over:
        event = Event(act="handed_over", at=now, by_user=None, assigned_to=assigned_to)
        _note(conn, task.follow_up_id, task.patient_id, event)


def _close(conn: Connection, task: Standing, outcome: Outcome, *, note: str, user_id: int, now: datetime) -> None:
    store.close(conn, task.follow_up_id, outcome=outcome, user_id=user_id, now=now)
    event = Event(act="closed", at=now, by_user=user_id, outcome=outcome, note=note)
    _note(conn, task.follow_up_id, task.patient_id, event)


def _hasten(conn: Connection, episode_id: UUID, *, due_at: datetime, now: datetime) -> None:
    """There is news: the call is not to wait for the day that somebody had set."""
    task = store.lock_by_episode(conn, episode_id, now=now)
    assert task is not None, "locked and attached by this transaction"
    store.change(
        conn,
        task,
        due_at=due_at,
        assigned_to=task.assigned_to,
        attempts=task.attempts,
        is_for_doctor=task.attempts >= ATTEMPTS_MAX,
    )


def _note(conn: Connection, follow_up_id: int, patient_id: int, event: Event) -> None:
    """The step in the task's life, and in the record of who did what: the same transaction."""
    store.note_event(conn, follow_up_id, patient_id, event)
    detail = {"result": event.result, "outcome": event.outcome, "assigned_to": event.assigned_to}
    audit.note(
        conn,
        actor="server:house" if event.by_user is None else f"user:{event.by_user}",
        act=f"follow_up.{event.act}",
        at=event.at,
        patient_id=patient_id,
        subject=str(follow_up_id),
        detail={key: value for key, value in detail.items() if value is not None},
    )


def _find(conn: Connection, follow_up_id: int, user_id: int, now: datetime) -> FollowUp:
    found = store.find(conn, follow_up_id, user_id=user_id, now=now)
    assert found is not None, "the row is locked by this transaction"
    return found


def _check_role(role: str) -> None:
    if role not in CLINICIANS:
        raise NotAClinicianError("only a doctor or a nurse follows a patient up")


def _check_colleague(conn: Connection, patient_id: int, user_id: int | None) -> None:
    if user_id is not None and all(each.user_id != user_id for each in store.colleagues(conn, patient_id)):
        raise MalformedError("assigned_to", "there is no such doctor or nurse who sees this patient")


def _check_ahead(at: datetime | None, now: datetime) -> None:
    if at is not None and not now - timedelta(minutes=5) <= at <= now + AHEAD_MAX:
        raise MalformedError("due_at", "the day to call must lie ahead, at most a year")
