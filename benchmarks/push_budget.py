"""How many messages a patient and a doctor get, against the budget of reliability 4: at most 2 a patient-week, 10 a doctor-day.

The simulated cohort measures for some weeks; every reading is judged as it arrives by the whole catalog as delivered (rules that
are chosen for a patient speak of nobody). Counted are openings, what is raised, what is taken back, and the weekly reminders to a
doctor; then the house's own rules apply: a more urgent alert of the same signal speaks for a lesser one while it is open, and
what is told within five minutes goes as one. Nobody acknowledges anything. Steps of a ladder are not counted: they are of what
nobody has taken care of.

    python -m benchmarks.push_budget [--patients 64] [--days 28]
"""

import argparse
import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from firmware_sims.cohort import Person, cohort, history
from server.push.queueing import REMIND_AFTER
from server.rules.episodes import Audience, is_more_urgent
from server.rules.inhibition import speaks_for
from server.rules.load import load_catalog
from server.rules.rehearsal import Arrival, Played, Rehearsal
from server.rules.rule import RuleSet
from server.rules.windows import PatientHistory, Row, ZoneSpan, window_of
from vitals.quality import grade
from vitals.reading import BloodPressure, Glucose, Reading

UNTIL: Final = datetime(2026, 11, 20, 12, tzinfo=UTC)
TOGETHER: Final = timedelta(minutes=5)
PATIENT_WEEK_MAX: Final = 2.0
DOCTOR_DAY_MAX: Final = 10.0
PANEL: Final = 128
"""Patients of a doctor, as in the programme that is the yardstick (ecosystem 3.1)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """Messages to all patients and to all doctors, before and after what speaks for another and goes as one."""

    episodes: int
    patient_raw: int
    patient: int
    doctor_raw: int
    doctor: int


def main(argv: Sequence[str] | None = None) -> int:
    """Print a table and a JSON line; 1 if the budget is broken."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--patients", type=int, default=64)
    parser.add_argument("--days", type=int, default=28)
    wish = parser.parse_args(argv)
    rules = load_catalog()
    people = cohort(seed=6, patients=wish.patients, days=wish.days, until=UNTIL)
    counts = [_count(_play(person, number, rules, wish.days), rules) for number, person in enumerate(people, start=1)]
    return _report(counts, patients=wish.patients, days=wish.days)


def _play(person: Person, number: int, rules: RuleSet, days: int) -> list[Played]:
    began = UNTIL - timedelta(days=days)
    patient = PatientHistory(
        patient_id=number,
        enrolled_on=(began - timedelta(days=2)).date(),
        zones=(ZoneSpan(valid_from=began - timedelta(days=365), zone=person.zone),),
        window=window_of([]),
        thresholds={},
    )
    rehearsal = Rehearsal(patient, rules)
    rehearsal.run((Arrival(at=each.received_at, row=_row(each)) for each in history(person, gateway_id="gw")), UNTIL)
    return rehearsal.played


def _row(reading: Reading) -> Row:
    said = reading.measurement
    values: dict[str, Any] = dict.fromkeys(Row._fields)
    match said:
        case BloodPressure():
            names = ("systolic_mmhg", "diastolic_mmhg", "pulse_bpm")
            values |= {name: getattr(said, name) for name in names} | {
                "kind": "blood_pressure",
                "meter_status": said.status,
            }
        case Glucose():
            names = ("glucose_mmol_l", "glucose_mg_dl", "meal")
            values |= {name: getattr(said, name) for name in names} | {"kind": "glucose"}
        case _:
            raise AssertionError(type(said))
    return Row(
        **values
        | {
            "reading_id": reading.reading_id,
            "measured_at": reading.measured_at,
            "received_at": reading.received_at,
            "quality": grade(said)[0].value,
            "time_quality": reading.time_quality.value,
        }
    )


def _count(played: Sequence[Played], rules: RuleSet) -> Count:
    told = {who: [at for each in played for at in _instants(each, who)] for who in ("patient", "doctor")}
    kept = {
        who: [at for each in played for at in _instants(each, who) if not _is_spoken_for(each, at, played, rules)]
        for who in ("patient", "doctor")
    }
    return Count(
        episodes=len(played),
        patient_raw=len(told["patient"]),
        patient=_messages(kept["patient"]),
        doctor_raw=len(told["doctor"]),
        doctor=_messages(kept["doctor"]),
    )


def _instants(played: Played, who: Audience | str) -> list[datetime]:
    """When that audience was told; the doctor also every week, for nobody acknowledges."""
    instants = [each.at for each in played.told if each.who == who and each.at <= UNTIL]
    if who == "doctor" and instants:
        until = min(played.episode.resolved_at or UNTIL, UNTIL)
        again = max(instants) + REMIND_AFTER
        while again <= until:
            instants.append(again)
            again += REMIND_AFTER
    return instants


def _is_spoken_for(lesser: Played, at: datetime, played: Sequence[Played], rules: RuleSet) -> bool:
    rule = rules.by_id(lesser.episode.rule_id)
    return any(
        each.episode.opened_at <= at <= (each.episode.resolved_at or UNTIL)
        and is_more_urgent(each.episode.priority, than=lesser.episode.priority)
        and speaks_for(rules.by_id(each.episode.rule_id), rule)
        for each in played
    )


def _messages(instants: Iterable[datetime]) -> int:
    """What is told within five minutes is one message."""
    messages, last = 0, None
    for at in sorted(instants):
        if last is None or at - last >= TOGETHER:
            messages, last = messages + 1, at
    return messages


def _report(counts: Sequence[Count], *, patients: int, days: int) -> int:
    weeks, patient_days = patients * days / 7, patients * days
    patient, doctor = sum(each.patient for each in counts), sum(each.doctor for each in counts)
    patient_raw, doctor_raw = sum(each.patient_raw for each in counts), sum(each.doctor_raw for each in counts)
    busiest = max(each.patient for each in counts) * 7 / days
    line: dict[str, Any] = {
        "benchmark": "push_budget",
        "patients": patients,
        "days": days,
        "episodes_per_patient_day": round(sum(each.episodes for each in counts) / patient_days, 4),
        "patient_week": round(patient / weeks, 3),
        "patient_week_raw": round(patient_raw / weeks, 3),
        "busiest_patient_week": round(busiest, 2),
        "doctor_day": round(doctor / patient_days * PANEL, 2),
        "doctor_day_raw": round(doctor_raw / patient_days * PANEL, 2),
        "panel": PANEL,
        "is_well": patient / weeks <= PATIENT_WEEK_MAX and doctor / patient_days * PANEL <= DOCTOR_DAY_MAX,
    }
    table = Table(title=f"Messages of {patients} simulated patients in {days} days")
    for heading in ("", "told", "without inhibition and grouping", "budget"):
        table.add_column(heading)
    table.add_row(
        "to a patient, a week", str(line["patient_week"]), str(line["patient_week_raw"]), f"{PATIENT_WEEK_MAX}"
    )
    table.add_row(
        f"to a doctor of {PANEL}, a day", str(line["doctor_day"]), str(line["doctor_day_raw"]), f"{DOCTOR_DAY_MAX}"
    )
    table.add_row("the busiest patient, a week", str(line["busiest_patient_week"]), "", "")
    table.add_row("episodes a patient-day", str(line["episodes_per_patient_day"]), "", "0.48 published")
    Console(width=110).print(table)
    sys.stdout.write(json.dumps(line) + "\n")
    return 0 if line["is_well"] else 1


if __name__ == "__main__":
    raise SystemExit(main())
