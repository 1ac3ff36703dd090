"""One patient's readings laid out as the rules speak of them: qualities, sittings, measured days. Knows no rule."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from fractions import Fraction
from typing import Final

from server.oracle.days import Days
from server.oracle.marks import Inflation, among_others, inflations
from server.oracle.shapes import OraclePatient, Quality
from server.oracle.weights import others

SITTING_GAP: Final = timedelta(minutes=10)

Pressure = tuple[Fraction, Fraction]
"""Systolic and diastolic, mmHg."""

Sittings = list[list[Inflation]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sitting:
    """One with something `accepted` in it. `day`: its first reading's, of any quality. After `over_at` none can join it."""

    day: date
    over_at: datetime
    accepted: list[Inflation]


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """A patient at `now`. `measured`: the accepted readings of each day by sitting, days without any left out.

    `unjudged`: days up to it are not judged. `place`: the sitting of each reading by name; none where its time is in doubt.
    `sat`: the sittings of `measured` in order of time. `others`: the weights, by name, that are likely somebody else's.
    """

    patient: OraclePatient
    now: datetime
    days: Days
    unjudged: date
    inflations: list[Inflation]
    quality: dict[str, Quality]
    place: dict[str, int]
    sat: list[Sitting]
    measured: dict[date, Sittings]
    others: frozenset[str]


def chart_of(patient: OraclePatient, now: datetime) -> Chart:
    days = Days(patient.zones, now)
    ordered = inflations(patient.readings)
    quality = among_others(ordered)
    runs = sittings(ordered)
    sat: list[Sitting] = []
    measured: dict[date, Sittings] = {}
    for run in runs:
        accepted = [one for one in run if quality[one.name] == "accepted"]
        if accepted:
            day = days.day(run[0].at)
            sat.append(Sitting(day=day, over_at=run[-1].at + SITTING_GAP, accepted=accepted))
            measured.setdefault(day, []).append(accepted)
    return Chart(
        patient=patient,
        now=now,
        days=days,
        unjudged=date.min if patient.judged_from is None else days.day(patient.judged_from),
        inflations=ordered,
        quality=quality,
        place={one.name: index for index, run in enumerate(runs) for one in run},
        sat=sat,
        measured=dict(sorted(measured.items())),
        others=others(patient.readings, days),
    )


def sittings(ordered: list[Inflation]) -> Sittings:
    """Runs of readings of any quality; those with a doubtful time belong to none."""
    runs: Sittings = []
    for one in ordered:
        if not one.is_certain_in_time:
            continue
        if runs and one.at - runs[-1][-1].at <= SITTING_GAP:
            runs[-1].append(one)
        else:
            runs.append([one])
    return runs


def day_value(groups: Sittings) -> Pressure:
    """The mean of the sittings, each of the same weight."""
    values = [sitting_value(group) for group in groups]
    return _mean([v[0] for v in values]), _mean([v[1] for v in values])


def sitting_value(accepted: list[Inflation]) -> Pressure:
    """The mean of what was accepted; of three or more the first does not count."""
    counted = accepted[1:] if len(accepted) >= 3 else accepted
    return (
        _mean([one.systolic for one in counted if one.systolic is not None]),
        _mean([one.diastolic for one in counted if one.diastolic is not None]),
    )


def _mean(values: list[Fraction]) -> Fraction:
    return sum(values, Fraction(0)) / len(values)
