"""A seeded population with its history: the same seed gives the same people and the same readings, byte for byte.

Every reading is a frame that a simulated meter's firmware made and that `vitals.gatt` decoded, so `raw` is real. About a
third of the people are planted with a blood pressure that rose in the last weeks and stayed up; the others are controlled,
borderline or treated. Nobody here exists.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Final, Literal
from zoneinfo import ZoneInfo

from firmware_sims import physiology
from firmware_sims.blood_pressure_meter import BloodPressureMeter
from firmware_sims.glucometer import Glucometer, Record
from firmware_sims.measure import Measure
from firmware_sims.names import Sex, draw_name
from firmware_sims.physiology import SetPoint
from firmware_sims.settings import Meter
from vitals.gatt import uuids
from vitals.gatt.blood_pressure import BloodPressureMeasurement
from vitals.gatt.glucose import GlucoseMeasurement
from vitals.gatt.glucose_context import GlucoseContext
from vitals.identity import reading_id
from vitals.reading import Measurement, Reading, TimeQuality, kind_of

ZONES: Final = ("Asia/Shanghai",) * 6 + ("Asia/Urumqi", "Asia/Singapore", "Europe/Berlin", "America/New_York")
"""Where people live if the caller does not say."""

DECODER: Final = "homevigil-sims"

Course = Literal["controlled", "borderline", "treated", "rising"]
MealWord = Literal["fasting", "postprandial"]

HYPERTENSION: Final = "I10"
DIABETES: Final = "E11"
"""ICD-10."""

_MORNING: Final = time(7, 0)
_EVENING: Final = time(19, 30)
_SPREAD_MIN: Final = 45
"""A sitting lies so many minutes around its hour."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """A simulated person. `adherence` is the share of planned sittings that are kept; `turned_on` is the day on which the
    blood pressure of a rising or treated course changed."""

    seed: int
    name_zh: str
    name_en: str
    sex: Sex
    birth_date: date
    conditions: tuple[str, ...]
    zone: str
    language: Literal["zh", "en"]
    phone: str
    bp_meter_index: int
    glucometer_index: int | None
    course: Course
    before: SetPoint
    after: SetPoint
    turned_on: date
    adherence: float
    fasting_mg_dl: float
    since: date
    until: datetime

    @property
    def cuff(self) -> Meter:
        index = self.bp_meter_index
        return Meter(name=f"bp-{index}", kind="blood_pressure", index=index, zone=self.zone)

    @property
    def glucometer(self) -> Meter | None:
        index = self.glucometer_index
        return None if index is None else Meter(name=f"glu-{index}", kind="glucose", index=index, zone=self.zone)

    def set_point_on(self, day: date) -> SetPoint:
        return self.after if day >= self.turned_on else self.before


def cohort(*, seed: int, patients: int, days: int, until: datetime, zones: Sequence[str] = ZONES) -> tuple[Person, ...]:
    """`patients` people with `days` days of history that ends at `until` (aware). Their meters' indices count from 1."""
    assert until.tzinfo is not None, "until is an instant"
    taken: set[str] = set()
    return tuple(_person(seed, number, days=days, until=until, zones=zones, taken=taken) for number in range(patients))


def history(person: Person, *, gateway_id: str) -> Iterator[Reading]:
    """The person's readings, oldest first, as the gateway `gateway_id` would have made them."""
    rng = random.Random(f"{person.seed} history")
    cuff = BloodPressureMeter(person.cuff)
    glucometer = None if person.glucometer is None else Glucometer(person.glucometer)
    zone = ZoneInfo(person.zone)
    last = person.until.astimezone(zone).date()
    for ago in range((last - person.since).days, -1, -1):
        readings = _day(person, last - timedelta(days=ago), rng, cuff, glucometer, gateway_id)
        yield from (reading for reading in readings if reading.received_at <= person.until)


