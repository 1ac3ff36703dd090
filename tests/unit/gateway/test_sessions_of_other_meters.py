"""Sessions with scales, thermometers and spot oximeters, played by what such a meter sends: no radio, and no firmware of ours."""

from datetime import timedelta

import pytest
from unit.gateway.samples import GATEWAY, METER, NOW, SHANGHAI
from unit.gateway.scripted_meter import Told

from gateway.readings import to_reading
from gateway.sessions.conversation import Findings, take_late
from gateway.sessions.meter_clock import ClockCare
from gateway.timing import place
from vitals.gatt.blood_pressure import BloodPressureMeasurement
from vitals.gatt.current_time import CurrentTime
from vitals.gatt.date_time import DateTime
from vitals.gatt.link import Disconnected, LinkError, Notified
from vitals.gatt.sfloat import Sfloat
from vitals.reading import OxygenSaturation, Temperature, TimeQuality, Weight

BEURER = "0E783EEA07050C12353601EE002607"
"""Captured from a BF720 (golden/sensor_frames.py), as are the next two from other meters."""
FEVER = "06680100FFE207030A15340002"
SPOT_UNSET = "1761006000E10701010122132000200000"
SPOT = "0161004200EA070B15071E00"
STORED = "0361004200EA070B150700000002"


def test_a_weighing_is_kept_with_whom_and_when() -> None:
    meter = Told(says=[("2a9d", BEURER)])
    meter.session("2a9d")
    (record,) = meter.kept
    assert meter.asked == ["subscribe 2a9d"]
    assert isinstance(record.measurement, Weight)
    assert (record.measurement.weight_kg, record.measurement.height_m) == (79.96, 1.83)
    assert (record.user_slot, record.meter_time, record.characteristic) == (1, "2026-05-12T18:53:54", "2a9d")
    assert record.raw == bytes.fromhex(BEURER)


def test_a_scale_that_could_not_weigh_is_kept_without_a_number() -> None:
    meter = Told(says=[("2a9d", "01FFFF")])
    meter.session("2a9d")
    assert isinstance(meter.kept[0].measurement, Weight)
    assert meter.kept[0].measurement.weight_kg is None


def test_a_weight_in_a_disputed_unit_is_set_aside_and_the_next_is_kept() -> None:
    meter = Told(says=[("2a9d", "3286 42B20701010A1A29"), ("2a9d", "00A438")])
    meter.session("2a9d")
    assert [(each.reason, each.characteristic) for each in meter.set_aside] == [("flags", "2a9d")]
    assert [record.raw.hex() for record in meter.kept] == ["00a438"]


def _qualities(meter: Told) -> list[TimeQuality]:
    return [place(record.evidence, SHANGHAI).time_quality for record in meter.kept]


def test_a_scale_without_a_clock_gives_the_time_of_receipt() -> None:
    meter = Told(says=[("2a9d", "00A438")])
    meter.session("2a9d")
    assert _qualities(meter) == [TimeQuality.RECEIVED]


def test_of_several_records_without_a_time_none_is_of_just_now() -> None:
    """A scale that shows how it settles, or one that empties its memory: the first is no more certain than the others."""
    meter = Told(says=[("2a9d", "000010"), ("2a9d", "00A438"), ("2a9d", "00A538")])
    meter.session("2a9d")
    assert _qualities(meter) == [TimeQuality.SUSPECT] * 3


def test_a_record_without_a_time_that_is_sent_twice_is_still_of_just_now() -> None:
    meter = Told(says=[("2a9d", "00A438")] * 2)
    meter.session("2a9d")
    assert _qualities(meter) == [TimeQuality.RECEIVED, TimeQuality.SUSPECT]


def _cuff(day: int, systolic: int = 0x94) -> tuple[str, str]:
    return "2a35", f"02{systolic:02x}005C006F00EA070B{day:02x}070000"


