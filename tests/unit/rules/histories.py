"""Patients' histories made up by a seeded random source: gaps, ties, moves, summer time, doubtful and failed readings.

Nothing here is realistic on purpose: values crowd around every edge that the rules have.
"""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from random import Random
from typing import Literal, cast
from uuid import UUID, uuid5
from zoneinfo import ZoneInfo

from server.oracle.shapes import Kind, OraclePatient, OracleReading
from server.rules import windows
from server.rules.windows import PatientHistory, PersonalThreshold, Row, Symptom, UnheardSpan, ZoneSpan, window_of
from vitals.quality import CUFF_LOOSE, IMPROPER_POSITION, IRREGULAR_PULSE, MOVEMENT, grade
from vitals.reading import (
    BloodPressure,
    Glucose,
    HeartRate,
    Meal,
    Measurement,
    OxygenSaturation,
    SensorGlucose,
    Temperature,
    Weight,
)

PLACES = (
    (date(2026, 5, 4), ("Asia/Shanghai",)),
    (date(2026, 3, 22), ("Europe/Berlin",)),
    (date(2026, 10, 19), ("Europe/Berlin",)),
    (date(2026, 3, 2), ("America/New_York",)),
    (date(2026, 10, 26), ("America/New_York",)),
    (date(2026, 3, 25), ("Europe/Kyiv",)),  # jumps at 03:00 itself
    (date(2026, 10, 20), ("Europe/Kyiv",)),
    (date(2025, 12, 27), ("Australia/Lord_Howe",)),
    (date(2026, 5, 4), ("Asia/Shanghai", "Europe/Berlin")),
    (date(2026, 10, 20), ("Europe/Berlin", "Asia/Shanghai")),
    (date(2026, 5, 4), ("Pacific/Auckland", "America/Los_Angeles")),  # a date lived twice
    (date(2026, 5, 4), ("America/Los_Angeles", "Pacific/Auckland", "America/Los_Angeles")),
)
CLOCK = ("02:49:59", "02:55:00", "02:59:59", "03:00:00", "03:04:00", "07:30:00", "07:30:30", "07:30:45", "07:31:15", "07:32:00",
         "07:34:00", "07:36:00", "07:42:00", "07:46:01", "12:00:00", "20:00:00", "20:01:00", "20:10:00", "20:20:01", "23:55:00",
         "00:03:00", "00:20:00", "01:30:00", "02:30:00")  # fmt: skip
MOODS = {
    "high": ((139, 141, 142, 144, 150, 155), (80, 88, 91, 95)),
    "edge": ((138, 139, 140, 141, 142), (88, 89, 90, 91, 92)),
    "good": ((118, 125, 130, 134, 135), (70, 78, 84, 85)),
    "almost": ((134, 135, 136, 137), (84, 85, 86)),
    "extreme": ((179, 180, 184, 190, 262, 48), (28, 100, 119, 120, 125, 172)),
}
LATE = (timedelta(0), timedelta(0), timedelta(0), timedelta(minutes=30), timedelta(minutes=31), timedelta(hours=24),
        timedelta(hours=25), timedelta(days=9))  # fmt: skip
KPA_IN_MMHG = Fraction("7.50062")
NAMESPACE = UUID(int=7)


def patient(random: Random, *, days: int = 18) -> OraclePatient:
    """A patient with up to `days` days of readings."""
    first, zones = random.choice(PLACES)
    spans = [(datetime(2020, 1, 1, tzinfo=UTC), zones[0])]
    for index, zone in enumerate(zones[1:], 1):
        moved = datetime(first.year, first.month, first.day, random.randrange(24), tzinfo=UTC)
        spans.append((moved + timedelta(days=4 * index + random.randrange(3)), zone))
    made: list[OracleReading] = []
    enrolled_on = first - timedelta(days=random.choice((30, 30, 1, 0, -1)))
    length = random.randint(1, days)
    mood = random.choice(list(MOODS))
    adherence = random.choice((1.0, 0.8, 0.5))
    phases = _phases(random) if random.random() < 0.25 else ()
    if phases:
        length, adherence = len(phases), 1.0
    for offset in range(length):
        if random.random() < 0.3:
            mood = random.choice(list(MOODS))
        mood = phases[offset] if phases else mood
        if random.random() < adherence:
            _measure(random, made, first + timedelta(days=offset), mood, spans)
    return OraclePatient(readings=tuple(made), zones=tuple(spans), enrolled_on=enrolled_on)


def flown_west(random: Random, made: OraclePatient) -> OraclePatient:
    """The same readings, of somebody who flew among them from one day into the day before: a date is lived twice."""
    if not made.readings:
        return made
    moved = random.choice(made.readings).measured_at + random.choice((0, 1, 5, -3)) * timedelta(hours=1)
    zones = ((datetime(2020, 1, 1, tzinfo=UTC), "Pacific/Auckland"), (moved, "America/Los_Angeles"))
    return replace(made, zones=zones)


