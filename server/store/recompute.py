"""What the recompute reads of patients, by statements of its own, and the record of its runs and of what they found.

Nothing here comes from `judging`: a mistake in how the judge reads must not be made twice. It compares nothing.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import date, datetime, timedelta
from enum import StrEnum
from fractions import Fraction
from typing import Any, Final
from uuid import UUID

import msgspec
from psycopg.rows import class_row, dict_row
from psycopg.types.json import Jsonb

from server.oracle.shapes import OracleClose, OraclePatient, OracleReading, OracleThreshold
from server.store.alarms import AlarmKind, clear_alarm, raise_alarm
from server.store.postgres import Connection, load_sql
from server.store.recompute_absences import absences_of
from server.store.vault import open_envelope

SQL = load_sql("recompute")

DIFFERENCES_KEPT: Final = 1_000
"""Rows kept of one run, of however many differences: a house where more is wrong is not mended row by row."""

DAYS: Final = 35
"""Days that a night's run looks at: a meter's memory may bring readings 30 days late, and some to spare. A run by hand over
fewer says what it finds, but does not stand for the night's."""

OVERDUE_AFTER: Final = timedelta(hours=26)
"""A night's run and two hours to spare."""

SETTLED: Final = timedelta(days=11)
"""So long after its end an alert can still come back or be changed by a reading (architecture: range of a judging)."""

MARKS: Final = timedelta(days=18)
"""How far back a reading may bear on the mark of another."""


class DifferenceKind(StrEnum):
    """In what the judge and the oracle differ."""

    MISSING = "missing"
    """The readings make an alert, and none is stored."""
    EXTRA = "extra"
    """An alert is stored that no readings make."""
    OTHER_STATE = "other_state"
    """One side has it as over, the other not."""
    OTHER_DAYS = "other_days"
    OTHER_INSTANTS = "other_instants"
    OTHER_GROUNDS = "other_grounds"
    """The same alert for other readings, or of another priority."""
    OTHER_THRESHOLDS = "other_thresholds"
    """Judged by thresholds that are not, or never were, the patient's."""
    NOT_PUSHED = "not_pushed"
    """Somebody should have been told, and no message was ever queued."""
    NOT_JUDGED = "not_judged"
    """Something of the patient is due, and nobody judges it."""
    NOT_COMPUTED = "not_computed"
    """The oracle broke on this patient; why is in the log."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One recompute of everybody that came to its end. `waiting`: patients not compared, as they were being judged."""

    run_id: int
    started_at: datetime
    ended_at: datetime
    days: int
    patients: int
    waiting: int
    alerts: int
    differences: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredEpisode:
    """An alert as the judge wrote it. `found_…`: how it began, or last began again; `…_told_at`: the newest message about it."""

    episode_id: UUID
    rule_id: str
    rule_version: int
    threshold_version: int
    state: str
    priority: str
    first_day: date
    last_day: date
    started_at: datetime
    opened_at: datetime
    resolved_at: datetime | None
    closed_by_person: bool
    reading_ids: Sequence[str]
    found_at: datetime
    found_state: str
    found_quietly: bool
    patient_told_at: datetime | None
    clinic_told_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One patient at one instant: what the oracle is to judge, and what the judge has written.

    `due`: what waits for the judge. `since`: the days looked at begin then. `set_at`: since when a rule judges as it does,
    where a person has set the patient's thresholds, or has let the rule be in force. `taken_away`: kind and instant of readings
    that were the patient's until a person said otherwise.
    """

    patient_id: int
    at: datetime
    since: datetime
    due: frozenset[int]
    patient: OraclePatient
    episodes: tuple[StoredEpisode, ...]
    set_at: Mapping[str, datetime]
    taken_away: tuple[tuple[str, datetime], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One thing in which they differ; `computed` and `stored` are JSON-ready, `rule_id` is empty for `not_judged`."""

    patient_id: int
    rule_id: str
    kind: DifferenceKind
    at: datetime
    episode_id: UUID | None = None
    computed: Mapping[str, Any] | None = None
    stored: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a whole run found; `differences` are all of them."""

    patients: int
    waiting: int
    alerts: int
    differences: tuple[Difference, ...]


def last_run(conn: Connection) -> Run | None:
    """The newest run over `DAYS` or more that came to its end; None if there was none yet."""
    with conn.cursor(row_factory=class_row(Run)) as cursor:
        return cursor.execute(SQL["last_run"], {"days": DAYS}).fetchone()


def database_now(conn: Connection) -> datetime:
    """The database's clock at the beginning of the transaction."""
    row = conn.execute(SQL["now"]).fetchone()
    assert row is not None
    at: datetime = row[0]
    return at


