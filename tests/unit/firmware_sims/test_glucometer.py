"""The glucometer's firmware by itself, above all its Record Access Control Point."""

from datetime import datetime
from typing import Any

import pytest

from firmware_sims.faults import Faults
from firmware_sims.firmware import AttCode, AttError, Indicate, Notify
from firmware_sims.glucometer import CAPACITY, Glucometer
from firmware_sims.settings import Clock, Meter, WrongClock
from vitals.gatt import uuids
from vitals.gatt.current_time import CurrentTime
from vitals.gatt.glucose import GlucoseMeasurement
from vitals.gatt.glucose_context import GlucoseContext, Meal
from vitals.gatt.record_access import RecordAccess, ResponseCode

WALL = datetime(2026, 11, 21, 7, 25)  # noqa: DTZ001  # a wall clock
ALL = (uuids.GLUCOSE_MEASUREMENT, uuids.GLUCOSE_CONTEXT, uuids.RECORD_ACCESS)


def glucometer(*, records: int = 0, clock: Clock = "ok", first_sequence: int = 1, **settings: Any) -> Glucometer:
    meter = Glucometer(
        Meter(name="glu", kind="glucose", index=1, clock=clock, **settings), first_sequence=first_sequence
    )
    for n in range(records):
        meter.measure(wall=WALL, glucose_mg_dl=100 + n)
    return meter


def connected(meter: Glucometer, *characteristics: str) -> Glucometer:
    meter.on_connected()
    for characteristic in characteristics or ALL:
        meter.on_subscribed(characteristic, is_on=True)
    return meter


def command(meter: Glucometer, hexadecimal: str) -> None:
    meter.write(uuids.RECORD_ACCESS, bytes.fromhex(hexadecimal), wall=WALL)


def said(meter: Glucometer) -> list[Notify | Indicate]:
    """All that it says until it has nothing more, each indication being confirmed."""
    actions: list[Notify | Indicate] = []
    while (action := meter.next_action()) is not None:
        assert isinstance(action, Notify | Indicate)
        actions.append(action)
        if isinstance(action, Indicate):
            meter.on_confirmed()
    return actions


def answer(meter: Glucometer, hexadecimal: str) -> tuple[list[int], str]:
    """(the sequence numbers reported, the answer in hex) to a command."""
    command(meter, hexadecimal)
    *reported, last = said(meter)
    assert isinstance(last, Indicate)
    assert last.characteristic == uuids.RECORD_ACCESS
    frames = [GlucoseMeasurement.from_bytes(a.value) for a in reported if a.characteristic == uuids.GLUCOSE_MEASUREMENT]
    return [frame.sequence for frame in frames], last.value.hex()


def test_its_frame_is_the_published_one() -> None:
    """`glucose kg/L` of the golden frames, but with a time offset of 0, of whole blood."""
    raw = glucometer(first_sequence=43).measure(wall=WALL, glucose_mg_dl=126).measurement
    assert raw == bytes.fromhex("032B00EA070B15071900" + "0000" + "7EB011")


def test_it_can_speak_in_moles() -> None:
    raw = glucometer(unit="mol/L").measure(wall=WALL, glucose_mg_dl=129.7).measurement
    frame = GlucoseMeasurement.from_bytes(raw)
    assert frame.unit == "mol/L"
    assert frame.to_measurement().glucose_mmol_l == pytest.approx(7.2)


def test_a_meal_goes_into_the_context_of_the_same_record() -> None:
    record = glucometer().measure(wall=WALL, glucose_mg_dl=126, meal="fasting")
    assert GlucoseMeasurement.from_bytes(record.measurement).context_follows
    assert record.context is not None
    assert GlucoseContext.from_bytes(record.context) == GlucoseContext(sequence=record.sequence, meal=Meal.FASTING)


