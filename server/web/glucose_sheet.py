"""The report of glucose: a profile where a worn sensor is dense enough, a grid by meals of the finger-sticks, or both."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from server.people.door import GlucoseUnit
from server.rules import glucose_report, glucose_slots
from server.rules.features import features_of
from server.rules.glucose_report import GlucoseReport
from server.rules.glucose_trace import trace_of
from server.store import record
from server.store.postgres import Connection
from server.store.reading_lists import WORN, list_all_readings
from server.web import glucose_figures, sensor_figures
from server.web.glucose_figures import StickFigures
from server.web.sensor_figures import SensorFigures
from server.web.sheets import Period, Whose
from server.web.symptom_words import say_symptoms
from server.web.words import Words


@dataclass(frozen=True, slots=True, kw_only=True)
class GlucoseSheet:
    """Everything on the page, in words, and the figures behind it. `left_out`: how many finger-sticks are in no figure."""

    whose: Whose
    period: Period
    said_period: str
    unit: str
    sticks: StickFigures | None
    sensor: SensorFigures | None
    sensor_report: GlucoseReport | None
    stick_counts: Mapping[str, int]
    left_out: int
    meters: tuple[str, ...]
    noted: tuple[str, ...]


def build(
    conn: Connection, whose: Whose, period: Period, unit: GlucoseUnit, words: Words, *, now: datetime
) -> GlucoseSheet:
    """The report of the period; the caller may see the patient."""
    patient_id = whose.patient_id
    readings = list_all_readings(
        conn, patient_id, since=period.begins_at, until=period.ends_at, kinds=("glucose",), only_in_use=False
    )
    sticks = glucose_figures.sticks_of(readings, period.calendar)
    ends_at = min(period.ends_at, now)
    begins_at = ends_at - timedelta(days=period.days)  # whole days of a sensor, also when the last one has just begun
    worn = record.history_seen(conn, patient_id, since=begins_at, until=ends_at, kinds=(WORN,))
    answers = record.list_answers(conn, patient_id, since=period.begins_at, until=period.ends_at)
    meters = record.meters_of(conn, patient_id, WORN, since=begins_at, until=ends_at)
    features = features_of(worn, now=now, is_explained=False)
    trace = trace_of(features, "sensor_glucose", "mg/dL")
    return GlucoseSheet(
        whose=whose,
        period=period,
        said_period=period.say(words),
        unit=unit,
        sticks=glucose_figures.stick_figures(sticks, whose.zone, unit, words),
        sensor=sensor_figures.sensor_figures(features, days=period.days, unit=unit, words=words),
        sensor_report=glucose_report.report(trace, days=period.days) if len(trace) else None,
        stick_counts={str(band): n for band, n in glucose_slots.report(sticks).counts.items()},
        left_out=len(readings) - len(sticks),
        meters=tuple(dict.fromkeys([*(each.meter_id for each in readings), *meters])),
        noted=tuple(f"{words.moment(each.answered_at, whose.zone)} {say_symptoms(each, words)}" for each in answers),
    )
