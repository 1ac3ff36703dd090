"""The tables of a research export: row by row, of who has agreed. No free text, no id of ours, no address."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from server import cohort_files
from server.people import crowds
from server.people.crowds import Traits
from server.people.pseudonyms import Pseudonyms
from server.people.research_columns import READINGS, TABLES
from server.store import fhir as store
from server.store import research
from server.store.fhir import RecordedReading, Span
from server.store.postgres import Connection
from server.store.research import ShortAlert, Subject
from server.store.worklist import Place

_WORD: Final = re.compile(r"[A-Za-z0-9_./%°-]{1,40}")
"""What may stand in a column of words: nothing that anybody typed."""

_WORDS: Final = ("kind", "glucose_censored", "meal", "unit_sent", "quality", "time_quality")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cohort:
    """Who is in it and what may be told of them. `conditions`: categories that enough of them have."""

    names: Pseudonyms
    subjects: Sequence[Subject]
    told: Mapping[int, Traits]
    conditions: frozenset[str]
    now: datetime

    @property
    def ordered(self) -> Sequence[Subject]:
        """By the other names: the order says nothing of who came first."""
        return sorted(self.subjects, key=lambda each: self.names.patient(each.patient_id))

    def until(self, patient_id: int) -> datetime:
        return self.now - self.names.left_out(patient_id)


def write(conn: Connection, cohort: Cohort, folder: Path) -> Mapping[str, int]:
    """Write the tables into `folder`; how many rows each has."""
    readings: dict[int, int] = {}
    alerts: dict[int, int] = {}
    rows = {
        "readings": _readings(conn, cohort, readings),
        "alerts": _alerts(conn, cohort, alerts),
        "patients": _patients(cohort, readings, alerts),
    }
    for table, each in rows.items():
        columns = [(column.name, column.kind) for column in TABLES[table]]
        cohort_files.write_rows(folder / f"{table}.parquet", columns, each)
    return {"readings": sum(readings.values()), "alerts": sum(alerts.values())}


def _patients(cohort: Cohort, readings: Mapping[int, int], alerts: Mapping[int, int]) -> Iterator[Mapping[str, Any]]:
    for subject in cohort.ordered:
        number, traits = subject.patient_id, cohort.told[subject.patient_id]
        yield {
            "patient": cohort.names.patient(number),
            "sex": traits.sex,
            "age_band": traits.age_band,
            "zone": traits.zone,
            "conditions": [each for each in crowds.categories(subject.conditions) if each in cohort.conditions],
            "readings": readings[number],
            "alerts": alerts[number],
        }


def _readings(conn: Connection, cohort: Cohort, counted: dict[int, int]) -> Iterator[Mapping[str, Any]]:
    """What is in use of each record. What a clinician has struck may be somebody else's, who was not asked."""
    for subject in cohort.ordered:
        number = subject.patient_id
        found = [each for each in _recorded(conn, number, cohort.until(number)) if each.standing == "in_use"]
        counted[number] = len(found)
        for n, reading in enumerate(reversed(found), 1):
            yield _reading(cohort.names, number, n, reading)


def _reading(names: Pseudonyms, patient_id: int, n: int, reading: RecordedReading) -> Mapping[str, Any]:
    row: dict[str, Any] = {column.name: getattr(reading, column.name, None) for column in READINGS}
    return {
        **row,
        **{name: _word(row[name]) for name in _WORDS},
        "patient": names.patient(patient_id),
        "n": n,
        "measured_at": names.local(patient_id, reading.measured_at, reading.zone),
        "meter": names.meter(patient_id, reading.meter_id),
        "quality_reasons": [each for each in map(_word, reading.quality_reasons) if each],
    }


def _recorded(conn: Connection, patient_id: int, until: datetime) -> Iterator[RecordedReading]:
    """The newest first."""
    after: Place | None = None
    while found := store.list_recorded(
        conn, [patient_id], limit=store.PAGE_MAX, measured=Span(until=until), after=after
    ):
        yield from found
        after = Place(at=found[-1].measured_at, row_id=found[-1].reading_id)


def _alerts(conn: Connection, cohort: Cohort, counted: dict[int, int]) -> Iterator[Mapping[str, Any]]:
    for subject in cohort.ordered:
        number = subject.patient_id
        found = research.list_alerts(conn, number, until=cohort.until(number))
        counted[number] = len(found)
        yield from (_alert(cohort.names, number, each) for each in found)


def _alert(names: Pseudonyms, patient_id: int, alert: ShortAlert) -> Mapping[str, Any]:
    shift = names.shift(patient_id)
    instants = {
        "opened_at": alert.opened_local,
        "acknowledged_at": alert.acknowledged_local,
        "resolved_at": alert.resolved_local,
    }
    return {
        "patient": names.patient(patient_id),
        "rule_id": _word(alert.rule_id),
        "rule_version": alert.rule_version,
        "priority": _word(alert.priority),
        "resolution": _word(alert.resolution),
        **{name: None if at is None else at - shift for name, at in instants.items()},
    }


def _word(text: str | None) -> str | None:
    return text if text and _WORD.fullmatch(text) else None
