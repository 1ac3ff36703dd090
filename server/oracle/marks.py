"""What a measurement is worth, by the clinical gate: first by itself (`by_itself`), then among its neighbours (`among_others`).

Looks at numbers and status bits alone; a mark that somebody stored with the reading is not read.
"""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from fractions import Fraction
from statistics import median
from typing import Final

from server.oracle.shapes import OracleReading, Quality

CUFF_MOVED: Final = (0, 1, 5)
"""Bits of the Measurement Status: body movement, loose cuff, improper position. An irregular pulse alone rejects nothing."""

SENSOR_FAILED: Final = (1, 2, 3, 4, 7, 8, 9, 10)
"""Bits of the Sensor Status: fault, sample, strip (3 times), temperature (2 times), interrupted, device fault."""

WORN_SENSOR_FAILED: Final = (2, 3, 5, 11, 12, 13)
"""Bits of a worn sensor's Sensor Status Annunciation: wrong sensor, malfunction, fault, wants calibration, too hot, too cold."""

NOT_A_PERSON: Final = (10, 11)
"""Bits of an oximeter's Measurement Status: it shows what it can do, or is being tested."""

OXIMETER_UNSURE: Final = (6, 12, 13, 14, 15)
"""Bits of its Measurement Status: early estimate, calibrating, unavailable, questionable, invalid."""

FINGER_OR_SENSOR: Final = (1, 2, 3, 4, 6, 7, 8, 10, 11, 12, 13, 14, 15)
"""Bits of its Device and Sensor Status: all that is known but a busy display, low perfusion, and analysis still going on."""

TOO_SOON: Final = timedelta(seconds=45)
JUMP_WINDOW: Final = timedelta(days=14)
JUMP_MMHG: Final = 40
JUMP_NEEDS: Final = 5
AGREEMENT_WINDOW: Final = timedelta(hours=24)
AGREEMENT_MMHG: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Inflation:
    """A blood pressure that rules may use (it is no orphan), with its mark by itself; pressures to the millionth of a mmHg.

    `millionths`: the systolic once more as a whole number, because medians of fractions take most of the time.
    """

    name: str
    at: datetime
    received: datetime
    systolic: Fraction | None
    diastolic: Fraction | None
    millionths: int
    mark: Quality
    is_certain_in_time: bool


def inflations(readings: Sequence[OracleReading]) -> list[Inflation]:
    """The usable blood pressures in order of time."""
    found = [
        Inflation(
            name=reading.name,
            at=reading.measured_at,
            received=reading.received_at,
            systolic=None if reading.systolic_mmhg is None else round(reading.systolic_mmhg, 6),
            diastolic=None if reading.diastolic_mmhg is None else round(reading.diastolic_mmhg, 6),
            millionths=0 if reading.systolic_mmhg is None else round(reading.systolic_mmhg * 1_000_000),
            mark=by_itself(reading),
            is_certain_in_time=reading.time_quality != "suspect",
        )
        for reading in readings
        if reading.kind == "blood_pressure" and reading.time_quality != "orphan"
    ]
    return sorted(found, key=lambda one: (one.at, one.name))


def by_itself(reading: OracleReading) -> Quality:
    """The absolute mark: impossible is invalid, disturbed is rejected, all else stands."""
    match reading.kind:
        case "blood_pressure":
            return _pressure_mark(reading)
        case "glucose":
            return "invalid" if reading.is_control else _sugar_mark(reading, SENSOR_FAILED)
        case "sensor_glucose":
            return _sugar_mark(reading, WORN_SENSOR_FAILED)
        case "oxygen_saturation":
            return _oxygen_mark(reading)
        case "weight" | "temperature":
            return "accepted" if has_possible_value(reading) else "invalid"
        case "heart_rate":
            if not has_possible_value(reading):
                return "invalid"
            return "rejected" if reading.has_contact is False else "accepted"