def clinic_zone(conn: Connection) -> str:
    """The zone in which most patients live; UTC while there are none."""
    row = conn.execute(SQL["clinic_zone"]).fetchone()
    return "UTC" if row is None or row[0] is None else str(row[0])


def keep_overdue_alarm(conn: Connection) -> bool:
    """Open the alarm if no run has ended for `OVERDUE_AFTER`, close it otherwise; whether it is open."""
    row = conn.execute(SQL["is_overdue"], {"after": OVERDUE_AFTER, "days": DAYS}).fetchone()
    is_overdue = row is not None and bool(row[0])
    if is_overdue:
        run = last_run(conn)
        ended = "never" if run is None else run.ended_at.isoformat(timespec="seconds")
        raise_alarm(conn, AlarmKind.RECOMPUTE_OVERDUE, detail=f"last run to its end: {ended}")
    else:
        clear_alarm(conn, AlarmKind.RECOMPUTE_OVERDUE)
    return is_overdue


def begin_run(conn: Connection, *, days: int, lease_s: float) -> int | None:
    """The id of a new run that is ours while its lease lasts; None if another is under way."""
    conn.execute(SQL["lock_runs"])
    row = conn.execute(SQL["begin"], {"days": days, "lease_s": lease_s}).fetchone()
    return None if row is None else int(row[0])


def renew_run(conn: Connection, run_id: int, *, patients: int, lease_s: float) -> None:
    conn.execute(SQL["renew"], {"run_id": run_id, "patients": patients, "lease_s": lease_s})


def give_up_run(conn: Connection, run_id: int) -> None:
    """End the lease of a run that will not come to its end: the next may begin at once."""
    conn.execute(SQL["give_up"], {"run_id": run_id})


def end_run(conn: Connection, run_id: int, found: Found, *, days: int) -> None:
    """Write what the run over `days` found, and raise or clear the alarm, in one transaction."""
    differences = found.differences
    for each in differences[:DIFFERENCES_KEPT]:
        row = asdict(each) | {"computed": _json(each.computed), "stored": _json(each.stored)}
        conn.execute(SQL["note_difference"], {"run_id": run_id, **row})
    counts = {"patients": found.patients, "waiting": found.waiting, "alerts": found.alerts}
    conn.execute(SQL["end"], {"run_id": run_id, "differences": len(differences), **counts})
    if differences:
        whose = len({each.patient_id for each in differences})
        detail = f"{len(differences)} differences of {whose} patients in run {run_id}"
        raise_alarm(conn, AlarmKind.RECOMPUTE_DIFFERENT, detail=detail)
    elif days >= DAYS:
        clear_alarm(conn, AlarmKind.RECOMPUTE_DIFFERENT)


def next_patients(conn: Connection, *, after: int, limit: int) -> list[int]:
    """The ids after `after`, in order."""
    rows = conn.execute(SQL["patients"], {"after": after, "limit": limit})
    return [row[0] for row in rows]


@dataclass(frozen=True, slots=True, kw_only=True)
class Approved:
    """What is in force: the rules as one YAML text, and since when each that a clinician has let be in force is."""

    edition: int
    text: str
    since: Mapping[str, datetime]


def approved_rules(conn: Connection) -> Approved:
    """What judges, read by a statement of its own."""
    row = conn.execute(SQL["rules"]).fetchone()
    edition, rules = (0, []) if row is None else row
    return Approved(
        edition=edition,
        text=msgspec.json.encode({"rules": [each["written"] for each in rules]}).decode(),
        since={
            each["written"]["id"]: datetime.fromisoformat(each["approved_at"]) for each in rules if each["approved_at"]
        },
    )


