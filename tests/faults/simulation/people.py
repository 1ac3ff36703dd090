"""Who lives where, what they measure with, and when: a seeded population with more trouble in it than a real one has.

Values come from `firmware_sims.physiology`; every fifth person lies within a few mmHg of a threshold, some are critical now and
then, some cuffs fail. Nobody here exists.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from firmware_sims import physiology
from firmware_sims.faults import Faults
from firmware_sims.physiology import SetPoint
from firmware_sims.settings import Clock, Meter, WrongClock

ZONES: Final = ("Asia/Shanghai",) * 5 + ("Asia/Singapore", "Europe/Berlin", "Europe/Berlin", "America/New_York")
STARTS: Final = (
    datetime(2027, 3, 8, tzinfo=UTC),
    datetime(2027, 3, 20, tzinfo=UTC),
    datetime(2027, 10, 12, tzinfo=UTC),
    datetime(2027, 10, 25, tzinfo=UTC),
    datetime(2026, 12, 10, tzinfo=UTC),
    datetime(2028, 2, 10, tzinfo=UTC),
)
"""Months with a clock change in Europe or America, a year's end, a 29 February."""

MOVEMENT: Final = 0x01


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One measurement that a person will make. `glucose_mg_dl` or the pressures."""

    at_s: float
    systolic_mmhg: int = 0
    diastolic_mmhg: int = 0
    pulse_bpm: int = 0
    status: int = 0
    glucose_mg_dl: int | None = None
    meal: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Somebody with a cuff, a gateway and perhaps a glucometer. `critical` is the chance of a critical value at a sitting."""

    number: int
    zone: ZoneInfo
    before: SetPoint
    after: SetPoint
    turned_on: int
    adherence: float
    critical: float
    fasting_mg_dl: float | None
    cuff: Meter
    glucometer: Meter | None


def draw_person(rng: random.Random, number: int, days: int) -> Person:
    zone = rng.choice(ZONES)
    before, after = _set_points(rng)
    has_glucometer = rng.random() < 0.3
    faults = _draw_faults(rng)
    return Person(
        number=number,
        zone=ZoneInfo(zone),
        before=before,
        after=after,
        turned_on=rng.randint(3, days),
        adherence=rng.uniform(0.5, 1.0),
        critical=0.06 if rng.random() < 0.15 else 0.0,
        fasting_mg_dl=rng.uniform(90, 180) if has_glucometer else None,
        cuff=Meter(
            name=f"bp-{number + 1}",
            kind="blood_pressure",
            index=number + 1,
            zone=zone,
            clock="ok" if faults.fails else _draw_clock(rng),
            faults=faults,
        ),
        glucometer=Meter(
            name=f"glu-{number + 1}", kind="glucose", index=number + 1, zone=zone, faults=_draw_glucose_faults(rng)
        )
        if has_glucometer
        else None,
    )


def plans(person: Person, rng: random.Random, *, start: datetime, days: int) -> Iterator[Plan]:
    """Everything the person will measure, day by day, in order: two sittings a day, each of one to three inflations."""
    first_day = start.astimezone(person.zone).date()
    for nth in range(days):
        day = physiology.draw_day(rng)
        for hour in (7.0, 19.5):
            if rng.random() >= person.adherence:
                continue
            wall = datetime.combine(first_day + timedelta(days=nth), datetime.min.time(), tzinfo=person.zone)
            at = wall + timedelta(hours=hour, seconds=rng.randint(-2700, 2700))
            at_s = (at.astimezone(UTC) - start).total_seconds()
            if at_s > 0:
                yield from _sitting(person, rng, at_s, nth, physiology.draw_sitting(rng, day), hour)


def _sitting(
    person: Person, rng: random.Random, at_s: float, nth: int, deviation: physiology.Deviation, hour: float
) -> Iterator[Plan]:
    set_point = person.after if nth >= person.turned_on else person.before
    is_critical = rng.random() < person.critical
    for _ in range(rng.choice((1, 2, 2, 2, 2, 3))):
        one = physiology.draw_inflation(rng, set_point, deviation)
        higher = rng.randint(178, 196) - one.systolic_mmhg if is_critical else 0
        yield Plan(
            at_s=at_s,
            systolic_mmhg=one.systolic_mmhg + higher,
            diastolic_mmhg=one.diastolic_mmhg + higher // 3,
            pulse_bpm=one.pulse_bpm,
            status=MOVEMENT if rng.random() < 0.03 else 0,
        )
        at_s += rng.randint(30, 110)
    if person.fasting_mg_dl is not None:
        meal = "fasting" if hour < 12 else "postprandial"
        mean = person.fasting_mg_dl + (40 if meal == "postprandial" else 0)
        has_meal = rng.random() < 0.7
        yield Plan(
            at_s=at_s + 120,
            glucose_mg_dl=physiology.draw_glucose_mg_dl(rng, mean),
            meal=meal if has_meal else None,
        )


def _set_points(rng: random.Random) -> tuple[SetPoint, SetPoint]:
    """(before the turn, after it): a third rises, a fifth lies at the threshold, the others are low or treated."""
    low = SetPoint(systolic_mmhg=rng.uniform(112, 128), diastolic_mmhg=rng.uniform(66, 80))
    high = SetPoint(systolic_mmhg=rng.uniform(146, 160), diastolic_mmhg=rng.uniform(86, 98))
    near = SetPoint(systolic_mmhg=rng.uniform(136, 144), diastolic_mmhg=rng.uniform(84, 92))
    fate = rng.random()
    if fate < 0.33:
        return low, high
    if fate < 0.55:
        return near, near
    return (high, low) if fate < 0.7 else (low, low)


def _draw_clock(rng: random.Random) -> Clock:
    """How a cuff's clock stands at first; later faults move it."""
    fate = rng.random()
    if fate < 0.06:
        return "unset"
    if fate < 0.09:
        return "1970"
    if fate < 0.12:
        return "absent"
    if fate < 0.24:
        hours = rng.choice((1, -1, 7, -6, 24, -24 * 400, 24 * 365 * 3))
        return WrongClock(offset_s=hours * 3600 + rng.randint(-300, 300))
    return WrongClock(offset_s=rng.randint(-120, 120))


def _draw_faults(rng: random.Random) -> Faults:
    return Faults(
        hangs_up=rng.random() < 0.3,
        sends_twice=rng.random() < 0.06,
        fails=rng.random() < 0.02,
        ignores_clock_writes=rng.random() < 0.08,
        drops_after_indication=rng.choice((0, 0, 0, 1, 5)),
    )


def _draw_glucose_faults(rng: random.Random) -> Faults:
    return Faults(sends_twice=rng.random() < 0.06, ignores_clock_writes=rng.random() < 0.08)