@pytest.mark.parametrize(
    ("asked", "reported", "answered"),
    [
        pytest.param("0101", [1, 2, 3, 4, 5], "06000101", id="report all"),
        pytest.param("0102010300", [1, 2, 3], "06000101", id="report up to"),
        pytest.param("0103010400", [4, 5], "06000101", id="report from"),
        pytest.param("01040102000400", [2, 3, 4], "06000101", id="report range, both ends included"),
        pytest.param("0105", [1], "06000101", id="report first"),
        pytest.param("0106", [5], "06000101", id="report last"),
        pytest.param("0103010600", [], "06000106", id="report from beyond the last: no records found"),
        pytest.param("0401", [], "05000500", id="count all"),
        pytest.param("0403010400", [], "05000200", id="count from"),
        pytest.param("0403010600", [], "05000000", id="count none"),
        pytest.param("0201", [], "06000201", id="delete all"),
        pytest.param("0203010600", [], "06000206", id="delete none"),
        pytest.param("0100", [], "06000103", id="null operator"),
        pytest.param("0107", [], "06000104", id="unknown operator"),
        pytest.param("0103", [], "06000105", id="no operand"),
        pytest.param("01030104", [], "06000105", id="half an operand"),
        pytest.param("01010104", [], "06000105", id="an operand too many"),
        pytest.param("01040104000200", [], "06000105", id="range backwards"),
        pytest.param("010302EA070B15071900", [], "06000109", id="filter by time"),
        pytest.param("0103090400", [], "06000109", id="unknown filter"),
        pytest.param("0701", [], "06000702", id="unknown op code"),
        pytest.param("05000500", [], "06000502", id="an answer instead of a command"),
        pytest.param("0300", [], "06000307", id="abort of nothing"),
        pytest.param("0301", [], "06000303", id="abort with an operator"),
    ],
)
def test_record_access(asked: str, reported: list[int], answered: str) -> None:
    assert answer(connected(glucometer(records=5)), asked) == (reported, answered)


def test_every_answer_is_one_that_the_gateway_can_read() -> None:
    _, answered = answer(connected(glucometer(records=5)), "0401")
    assert RecordAccess.from_bytes(bytes.fromhex(answered)).number_of_records == 5


def test_the_context_follows_its_record() -> None:
    meter = connected(glucometer())
    record = meter.measure(wall=WALL, glucose_mg_dl=126, meal="postprandial")
    command(meter, "0101")
    assert [(a.characteristic, a.value) for a in said(meter)][:2] == [
        (uuids.GLUCOSE_MEASUREMENT, record.measurement),
        (uuids.GLUCOSE_CONTEXT, record.context),
    ]


def test_a_context_nobody_subscribed_to_is_not_sent() -> None:
    meter = connected(glucometer(), uuids.GLUCOSE_MEASUREMENT, uuids.RECORD_ACCESS)
    meter.measure(wall=WALL, glucose_mg_dl=126, meal="fasting")
    command(meter, "0101")
    assert uuids.GLUCOSE_CONTEXT not in {action.characteristic for action in said(meter)}


@pytest.mark.parametrize("subscribed", [(uuids.GLUCOSE_MEASUREMENT,), (uuids.RECORD_ACCESS,), (uuids.GLUCOSE_CONTEXT,)])
def test_a_report_before_its_subscriptions_is_improperly_configured(subscribed: tuple[str, ...]) -> None:
    with pytest.raises(AttError) as refused:
        command(connected(glucometer(records=1), *subscribed), "0101")
    assert int(refused.value.code) == 0xFD


def test_a_count_needs_no_subscription_to_measurements() -> None:
    assert answer(connected(glucometer(records=2), uuids.RECORD_ACCESS), "0401") == ([], "05000200")


def test_a_second_command_while_one_runs_is_refused() -> None:
    meter = connected(glucometer(records=3))
    command(meter, "0101")
    meter.next_action()
    with pytest.raises(AttError) as refused:
        command(meter, "0401")
    assert int(refused.value.code) == 0xFE


def test_the_next_command_is_taken_once_the_answer_is_confirmed() -> None:
    meter = connected(glucometer(records=3))
    assert answer(meter, "0401") == ([], "05000300")
    assert answer(meter, "0106") == ([3], "06000101")


def test_an_abort_ends_the_report_in_the_middle() -> None:
    meter = connected(glucometer(records=20))
    command(meter, "0101")
    first = meter.next_action()
    assert isinstance(first, Notify)
    assert answer(meter, "0300") == ([], "06000301")
    assert meter.is_advertising, "what was not reported is still news"
    assert answer(meter, "0106")[0] == [20]


def test_an_abort_during_the_answer_still_gets_its_own() -> None:
    meter = connected(glucometer(records=1))
    command(meter, "0401")
    counted = meter.next_action()
    assert isinstance(counted, Indicate)
    command(meter, "0300")
    assert meter.next_action() is None, "one indication at a time"
    meter.on_confirmed()
    assert [action.value.hex() for action in said(meter)] == ["06000301"]


def test_a_disconnect_ends_the_procedure() -> None:
    meter = connected(glucometer(records=3))
    command(meter, "0101")
    meter.next_action()
    meter.on_disconnected()
    assert meter.next_action() is None
    assert answer(connected(meter), "0101")[0] == [1, 2, 3]


