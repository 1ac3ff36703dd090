"""Made-up histories and rules for trends: any signal, any statistic, values that crowd around the rule's own threshold.

The rule is drawn first, and the patient's values from around its threshold, where the answers differ.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from fractions import Fraction
from random import Random
from typing import Any

import yaml
from unit.rules import histories

from server.oracle.shapes import Kind, OraclePatient, OracleReading

RULE = "trend"
CENTRES: dict[str, tuple[Kind, str, float, float]] = {
    "systolic": ("blood_pressure", "mmHg", 140, 4),
    "diastolic": ("blood_pressure", "mmHg", 85, 3),
    "pulse_pressure": ("blood_pressure", "mmHg", 55, 5),
    "pulse": ("oxygen_saturation", "bpm", 80, 5),
    "irregular_pulse": ("blood_pressure", "flag", 1, 1),
    "glucose": ("glucose", "mmol/L", 8, 1.5),
    "fasting_glucose": ("glucose", "mmol/L", 8, 1.5),
    "preprandial_glucose": ("glucose", "mmol/L", 8, 1.5),
    "postprandial_glucose": ("glucose", "mmol/L", 8, 1.5),
    "sensor_glucose": ("sensor_glucose", "mmol/L", 8, 1.5),
    "weight": ("weight", "kg", 81, 1),
    "spo2": ("oxygen_saturation", "%", 93, 2),
    "temperature": ("temperature", "°C", 37.5, 0.5),
}
"""Signal: the kind that is drawn for it, the unit, the middle of its values, and how far they lie apart."""

MG_DL = Fraction("18.0182")
OFS = ("readings", "readings", "first_of_day", "first_of_morning")
DIFFERENCES = ("day_spreads", "meal_rises") * 4
MEALS = (None, "fasting", "preprandial", "preprandial", "postprandial", "postprandial", "bedtime")
AFTER_A_MEAL = tuple(timedelta(seconds=seconds) for seconds in (0, 3599, 3600, 7200, 10_800, 10_801))
COMPARISONS: dict[str, tuple[str, ...]] = {
    "mean": ("above", "at_least", "below", "at_most"),
    "arv": ("above", "at_least", "below", "at_most"),
    "highest": ("above", "at_least"),
    "lowest": ("below", "at_most"),
    "sd": ("above",),
    "cv": ("above",),
    "count": ("at_least",),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """A rule of one of the trend kinds as text, and the signals of its conditions."""

    text: str
    signals: tuple[str, ...]


def some_rule(random: Random, kind: str, *, signals: tuple[str, ...] = ()) -> Drawn:
    """A rule about `signals`, or about any."""
    signals = signals or _signals(random, kind)
    more = ("sittings", "days") if set(signals) <= {"systolic", "diastolic"} else ()
    of = random.choice((*OFS, *more, *(DIFFERENCES if signals == ("glucose",) else ())))
    when: dict[str, Any] = {"kind": kind, "of": of}
    match kind:
        case "rolling":
            by = _roll(random, when, signals)
        case "count_of_last":
            of_last = random.randint(1, 5)
            when |= {"needed": random.randint(1, of_last), "of_last": of_last, "within": _reach(random)}
            when["any_of"] = [_condition(random, signal, COMPARISONS["mean"], of) for signal in signals]
            if random.random() < 0.5:
                when |= {"on_days": random.randint(1, when["needed"]), "min_readings": random.randint(1, of_last)}
            by = CENTRES[signals[0]][3]
        case _:
            when["of"] = random.choice(OFS)
            by = CENTRES[signals[0]][3]
            word = random.choice(("rises_by", "falls_by"))
            when |= {"signal": signals[0], "unit": CENTRES[signals[0]][1], "within": _reach(random)}
            when[word] = by * random.choice((0.5, 1, 1.5))
    rule = {
        "id": RULE,
        "version": 2,
        "title": {"en": "t", "zh": "t"},
        "source": "made up",
        "when": when,
        "resolve": {"below_by": random.choice((0, 0, by / 2, by, by * 4))},
        "priority": "low",
        "tell": ["doctor"],
    }
    return Drawn(text=yaml.safe_dump({"rules": [rule]}, allow_unicode=True), signals=signals)


def _signals(random: Random, kind: str) -> tuple[str, ...]:
    if kind == "change" or random.random() < 0.5:
        return (random.choice((*CENTRES, "glucose", "glucose")),)
    if kind == "count_of_last" or random.random() < 0.6:
        return ("systolic", "diastolic")
    return tuple(random.sample(tuple(CENTRES), random.choice((2, 3))))


def _roll(random: Random, when: dict[str, Any], signals: Sequence[str]) -> float:
    statistic = random.choice(tuple(COMPARISONS))
    if statistic == "cv" and (when["of"] in ("day_spreads", "meal_rises") or "irregular_pulse" in signals):
        statistic = "mean"
    words = COMPARISONS[statistic]
    when |= {"statistic": statistic, "over": _reach(random), "min_readings": random.randint(2, 4)}
    if statistic == "count" or (statistic not in ("sd", "cv") and random.random() < 0.3):
        when["min_readings"] = 1
    if statistic == "count":
        when["any_of"] = [{"signal": signals[0], "at_least": random.randint(1, 6), "unit": "readings"}]
        return 1
    spread = CENTRES[signals[0]][3]
    match statistic:
        case "sd" | "arv":
            when["any_of"] = [
                {"signal": s, random.choice(words): CENTRES[s][3] * random.choice((0.5, 1)), "unit": CENTRES[s][1]}
                for s in signals
            ]
            return spread / 2
        case "cv":
            when["any_of"] = [
                {"signal": s, "above": round(100 * CENTRES[s][3] / CENTRES[s][2], 2), "unit": "%"} for s in signals
            ]
            return 1.25
    when["any_of"] = [_condition(random, signal, words, when["of"]) for signal in signals]
    return spread / 2


def _condition(random: Random, signal: str, words: Sequence[str], of: str) -> dict[str, Any]:
    _, unit, centre, spread = CENTRES[signal]
    if of in ("day_spreads", "meal_rises"):
        centre = spread
    value = centre + spread * random.choice((-0.5, 0, 0, 0.5))
    if "glucose" in signal and random.random() < 0.3:
        return {"signal": signal, random.choice(words): round(value * 18), "unit": "mg/dL"}
    return {"signal": signal, random.choice(words): value, "unit": unit}


def _reach(random: Random) -> dict[str, int]:
    if random.random() < 0.5:
        return {"days": random.choice((1, 2, 3, 7, 14))}
    return {"hours": random.choice((1, 12, 24, 48, 72, 168))}


def some_patient(random: Random, signals: Sequence[str], *, days: int = 40) -> OraclePatient:
    """A made-up patient who measures what the signals need, and now and then something else."""
    made = histories.patient(random, days=days)
    readings = tuple(_measured(random, reading, random.choice(signals)) for reading in made.readings)
    return replace(made, readings=readings)


def _measured(random: Random, made: OracleReading, signal: str) -> OracleReading:
    """The same moment, with a value near the signal's middle; now and then something else altogether."""
    kind, _, centre, spread = CENTRES[signal]
    if random.random() < 0.04:
        return histories.some_other(random, made)
    value = Fraction(str(centre)) + Fraction(str(spread)) * Fraction(random.randint(-4, 4), 2)
    if random.random() < 0.1:
        value += Fraction(random.randint(-9, 9), 1_000_000)
    match signal:
        case "systolic":
            return replace(made, systolic_mmhg=value, diastolic_mmhg=min(value - 20, _near(random, "diastolic")))
        case "diastolic":
            return replace(made, diastolic_mmhg=value, systolic_mmhg=max(value + 20, _near(random, "systolic")))
        case "pulse_pressure":
            low = _near(random, "diastolic")
            return replace(made, systolic_mmhg=low + value, diastolic_mmhg=low)
        case "pulse" if random.random() < 0.5:
            return replace(made, pulse_bpm=value)
        case "irregular_pulse":
            return replace(made, status=random.choice((None, 0, 4, 4)))
    bare = replace(made, systolic_mmhg=None, diastolic_mmhg=None, pulse_bpm=None, status=None, kind=kind)
    match signal:
        case "pulse":
            return replace(bare, pulse_bpm=value, spo2_percent=Fraction(97))
        case "sensor_glucose":
            return replace(bare, glucose_mmol_l=value, glucose_mg_dl=round(value * MG_DL, 3))
        case "weight":
            return replace(bare, weight_kg=value + _of_a_guest(random))
        case "spo2":
            return replace(bare, spo2_percent=min(value, Fraction(100)), pulse_bpm=random.choice((None, Fraction(80))))
        case "temperature":
            return replace(bare, temperature_celsius=value)
    meal = random.choice(MEALS)
    if meal == "postprandial":
        at = bare.measured_at + random.choice(AFTER_A_MEAL)
        bare = replace(bare, measured_at=at, received_at=at)
    return replace(bare, glucose_mmol_l=value, glucose_mg_dl=round(value * MG_DL, 3), meal=meal)


def _of_a_guest(random: Random) -> Fraction:
    """By how much somebody else on the scale weighs more, if it is somebody else: about the 5 kg that make a guest."""
    if random.random() < 0.7:
        return Fraction(0)
    return Fraction(random.choice(("-7", "-5.000001", "-5", "4", "5", "5.000001", "6", "7")))


def _near(random: Random, signal: str) -> Fraction:
    _, _, centre, spread = CENTRES[signal]
    return Fraction(str(centre)) + Fraction(str(spread)) * random.randint(-1, 1)