def next_measurement(person: Person, rng: random.Random, at: datetime) -> Measure:
    """What the person measures at the instant `at`: an order for the simulated meters, `person.cuff` or `glucometer`."""
    wall = at.astimezone(ZoneInfo(person.zone)).replace(tzinfo=None, microsecond=0)
    if person.glucometer is not None and rng.random() < 0.25:
        meal = _meal_at(wall.time())
        return Measure(
            meter=person.glucometer.name,
            glucose_mg_dl=physiology.draw_glucose_mg_dl(rng, _mean_glucose_mg_dl(person, meal)),
            meal=meal,
            at=wall,
        )
    sitting = physiology.draw_sitting(rng, physiology.draw_day(rng))
    inflation = physiology.draw_inflation(rng, person.set_point_on(wall.date()), sitting)
    return Measure(
        meter=person.cuff.name,
        systolic_mmhg=inflation.systolic_mmhg,
        diastolic_mmhg=inflation.diastolic_mmhg,
        pulse_bpm=inflation.pulse_bpm,
        status=0,
        at=wall,
    )


# --- people


def _person(seed: int, number: int, *, days: int, until: datetime, zones: Sequence[str], taken: set[str]) -> Person:
    rng = random.Random(f"{seed} person {number}")
    zone = zones[number % len(zones)]
    is_abroad = not zone.startswith("Asia/")
    sex: Sex = rng.choice(("female", "male"))
    name_zh, name_en = _new_name(rng, sex, is_abroad, taken)
    is_diabetic = number % 4 == 2
    today = until.astimezone(ZoneInfo(zone)).date()
    course = _course(number)
    before, after = _set_points(rng, course)
    return Person(
        seed=rng.getrandbits(63),
        name_zh=name_zh,
        name_en=name_en,
        sex=sex,
        birth_date=today - timedelta(days=round(rng.uniform(48, 83) * 365.25)),
        conditions=(HYPERTENSION, DIABETES) if is_diabetic else (HYPERTENSION,),
        zone=zone,
        language="en" if is_abroad else "zh",
        phone=f"+1 202 555 {100 + number % 100:04d}" if is_abroad else f"+86 100 0000 {number:04d}",
        bp_meter_index=number + 1,
        glucometer_index=number + 1 if is_diabetic else None,
        course=course,
        before=before,
        after=after,
        turned_on=today - timedelta(days=_turned_ago(rng, course, days)),
        adherence=rng.uniform(0.8, 0.95) if course == "rising" else rng.uniform(0.4, 0.85),
        fasting_mg_dl=rng.uniform(105, 165),
        since=today - timedelta(days=days),
        until=until,
    )


def _new_name(rng: random.Random, sex: Sex, is_abroad: bool, taken: set[str]) -> tuple[str, str]:
    """One that nobody before has, if a few draws find it: on a worklist, namesakes confuse."""
    for _ in range(20):
        name_zh, name_en = draw_name(rng, sex, is_abroad=is_abroad)
        if name_zh not in taken:
            break
    taken.add(name_zh)
    return name_zh, name_en


def _course(number: int) -> Course:
    """Every third person is rising: of 24 people, eight."""
    if number % 3 == 1:
        return "rising"
    if number % 6 == 2:
        return "treated"
    return "borderline" if number % 6 == 5 else "controlled"


def _set_points(rng: random.Random, course: Course) -> tuple[SetPoint, SetPoint]:
    """(before the turn, after it). High ones stay well under 180: single critical readings are rare among them."""
    pulse = rng.uniform(62, 82)
    low = SetPoint(systolic_mmhg=rng.uniform(112, 127), diastolic_mmhg=rng.uniform(68, 79), pulse_bpm=pulse)
    high = SetPoint(systolic_mmhg=rng.uniform(150, 157), diastolic_mmhg=rng.uniform(88, 96), pulse_bpm=pulse)
    match course:
        case "controlled":
            return low, low
        case "borderline":
            middle = SetPoint(systolic_mmhg=rng.uniform(128, 131), diastolic_mmhg=79, pulse_bpm=pulse)
            return middle, middle
        case "treated":
            return high, low
        case "rising":
            return low, high


