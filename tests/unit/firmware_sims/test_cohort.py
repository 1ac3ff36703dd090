"""A population that is the same for the same seed, in frames that the gateway could have got."""

import random
import statistics
from collections import Counter
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from firmware_sims.cohort import Person, cohort, history, next_measurement
from vitals.gatt.blood_pressure import BloodPressureMeasurement
from vitals.gatt.glucose import GlucoseMeasurement
from vitals.gatt.glucose_context import GlucoseContext
from vitals.identity import reading_id
from vitals.quality import Quality, grade
from vitals.reading import BloodPressure, Reading, TimeQuality, kind_of

UNTIL = datetime(2026, 11, 22, 3, 0, tzinfo=UTC)


def people(seed: int = 7, patients: int = 24) -> tuple[Person, ...]:
    return cohort(seed=seed, patients=patients, days=90, until=UNTIL)


def readings(person: Person) -> list[Reading]:
    return list(history(person, gateway_id="gw-1"))


def is_high(day: list[BloodPressure]) -> bool:
    systolic = statistics.fmean(bp.systolic_mmhg or 0 for bp in day)
    diastolic = statistics.fmean(bp.diastolic_mmhg or 0 for bp in day)
    return systolic > 140 or diastolic > 90


def test_the_same_seed_gives_the_same_people_and_readings() -> None:
    assert people() == people()
    assert [readings(person) for person in people(patients=3)] == [readings(person) for person in people(patients=3)]


def test_another_seed_gives_other_people() -> None:
    assert people(1) != people(2)


def test_more_people_do_not_change_the_first_ones() -> None:
    assert people(patients=24)[:10] == people(patients=10)


def test_nobody_shares_a_meter_or_a_name() -> None:
    everybody = people()
    assert len({person.bp_meter_index for person in everybody}) == 24
    assert len({person.name_zh for person in everybody}) == 24


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_raw_bytes_decode_to_the_reading_they_came_with(seed: int) -> None:
    for person in people(seed, 6):
        for reading in readings(person):
            assert _decoded(reading) == reading.measurement
            assert grade(reading.measurement)[0] is Quality.ACCEPTED
            assert reading.time_quality is TimeQuality.CORRECTED


def _decoded(reading: Reading) -> object:
    if reading.characteristic == "2a35":
        return BloodPressureMeasurement.from_bytes(reading.raw).to_measurement()
    assert reading.context_raw is not None
    context = GlucoseContext.from_bytes(reading.context_raw)
    return GlucoseMeasurement.from_bytes(reading.raw).to_measurement(context)


def test_reading_ids_are_derived_and_unique() -> None:
    every = [reading for person in people(patients=8) for reading in readings(person)]
    assert len({reading.reading_id for reading in every}) == len(every)
    cuff = next(reading for reading in every if reading.characteristic == "2a35")
    assert cuff.reading_id == reading_id(
        meter_id=cuff.meter_id, kind="blood_pressure", raw=cuff.raw, meter_time=cuff.meter_time
    )


def test_readings_are_in_order_and_end_before_now() -> None:
    for person in people(patients=8):
        instants = [reading.measured_at for reading in readings(person)]
        assert instants == sorted(instants)
        assert instants[-1] <= UNTIL
        assert instants[0] >= UNTIL - timedelta(days=92)


def test_the_meters_clock_agrees_with_the_zone() -> None:
    for person in people(patients=10):
        reading = readings(person)[0]
        wall = reading.measured_at.astimezone(ZoneInfo(person.zone)).replace(tzinfo=None)
        assert reading.meter_time == wall.isoformat()
        assert reading.zone == person.zone


def test_people_measure_about_as_often_as_people_do() -> None:
    per_day = [len([r for r in readings(p) if kind_of(r.measurement) == "blood_pressure"]) / 90 for p in people()]
    assert min(per_day) >= 1.3
    assert max(per_day) <= 4
    assert 2 <= statistics.fmean(per_day) <= 3.5


@pytest.mark.parametrize("seed", [7, 11, 2026])
def test_about_a_third_has_three_high_days_now(seed: int) -> None:
    """The last three measured days are high, and lie close together: an open episode of the three-day rule."""
    assert 6 <= sum(_is_high_now(person) for person in people(seed)) <= 10


def _is_high_now(person: Person) -> bool:
    days: dict[object, list[BloodPressure]] = {}
    for reading in readings(person):
        if isinstance(reading.measurement, BloodPressure):
            wall = reading.measured_at.astimezone(ZoneInfo(person.zone)) - timedelta(hours=3)
            days.setdefault(wall.date(), []).append(reading.measurement)
    return all(is_high(days[day]) for day in sorted(days, key=str)[-3:])


def test_blood_pressure_lies_around_the_persons_set_point() -> None:
    for person in people(patients=12):
        now = [
            r.measurement.systolic_mmhg or 0
            for r in readings(person)
            if isinstance(r.measurement, BloodPressure)
            and r.measured_at.astimezone(ZoneInfo(person.zone)).date() >= person.turned_on
        ]
        assert statistics.fmean(now) == pytest.approx(person.after.systolic_mmhg, abs=6)


def test_every_course_and_language_is_there() -> None:
    everybody = people()
    assert Counter(person.course for person in everybody) == {
        "rising": 8,
        "controlled": 8,
        "treated": 4,
        "borderline": 4,
    }
    assert {person.language for person in everybody} == {"zh", "en"}
    assert all(person.language == "zh" for person in everybody if person.zone == "Asia/Shanghai")
    assert sum(person.glucometer is not None for person in everybody) == 6


def test_a_zone_can_be_given_for_all() -> None:
    everybody = cohort(seed=1, patients=4, days=10, until=UNTIL, zones=("America/New_York",))
    assert {person.zone for person in everybody} == {"America/New_York"}
    assert {person.language for person in everybody} == {"en"}


def test_a_live_measurement_is_an_order_for_the_persons_own_meter() -> None:
    person = next(person for person in people() if person.glucometer is not None)
    assert person.glucometer is not None
    rng = random.Random(1)
    orders = [next_measurement(person, rng, UNTIL) for _ in range(40)]
    assert {order.meter for order in orders} == {person.cuff.name, person.glucometer.name}
    assert {order.at for order in orders} == {UNTIL.astimezone(ZoneInfo(person.zone)).replace(tzinfo=None)}
    again = random.Random(1)
    assert orders == [next_measurement(person, again, UNTIL) for _ in range(40)]