def load_cases(
    conn: Connection,
    patient_ids: Sequence[int],
    *,
    days: int,
    look_back: timedelta,
    reach: timedelta,
    versions: Mapping[str, int] | None = None,
    approved_at: Mapping[str, datetime] | None = None,
) -> list[Case]:
    """Readings and alerts of these patients at one moment. The transaction becomes read-only and repeatable.

    `look_back`: how far before its first reading an alert of the rules may depend on others, `reach`: how far before these a
    window goes. Readings are loaded from before the oldest alert that is still open, or that ended within `days`
    or shortly before. `versions` of the rules in force, and since when each is (`approved_at`).
    """
    conn.execute("set transaction isolation level repeatable read, read only")
    whom = {"patient_ids": list(patient_ids)}
    enrolled: dict[int, date] = dict(conn.execute(SQL["enrolments"], whom).fetchall())
    row = conn.execute(SQL["moment"]).fetchone()
    assert row is not None
    at: datetime = row[0]
    since = at - timedelta(days=days)
    due = _grouped(conn.execute(SQL["due"], whom | {"at": at}))
    zones = _grouped(conn.execute(SQL["zones"], whom))
    thresholds = _grouped(conn.execute(SQL["thresholds"], whom))
    symptoms = _grouped(conn.execute(SQL["symptoms"], whom))
    taken_away = _grouped(conn.execute(SQL["taken_away"], whom))
    episodes = _episodes(conn, whom)
    judged_from = {each: _judged_from(episodes.get(each, ()), since, look_back) for each in enrolled}
    loaded_from = {patient_id: start - reach - MARKS for patient_id, start in judged_from.items()}
    readings = _readings(conn, loaded_from)
    absences = absences_of(conn, enrolled, loaded_from, judged_from, readings)
    cases = []
    for patient_id in sorted(enrolled):
        theirs = tuple(episodes.get(patient_id, ()))
        own = _own(thresholds.get(patient_id, ()))
        patient = OraclePatient(
            readings=tuple(readings.get(patient_id, ())),
            zones=tuple((valid_from, zone) for valid_from, zone in zones[patient_id]),
            enrolled_on=enrolled[patient_id],
            thresholds=own,
            closes=tuple(_closes(theirs, own, versions or {})),
            judged_from=judged_from[patient_id],
            symptoms=tuple((at, has_symptoms) for at, has_symptoms in symptoms.get(patient_id, ())),
            last_counted_before=absences[patient_id].last_counted_before,
            unheard=absences[patient_id].unheard,
        )
        case = Case(
            patient_id=patient_id,
            at=at,
            since=since,
            due=frozenset(due_id for (due_id,) in due.get(patient_id, ())),
            patient=patient,
            episodes=theirs,
            set_at=_newest(approved_at or {}, {rule_id: at for rule_id, *_, at in thresholds.get(patient_id, ())}),
            taken_away=tuple((kind, at) for kind, at in taken_away.get(patient_id, ())),
        )
        cases.append(case)
    return cases


def _own(rows: Iterable[tuple[Any, ...]]) -> dict[str, OracleThreshold]:
    """A patient's own numbers and choices, by rule."""
    return {
        rule_id: OracleThreshold(version=version, parameters=parameters, is_watched=is_watched)
        for rule_id, version, parameters, is_watched, _ in rows
    }


def _judged_from(episodes: Iterable[StoredEpisode], since: datetime, look_back: timedelta) -> datetime:
    """Before every alert that could bear on one in the days looked at, less what such an alert itself depends on."""
    start = since
    for episode in sorted(episodes, key=lambda e: e.started_at, reverse=True):
        end = episode.resolved_at
        if episode.state != "retracted" and (end is None or end >= start - SETTLED - look_back):
            start = min(start, episode.started_at)
    return start - look_back


