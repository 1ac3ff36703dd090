"""The oximeter's firmware by itself: spot checks at once and stored, and the stream of a finger that stays in."""

from datetime import datetime

import pytest
from unit.firmware_sims.told import WALL, a_meter, all_said, listen_to, tell

from firmware_sims.firmware import AttCode, AttError, Firmware, HangUp, Indicate
from firmware_sims.pulse_oximeter import SETTLES, PulseOximeter
from vitals.errors import MalformedError
from vitals.gatt import uuids
from vitals.gatt.pulse_oximeter import Continuous, Features, SpotCheck
from vitals.gatt.record_access import OpCode, RecordAccess, ResponseCode

SPOT, STREAM, CONTROL = uuids.PLX_SPOT_CHECK, uuids.PLX_CONTINUOUS, uuids.RECORD_ACCESS
DONE, NONE_FOUND = (CONTROL, "06000101"), (CONTROL, "06000106")


def an_oximeter(**settings: object) -> PulseOximeter:
    firmware = a_meter("oxygen_saturation", **settings)
    assert isinstance(firmware, PulseOximeter)
    return firmware


def check(oximeter: Firmware, spo2: int = 97) -> None:
    tell(oximeter, spo2_percent=spo2, pulse_bpm=66)


def report(oximeter: Firmware) -> list[tuple[str, str]]:
    oximeter.write(CONTROL, bytes(RecordAccess.report_all()), wall=WALL)
    return all_said(oximeter)


def saturations(said: list[tuple[str, str]]) -> list[float | None]:
    return [SpotCheck.from_bytes(bytes.fromhex(raw)).spo2.number for name, raw in said if name == SPOT]


def test_its_frame_is_the_captured_one() -> None:
    """A ChoiceMMed oximeter whose clock nobody has set; stackoverflow 71264072."""
    oximeter = an_oximeter(clock={"stuck_at": "2017-01-01T01:34:19", "says_so": True})
    listen_to(oximeter, SPOT)
    tell(oximeter, spo2_percent=97, pulse_bpm=96, status=0x20, sensor_status=0x20)
    assert all_said(oximeter) == [(SPOT, "1761006000E10701010122132000200000")]


@pytest.mark.parametrize(
    ("clock", "is_set", "time"),
    [
        ("ok", True, "2026-11-21T07:05:30"),
        ("unset", False, None),
        ("1970", False, "1970-01-01T00:00:00"),
        ("absent", True, None),
    ],
)
def test_it_says_itself_that_its_clock_is_not_set(clock: str, is_set: bool, time: str | None) -> None:
    oximeter = an_oximeter(clock=clock)
    check(oximeter)
    frame = SpotCheck.from_bytes(oximeter.stored[0])
    assert (frame.is_clock_set, frame.meter_time) == (is_set, time)


def test_a_clock_that_has_been_set_is_not_called_unset() -> None:
    oximeter = an_oximeter(clock="unset")
    assert oximeter.clock.set_to(datetime(2026, 11, 21, 7), wall=WALL)  # noqa: DTZ001
    check(oximeter)
    assert SpotCheck.from_bytes(oximeter.stored[0]).is_clock_set


def test_a_check_taken_alone_is_stored_and_says_so() -> None:
    oximeter = an_oximeter()
    check(oximeter)
    assert oximeter.is_advertising
    assert SpotCheck.from_bytes(oximeter.stored[0]).is_from_storage
    listen_to(oximeter, SPOT, CONTROL)
    assert all_said(oximeter) == [], "it is asked for"


def test_a_check_that_somebody_waits_for_is_sent_at_once_and_forgotten() -> None:
    oximeter = an_oximeter()
    listen_to(oximeter, SPOT)
    check(oximeter)
    ((_, raw),) = all_said(oximeter)
    assert not SpotCheck.from_bytes(bytes.fromhex(raw)).is_from_storage
    assert (oximeter.stored, oximeter.records, oximeter.is_advertising) == ((), (), False)


