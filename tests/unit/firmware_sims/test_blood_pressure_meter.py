"""The cuff's firmware by itself: no loop, no clock, no radio."""

from datetime import datetime

import pytest

from firmware_sims.blood_pressure_meter import BloodPressureMeter
from firmware_sims.faults import BOSO_FAILED, Faults
from firmware_sims.firmware import AttCode, AttError, HangUp, Indicate
from firmware_sims.indicating_meter import CAPACITY
from firmware_sims.settings import Clock, Meter, WrongClock
from vitals.gatt import uuids
from vitals.gatt.blood_pressure import BloodPressureMeasurement
from vitals.gatt.current_time import CurrentTime
from vitals.gatt.date_time import DateTime
from vitals.quality import Quality, grade

WALL = datetime(2026, 11, 21, 7, 5, 30)  # noqa: DTZ001  # a wall clock
READING = uuids.BLOOD_PRESSURE_MEASUREMENT


def cuff(clock: Clock = "ok", **faults: object) -> BloodPressureMeter:
    settings = Faults(**faults)  # type: ignore[arg-type]
    return BloodPressureMeter(Meter(name="bp", kind="blood_pressure", index=1, clock=clock, faults=settings))


def measure(meter: BloodPressureMeter, systolic: int = 148) -> bytes:
    return meter.measure(wall=WALL, systolic_mmhg=systolic, diastolic_mmhg=92, pulse_bpm=72, user_slot=1, status=4)


def subscribed(meter: BloodPressureMeter) -> BloodPressureMeter:
    meter.on_connected()
    meter.on_subscribed(READING, is_on=True)
    return meter


def indicated(meter: BloodPressureMeter) -> Indicate:
    action = meter.next_action()
    assert isinstance(action, Indicate), action
    return action


def test_its_frame_is_the_published_one() -> None:
    """`BP full` of the golden frames, which were built by hand."""
    assert measure(cuff()) == bytes.fromhex("1E94005C006F00EA070B1507051E4800010400")


def test_it_advertises_while_a_record_waits() -> None:
    meter = cuff()
    assert not meter.is_advertising
    measure(meter)
    assert meter.is_advertising
    subscribed(meter).next_action()
    assert meter.is_advertising, "sent is not confirmed"
    meter.on_confirmed()
    assert not meter.is_advertising


def test_nothing_is_sent_before_the_subscription() -> None:
    meter = cuff()
    measure(meter)
    meter.on_connected()
    assert meter.next_action() is None


def test_records_are_indicated_oldest_first_one_at_a_time() -> None:
    meter = cuff()
    raws = [measure(meter, systolic) for systolic in (141, 142, 143)]
    subscribed(meter)
    for raw in raws:
        assert indicated(meter) == Indicate(characteristic=READING, value=raw)
        assert meter.next_action() is None, "the next one waits for the confirmation"
        meter.on_confirmed()
    assert meter.next_action() is None
    assert meter.records == ()


def test_a_record_is_kept_until_it_is_confirmed() -> None:
    meter = cuff()
    raw = measure(meter)
    subscribed(meter).next_action()
    meter.on_disconnected()
    assert meter.records == (raw,)
    assert indicated(subscribed(meter)).value == raw


def test_unsubscribing_stops_it() -> None:
    meter = cuff()
    measure(meter)
    subscribed(meter).on_subscribed(READING, is_on=False)
    assert meter.next_action() is None


def test_subscriptions_end_with_the_connection() -> None:
    meter = subscribed(cuff())
    meter.on_disconnected()
    measure(meter)
    meter.on_connected()
    assert meter.next_action() is None


def test_a_full_memory_overwrites_its_oldest_record() -> None:
    meter = cuff()
    raws = [measure(meter, 100 + n % 100) for n in range(CAPACITY + 1)]
    assert meter.records == tuple(raws[1:])


def test_it_hangs_up_after_its_last_record_if_it_is_that_kind() -> None:
    meter = subscribed(cuff(hangs_up=True))
    assert meter.next_action() is None, "nothing was given yet"
    measure(meter)
    indicated(meter)
    meter.on_confirmed()
    assert meter.next_action() == HangUp()
    assert meter.next_action() is None


def test_it_drops_the_link_after_an_indication_as_often_as_told() -> None:
    meter = cuff(drops_after_indication=1)
    raw = measure(meter)
    assert indicated(subscribed(meter)).then_drops
    meter.on_disconnected()
    again = indicated(subscribed(meter))
    assert (again.value, again.then_drops) == (raw, False)


def test_it_says_everything_twice_if_told_so() -> None:
    meter = subscribed(cuff(sends_twice=True))
    raw = measure(meter)
    for _ in range(2):
        assert indicated(meter).value == raw
        meter.on_confirmed()
    assert meter.records == ()


def test_a_truncated_frame_stays_short() -> None:
    assert len(measure(cuff(truncate_to=6))) == 6


