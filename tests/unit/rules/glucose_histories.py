"""Made-up rules and histories of glucose over time: values at every limit, readings as far apart as gaps and minutes are long."""

from dataclasses import replace
from datetime import timedelta
from fractions import Fraction
from random import Random
from typing import Any

import yaml
from unit.rules import histories

from server.oracle.shapes import Kind, OraclePatient, OracleReading

RULE = "glucose-over-time"
KINDS = ("range_share", "lasting")
MG_DL = Fraction("18.0182")
VALUES = (45, 53, 54, 55, 69, 70, 71, 110, 126, 140, 179, 180, 181, 250, 251, 300)
"""mg/dL: at the limits, a little beyond, and where most are."""

IN_MMOL_L = tuple(Fraction(tenths, 10) for tenths in (29, 30, 31, 38, 39, 40, 60, 78, 99, 100, 101, 139, 140))
STEPS = tuple(timedelta(seconds=seconds) for seconds in (0, 60, 300, 300, 300, 899, 900, 1800, 2700, 2701))
COMPARISONS = ("above", "at_least", "below", "at_most")
LIMITS: dict[str, tuple[float, ...]] = {
    "share": (0, 25, 33.333333, 50, 66.666667, 75, 100),
    "mean": (100, 120, 126, 140),
    "cv": (0, 20, 36, 45.5),
    "gmi": (6, 6.5, 7, 7.5),
    "gri": (0, 30, 60, 80, 100),
    "lbgi": (0.5, 1.1, 2.5, 5),
    "hbgi": (1, 4.5, 9),
}


def some_rule(random: Random, kind: str) -> tuple[str, str]:
    """A rule as text, and the signal that it is about."""
    when, by = _lasting(random) if kind == "lasting" else _range_share(random)
    rule = {
        "id": RULE,
        "version": 2,
        "title": {"en": "t", "zh": "t"},
        "source": "made up",
        "when": when,
        "resolve": {"by": "time"} if kind == "lasting" else {"below_by": random.choice((0, 0, by / 4, by))},
        "priority": "low",
        "tell": ["doctor"],
    }
    return yaml.safe_dump({"rules": [rule]}), when["signal"]


def _lasting(random: Random) -> tuple[dict[str, Any], float]:
    limit, unit = random.choice(((54, "mg/dL"), (70, "mg/dL"), (180, "mg/dL"), (3.9, "mmol/L"), (10.0, "mmol/L")))
    return {
        "kind": "lasting",
        "signal": "sensor_glucose",
        random.choice(COMPARISONS): limit,
        "unit": unit,
        "minutes": random.choice((1, 5, 15, 15, 30)),
        "gap_minutes": random.choice((5, 15, 45, 45, 600)),
    }, 0


def _range_share(random: Random) -> tuple[dict[str, Any], float]:
    signal = random.choice(("sensor_glucose", "sensor_glucose", "glucose"))
    statistic = random.choice([each for each in LIMITS if signal != "glucose" or each not in ("gmi", "gri")])
    limit, days = random.choice(LIMITS[statistic]), random.choice((1, 2, 3, 7, 14, 25))
    units = {"share": "%", "cv": "%", "gmi": "%", "mean": random.choice(("mg/dL", "mmol/L"))}
    unit = units.get(statistic, "index")
    if unit == "mmol/L":
        limit = round(limit / 18, 1)
    when: dict[str, Any] = {
        "kind": "range_share",
        "signal": signal,
        "statistic": statistic,
        "over": {"days": days},
        random.choice(COMPARISONS): limit,
        "unit": unit,
    }
    if statistic == "share":
        when["range"] = random.choice(
            (
                {"from": 70, "to": 180, "unit": "mg/dL"},
                {"from": 3.9, "to": 10.0, "unit": "mmol/L"},
                {"below": 70, "unit": "mg/dL"},
                {"above": 180, "unit": "mg/dL"},
            )
        )
    if signal == "sensor_glucose":
        when["sufficient_percent"] = random.choice((1, 2, 3, 4, 6, 10))
    else:
        when |= {"min_readings": random.randint(1, 8), "min_days": random.randint(1, min(days, 3))}
    return when, max(limit / 4, 0.25)


def some_patient(random: Random, signal: str, *, days: int = 30) -> OraclePatient:
    """Somebody who wears a sensor, or measures by hand, in bursts; now and then something else is measured."""
    made = histories.patient(random, days=days)
    readings: list[OracleReading] = []
    for reading in made.readings:
        at = reading.measured_at
        middle = random.choice(VALUES)
        for _ in range(random.choice((1, 1, 3, 6))):
            name = histories.name_of(len(readings))
            moved = replace(reading, name=name, measured_at=at, received_at=at + random.choice(histories.LATE))
            readings.append(_measured(random, moved, signal, middle))
            at += random.choice(STEPS)
    return replace(made, readings=tuple(readings))


def _measured(random: Random, reading: OracleReading, signal: str, middle: int) -> OracleReading:
    """The same moment with glucose, mostly near `middle`."""
    if random.random() < 0.03:
        return histories.some_other(random, reading)
    kind: Kind = "sensor_glucose" if signal == "sensor_glucose" else "glucose"
    bare = replace(reading, kind=kind, systolic_mmhg=None, diastolic_mmhg=None, pulse_bpm=None, status=None)
    if random.random() < 0.06:
        return replace(bare, is_censored=True, is_hi=random.random() < 0.5)
    if random.random() < 0.3:
        mmol_l = random.choice(IN_MMOL_L)
        return replace(bare, glucose_mmol_l=mmol_l, glucose_mg_dl=round(mmol_l * MG_DL, 5))
    mg_dl = Fraction(middle if random.random() < 0.6 else random.choice(VALUES))
    return replace(bare, glucose_mg_dl=mg_dl, glucose_mmol_l=round(mg_dl / MG_DL, 9))