def _newest(*instants: Mapping[str, datetime]) -> dict[str, datetime]:
    """The latest instant of each rule."""
    found: dict[str, datetime] = {}
    for each in instants:
        found |= {rule_id: max(at, found.get(rule_id, at)) for rule_id, at in each.items()}
    return found


def _closes(
    episodes: Iterable[StoredEpisode], thresholds: Mapping[str, OracleThreshold], versions: Mapping[str, int]
) -> Iterable[OracleClose]:
    """What persons have closed, as far as it was judged by the rule and the thresholds in force: new ones judge afresh."""
    for each in episodes:
        own = thresholds.get(each.rule_id)
        is_in_force = each.threshold_version == (0 if own is None else own.version)
        is_in_force = is_in_force and versions.get(each.rule_id, each.rule_version) == each.rule_version
        if each.closed_by_person and is_in_force and each.resolved_at is not None:
            yield OracleClose(
                rule_id=each.rule_id, first_day=each.first_day, last_day=each.last_day, closed_at=each.resolved_at
            )


def _episodes(conn: Connection, whom: Mapping[str, Any]) -> dict[int, list[StoredEpisode]]:
    names = {each.name for each in fields(StoredEpisode)}
    found: dict[int, list[StoredEpisode]] = {}
    with conn.cursor(row_factory=dict_row) as cursor:
        for row in cursor.execute(SQL["episodes"], whom):
            episode = StoredEpisode(**{name: row[name] for name in names})
            found.setdefault(row["patient_id"], []).append(episode)
    return found


def _as_sent(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """What the gateway said of the reading, where that has been kept: the columns may have been written wrongly."""
    if row["sent"] is None:
        return {}
    said = json.loads(open_envelope(row["sent"], "reading_raw.sent", row["name"]))
    instants = {each: datetime.fromisoformat(said[each]) for each in ("measured_at", "received_at") if said.get(each)}
    return instants | {each: said[each] for each in ("time_quality", "measurement") if said.get(each)}


def _readings(conn: Connection, since: Mapping[int, datetime]) -> dict[int, list[OracleReading]]:
    found: dict[int, list[OracleReading]] = {}
    whom = {"patient_ids": list(since), "since": list(since.values())}
    with conn.cursor(row_factory=dict_row) as cursor:
        for row in cursor.execute(SQL["readings"], whom):
            row |= _as_sent(row)
            said = row["measurement"]
            reading = OracleReading(
                name=row["name"],
                kind=row["kind"],
                measured_at=row["measured_at"],
                received_at=row["received_at"],
                time_quality=row["time_quality"],
                systolic_mmhg=_number(said.get("systolic_mmhg")),
                diastolic_mmhg=_number(said.get("diastolic_mmhg")),
                pulse_bpm=_number(said.get("pulse_bpm")),
                glucose_mmol_l=_number(said.get("glucose_mmol_l")),
                glucose_mg_dl=_number(said.get("glucose_mg_dl")),
                is_censored=said.get("censored") is not None,
                is_hi=said.get("censored") == "HI",
                meal=said.get("meal"),
                is_control="control_solution" in (said.get("sample_type"), said.get("sample_location")),
                weight_kg=_number(said.get("weight_kg")),
                spo2_percent=_number(said.get("spo2_percent")),
                temperature_celsius=_number(said.get("temperature_celsius")),
                status=said.get("status"),
                sensor_status=said.get("sensor_status"),
                has_contact=said.get("has_contact"),
            )
            found.setdefault(row["owner_id"], []).append(reading)
    return found


def _grouped(rows: Iterable[tuple[Any, ...]]) -> dict[int, list[tuple[Any, ...]]]:
    """Rows by their first column, which is left out."""
    found: dict[int, list[tuple[Any, ...]]] = {}
    for first, *rest in rows:
        found.setdefault(first, []).append(tuple(rest))
    return found


def _number(value: float | str | None) -> Fraction | None:
    return None if value is None else Fraction(str(value))


def _json(value: Mapping[str, Any] | None) -> Jsonb | None:
    return None if value is None else Jsonb(msgspec.to_builtins(value))