def test_a_raw_frame_is_sent_as_it_is() -> None:
    meter = subscribed(cuff())
    meter.keep(b"\xff")
    assert indicated(meter).value == b"\xff"


def test_a_failed_measurement_looks_like_the_captured_one() -> None:
    captured = BloodPressureMeasurement.from_bytes(BOSO_FAILED)
    moment = captured.date_time
    assert moment is not None
    assert moment.naive is not None
    raw = cuff(fails=True).measure(wall=moment.naive, systolic_mmhg=1, diastolic_mmhg=1)
    assert raw == BOSO_FAILED
    assert grade(captured.to_measurement())[0] is Quality.INVALID


@pytest.mark.parametrize(
    ("clock", "stamp"),
    [
        ("ok", DateTime.of(WALL)),
        ("absent", None),
        ("unset", DateTime(year=0, month=0, day=0)),
        ("1970", DateTime(year=1970, month=1, day=1)),
        (WrongClock(offset_s=-3600), DateTime(year=2026, month=11, day=21, hour=6, minute=5, second=30)),
        (
            WrongClock(stuck_at=datetime(2021, 1, 1)),  # noqa: DTZ001
            DateTime(year=2021, month=1, day=1),
        ),
    ],
)
def test_its_clock_stamps_what_it_shows(clock: Clock, stamp: DateTime | None) -> None:
    assert BloodPressureMeasurement.from_bytes(measure(cuff(clock))).date_time == stamp


def test_a_meter_without_a_clock_has_no_clock_to_read() -> None:
    meter = cuff("absent")
    assert uuids.CURRENT_TIME not in {c.uuid for c in meter.characteristics}
    with pytest.raises(AttError, match="READ_NOT_PERMITTED"):
        meter.read(uuids.CURRENT_TIME, wall=WALL)


def test_an_unset_clock_says_that_it_does_not_know() -> None:
    assert CurrentTime.from_bytes(cuff("unset").read(uuids.CURRENT_TIME, wall=WALL)).naive is None


@pytest.mark.parametrize("clock", ["unset", WrongClock(offset_s=5000)])
def test_a_clock_that_is_set_is_right_from_then_on(clock: Clock) -> None:
    meter = cuff(clock)
    meter.write(uuids.CURRENT_TIME, bytes(CurrentTime.of(WALL)), wall=WALL)
    later = WALL.replace(hour=9)
    assert CurrentTime.from_bytes(meter.read(uuids.CURRENT_TIME, wall=later)).naive == later


@pytest.mark.parametrize("clock", ["1970", WrongClock(stuck_at=datetime(2021, 1, 1))])  # noqa: DTZ001
def test_a_stuck_clock_takes_the_write_and_stays_stuck(clock: Clock) -> None:
    meter = cuff(clock)
    before = meter.read(uuids.CURRENT_TIME, wall=WALL)
    meter.write(uuids.CURRENT_TIME, bytes(CurrentTime.of(WALL)), wall=WALL)
    assert meter.read(uuids.CURRENT_TIME, wall=WALL) == before


def test_a_clock_write_can_succeed_and_change_nothing() -> None:
    meter = cuff(WrongClock(offset_s=5000), ignores_clock_writes=True)
    before = meter.read(uuids.CURRENT_TIME, wall=WALL)
    meter.write(uuids.CURRENT_TIME, bytes(CurrentTime.of(WALL)), wall=WALL)
    assert meter.read(uuids.CURRENT_TIME, wall=WALL) == before


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (b"\x00" * 9, AttCode.INVALID_LENGTH),
        (b"\x00" * 10, AttCode.VALUE_NOT_ALLOWED),
        (bytes(CurrentTime.of(datetime(1999, 1, 1))), AttCode.VALUE_NOT_ALLOWED),  # noqa: DTZ001
    ],
)
def test_a_clock_cannot_be_set_to_nonsense(value: bytes, code: AttCode) -> None:
    with pytest.raises(AttError) as refused:
        cuff().write(uuids.CURRENT_TIME, value, wall=WALL)
    assert refused.value.code == code


def test_what_is_not_writable_refuses_a_write() -> None:
    with pytest.raises(AttError, match="WRITE_NOT_PERMITTED"):
        cuff().write(uuids.BATTERY_LEVEL, b"\0", wall=WALL)


def test_it_says_who_made_it() -> None:
    meter = cuff()
    told = {c.uuid: meter.read(c.uuid, wall=WALL) for c in meter.characteristics if c.uuid.startswith("2a2")}
    assert told[uuids.MANUFACTURER_NAME] == b"HomeVigil Sims"
    assert told[uuids.MODEL_NUMBER] == b"HV-BP1"
    assert told[uuids.SERIAL_NUMBER] == b"SIM000001"
    assert told[uuids.FIRMWARE_REVISION] == b"1.0"
    assert meter.read(uuids.BATTERY_LEVEL, wall=WALL) == bytes([87])
    assert meter.read(uuids.BLOOD_PRESSURE_FEATURE, wall=WALL) == bytes.fromhex("1700")