def test_of_three_days_records_of_a_cuff_whose_clock_cannot_be_read_none_is_of_just_now() -> None:
    meter = Told(says=[_cuff(17), _cuff(18), _cuff(19)])
    meter.session("2a35")
    assert _qualities(meter) == [TimeQuality.SUSPECT] * 3
    assert [place(record.evidence, SHANGHAI).measured_at.day for record in meter.kept] == [16, 17, 18]


@pytest.mark.parametrize("said", [[_cuff(17)], [_cuff(17), _cuff(17)], [_cuff(17), Disconnected()]])
def test_a_record_alone_of_such_a_cuff_is_of_just_now(said: list[tuple[str, str] | Disconnected]) -> None:
    meter = Told(says=said)
    meter.session("2a35")
    assert _qualities(meter) == [TimeQuality.RECEIVED]


def test_a_pressure_that_comes_while_the_scale_of_the_same_meter_is_listened_to_is_kept() -> None:
    """It was confirmed to the meter, which will not send it again."""
    meter = Told(says=[_cuff(21), None, ("2a9d", "00A438"), _cuff(21, 0x95)])
    meter.session("2a35", "2a9d")
    assert sorted((record.characteristic, record.raw[1]) for record in meter.kept) == [
        ("2a35", 0x94),
        ("2a35", 0x95),
        ("2a9d", 0xA4),
    ]


def test_a_scale_that_hangs_up_after_its_record_has_done_nothing_wrong() -> None:
    meter = Told(says=[("2a9d", BEURER), Disconnected()])
    meter.session("2a9d", "2a1c")
    assert len(meter.kept) == 1
    assert "subscribe 2a1c" not in meter.asked


def test_a_temperature_has_the_site_of_its_frame_before_that_of_the_thermometer() -> None:
    meter = Told(values={"2a1d": "09"}, says=[("2a1c", FEVER), ("2a1c", "006E0100FF")])
    meter.session("2a1c")
    told, silent = (record.measurement for record in meter.kept)
    assert isinstance(told, Temperature)
    assert isinstance(silent, Temperature)
    assert (told.temperature_celsius, told.site) == (36.0, "body")
    assert (silent.temperature_celsius, silent.site) == (36.6, "tympanum")


@pytest.mark.parametrize("said", ["refused", "0901", ""])
def test_a_thermometer_that_does_not_say_where_loses_no_temperature(said: str) -> None:
    meter = Told(values={"2a1d": said}, says=[("2a1c", "006E0100FF")])
    meter.session("2a1c")
    assert isinstance(meter.kept[0].measurement, Temperature)
    assert meter.kept[0].measurement.site is None


def test_a_rising_temperature_is_not_listened_to() -> None:
    meter = Told(says=[("2a1e", FEVER)])
    meter.session("2a1c", "2a1e")
    assert meter.kept == []
    assert meter.asked == ["subscribe 2a1c"]


def test_a_spot_check_of_a_meter_that_keeps_none_is_taken_as_it_comes() -> None:
    meter = Told(values={"2a60": "0000"}, says=[("2a5e", SPOT)])
    meter.session("2a5e", "2a5f", "2a52")
    (record,) = meter.kept
    assert isinstance(record.measurement, OxygenSaturation)
    assert (record.measurement.spo2_percent, record.measurement.pulse_bpm) == (97.0, 66.0)
    assert meter.asked == ["read 2a60", "subscribe 2a5e"]


def test_stored_spot_checks_are_asked_for_and_none_is_deleted() -> None:
    meter = Told(values={"2a60": "0400"}, answers={"0101": [("2a5e", STORED), ("2a5e", SPOT), ("2a52", "06000101")]})
    meter.session("2a5e", "2a52")
    assert [record.raw.hex() for record in meter.kept] == [STORED.lower(), SPOT.lower()]
    assert meter.asked == ["read 2a60", "subscribe 2a5e", "subscribe 2a52", "write 2a52 0101"]
    assert not any(record.evidence.is_live for record in meter.kept)


FROM_STORAGE = {
    "0161004200EA070B15071E00": "0361004200EA070B15071E000002",
    "0361004200EA070B15071E002001": "0361004200EA070B15071E002003",
}
"""A check as it was sent at once, and as the same oximeter gives it from storage."""


