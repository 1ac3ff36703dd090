"""What a clinician decides about an alert: have it, let it sleep, close it, say whether it was of use, take the last of it back.

One transaction each, and only on what was read: two people cannot both win, because a decision names the version that was on the
screen, and the row is locked while the two are compared. Each is kept with the alert as it found it and as it left it, so that
undoing it restores exactly that. Judging the readings is not here; the judge wakes what sleeps and reopens what is true again.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final
from uuid import UUID

from server.people import follow_ups
from server.people.errors import (
    DecisionConflictError,
    KeyReusedError,
    NotAClinicianError,
    NothingToUndoError,
    NotOnPanelError,
    StaleVersionError,
)
from server.store import audit, worklist, worklist_decisions
from server.store.postgres import Connection, Pool, in_transaction
from server.store.worklist import Alert
from server.store.worklist_decisions import Deed, Standing, Step
from vitals.errors import MalformedError


class Resolution(StrEnum):
    """How it ended, in the words of the button that was pressed."""

    REACHED = "reached"
    NO_ANSWER = "no_answer"
    ADVISED = "advised"
    MEDICATION_CHANGED = "medication_changed"
    FALSE_READING = "false_reading"
    METER_PROBLEM = "meter_problem"


UNTRUE: Final = frozenset({Resolution.FALSE_READING, Resolution.METER_PROBLEM})
"""Resolutions that say that the readings were not the patient's state: whoever has not been told is not told.

The database's `push_is_wanted` names them, too."""

OPEN_STATES: Final = ("active", "acknowledged", "snoozed")
NOTE_MAX: Final = 500

UNDO_WITHIN: Final = timedelta(seconds=10)
"""As long as the button is on the screen (ecosystem 3.2); `worklist.list_alerts` computes `undo_until` by the same."""

SNOOZE_URGENT_MAX: Final = timedelta(hours=24)
"""An urgent alert sleeps for a day at most: an alarm put to sleep and forgotten is an old complaint (ecosystem 2.5)."""