def test_a_command_of_one_byte_has_the_wrong_length() -> None:
    with pytest.raises(AttError) as refused:
        command(connected(glucometer(records=1)), "01")
    assert refused.value.code == AttCode.INVALID_LENGTH


def test_deleted_records_are_gone_and_numbers_go_on() -> None:
    meter = connected(glucometer(records=5))
    assert answer(meter, "0202010300") == ([], "06000201")
    assert [record.sequence for record in meter.records] == [4, 5]
    assert meter.measure(wall=WALL, glucose_mg_dl=100).sequence == 6


def test_it_advertises_until_a_report_is_complete() -> None:
    meter = connected(glucometer(records=2))
    assert meter.is_advertising
    answer(meter, "0401")
    assert meter.is_advertising, "a count is no report"
    answer(meter, "0103010200")
    assert not meter.is_advertising
    meter.measure(wall=WALL, glucose_mg_dl=100)
    assert meter.is_advertising


def test_a_record_taken_during_a_report_is_still_news() -> None:
    meter = connected(glucometer(records=2))
    command(meter, "0101")
    meter.next_action()
    meter.measure(wall=WALL, glucose_mg_dl=100)
    said(meter)
    assert meter.is_advertising


def test_a_full_memory_overwrites_its_oldest_record() -> None:
    meter = glucometer(records=CAPACITY + 2)
    assert [meter.records[0].sequence, meter.records[-1].sequence] == [3, CAPACITY + 2]


def test_sequence_numbers_begin_again_after_the_last() -> None:
    meter = glucometer(first_sequence=0xFFFF, records=2)
    assert [record.sequence for record in meter.records] == [0xFFFF, 0]


def test_setting_the_clock_moves_the_offset_and_leaves_the_base_time() -> None:
    meter = glucometer(clock=WrongClock(offset_s=-3600))
    before = GlucoseMeasurement.from_bytes(meter.measure(wall=WALL, glucose_mg_dl=100).measurement)
    meter.write(uuids.CURRENT_TIME, bytes(CurrentTime.of(WALL)), wall=WALL)
    after = GlucoseMeasurement.from_bytes(meter.measure(wall=WALL, glucose_mg_dl=100).measurement)
    assert before.base_time == after.base_time
    assert (before.time_offset_min, after.time_offset_min) == (0, 60)
    assert after.user_facing_time == WALL
    assert CurrentTime.from_bytes(meter.read(uuids.CURRENT_TIME, wall=WALL)).naive == WALL


def test_an_unset_clock_can_be_set() -> None:
    meter = glucometer(clock="unset")
    assert GlucoseMeasurement.from_bytes(meter.measure(wall=WALL, glucose_mg_dl=100).measurement).meter_time is None
    meter.write(uuids.CURRENT_TIME, bytes(CurrentTime.of(WALL)), wall=WALL)
    frame = GlucoseMeasurement.from_bytes(meter.measure(wall=WALL, glucose_mg_dl=100).measurement)
    assert frame.user_facing_time == WALL


def test_a_clock_cannot_be_set_to_nonsense() -> None:
    with pytest.raises(AttError, match="VALUE_NOT_ALLOWED"):
        glucometer().write(uuids.CURRENT_TIME, bytes(CurrentTime.of(WALL.replace(year=1999))), wall=WALL)


def test_a_failed_measurement_has_no_concentration() -> None:
    record = glucometer(faults=Faults(fails=True)).measure(wall=WALL, glucose_mg_dl=100, status=0x0002)
    assert GlucoseMeasurement.from_bytes(record.measurement).concentration is None


def test_everything_is_reported_twice_if_told_so() -> None:
    assert answer(connected(glucometer(records=2, faults=Faults(sends_twice=True))), "0101")[0] == [1, 1, 2, 2]


def test_a_raw_frame_is_reported_as_it_is() -> None:
    meter = connected(glucometer())
    meter.keep(b"\x01\x02")
    command(meter, "0101")
    assert said(meter)[0].value == b"\x01\x02"


def test_no_records_at_all_is_an_answer_too() -> None:
    meter = connected(glucometer())
    assert answer(meter, "0101") == ([], f"060001{ResponseCode.NO_RECORDS_FOUND:02x}")
    assert not meter.is_advertising
    assert meter.read(uuids.GLUCOSE_FEATURE, wall=WALL) == bytes.fromhex("2d00")