@pytest.mark.parametrize("at_once", FROM_STORAGE)
def test_a_check_that_was_sent_at_once_and_is_given_again_from_storage_is_one_reading(at_once: str) -> None:
    meter = Told(
        values={"2a60": "0400"}, answers={"0101": [("2a5e", FROM_STORAGE[at_once]), ("2a52", "06000101")]}, says=[]
    )
    meter.session("2a5e", "2a52")
    live = Told(says=[("2a5e", at_once)])
    live.session("2a5e")
    ids = {
        to_reading(record, meter_id=METER, gateway_id=GATEWAY, zone=SHANGHAI, decoder="test").reading_id
        for record in (*meter.kept, *live.kept)
    }
    assert (len(meter.kept), len(live.kept), len(ids)) == (1, 1, 1)


NAMELESS = ["0061004200", "0361004200D007010100000000 02", "03610042000000000000000000 02"]
"""Stored checks without a time, of a clock that was never set and stands still, and of one that knows no year."""


@pytest.mark.parametrize("frame", NAMELESS)
def test_a_stored_check_that_nothing_tells_from_another_is_set_aside_and_is_no_new_reading_at_every_visit(
    frame: str,
) -> None:
    meter = Told(values={"2a60": "0400"}, answers={"0101": [("2a5e", frame), ("2a52", "06000101")]})
    for _ in range(2):
        meter.session("2a5e", "2a52")
    assert (meter.kept, {each.reason for each in meter.set_aside}) == ([], {"nameless"})


@pytest.mark.parametrize("answer", ["06000106", "06000102"])
def test_no_stored_spot_check_is_no_failure_and_the_live_one_is_taken(answer: str) -> None:
    meter = Told(values={"2a60": "0400"}, answers={"0101": [("2a52", answer), ("2a5e", SPOT)]})
    meter.session("2a5e", "2a52")
    assert [record.evidence.is_live for record in meter.kept] == [True]


@pytest.mark.parametrize(
    "answer",
    [[], [("2a52", "06000108")], [("2a52", "0600"), ("2a52", "050001")], [("2a52", "06000301")]],
    ids=["silence", "not completed", "malformed", "of another command"],
)
def test_a_report_that_does_not_complete_fails_the_session_and_costs_no_record(answer: list[tuple[str, str]]) -> None:
    meter = Told(values={"2a60": "0400"}, answers={"0101": [("2a5e", SPOT), *answer]})
    with pytest.raises(LinkError, match="report"):
        meter.session("2a5e", "2a52")
    assert len(meter.kept) == 1


def test_a_meter_that_goes_away_in_its_report_fails_the_session() -> None:
    meter = Told(values={"2a60": "0400"}, says=[Disconnected()])
    with pytest.raises(LinkError, match="went away"):
        meter.session("2a5e", "2a52")


@pytest.mark.parametrize("features", ["refused", "", "0100"])
def test_an_oximeter_that_does_not_say_what_it_can_do_is_listened_to(features: str) -> None:
    meter = Told(values={"2a60": features}, says=[("2a5e", SPOT)])
    meter.session("2a5e", "2a52")
    assert len(meter.kept) == 1


def test_a_spot_check_of_a_clock_that_nobody_set_has_the_time_of_receipt_and_says_so() -> None:
    meter = Told(says=[("2a5e", SPOT_UNSET)])
    meter.session("2a5e")
    (record,) = meter.kept
    placed = place(record.evidence, SHANGHAI)
    assert (placed.time_quality, placed.measured_at) == (TimeQuality.SUSPECT, record.evidence.received_at)
    assert record.meter_time == "2017-01-01T01:34:19"