def _turned_ago(rng: random.Random, course: Course, days: int) -> int:
    """How many days ago the course turned, within the history."""
    if course == "treated":
        return max(days // 3, rng.randint(days // 3, max(days // 3, 2 * days // 3)))
    return min(days, rng.randint(9, 20))


# --- days


def _day(
    person: Person,
    day: date,
    rng: random.Random,
    cuff: BloodPressureMeter,
    glucometer: Glucometer | None,
    gateway_id: str,
) -> list[Reading]:
    """Everything measured on one calendar day, in the order in which it was measured."""
    deviation = physiology.draw_day(rng)
    readings: list[Reading] = []
    for hour in (_MORNING, _EVENING):
        walls = _walls(rng, day, hour)
        if rng.random() >= person.adherence:
            continue
        sitting = physiology.draw_sitting(rng, deviation)
        readings += [_inflate(person, wall, rng, sitting, cuff, gateway_id) for wall in walls]
        if glucometer is not None:
            readings.append(_stick(person, walls[-1] + timedelta(minutes=4), rng, glucometer, gateway_id))
    return readings


def _walls(rng: random.Random, day: date, hour: time) -> tuple[datetime, datetime]:
    """When the two inflations of a sitting are, by the wall clock: a minute and a bit apart."""
    first = datetime.combine(day, hour) + timedelta(seconds=rng.randint(-_SPREAD_MIN * 60, _SPREAD_MIN * 60))
    return first, first + timedelta(seconds=rng.randint(60, 95))


def _inflate(
    person: Person,
    wall: datetime,
    rng: random.Random,
    sitting: physiology.Deviation,
    cuff: BloodPressureMeter,
    gateway_id: str,
) -> Reading:
    inflation = physiology.draw_inflation(rng, person.set_point_on(wall.date()), sitting)
    raw = cuff.measure(
        wall=wall,
        systolic_mmhg=inflation.systolic_mmhg,
        diastolic_mmhg=inflation.diastolic_mmhg,
        pulse_bpm=inflation.pulse_bpm,
    )
    frame = BloodPressureMeasurement.from_bytes(raw)
    return _reading(
        person.cuff,
        gateway_id=gateway_id,
        wall=wall,
        measurement=frame.to_measurement(),
        characteristic=uuids.BLOOD_PRESSURE_MEASUREMENT,
        raw=raw,
        user_slot=frame.user_slot,
        meter_time=frame.meter_time,
    )


def _stick(person: Person, wall: datetime, rng: random.Random, glucometer: Glucometer, gateway_id: str) -> Reading:
    meal = _meal_at(wall.time())
    mg_dl = physiology.draw_glucose_mg_dl(rng, _mean_glucose_mg_dl(person, meal))
    record: Record = glucometer.measure(wall=wall, glucose_mg_dl=mg_dl, meal=meal)
    frame = GlucoseMeasurement.from_bytes(record.measurement)
    context = None if record.context is None else GlucoseContext.from_bytes(record.context)
    return _reading(
        glucometer.meter,
        gateway_id=gateway_id,
        wall=wall,
        measurement=frame.to_measurement(context),
        characteristic=uuids.GLUCOSE_MEASUREMENT,
        raw=record.measurement,
        context_raw=record.context,
        sequence=frame.sequence,
        meter_time=frame.meter_time,
    )


def _meal_at(wall: time) -> MealWord:
    """People prick their finger before breakfast and after supper."""
    return "fasting" if wall < time(12) else "postprandial"


def _mean_glucose_mg_dl(person: Person, meal: MealWord) -> float:
    return person.fasting_mg_dl + (40 if meal == "postprandial" else 0)


def _reading(
    meter: Meter,
    *,
    gateway_id: str,
    wall: datetime,
    measurement: Measurement,
    characteristic: str,
    raw: bytes,
    meter_time: str | None,
    user_slot: int | None = None,
    sequence: int | None = None,
    context_raw: bytes | None = None,
) -> Reading:
    """As a gateway makes it that heard the meter at once and could read its clock."""
    measured_at = wall.replace(tzinfo=ZoneInfo(meter.zone)).astimezone(UTC)
    return Reading(
        reading_id=reading_id(
            meter_id=meter.meter_id,
            kind=kind_of(measurement),
            raw=raw,
            user_slot=user_slot,
            sequence=sequence,
            meter_time=meter_time,
        ),
        gateway_id=gateway_id,
        meter_id=meter.meter_id,
        user_slot=user_slot,
        measurement=measurement,
        measured_at=measured_at,
        meter_time=meter_time,
        received_at=measured_at + timedelta(seconds=12),
        time_quality=TimeQuality.CORRECTED,
        clock_offset_s=0.0,
        zone=meter.zone,
        characteristic=characteristic,
        raw=raw,
        context_raw=context_raw,
        decoder=DECODER,
    )
