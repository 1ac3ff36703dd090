"""The simulated enhanced cuff: records in segments with numbers of their users' own, and what it shows while it inflates."""

from datetime import datetime

import msgspec
import pytest

from firmware_sims.blood_pressure_meter import ON_THE_WAY_MMHG, BloodPressureMeter
from firmware_sims.enhanced_blood_pressure_meter import EnhancedBloodPressureMeter
from firmware_sims.firmware import Indicate, Notify
from firmware_sims.measure import Measure
from firmware_sims.settings import Meter
from vitals.gatt.blood_pressure import Feature, IntermediateCuffPressure
from vitals.gatt.blood_pressure_record import BloodPressureRecord, RecordSegment
from vitals.gatt.enhanced_blood_pressure import EnhancedBloodPressureMeasurement, EnhancedIntermediateCuffPressure

WALL = datetime(2026, 11, 21, 7, 30)  # noqa: DTZ001  # a wall clock


def cuff(**settings: object) -> EnhancedBloodPressureMeter:
    meter = msgspec.convert({"name": "ebp", "kind": "enhanced_blood_pressure", "index": 1, **settings}, Meter)
    made = EnhancedBloodPressureMeter(meter)
    made.on_connected()
    return made


def said(meter: BloodPressureMeter) -> list[tuple[str, bytes]]:
    found = []
    while (action := meter.next_action()) is not None:
        assert isinstance(action, Notify | Indicate)
        found.append((action.characteristic, action.value))
        if isinstance(action, Indicate):
            meter.on_confirmed()
    return found


def test_a_record_holds_the_enhanced_measurement_in_segments_that_fit_the_smallest_notification() -> None:
    meter = cuff()
    raw = meter.measure(wall=WALL, systolic_mmhg=148, diastolic_mmhg=92, pulse_bpm=72, user_slot=1)
    for characteristic in ("2b36", "2a52"):
        meter.on_subscribed(characteristic, is_on=True)
    meter.write("2a52", b"\x07\x01", wall=WALL)
    *frames, answer = said(meter)
    assert answer == ("2a52", bytes.fromhex("08000100"))
    assert all(c == "2b36" and len(value) <= 20 for c, value in frames)
    record = BloodPressureRecord.joined([RecordSegment.from_bytes(v) for _, v in frames], is_sealed=True)
    assert (record.sequence, record.uuid, record.value) == (0, 0x2B34, raw)
    frame = EnhancedBloodPressureMeasurement.from_bytes(raw)
    assert (frame.base_time, frame.user_facing_time) == (datetime(2026, 11, 20, 23, 30), WALL)  # noqa: DTZ001
    assert not meter.is_advertising
    assert len(meter.stored) == 1


def test_each_user_has_numbers_of_his_own() -> None:
    meter = cuff()
    for user in (1, 2, 1, None):
        meter.measure(wall=WALL, systolic_mmhg=148, diastolic_mmhg=92, user_slot=user)
    assert [record.number for record in meter.stored] == [0, 0, 1, 0]


def test_what_was_measured_during_a_report_is_still_news() -> None:
    meter = cuff()
    meter.measure(wall=WALL, systolic_mmhg=148, diastolic_mmhg=92)
    for characteristic in ("2b36", "2a52"):
        meter.on_subscribed(characteristic, is_on=True)
    meter.write("2a52", b"\x01\x01", wall=WALL)
    meter.measure(wall=WALL, systolic_mmhg=149, diastolic_mmhg=92)
    said(meter)
    assert meter.is_advertising


def test_it_can_be_read_the_classic_way() -> None:
    meter = cuff()
    meter.measure(wall=WALL, systolic_mmhg=148, diastolic_mmhg=92)
    meter.on_subscribed("2a35", is_on=True)
    assert [c for c, _ in said(meter)] == ["2a35"]
    assert not meter.is_advertising


def test_its_feature_says_that_it_seals_and_has_two_times() -> None:
    feature = Feature.parse(cuff().read("2a49", wall=WALL))
    assert feature & Feature.E2E_CRC
    assert feature & Feature.USER_FACING_TIME


def test_a_link_that_breaks_in_a_report_leaves_the_news() -> None:
    meter = cuff()
    meter.measure(wall=WALL, systolic_mmhg=148, diastolic_mmhg=92)
    for characteristic in ("2b36", "2a52"):
        meter.on_subscribed(characteristic, is_on=True)
    meter.write("2a52", b"\x01\x01", wall=WALL)
    assert meter.next_action() is not None
    meter.on_disconnected()
    assert meter.is_advertising
    assert meter.next_action() is None


@pytest.mark.parametrize(("listens", "count"), [((), 0), (("2a36",), 1), (("2a36", "2b35"), 2)])
def test_while_it_inflates_it_shows_what_is_in_it_to_who_listens(listens: tuple[str, ...], count: int) -> None:
    meter = cuff()
    for characteristic in (*listens, "2a35"):
        meter.on_subscribed(characteristic, is_on=True)
    told = Measure(meter="ebp", systolic_mmhg=148, diastolic_mmhg=92, rises=True)
    meter.obey(told, wall=WALL)
    assert meter.is_advertising
    shown: list[tuple[str, bytes]] = []
    while meter.is_ticking:
        meter.on_tick(wall=WALL)
        shown += said(meter)
    *on_the_way, (last, _) = shown
    assert last == "2a35"
    assert len(on_the_way) == count * len(ON_THE_WAY_MMHG)
    for characteristic, value in on_the_way:
        if characteristic == "2a36":
            assert IntermediateCuffPressure.from_bytes(value).pressure_mmhg in ON_THE_WAY_MMHG
        else:
            assert EnhancedIntermediateCuffPressure.from_bytes(value).pressure_mmhg in ON_THE_WAY_MMHG
