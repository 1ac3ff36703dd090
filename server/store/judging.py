"""What a judge reads of one patient and writes of its episodes, inside the judge's transaction. It decides nothing.

"Now" is the database's clock at the start of the transaction: judges on several machines share it.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from psycopg import Cursor
from psycopg.rows import RowMaker, class_row
from psycopg.types.json import Jsonb

from server.rules.episodes import Episode, Finding
from server.rules.windows import (
    ACCEPTED,
    TIME_UNUSABLE,
    PatientHistory,
    PersonalThreshold,
    Row,
    Symptom,
    UnheardSpan,
    Window,
    ZoneSpan,
    to_us,
    window_of,
)
from server.store import absences
from server.store.postgres import Connection, load_sql

SQL = load_sql("judging")

_AS_CORRECTED: Final = SQL["readings"].replace(b"from reading\n", b"from reading_in_use\n")
"""The same statement, without what a clinician has said is not this patient's, and with what was moved here. Only for whom a
correction concerns: it takes the planner half a millisecond more."""
assert SQL["readings"] != _AS_CORRECTED


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """The due rows of one judging: exactly these are deleted at its end. `quiet`: all of them are seeded history."""

    due_ids: tuple[int, ...]
    since: datetime
    quiet: bool
    now: datetime
    is_watchdog: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Doctor:
    """A patient's own doctor: None if there is none; `is_reachable` if the account can still log in."""

    user_id: int | None
    is_reachable: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Unacknowledged:
    """An active alert that a doctor was told of. `is_waiting`: a message is still to be sent."""

    episode_id: UUID
    rule_id: str
    priority: str
    sentence: Mapping[str, str]
    last_step: int
    told_at: datetime
    is_waiting: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Push:
    """One message to one recipient by one channel; `push_id` is also the key by which a channel knows it again.

    `kind`: opening, reminder, escalation, breach or retraction. `state`: pending; undeliverable where there is no way to the
    recipient; cancelled where it is muted, which `why` says (`silenced`, `inhibited`). `why` of one that waits: `quiet_hours`.
    `is_urgent`: it waits for nothing.
    """

    push_id: UUID
    episode_id: UUID
    patient_id: int
    recipient: str
    channel: str
    kind: str
    step: int
    text: Mapping[str, Mapping[str, str]]
    due_at: datetime
    state: str
    is_urgent: bool = False
    why: str | None = None


def due_patients(conn: Connection, limit: int) -> tuple[int, ...]:
    """Patients who have something due, the longest waiting first."""
    return tuple(row[0] for row in conn.execute(SQL["due_patients"], {"limit": limit}))


def take_due(conn: Connection, patient_id: int) -> Taken | None:
    """Lock the patient and the due rows that have passed; None if another judge has them or none are left."""
    row = conn.execute(SQL["lock_patient"], {"patient_id": patient_id}).fetchone()
    assert row is not None
    if not row[0]:
        return None
    rows = conn.execute(SQL["take_due"], {"patient_id": patient_id}).fetchall()
    if not rows:
        return None
    return Taken(
        due_ids=tuple(due_id for due_id, *_ in rows),
        since=min(since for _, since, *_ in rows),
        quiet=all(quiet for _, _, quiet, _ in rows),
        now=rows[0][3],
        is_watchdog=row[1],
    )


def finish(conn: Connection, patient_id: int, taken: Taken, next_due_at: datetime | None) -> None:
    """Delete what was taken and say when to look again."""
    conn.execute(SQL["forget_due"], {"due_ids": list(taken.due_ids)})
    conn.execute(SQL["forget_timers"], {"patient_id": patient_id})
    if next_due_at is not None:
        conn.execute(SQL["set_timer"], {"patient_id": patient_id, "due_at": next_due_at})


def postpone(conn: Connection, patient_id: int, seconds: float) -> None:
    conn.execute(SQL["postpone"], {"patient_id": patient_id, "seconds": seconds})


def episodes_of(conn: Connection, patient_id: int) -> tuple[Episode, ...]:
    """All episodes that the patient ever had, locked."""
    with conn.cursor(row_factory=class_row(Episode)) as cursor:
        return tuple(cursor.execute(SQL["episodes"], {"patient_id": patient_id}))


