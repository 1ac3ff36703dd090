"""Made-up histories of people who share a scale, or whose weight changes for good: around five kilograms and around two."""

from dataclasses import replace
from datetime import timedelta
from fractions import Fraction
from random import Random

from unit.rules import histories
from unit.rules.trend_histories import CENTRES

from server.oracle.shapes import OraclePatient, OracleReading

OWN_KG = Fraction(CENTRES["weight"][2])
FROM_OWN = tuple(
    Fraction(each)
    for each in ("0", "0", "0", "0.5", "-1", "1", "2", "-2", "2.000001", "5", "-5", "5.000001", "-5.000001", "6.5")
)
OF_ANOTHER = tuple(Fraction(each) for each in ("-20", "-20", "-18", "-21.9", "7", "9", "9.000001", "5.5"))
GAPS = tuple(timedelta(seconds=seconds) for seconds in (0, 30, 3600, 86_400, 259_199, 259_200, 259_201))


def some_patient(random: Random, *, days: int = 40) -> OraclePatient:
    """Somebody who is weighed, now and then with somebody else, or after a change that lasts; a few have measured little."""
    made = histories.patient(random, days=days)
    readings: list[OracleReading] = []
    own, another = OWN_KG, OWN_KG + random.choice(OF_ANOTHER)
    visitors, changes = random.choice((0.0, 0.0, 0.05, 0.2, 0.5)), random.choice((0.0, 0.02, 0.06))
    spread = random.choice(((0,), (0, 0, 0, 0, 1), (0, 1)))
    for reading in sorted(made.readings, key=lambda r: r.measured_at):
        if random.random() < changes:
            own, another = another, own
        at = reading.measured_at
        for _ in range(random.choice((1, 1, 1, 2))):
            kg = another if random.random() < visitors else own
            moved = replace(reading, name=histories.name_of(len(readings)), measured_at=at, received_at=at)
            readings.append(_weighed(random, moved, kg + random.choice(FROM_OWN) * random.choice(spread)))
            at += random.choice(GAPS)
    random.shuffle(readings)
    return replace(made, readings=tuple(readings))


def _weighed(random: Random, reading: OracleReading, kg: Fraction) -> OracleReading:
    if random.random() < 0.01:
        return histories.some_other(random, reading)
    bare = replace(reading, kind="weight", systolic_mmhg=None, diastolic_mmhg=None, pulse_bpm=None, status=None)
    return replace(bare, weight_kg=kg, received_at=reading.measured_at + random.choice(histories.LATE))
