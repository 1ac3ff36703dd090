"""Made-up rules about silence and schedules, and histories with gaps: days without a reading, times that nobody could hear.

Spans begin and end around the closes of days, and last around the hours after which a day is unknown.
"""

from dataclasses import replace
from datetime import datetime, timedelta
from random import Random
from typing import Any

import yaml
from unit.rules import histories

from server.oracle.days import Days
from server.oracle.marks import by_itself
from server.oracle.shapes import OraclePatient, OracleReading, OracleThreshold

RULE = "absence"
KINDS = ("silence", "schedule")
MICROSECOND = timedelta(microseconds=1)
OF = ("blood_pressure", "blood_pressure", "blood_pressure", "glucose", "weight", "temperature")
LASTING = (0, 1, 5, 6, 6, 7, 12, 23, 24, 25, 49, 24 * 5, 24 * 12)


def some_rule(random: Random, kind: str) -> str:
    """As text."""
    hours = random.choice((0, 1, 6, 6, 12, 23, 24))
    when: dict[str, Any] = {"kind": kind, "unknown_after_hours": hours}
    if kind == "silence":
        when["days"] = random.choice((1, 2, 3, 3, 4, 7))
    else:
        of_days = random.choice((1, 2, 4, 7, 7, 10, 30))
        when |= {"of": random.choice(OF), "of_days": of_days, "measured_days": random.randint(1, of_days)}
        if random.random() < 0.3:
            when["readings_per_day"] = random.choice((1, 2, 3))
    rule = {
        "id": RULE,
        "version": 2,
        "title": {"en": "t", "zh": "t"},
        "source": "made up",
        "when": when,
        "resolve": {"by": "measuring" if kind == "silence" else "schedule"},
        "priority": "information",
        "tell": ["doctor"],
    }
    return yaml.safe_dump({"rules": [rule]})


def some_patient(random: Random, text: str, *, days: int = 60) -> OraclePatient:
    """Somebody who measures for some days, and then for some days does not; of some days nobody can say."""
    (written,) = yaml.safe_load(text)["rules"]
    made = histories.patient(random, days=days)
    readings = tuple(_measured(random, each, written["when"]) for each in with_gaps(random, made))
    made = replace(made, readings=readings, enrolled_on=made.enrolled_on + timedelta(days=random.choice((0, 0, -3, 5))))
    made = replace(made, unheard=some_unheard(random, made, written["when"]["unknown_after_hours"]))
    return replace(made, thresholds=_own(random, written["when"]))


def with_gaps(random: Random, made: OraclePatient) -> list[OracleReading]:
    """What is left of the readings where on some days nobody measured."""
    kept: list[OracleReading] = []
    until: datetime | None = None
    for reading in sorted(made.readings, key=lambda each: each.measured_at):
        if until is None and random.random() < 0.12:
            until = reading.measured_at + timedelta(days=random.choice((1, 2, 3, 4, 5, 8, 9, 16, 25)))
        if until is None or reading.measured_at >= until:
            until = None
            kept.append(replace(reading, name=histories.name_of(len(kept))))
    return kept


def _measured(random: Random, reading: OracleReading, when: dict[str, Any]) -> OracleReading:
    """What the schedule is about, or anything."""
    if random.random() < (0.15 if when.get("of", "blood_pressure") == "blood_pressure" else 0.6):
        return histories.some_other(random, reading)
    return reading


def some_unheard(random: Random, made: OraclePatient, hours: int) -> tuple[tuple[datetime, datetime | None], ...]:
    """Spans about as long as `hours`, about the closes of days; none for some."""
    if not made.readings or random.random() < 0.25:
        return ()
    first, last = min(r.measured_at for r in made.readings), max(r.measured_at for r in made.readings)
    days = Days(made.zones, last + timedelta(days=60))
    spans: list[tuple[datetime, datetime | None]] = []
    for _ in range(random.choice((1, 2, 4, 8))):
        day = days.day(first) + timedelta(days=random.randint(-2, (last - first).days + 12))
        began = days.close(day) + random.choice((0, 0, 3, 11.5, 23, -1)) * timedelta(hours=1)
        lasts = random.choice((*LASTING, hours, hours, 24 - hours))
        ended = began + timedelta(hours=lasts) + random.choice((-1, 0, 0, 0, 1)) * MICROSECOND
        spans.append((began, None if random.random() < 0.08 else ended))
        if random.random() < 0.3:
            middle = began + timedelta(hours=lasts) / 2
            spans.append((middle, middle + timedelta(hours=random.choice((*LASTING, hours)))))
    random.shuffle(spans)
    return tuple(spans)


def _own(random: Random, when: dict[str, Any]) -> dict[str, OracleThreshold]:
    if random.random() < 0.8:
        return {}
    if random.random() < 0.2:
        return {RULE: OracleThreshold(version=3, parameters={}, is_watched=random.choice((None, True, False)))}
    if when["kind"] == "silence":
        return {RULE: OracleThreshold(version=3, parameters={"days": random.randint(1, 9)})}
    return {RULE: OracleThreshold(version=3, parameters={"measured_days": random.randint(1, when["of_days"])})}


def cut(made: OraclePatient, loaded_from: datetime) -> OraclePatient:
    """The same patient as somebody sees them who has loaded the readings from there on."""
    before = [each.measured_at for each in made.readings if each.measured_at < loaded_from and is_counted(each)]
    return replace(
        made,
        readings=tuple(each for each in made.readings if each.measured_at >= loaded_from),
        last_counted_before=max(before, default=None),
    )


def is_counted(reading: OracleReading) -> bool:
    """Does it say that somebody measures?"""
    return reading.time_quality != "orphan" and by_itself(reading) == "accepted"


def some_now(random: Random, made: OraclePatient) -> datetime:
    """Some days after the newest reading, often the very close of a day; now and then a meter's clock is ahead of it."""
    now = histories.some_now(random, made) + timedelta(days=random.choice((0, 0, 1, 4, 8, 20, 40)))
    if made.readings and random.random() < 0.1:
        now = random.choice(made.readings).measured_at
    if random.random() < 0.4:
        days = Days(made.zones, now + timedelta(days=2))
        now = days.close(days.day(now)) + random.choice((-1, 0, 0)) * MICROSECOND
    return now
