"""Whose report, and of which days: what both reports begin with. A report is of whole clinical days of the patient's own."""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Final

from server.rules.clinical_days import Calendar
from server.store import record, thresholds, worklist
from server.store.postgres import Connection
from server.store.worklist import PanelPatient
from server.web.words import Words

DAYS_MAX: Final = 90


@dataclass(frozen=True, slots=True, kw_only=True)
class Whose:
    """The patient as a sheet of paper names them."""

    patient_id: int
    name: str
    birth_date: date | None
    conditions: tuple[str, ...]
    zone: str
    language: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Period:
    """The clinical days `first_day` to `last_day`, both included, and the instants at which they begin and end."""

    calendar: Calendar
    first_day: date
    last_day: date
    begins_at: datetime
    ends_at: datetime

    @property
    def days(self) -> int:
        return (self.last_day - self.first_day).days + 1

    def clock(self, at: datetime) -> str:
        """07:31 on the wall clock of where the patient was then."""
        minutes = (self.calendar.wall_of(at) // 60_000_000 + 180) % 1440
        return f"{minutes // 60:02d}:{minutes % 60:02d}"

    def day(self, at: datetime) -> date:
        return date.fromordinal(self.calendar.day_of(at))

    def say(self, words: Words) -> str:
        return words.say("%(first)s to %(last)s", first=words.day(self.first_day), last=words.day(self.last_day))


def of_panel(patient: PanelPatient) -> Whose:
    return Whose(
        patient_id=patient.patient_id,
        name=patient.name,
        birth_date=patient.birth_date,
        conditions=tuple(patient.conditions),
        zone=patient.zone,
        language=patient.language,
    )


def find(conn: Connection, patient_id: int, *, now: datetime) -> Whose | None:
    """Any patient: the caller holds the patient's link, or runs the house."""
    patient = worklist.find_patient(conn, patient_id, now=now)
    if patient is None:
        return None
    conditions, birth_date = thresholds.who(conn, patient_id)
    return Whose(
        patient_id=patient_id,
        name=patient.name,
        birth_date=birth_date,
        conditions=tuple(conditions),
        zone=patient.zone,
        language=patient.language,
    )


def period_of(conn: Connection, patient_id: int, *, days: int, until: date | None, now: datetime) -> Period:
    """The last `days` clinical days up to `until`, or up to today."""
    assert 1 <= days <= DAYS_MAX, days
    calendar = Calendar(record.zones_of(conn, patient_id), now)
    today = calendar.day_of(now)
    last = today if until is None else min(until.toordinal(), today)
    return Period(
        calendar=calendar,
        first_day=date.fromordinal(last - days + 1),
        last_day=date.fromordinal(last),
        begins_at=calendar.close_of(last - days),
        ends_at=calendar.close_of(last),
    )