def _pressure_mark(reading: OracleReading) -> Quality:
    systolic, diastolic, pulse = reading.systolic_mmhg, reading.diastolic_mmhg, reading.pulse_bpm
    if systolic is None or diastolic is None:
        return "invalid"
    if not (40 <= systolic <= 300 and 20 <= diastolic <= 200 and diastolic < systolic):
        return "invalid"
    if pulse is not None and not 20 <= pulse <= 250:
        return "rejected"
    return "rejected" if _has_bit(reading.status, CUFF_MOVED) else "accepted"


def _sugar_mark(reading: OracleReading, faults: Sequence[int]) -> Quality:
    if _has_bit(reading.status, faults):
        return "rejected"
    return "accepted" if reading.is_censored or has_possible_value(reading) else "invalid"


def _oxygen_mark(reading: OracleReading) -> Quality:
    if _has_bit(reading.status, NOT_A_PERSON) or not has_possible_value(reading):
        return "invalid"
    if reading.pulse_bpm is not None and not 20 <= reading.pulse_bpm <= 250:
        return "rejected"
    is_unsure = _has_bit(reading.status, OXIMETER_UNSURE) or _has_bit(reading.sensor_status, FINGER_OR_SENSOR)
    return "rejected" if is_unsure else "accepted"


def has_possible_value(reading: OracleReading) -> bool:
    """Is there a number, and one that a body can have?"""
    match reading.kind:
        case "blood_pressure":
            return _pressure_mark(reading) != "invalid"
        case "glucose" | "sensor_glucose":
            return reading.glucose_mmol_l is not None and Fraction("0.6") <= reading.glucose_mmol_l <= 50
        case "weight":
            return reading.weight_kg is not None and 2 <= reading.weight_kg <= 400
        case "oxygen_saturation":
            return reading.spo2_percent is not None and 40 <= reading.spo2_percent <= 100
        case "temperature":
            return reading.temperature_celsius is not None and 25 <= reading.temperature_celsius <= 45
        case "heart_rate":
            return reading.pulse_bpm is not None and 20 <= reading.pulse_bpm <= 250


def _has_bit(status: int | None, bits: Sequence[int]) -> bool:
    return status is not None and any(status >> bit & 1 for bit in bits)


def among_others(ordered: Sequence[Inflation]) -> dict[str, Quality]:
    """The final quality of each by name: doubted where the neighbours speak against it, believed if two doubted ones agree."""
    certain = [one for one in ordered if one.is_certain_in_time]
    verdict = {one.name: one.mark for one in ordered}
    doubted = []
    for one in ordered:
        if one.mark != "accepted":
            continue
        if not one.is_certain_in_time:
            verdict[one.name] = "suspect"
        elif _is_doubted(one, certain):
            verdict[one.name] = "suspect"
            doubted.append(one)
    for one in doubted:
        for other in doubted:
            if TOO_SOON <= other.at - one.at <= AGREEMENT_WINDOW and _agree(one, other):
                verdict[one.name] = verdict[other.name] = "accepted"
    return verdict


def _is_doubted(one: Inflation, certain: Sequence[Inflation]) -> bool:
    assert one.systolic is not None
    assert one.diastolic is not None
    before = certain[: bisect_left(certain, (one.at, one.name), key=lambda other: (other.at, other.name))]
    if before and one.at - before[-1].at < TOO_SOON:
        return True
    if not 50 <= one.systolic <= 260 or one.diastolic < 30:
        return True
    if not 15 <= one.systolic - one.diastolic <= 120:
        return True
    first = bisect_left(before, one.at - JUMP_WINDOW, key=lambda other: other.at)
    recent = [r.millionths for r in before[first:] if r.mark == "accepted"]
    return len(recent) >= JUMP_NEEDS and abs(one.millionths - median(recent)) > JUMP_MMHG * 1_000_000


def _agree(one: Inflation, other: Inflation) -> bool:
    pairs = ((one.systolic, other.systolic), (one.diastolic, other.diastolic))
    return all(a is not None and b is not None and abs(a - b) <= AGREEMENT_MMHG for a, b in pairs)