def sentences_of(conn: Connection, episode_ids: Collection[UUID]) -> dict[UUID, Mapping[str, str]]:
    """Why each was opened, by language."""
    return dict(conn.execute(SQL["sentences"], {"episode_ids": list(episode_ids)}).fetchall())


def history_of(
    conn: Connection,
    patient_id: int,
    *,
    since: datetime,
    judged_from: datetime | None = None,
    thresholds: Mapping[str, PersonalThreshold] | None = None,
    asks_absence: bool = False,
    window: Window | None = None,
) -> PatientHistory:
    """What a judging may read of the patient, with the readings measured from `since` on.

    `asks_absence`: what rules about what was not measured need is there, too. `thresholds`, `window`: these are here already.
    """
    patient = {"patient_id": patient_id}
    row = conn.execute(SQL["patient"], patient).fetchone()
    assert row is not None, patient_id
    enrolled_on, is_corrected = row
    if window is None:
        with conn.cursor(row_factory=_rows_of_a_window) as cursor:
            readings = _AS_CORRECTED if is_corrected else SQL["readings"]
            window = window_of(cursor.execute(readings, {**patient, "since": since}))
    last_counted_before: datetime | None = None
    unheard: tuple[UnheardSpan, ...] = ()
    if asks_absence:
        unheard_from = since
        if not _has_counted(window, judged_from):
            last_counted_before = absences.last_counted(conn, patient_id, before=since, is_corrected=is_corrected)
            unheard_from = min(since, last_counted_before or absences.begin_of(enrolled_on))
        unheard = absences.unheard(conn, patient_id, since=unheard_from)
    return PatientHistory(
        patient_id=patient_id,
        enrolled_on=enrolled_on,
        zones=tuple(ZoneSpan(valid_from=at, zone=zone) for at, zone in conn.execute(SQL["zones"], patient)),
        window=window,
        thresholds=thresholds_of(conn, patient_id) if thresholds is None else thresholds,
        judged_from=judged_from,
        symptoms=tuple(
            Symptom(at=at, has_symptoms=has_symptoms)
            for at, has_symptoms in conn.execute(SQL["symptoms"], {**patient, "since": since})
        ),
        last_counted_before=last_counted_before,
        unheard=unheard,
    )


def thresholds_of(conn: Connection, patient_id: int) -> dict[str, PersonalThreshold]:
    """The patient's own numbers and choices, by rule."""
    return {
        rule_id: PersonalThreshold(version=version, parameters=parameters, is_watched=is_watched)
        for rule_id, version, parameters, is_watched in conn.execute(SQL["thresholds"], {"patient_id": patient_id})
    }


def _has_counted(window: Window, judged_from: datetime | None) -> bool:
    """Is there a reading in view that counts, on a day that is not judged? Then no silence that is told began before the view."""
    if judged_from is None:
        return False
    rows = (window.quality == ACCEPTED) & (window.time_quality != TIME_UNUSABLE)
    return bool((window.measured_at_us[rows] <= to_us(judged_from)).any())


def _rows_of_a_window(cursor: Cursor[Any]) -> RowMaker[Row]:
    """Makes rows as quickly as tuples; that their columns are those of the statement is asked once."""
    assert cursor.description is None or tuple(column.name for column in cursor.description) == Row._fields
    return Row._make


def doctor_of(conn: Connection, patient_id: int) -> Doctor:
    with conn.cursor(row_factory=class_row(Doctor)) as cursor:
        found = cursor.execute(SQL["doctor"], {"patient_id": patient_id}).fetchone()
    assert found is not None, patient_id
    return found


def backup_of(conn: Connection, patient_id: int) -> tuple[int, ...]:
    """The users beside the patient's own doctor who see the patient and can log in."""
    return tuple(row[0] for row in conn.execute(SQL["backup"], {"patient_id": patient_id}))


def active_webhooks(conn: Connection) -> tuple[int, ...]:
    return tuple(row[0] for row in conn.execute(SQL["webhooks"]))