def _phases(random: Random) -> tuple[str, ...]:
    """An episode, its end, and another run about when the first is armed again."""
    quiet = ("almost",) * random.choice((3, 4, 5))
    return ("high",) * 4 + ("good",) * 4 + quiet + ("high",) * 4


def _measure(
    random: Random, made: list[OracleReading], day: date, mood: str, spans: list[tuple[datetime, str]]
) -> None:
    clock = [random.choice(CLOCK) for _ in range(random.choice((1, 1, 2, 3, 4, 6)))]
    if random.random() < 0.2:
        clock = [f"{hour}:{minute:02}:00" for hour in ("07", "20") for minute in range(0, 8, 2)]
    for moment in clock:
        wall = datetime.fromisoformat(f"{day} {moment}")
        zone = ZoneInfo(random.choice([zone for _, zone in spans]))
        at = wall.replace(tzinfo=zone, fold=random.randrange(2)).astimezone(UTC)
        made.append(_reading(random, name_of(len(made)), at, mood))


def _reading(random: Random, name: str, at: datetime, mood: str) -> OracleReading:
    systolic, diastolic = (Fraction(random.choice(values)) for values in MOODS[mood])
    if random.random() < 0.1:  # sent in kPa, with the hundredths that a better cuff has
        systolic = round(systolic / KPA_IN_MMHG * 10) * KPA_IN_MMHG / 10
    made = OracleReading(
        name=name,
        measured_at=at,
        received_at=at + random.choice(LATE),
        systolic_mmhg=systolic,
        diastolic_mmhg=diastolic,
        pulse_bpm=random.choice((None, Fraction(72), Fraction(20), Fraction(250))),
        status=random.choice((None, 0, IRREGULAR_PULSE)),
        time_quality=random.choices(("trusted", "corrected", "suspect", "orphan"), (64, 30, 4, 2))[0],
    )
    match random.choices(("accepted", "rejected", "invalid"), (90, 6, 4))[0]:
        case "rejected":
            return disturbed(random, made)
        case "invalid":
            return failed(random, made)
    return made


def disturbed(random: Random, reading: OracleReading) -> OracleReading:
    """The same inflation, by a cuff that says it was loose or moved, or with a pulse that nobody has."""
    if random.random() < 0.3:
        return replace(reading, pulse_bpm=random.choice((Fraction(19), Fraction("250.5"), Fraction(0))))
    return replace(reading, status=random.choice((MOVEMENT, CUFF_LOOSE, IMPROPER_POSITION, 0x3F)))


def failed(random: Random, reading: OracleReading) -> OracleReading:
    """The same inflation, without numbers or with some that no body has."""
    impossible = random.choice(
        ((None, None), (None, 90), (150, None), (301, 90), (39, 25), (150, 201), (150, 19), (120, 120), (90, 95))
    )
    systolic, diastolic = (None if value is None else Fraction(value) for value in impossible)
    return replace(reading, systolic_mmhg=systolic, diastolic_mmhg=diastolic)


BARE = {"systolic_mmhg": None, "diastolic_mmhg": None, "pulse_bpm": None, "status": None}
"""What a reading of another kind does not say."""


def some_other(random: Random, reading: OracleReading) -> OracleReading:
    """A reading of another kind in its place, with values around every edge, no value, or some status bit."""
    made = replace(reading, **BARE)  # type: ignore[arg-type]
    kinds: tuple[Kind, ...] = ("glucose", "sensor_glucose", "weight", "oxygen_saturation", "temperature", "heart_rate")
    kind = random.choice(("glucose", *kinds))
    match kind:
        case "glucose" | "sensor_glucose":
            return _some_glucose(random, replace(made, kind=kind))
        case "weight":
            return replace(made, kind=kind, weight_kg=_some(random, None, "1.9", "2", "81.4", "400", "400.1"))
        case "temperature":
            celsius = _some(random, None, "24.9", "25", "36.6", "45", "45.1", "98.6")
            return replace(made, kind=kind, temperature_celsius=celsius)
        case "heart_rate":
            rate = _some(random, None, "0", "19", "20", "72", "250", "251")
            return replace(made, kind=kind, pulse_bpm=rate, has_contact=random.choice((None, True, False)))
    return replace(
        made,
        kind="oxygen_saturation",
        spo2_percent=_some(random, None, "39.9", "40", "93", "100", "100.1"),
        pulse_bpm=_some(random, None, None, "19", "20", "72", "250", "250.5"),
        status=random.choice((None, 0, 0, 1 << random.randrange(16))),
        sensor_status=random.choice((None, 0, 0, 1 << random.randrange(24))),
    )