def test_a_report_brings_all_and_they_stay() -> None:
    oximeter = an_oximeter()
    for spo2 in (97, 95, 96):
        check(oximeter, spo2)
    listen_to(oximeter, SPOT, CONTROL)
    said = report(oximeter)
    assert (saturations(said), said[-1]) == ([97, 95, 96], DONE)
    assert not oximeter.is_advertising, "there is no news"
    assert report(oximeter) == said, "they stay until they are deleted"


def test_a_check_taken_during_a_report_is_news() -> None:
    oximeter = an_oximeter()
    check(oximeter)
    listen_to(oximeter, SPOT, CONTROL)
    oximeter.write(CONTROL, bytes(RecordAccess.report_all()), wall=WALL)
    check(oximeter, 91)
    said = all_said(oximeter)
    assert saturations(said) == [97, 91]
    assert said.index(DONE) == 1, "the report ends before what is new is sent"
    assert not oximeter.is_advertising


def test_a_check_that_is_stored_during_a_report_is_news_too() -> None:
    oximeter = an_oximeter()
    check(oximeter)
    listen_to(oximeter, SPOT, CONTROL)
    oximeter.write(CONTROL, bytes(RecordAccess.report_all()), wall=WALL)
    oximeter.next_action()
    oximeter.on_subscribed(SPOT, is_on=False)
    check(oximeter, 91)
    oximeter.on_confirmed()
    assert all_said(oximeter) == [DONE]
    assert oximeter.is_advertising


def test_a_report_that_breaks_leaves_news() -> None:
    oximeter = an_oximeter(faults={"drops_after_indication": 1})
    check(oximeter)
    check(oximeter, 95)
    listen_to(oximeter, SPOT, CONTROL)
    oximeter.write(CONTROL, bytes(RecordAccess.report_all()), wall=WALL)
    action = oximeter.next_action()
    assert isinstance(action, Indicate)
    assert action.then_drops
    oximeter.on_disconnected()
    assert oximeter.is_advertising
    listen_to(oximeter, SPOT, CONTROL)
    assert saturations(report(oximeter)) == [97, 95]


def test_it_counts_deletes_and_finds_nothing() -> None:
    oximeter = an_oximeter()
    check(oximeter)
    check(oximeter)
    listen_to(oximeter, SPOT, CONTROL)
    oximeter.write(CONTROL, bytes(RecordAccess.count_all()), wall=WALL)
    assert all_said(oximeter) == [(CONTROL, "05000200")]
    oximeter.write(CONTROL, bytes.fromhex("0201"), wall=WALL)
    assert all_said(oximeter) == [(CONTROL, "06000201")]
    assert not oximeter.is_advertising
    assert report(oximeter) == [NONE_FOUND]


@pytest.mark.parametrize(
    ("command", "code"),
    [
        ("0901", ResponseCode.OP_CODE_NOT_SUPPORTED),
        ("0100", ResponseCode.INVALID_OPERATOR),
        ("0103010000", ResponseCode.OPERATOR_NOT_SUPPORTED),
        ("010101", ResponseCode.INVALID_OPERAND),
        ("0300", ResponseCode.ABORT_UNSUCCESSFUL),
        ("0301", ResponseCode.INVALID_OPERATOR),
    ],
)
def test_what_it_cannot_do_it_says(command: str, code: ResponseCode) -> None:
    oximeter = an_oximeter()
    listen_to(oximeter, SPOT, CONTROL)
    oximeter.write(CONTROL, bytes.fromhex(command), wall=WALL)
    assert all_said(oximeter) == [(CONTROL, bytes(RecordAccess.response(int(command[:2], 16), code)).hex().upper())]