def steps_of(conn: Connection, episode_id: UUID) -> tuple[int, int] | None:
    """The first and last step of what was queued about an episode; None if nobody was to hear of it."""
    row = conn.execute(SQL["steps"], {"episode_id": episode_id}).fetchone()
    return None if row is None else (row[0], row[1])


def told_doctor(conn: Connection, episode_id: UUID) -> bool:
    """Whether a clinician was to hear of the alert."""
    row = conn.execute(SQL["told_doctor"], {"episode_id": episode_id}).fetchone()
    assert row is not None
    return bool(row[0])


def told_of(conn: Connection, episode_id: UUID) -> tuple[tuple[str, str], ...]:
    """`(recipient, channel)` of whoever but the patient has been told since the last retraction, or is being told just now."""
    return tuple((row[0], row[1]) for row in conn.execute(SQL["told_of"], {"episode_id": episode_id}))


def cancel_repeats(conn: Connection, episode_id: UUID) -> None:
    """It is over: nobody hears again of it. A message that is on its way just now counts as sent."""
    conn.execute(SQL["cancel_repeats"], {"episode_id": episode_id})


def cancel_steps_ahead(conn: Connection, episode_id: UUID) -> None:
    """Cancel the steps whose time has not come."""
    conn.execute(SQL["cancel_steps_ahead"], {"episode_id": episode_id})


def unacknowledged(conn: Connection, patient_id: int) -> tuple[Unacknowledged, ...]:
    """The patient's alerts that wait for a clinician."""
    with conn.cursor(row_factory=class_row(Unacknowledged)) as cursor:
        return tuple(cursor.execute(SQL["unacknowledged"], {"patient_id": patient_id}))


def open_episode(conn: Connection, episode_id: UUID, patient_id: int, finding: Finding) -> None:
    conn.execute(SQL["open"], {"episode_id": episode_id, "patient_id": patient_id, **_columns(finding, finding.state)})


def update_episode(conn: Connection, episode_id: UUID, finding: Finding, state: str) -> None:
    conn.execute(SQL["update"], {"episode_id": episode_id, **_columns(finding, state)})


def reopen_episode(conn: Connection, episode_id: UUID, finding: Finding) -> None:
    update_episode(conn, episode_id, finding, finding.state)
    conn.execute(SQL["reopen"], {"episode_id": episode_id})


def resolve_without_finding(conn: Connection, episode_id: UUID, reason: str) -> None:
    conn.execute(SQL["resolve_without_finding"], {"episode_id": episode_id, "resolution": reason})


def retract_episode(conn: Connection, episode_id: UUID) -> None:
    """It was never so: what was not sent is cancelled, what the patient was told is withdrawn."""
    conn.execute(SQL["retract"], {"episode_id": episode_id})
    conn.execute(SQL["cancel_unsent"], {"episode_id": episode_id})
    conn.execute(SQL["withdraw_from_patient"], {"episode_id": episode_id})


def note_transition(conn: Connection, episode_id: UUID, from_state: str | None, to_state: str, reason: str) -> None:
    conn.execute(
        SQL["note_transition"],
        {"episode_id": episode_id, "from_state": from_state, "to_state": to_state, "reason": reason},
    )


def insert_pushes(conn: Connection, pushes: Sequence[Push]) -> None:
    """Queue messages; rings the senders when the transaction commits."""
    for push in pushes:
        conn.execute(SQL["push"], {**asdict(push), "text": Jsonb(push.text)})
    if pushes:
        conn.execute(SQL["ring"])


def _columns(finding: Finding, state: str) -> dict[str, Any]:
    return {
        "rule_id": finding.rule_id,
        "rule_version": finding.rule_version,
        "threshold_version": finding.threshold_version,
        "state": state,
        "priority": finding.priority,
        "first_day": finding.first_day,
        "last_day": finding.last_day,
        "started_at": finding.started_at,
        "opened_at": finding.opened_at,
        "resolved_at": finding.resolved_at,
        "resolution": "readings" if state == "resolved" else None,
        "verdict": Jsonb(dict(finding.verdict.numbers)),
        "sentence": Jsonb(dict(finding.verdict.sentence)),
    }