def _some_glucose(random: Random, made: OracleReading) -> OracleReading:
    """A value, none, one that nobody has, HI or LO, with a bad strip or sensor, or with control solution."""
    value = _some(random, None, "0.5", "0.6", "5.4", "50", "50.1")
    is_finger_stick = made.kind == "glucose"
    is_censored = value is None and random.random() < 0.5
    return replace(
        made,
        glucose_mmol_l=value,
        is_censored=is_censored,
        is_hi=is_censored and random.random() < 0.5,
        is_control=is_finger_stick and random.random() < 0.3,
        status=random.choice((None, 0, 0, 1 << random.randrange(16 if is_finger_stick else 24))),
    )


def _some(random: Random, *values: str | None) -> Fraction | None:
    value = random.choice(values)
    return None if value is None else Fraction(value)


def name_of(number: int) -> str:
    """Ids sort as they were made, so that both sides break a tie of time alike."""
    return str(UUID(int=number + 1))


def row_of(reading: OracleReading) -> Row:
    """The reading as intake stores it, with the mark that intake gives."""
    measured = measurement_of(reading)
    return windows.row_of(
        measured,
        reading_id=UUID(reading.name),
        measured_at=reading.measured_at,
        received_at=reading.received_at,
        quality=grade(measured)[0].value,
        time_quality=reading.time_quality,
    )


def measurement_of(reading: OracleReading) -> Measurement:
    """What the meter sent."""
    mmol_l, mg_dl, status = _plain(reading.glucose_mmol_l), _plain(reading.glucose_mg_dl), reading.status
    censored: Literal["HI", "LO"] | None = ("HI" if reading.is_hi else "LO") if reading.is_censored else None
    match reading.kind:
        case "glucose":
            return Glucose(
                sequence=1,
                glucose_mmol_l=mmol_l,
                glucose_mg_dl=mg_dl,
                censored=censored,
                sample_type="control_solution" if reading.is_control else None,
                meal=cast(Meal | None, reading.meal),
                status=status,
            )
        case "sensor_glucose":
            return SensorGlucose(
                sequence=1, glucose_mmol_l=mmol_l, glucose_mg_dl=mg_dl, censored=censored, status=status
            )
        case "weight":
            return Weight(weight_kg=_plain(reading.weight_kg), unit_sent="kg")
        case "oxygen_saturation":
            return OxygenSaturation(
                spo2_percent=_plain(reading.spo2_percent),
                pulse_bpm=_plain(reading.pulse_bpm),
                status=status,
                sensor_status=reading.sensor_status,
            )
        case "temperature":
            return Temperature(temperature_celsius=_plain(reading.temperature_celsius), unit_sent="°C")
        case "heart_rate":
            return HeartRate(pulse_bpm=_plain(reading.pulse_bpm), has_contact=reading.has_contact)
    return BloodPressure(
        systolic_mmhg=_plain(reading.systolic_mmhg),
        diastolic_mmhg=_plain(reading.diastolic_mmhg),
        pulse_bpm=_plain(reading.pulse_bpm),
        unit_sent="mmHg",
        status=status,
    )


def _plain(value: Fraction | None) -> float | None:
    return None if value is None else float(value)


def history_of(made: OraclePatient, *, patient_id: int = 1) -> PatientHistory:
    """What the judge reads of the same patient."""
    return PatientHistory(
        patient_id=patient_id,
        enrolled_on=made.enrolled_on,
        zones=tuple(ZoneSpan(valid_from=start, zone=zone) for start, zone in made.zones),
        window=window_of(row_of(reading) for reading in made.readings),
        thresholds={
            rule_id: PersonalThreshold(version=own.version, parameters=own.parameters, is_watched=own.is_watched)
            for rule_id, own in made.thresholds.items()
        },
        judged_from=made.judged_from,
        symptoms=tuple(Symptom(at=at, has_symptoms=has_symptoms) for at, has_symptoms in made.symptoms),
        last_counted_before=made.last_counted_before,
        unheard=tuple(UnheardSpan(began=began, ended=ended) for began, ended in made.unheard),
    )


def some_now(random: Random, made: OraclePatient) -> datetime:
    """An instant at or after the newest reading: within the minute, in the night after, or much later."""
    newest = max((r.measured_at for r in made.readings), default=datetime(2026, 5, 4, tzinfo=UTC))
    return newest + random.choice(
        (timedelta(0), timedelta(minutes=1), timedelta(hours=random.randrange(40)), timedelta(days=12))
    )


def derived_id(text: str) -> UUID:
    return uuid5(NAMESPACE, text)
