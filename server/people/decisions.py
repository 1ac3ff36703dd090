"""What a clinician decides about an alert: acknowledge it, resolve it. One transaction each, and only on what was read.

Two people cannot both win: a decision names the version that was on the screen, and the row is locked while the two are
compared. Judging the readings is not here; the judge reopens what turns out to be true again.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final
from uuid import UUID

from server.people import follow_ups
from server.people.errors import DecisionConflictError, NotOnPanelError, StaleVersionError
from server.store import worklist, worklist_decisions
from server.store.postgres import Connection, Pool, in_transaction
from server.store.worklist import Alert
from server.store.worklist_decisions import Standing


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """Who decides about which version of which alert, and when."""

    episode_id: UUID
    version: int
    user_id: int
    now: datetime


def acknowledge(pool: Pool, decision: Decision) -> Alert:
    """Somebody has the alert: the doctor is not told again, and the next in line not at all. Returns it as it is now.

    Raises `NotOnPanelError`, `StaleVersionError`, `DecisionConflictError`.
    """

    def work(conn: Connection) -> Alert:
        standing = _lock(conn, decision)
        if standing.state not in ("active", "snoozed"):
            raise DecisionConflictError(standing.state)
        worklist_decisions.acknowledge(conn, decision.episode_id, user_id=decision.user_id, now=decision.now)
        worklist_decisions.cancel_repeated_pushes(conn, decision.episode_id)
        return _finish(conn, decision, standing, to_state="acknowledged", reason="acknowledged")

    return in_transaction(pool, work)


def resolve(pool: Pool, decision: Decision, *, resolution: Resolution, note: str = "") -> Alert:
    """Closes the alert with how it ended. Returns it as it is now.

    Raises `NotOnPanelError`, `StaleVersionError`, `DecisionConflictError`.
    """
    assert len(note) <= NOTE_MAX, len(note)

    def work(conn: Connection) -> Alert:
        standing = _lock(conn, decision)
        if standing.state not in OPEN_STATES:
            raise DecisionConflictError(standing.state)
        worklist_decisions.resolve(
            conn, decision.episode_id, user_id=decision.user_id, resolution=resolution, now=decision.now
        )
        if resolution in UNTRUE:
            worklist_decisions.cancel_all_pushes(conn, decision.episode_id)
        else:
            worklist_decisions.cancel_repeated_pushes(conn, decision.episode_id)
        follow_ups.note_resolution(
            conn, decision.episode_id, resolution=resolution, user_id=decision.user_id, now=decision.now
        )
        reason = f"{resolution}: {note}" if note else str(resolution)
        return _finish(conn, decision, standing, to_state="resolved", reason=reason)

    return in_transaction(pool, work)


def _lock(conn: Connection, decision: Decision) -> Standing:
    standing = worklist_decisions.lock_alert(conn, decision.episode_id, user_id=decision.user_id)
    if standing is None:
        raise NotOnPanelError("no such alert")
    if standing.version != decision.version:
        last = worklist_decisions.last_decision(conn, decision.episode_id)
        raise StaleVersionError(
            version=standing.version,
            state=standing.state,
            changed_by=last.changed_by if last else None,
            changed_at=last.changed_at if last else None,
        )
    return standing


def _finish(conn: Connection, decision: Decision, standing: Standing, *, to_state: str, reason: str) -> Alert:
    worklist_decisions.note_transition(
        conn,
        decision.episode_id,
        from_state=standing.state,
        to_state=to_state,
        user_id=decision.user_id,
        reason=reason,
        now=decision.now,
    )
    alert = worklist.find_alert(conn, decision.episode_id, user_id=decision.user_id)
    assert alert is not None, "the row is locked by this transaction"
    return alert
