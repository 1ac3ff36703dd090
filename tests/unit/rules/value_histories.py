"""Made-up rules about single values of any signal, and histories for them: repeats, HI and LO, answers about symptoms."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from random import Random
from typing import Any

import yaml
from unit.rules import histories, trend_histories
from unit.rules.trend_histories import CENTRES

from server.oracle.shapes import OraclePatient, OracleReading, OracleThreshold

RULE = "one-value"
SIGNALS = (
    ("systolic", "diastolic"),
    ("systolic",),
    ("diastolic",),
    ("pulse",),
    ("glucose",),
    ("glucose",),
    ("spo2",),
    ("temperature",),
)
QUALITIES = (["accepted", "suspect"], ["accepted"], ["suspect"], ["rejected"], ["accepted", "suspect", "rejected"])
NEARBY = tuple(timedelta(seconds=seconds) for seconds in (0, 30, 44, 45, 60, 299, 300, 600, 601, 1800, 86_400, 86_401))


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """A rule as text, and the signals of its conditions."""

    text: str
    signals: tuple[str, ...]


def some_rule(random: Random) -> Drawn:
    signals = random.choice(SIGNALS)
    arrived = random.choice(("in_time", "in_time", "in_time", "late"))
    when: dict[str, Any] = {
        "kind": "single_value",
        "any_of": _conditions(random, signals),
        "readings": random.choice(QUALITIES),
        "arrived": arrived,
    }
    resolve: dict[str, Any] = {"by": random.choice(("reading_below", "reading_below", "new_reading", "person"))}
    if resolve["by"] != "person":
        resolve |= {"visible_hours": random.choice((0, 24)), "at_most_hours": random.choice((None, None, 1, 12))}
    if arrived == "in_time" and resolve["by"] == "reading_below" and random.random() < 0.7:
        when["confirm"] = {
            "within_minutes": random.choice((1, 5, 30, 60, 600)),
            "priority": random.choice(("high", "medium")),
        }
    rule = {
        "id": RULE,
        "version": 2,
        "title": {"en": "t", "zh": "t"},
        "source": "made up",
        "when": when,
        "resolve": resolve,
        "priority": random.choice(("low", "information") if "confirm" in when else ("low", "medium", "high")),
        "tell": random.choice((["doctor"], [])),
    }
    return Drawn(text=yaml.safe_dump({"rules": [rule]}, allow_unicode=True), signals=signals)


def _conditions(random: Random, signals: tuple[str, ...]) -> list[dict[str, Any]]:
    in_mg_dl = random.random() < 0.4
    found = []
    for signal in signals if random.random() < 0.6 else signals * 2:
        _, unit, centre, spread = CENTRES[signal]
        value = centre + spread * random.choice((-1.5, -0.5, 0, 0.5, 1.5))
        word = random.choice(("above", "at_least", "below", "at_most"))
        is_mg_dl = signal == "glucose" and in_mg_dl
        found.append(
            {"signal": signal, word: round(value * 18) if is_mg_dl else value, "unit": "mg/dL" if is_mg_dl else unit}
        )
    return found


def some_patient(random: Random, drawn: Drawn, *, days: int = 12) -> OraclePatient:
    """Somebody who measures what the rule is about, often twice, and says now and then whether there are symptoms."""
    made = trend_histories.some_patient(random, drawn.signals, days=days)
    readings: list[OracleReading] = []
    for reading in made.readings:
        again = reading.measured_at
        for _ in range(random.choice((1, 1, 2, 3))):
            moved = replace(reading, name=histories.name_of(len(readings)), measured_at=again)
            readings.append(_received(random, _without(random, _beyond(random, moved), drawn.signals)))
            again += random.choice(NEARBY[:9])
    if random.random() < 0.2:
        own = {random.choice(drawn.signals): CENTRES[drawn.signals[0]][2] * random.choice((1, 1.02))}
        made = replace(made, thresholds={RULE: OracleThreshold(version=3, parameters=own)})
    if random.random() < 0.2 and readings:
        cut = random.choice(readings).measured_at + random.choice((timedelta(0), timedelta(hours=-9)))
        made = replace(made, judged_from=cut)
    return replace(made, readings=tuple(readings), symptoms=_symptoms(random, readings))


def _beyond(random: Random, reading: OracleReading) -> OracleReading:
    """Of finger-sticks some show HI or LO, a few of them beside a number."""
    if reading.kind == "glucose" and random.random() < 0.15:
        is_bare = random.random() < 0.8
        value = None if is_bare else reading.glucose_mmol_l
        return replace(
            reading, is_censored=True, is_hi=random.random() < 0.5, glucose_mmol_l=value, glucose_mg_dl=value
        )
    return reading


def _without(random: Random, reading: OracleReading, signals: tuple[str, ...]) -> OracleReading:
    """Of the pulse some meters say nothing."""
    return replace(reading, pulse_bpm=None) if signals == ("pulse",) and random.random() < 0.2 else reading


def _received(random: Random, reading: OracleReading) -> OracleReading:
    delay = random.choice((*histories.LATE, timedelta(seconds=30), timedelta(minutes=4, seconds=59)))
    return replace(reading, received_at=reading.measured_at + delay)


def _symptoms(random: Random, readings: list[OracleReading]) -> tuple[tuple[datetime, bool], ...]:
    if not readings:
        return ()
    chosen = random.choices(readings, k=random.choice((0, 0, 1, 4)))
    return tuple(
        (r.measured_at + random.choice((-1, 1, 1)) * random.choice(NEARBY), random.random() < 0.6) for r in chosen
    )


def some_now(random: Random, made: OraclePatient) -> datetime:
    """At or after the newest reading: around the instants at which the time to repeat is over, or later."""
    if not made.readings or random.random() < 0.4:
        return histories.some_now(random, made)
    newest = max(made.readings, key=lambda r: r.measured_at)
    end = max(newest.received_at, newest.measured_at) + timedelta(minutes=random.choice((0, 1, 5, 30)))
    return max(newest.measured_at, end + timedelta(microseconds=random.choice((-1, 0, 1))))