def test_an_abort_ends_the_report_and_leaves_news() -> None:
    oximeter = an_oximeter()
    for spo2 in (97, 95, 96):
        check(oximeter, spo2)
    listen_to(oximeter, SPOT, CONTROL)
    oximeter.write(CONTROL, bytes(RecordAccess.report_all()), wall=WALL)
    oximeter.next_action()
    with pytest.raises(AttError) as refused:
        oximeter.write(CONTROL, bytes(RecordAccess.count_all()), wall=WALL)
    assert refused.value.code == AttCode.PROCEDURE_IN_PROGRESS
    oximeter.write(CONTROL, bytes(RecordAccess.abort()), wall=WALL)
    oximeter.on_confirmed()
    answer = RecordAccess.response(OpCode.ABORT_OPERATION, ResponseCode.SUCCESS)
    assert all_said(oximeter) == [(CONTROL, bytes(answer).hex().upper())]
    assert oximeter.is_advertising


def test_a_report_must_be_listened_to() -> None:
    oximeter = an_oximeter()
    listen_to(oximeter, CONTROL)
    with pytest.raises(AttError) as refused:
        report(oximeter)
    assert refused.value.code == AttCode.CCCD_IMPROPERLY_CONFIGURED
    with pytest.raises(AttError) as refused:
        oximeter.write(CONTROL, b"\x01", wall=WALL)
    assert refused.value.code == AttCode.INVALID_LENGTH


def test_a_finger_that_stays_is_shown_every_tick() -> None:
    oximeter = an_oximeter()
    tell(oximeter, spo2_percent=98, pulse_bpm=78, is_worn=True)
    assert oximeter.is_ticking
    assert oximeter.is_advertising
    listen_to(oximeter, STREAM)
    said = []
    for _ in range(SETTLES + 1):
        oximeter.on_tick(wall=WALL)
        said += all_said(oximeter)
    frames = [Continuous.from_bytes(bytes.fromhex(raw)) for name, raw in said if name == STREAM]
    assert [f.normal.spo2.number for f in frames] == [98] * 4
    assert [f.status_flags for f in frames] == [("measurement_ongoing", "early_estimate")] * 3 + [
        ("measurement_ongoing", "fully_qualified")
    ]
    tell(oximeter, is_worn=False)
    assert not oximeter.is_ticking
    assert not oximeter.is_advertising


def test_failing_it_shows_and_stores_no_number() -> None:
    oximeter = an_oximeter(faults={"fails": True})
    check(oximeter)
    tell(oximeter, spo2_percent=98, pulse_bpm=78, is_worn=True)
    listen_to(oximeter, STREAM)
    oximeter.on_tick(wall=WALL)
    ((_, raw),) = all_said(oximeter)
    assert Continuous.from_bytes(bytes.fromhex(raw)).normal.spo2.special == "nan"
    assert SpotCheck.from_bytes(oximeter.stored[0]).spo2.special == "nan"


def test_it_says_what_it_can() -> None:
    features = Features.from_bytes(an_oximeter().read(uuids.PLX_FEATURES, wall=WALL))
    assert features.stores_spot_checks
    assert features.status is not None


def test_each_record_can_come_twice_and_cut_short() -> None:
    oximeter = an_oximeter(faults={"sends_twice": True, "truncate_to": 6})
    check(oximeter)
    listen_to(oximeter, SPOT, CONTROL)
    *records, answer = report(oximeter)
    assert [len(bytes.fromhex(raw)) for _, raw in records] == [6, 6]
    assert answer == DONE


def test_it_hangs_up_after_its_report() -> None:
    oximeter = an_oximeter(faults={"hangs_up": True})
    check(oximeter)
    listen_to(oximeter, SPOT, CONTROL)
    oximeter.write(CONTROL, bytes(RecordAccess.report_all()), wall=WALL)
    for _ in range(2):
        oximeter.next_action()
        oximeter.on_confirmed()
    assert isinstance(oximeter.next_action(), HangUp)


def test_a_check_without_its_numbers_is_refused() -> None:
    with pytest.raises(MalformedError, match="spo2_percent and pulse_bpm"):
        tell(an_oximeter(), spo2_percent=97)