SNOOZE_MAX: Final = timedelta(days=30)
"""Engineering choice: what may sleep longer is better closed, or silenced with its reason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """Who decides about which version of which alert, and when.

    `key` is the caller's own name for the request (Idempotency-Key): the same request said twice under it is one decision.
    """

    episode_id: UUID
    version: int
    user_id: int
    now: datetime
    key: str | None = None


def acknowledge(pool: Pool, decision: Decision) -> Alert:
    """Somebody has the alert: the doctor is not told again, and the next in line not at all. Returns it as it is now.

    As all here, raises `NotOnPanelError`, `NotAClinicianError`, `StaleVersionError`, `DecisionConflictError`, `KeyReusedError`.
    """

    def work(conn: Connection, standing: Standing) -> "_Done":
        _check_state(standing, "active", "snoozed")
        worklist_decisions.acknowledge(conn, decision.episode_id, user_id=decision.user_id, now=decision.now)
        cancelled = worklist_decisions.cancel_repeated_pushes(conn, decision.episode_id)
        return _Done(to_state="acknowledged", reason="acknowledged", cancelled=cancelled)

    return _decide(pool, decision, "acknowledge", "", work)


def snooze(pool: Pool, decision: Decision, *, until: datetime, or_worse: bool = True) -> Alert:
    """The alert sleeps until `until`, or, if `or_worse`, until what it says is worse than what was on the screen.

    Worse is what `rules.worsening` calls so; an alert that becomes more urgent wakes in any case. Nobody is told meanwhile; when
    it wakes, the doctor is. Raises `MalformedError` for a time that is past or too far: a day for an urgent alert, else 30 days.
    """

    def work(conn: Connection, standing: Standing) -> "_Done":
        _check_state(standing, *OPEN_STATES)
        _check_until(standing, until, decision.now)
        worklist_decisions.snooze(
            conn, decision.episode_id, until=until, or_worse=or_worse, user_id=decision.user_id, now=decision.now
        )
        worklist_decisions.note_answer(conn, decision.episode_id, user_id=decision.user_id, now=decision.now)
        worklist_decisions.make_due(conn, standing.patient_id, at=until, since=decision.now, reason="snooze")
        cancelled = worklist_decisions.cancel_repeated_pushes(conn, decision.episode_id)
        return _Done(to_state="snoozed", reason="snoozed", cancelled=cancelled, detail={"until": until.isoformat()})

    return _decide(pool, decision, "snooze", f"{until.isoformat()} {or_worse}", work)


def resolve(
    pool: Pool, decision: Decision, *, resolution: Resolution, note: str = "", is_useful: bool | None = None
) -> Alert:
    """Closes the alert with how it ended, and, if that was said, whether it was of use. Returns it as it is now.

    Only a doctor says that medication was changed: `NotAClinicianError` for anybody else.
    """
    _check_note(note)

    def work(conn: Connection, standing: Standing) -> "_Done":
        _check_state(standing, *OPEN_STATES)
        if resolution is Resolution.MEDICATION_CHANGED and standing.role != "doctor":
            raise NotAClinicianError("only a doctor can say that medication was changed; choose another outcome")
        worklist_decisions.resolve(
            conn,
            decision.episode_id,
            user_id=decision.user_id,
            resolution=resolution,
            is_useful=is_useful,
            now=decision.now,
        )
        worklist_decisions.note_answer(conn, decision.episode_id, user_id=decision.user_id, now=decision.now)
        cancel = (
            worklist_decisions.cancel_all_pushes if resolution in UNTRUE else worklist_decisions.cancel_repeated_pushes
        )
        cancelled = cancel(conn, decision.episode_id)
        follow_ups.note_resolution(
            conn, decision.episode_id, resolution=resolution, user_id=decision.user_id, now=decision.now
        )
        worklist_decisions.make_due(
            conn, standing.patient_id, at=decision.now, since=decision.now, reason="decision"
        )  # what it had inhibited may speak again
        return _Done(to_state="resolved", reason=resolution, note=note, cancelled=cancelled)

    return _decide(pool, decision, "resolve", f"{resolution} {is_useful} {note}", work)


def rate(pool: Pool, decision: Decision, *, is_useful: bool) -> Alert:
    """Says whether the alert was worth a clinician's time; also of one that is closed."""

    def work(conn: Connection, standing: Standing) -> "_Done":
        worklist_decisions.rate(conn, decision.episode_id, is_useful=is_useful)
        return _Done(to_state=standing.state, reason="useful" if is_useful else "not_useful")

    return _decide(pool, decision, "rate", str(is_useful), work)


def note(pool: Pool, decision: Decision, text: str) -> Alert:
    """Adds a note to the alert's biography; also of one that is closed. Of an urgent alert it is a decision on record."""
    _check_note(text)
    if not text.strip():
        raise MalformedError("note", "write what is to be noted")

    def work(conn: Connection, standing: Standing) -> "_Done":
        worklist_decisions.touch(conn, decision.episode_id)
        worklist_decisions.note_answer(conn, decision.episode_id, user_id=decision.user_id, now=decision.now)
        return _Done(to_state=standing.state, reason="noted", note=text.strip())

    return _decide(pool, decision, "note", text, work)


def undo(pool: Pool, decision: Decision) -> Alert:
    """Takes one's own last decision back, within ten seconds: the alert stands as it stood before, and the messages that it had
    cancelled are on their way again. What was sent meanwhile stays sent, and both decisions stay in the biography.

    Raises `NothingToUndoError` if the last decision is another's, too old or undone, or if the alert has changed since.
    """

    def work(conn: Connection, standing: Standing) -> "_Done":
        last = worklist_decisions.last_decision(conn, decision.episode_id, standing.standing)
        if last is None or last.user_id != decision.user_id or last.act == "undo":
            raise NothingToUndoError("the last decision about this alert is not yours to undo")
        if decision.now - last.at > UNDO_WITHIN:
            raise NothingToUndoError(f"more than {UNDO_WITHIN.seconds} seconds have passed; decide anew")
        if not last.is_untouched:
            raise NothingToUndoError("the alert has changed since that decision; decide anew")
        worklist_decisions.restore(conn, decision.episode_id, last)
        worklist_decisions.make_due(
            conn, standing.patient_id, at=decision.now, since=decision.now, reason="decision"
        )  # the judge plans anew what is to be repeated
        worklist_decisions.ring_senders(conn)
        if last.act == "resolve":
            follow_ups.undo_resolution(conn, decision.episode_id, user_id=decision.user_id, now=decision.now)
        return _Done(to_state=str(last.standing_was["state"]), reason="undone", undoes=last.decision_id)

    return _decide(pool, decision, "undo", "", work)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Done:
    """What a decision has come to; `cancelled` are the messages that are not sent because of it."""

    to_state: str
    reason: str
    note: str = ""
    cancelled: list[UUID] | None = None
    undoes: int | None = None
    detail: dict[str, object] | None = None