@pytest.mark.parametrize(("characteristic", "frame"), [("2a9d", BEURER), ("2a1c", FEVER), ("2a5e", SPOT)])
def test_what_comes_while_the_gateway_leaves_is_kept(characteristic: str, frame: str) -> None:
    meter = Told()
    event = Notified(characteristic=characteristic, value=bytes.fromhex(frame))
    meter.play(take_late(event, Findings(), received_at=NOW))
    assert [(record.characteristic, record.raw.hex()) for record in meter.kept] == [(characteristic, frame.lower())]


@pytest.mark.parametrize("off", [timedelta(days=1), timedelta(days=-1), timedelta(hours=7)])
def test_what_was_measured_after_its_clock_was_set_is_not_placed_by_the_clock_of_before(off: timedelta) -> None:
    wall = (NOW + off).astimezone(SHANGHAI).replace(tzinfo=None)
    meter = Told(values={"2a2b": bytes(CurrentTime(date_time=DateTime.of(wall))).hex()}, takes_writes=True)
    findings = meter.session("2a35")
    assert findings.clock_care is ClockCare.SET
    frame = BloodPressureMeasurement(
        systolic=Sfloat.of(150), diastolic=Sfloat.of(90), date_time=DateTime.of(meter.now.astimezone(SHANGHAI))
    )
    meter.play(take_late(Notified(characteristic="2a35", value=bytes(frame)), findings, received_at=meter.now))
    placed = place(meter.kept[0].evidence, SHANGHAI)
    assert placed.time_quality is TimeQuality.TRUSTED
    assert abs(placed.measured_at - meter.now) < timedelta(seconds=2)


def test_what_comes_late_of_a_meter_whose_clock_was_left_alone_is_corrected_by_it() -> None:
    wall = (NOW + timedelta(days=1)).astimezone(SHANGHAI).replace(tzinfo=None)
    meter = Told(values={"2a2b": bytes(CurrentTime(date_time=DateTime.of(wall))).hex()}, takes_writes=True)
    findings = meter.session("2a35", is_clock_believable=False)
    frame = BloodPressureMeasurement(systolic=Sfloat.of(150), diastolic=Sfloat.of(90), date_time=DateTime.of(wall))
    meter.play(take_late(Notified(characteristic="2a35", value=bytes(frame)), findings, received_at=meter.now))
    placed = place(meter.kept[0].evidence, SHANGHAI)
    assert (placed.time_quality, abs(placed.measured_at - NOW) < timedelta(seconds=2)) == (TimeQuality.CORRECTED, True)


def test_a_stream_that_comes_while_the_gateway_leaves_is_no_record() -> None:
    meter = Told()
    meter.play(
        take_late(Notified(characteristic="2a5f", value=bytes.fromhex("0062004E00")), Findings(), received_at=NOW)
    )
    assert meter.kept == []


CUFF_ON_THE_WAY = ("2a36", "00A000FF07FF07")
RESULT = ("2a35", "1E94005C006F00EA070B1507051E480001 0400")


def test_what_is_in_a_cuff_that_inflates_is_never_taken_for_a_measurement() -> None:
    meter = Told(says=[CUFF_ON_THE_WAY, CUFF_ON_THE_WAY, RESULT, CUFF_ON_THE_WAY])
    meter.session("2a35", "2a36")
    assert [record.characteristic for record in meter.kept] == ["2a35"]
    assert meter.kept[0].evidence.is_live
    assert "subscribe 2a36" not in meter.asked
    assert meter.set_aside == []


@pytest.mark.parametrize("said", [CUFF_ON_THE_WAY, ("2a19", "50")])
def test_what_is_no_record_does_not_keep_a_session_open(said: tuple[str, str]) -> None:
    """A meter that chatters without a result is left after the same fifteen seconds as a silent one, three after a record."""
    meter = Told(says=[said] * 100, slow_s=1.0)
    before = meter.now
    meter.session("2a35")
    assert 14 <= (meter.now - before).total_seconds() <= 17
    meter = Told(says=[RESULT, *[said] * 100], slow_s=1.0)
    before = meter.now
    meter.session("2a35")
    assert 3 <= (meter.now - before).total_seconds() <= 6
    assert len(meter.kept) == 1