def _decide(
    pool: Pool, decision: Decision, act: str, asked: str, work: Callable[[Connection, Standing], _Done]
) -> Alert:
    """Lock, compare, do, and write who did it: the biography, the decision itself, and the record of deeds."""
    digest = hashlib.sha256(f"{act} {decision.version} {asked}".encode()).hexdigest()

    def whole(conn: Connection) -> Alert:
        standing = worklist_decisions.lock_alert(conn, decision.episode_id, user_id=decision.user_id)
        if standing is None:
            raise NotOnPanelError("no such alert")
        if not _is_repeated(conn, decision, digest):
            _check(conn, decision, standing)
            _write(conn, decision, standing, act, digest, work(conn, standing))
        alert = worklist.find_alert(conn, decision.episode_id, user_id=decision.user_id)
        assert alert is not None, "the row is locked by this transaction"
        return alert

    return in_transaction(pool, whole)


def _is_repeated(conn: Connection, decision: Decision, digest: str) -> bool:
    """Has this very request been done before? Then it is answered with what is, and nothing is done."""
    if decision.key is None:
        return False
    before = worklist_decisions.find_by_key(conn, user_id=decision.user_id, key=decision.key)
    if before is not None and before != (decision.episode_id, digest):
        raise KeyReusedError("this Idempotency-Key was used for another request; take a new one")
    return before is not None


def _check(conn: Connection, decision: Decision, standing: Standing) -> None:
    if standing.role not in ("doctor", "nurse"):
        raise NotAClinicianError("only a doctor or a nurse decides about an alert")
    if standing.version != decision.version:
        last = worklist_decisions.last_change(conn, decision.episode_id)
        raise StaleVersionError(
            version=standing.version,
            state=standing.state,
            changed_by=last.changed_by if last else None,
            changed_at=last.changed_at if last else None,
        )


def _write(conn: Connection, decision: Decision, standing: Standing, act: str, digest: str, done: _Done) -> None:
    step = Step(from_state=standing.state, to_state=done.to_state, reason=done.reason, note=done.note)
    transition_id = worklist_decisions.note_transition(
        conn, decision.episode_id, standing.patient_id, step, user_id=decision.user_id, now=decision.now
    )
    deed = Deed(
        act=act,
        key=decision.key,
        asked=digest,
        standing_was=standing.standing,
        transition_id=transition_id,
        undoes=done.undoes,
    )
    decision_id = worklist_decisions.note_decision(
        conn, decision.episode_id, deed, user_id=decision.user_id, now=decision.now
    )
    if decision_id is None:
        raise KeyReusedError("this Idempotency-Key was used for another request; take a new one")
    worklist_decisions.name_canceller(conn, done.cancelled or [], decision_id)
    audit.note(
        conn,
        actor=f"user:{decision.user_id}",
        act=f"alert.{act}",
        at=decision.now,
        patient_id=standing.patient_id,
        subject=str(decision.episode_id),
        detail={"decision_id": decision_id, "reason": done.reason, **(done.detail or {})},
    )


def _check_state(standing: Standing, *states: str) -> None:
    if standing.state not in states:
        raise DecisionConflictError(standing.state)


def _check_until(standing: Standing, until: datetime, now: datetime) -> None:
    is_urgent = standing.priority == "high" or standing.answer_by is not None
    if until <= now:
        raise MalformedError("until", "choose a time that is still to come")
    if is_urgent and until - now > SNOOZE_URGENT_MAX:
        raise MalformedError("until", "an urgent alert can be snoozed for 24 hours at most")
    if until - now > SNOOZE_MAX:
        raise MalformedError("until", "an alert can be snoozed for 30 days at most; close it, or silence its rule")


def _check_note(text: str) -> None:
    if len(text) > NOTE_MAX:
        raise MalformedError("note", f"a note has at most {NOTE_MAX} characters")
