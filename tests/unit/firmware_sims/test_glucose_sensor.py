"""The simulated glucose sensor keeps to CGMS 1.0.2 where a collector can tell."""

from datetime import datetime, timedelta

import pytest

from firmware_sims.firmware import AttError, Indicate, Notify
from firmware_sims.glucose_sensor import GlucoseSensor
from firmware_sims.settings import Meter
from vitals.errors import MalformedError
from vitals.gatt.cgm_control import CgmControl
from vitals.gatt.cgm_session import CgmFeature, CgmStatus, SessionStartTime
from vitals.gatt.record_access import FilterType, OpCode, Operator, RecordAccess

WALL = datetime(2026, 11, 21, 7, 0)  # noqa: DTZ001  # a wall clock


def worn(*, records: int = 3, clock: str = "ok", is_sealed: bool = True) -> GlucoseSensor:
    sensor = GlucoseSensor(Meter(name="cgm", kind="sensor_glucose", index=1, clock=clock), is_sealed=is_sealed)  # type: ignore[arg-type]
    for n in range(records):
        sensor.measure(wall=WALL + timedelta(minutes=5 * n), glucose_mg_dl=100 + n)
    sensor.on_connected()
    for characteristic in ("2aa7", "2a52", "2aac"):
        sensor.on_subscribed(characteristic, is_on=True)
    return sensor


def said(sensor: GlucoseSensor) -> list[tuple[str, str]]:
    found = []
    while (action := sensor.next_action()) is not None:
        assert isinstance(action, Notify | Indicate)
        found.append((action.characteristic, action.value.hex()))
        if isinstance(action, Indicate):
            sensor.on_confirmed()
    return found


@pytest.mark.parametrize(
    ("command", "count", "answer"),
    [
        ("0101", 3, "06000101"),
        ("0103010500", 2, "06000101"),
        ("0102010500", 2, "06000101"),
        ("01040105000500", 1, "06000101"),
        ("0105", 1, "06000101"),
        ("0106", 1, "06000101"),
        ("0103014000", 0, "06000106"),
        ("0401", 0, "05000300"),
        ("0701", 0, "06000702"),
        ("0201", 0, "06000202"),
        ("0100", 0, "06000103"),
        ("0107", 0, "06000104"),
        ("010302ea070101000000", 0, "06000109"),
        ("01040106000500", 0, "06000105"),
        ("010301", 0, "06000105"),
        ("0300", 0, "06000307"),
        ("0301", 0, "06000303"),
    ],
)
def test_a_command_is_answered_as_the_specification_has_it(command: str, count: int, answer: str) -> None:
    sensor = worn()
    sensor.write("2a52", bytes.fromhex(command), wall=WALL)
    *records, last = said(sensor)
    assert len([c for c, _ in records if c == "2aa7"]) == count
    assert last == ("2a52", answer)


def test_a_running_report_is_stopped_by_an_abort() -> None:
    sensor = worn()
    sensor.write("2a52", bytes(RecordAccess.report_all()), wall=WALL)
    assert isinstance(sensor.next_action(), Notify)
    with pytest.raises(AttError, match="IN_PROGRESS"):
        sensor.write("2a52", bytes(RecordAccess.report_all()), wall=WALL)
    sensor.write("2a52", bytes(RecordAccess.abort()), wall=WALL)
    assert said(sensor) == [("2a52", "06000301")]


def test_who_does_not_listen_may_not_ask() -> None:
    sensor = worn()
    sensor.on_subscribed("2aa7", is_on=False)
    with pytest.raises(AttError, match="CCCD"):
        sensor.write("2a52", b"\x01\x01", wall=WALL)
    with pytest.raises(AttError, match="LENGTH"):
        sensor.write("2a52", b"\x01", wall=WALL)


def test_a_report_is_finished_before_what_was_measured_meanwhile() -> None:
    """CGMS 1.0.2 section 3.8.3."""
    sensor = worn()
    sensor.write("2a52", bytes(RecordAccess.report_all()), wall=WALL)
    live = sensor.measure(wall=WALL + timedelta(minutes=15), glucose_mg_dl=110)
    frames = said(sensor)
    assert [c for c, _ in frames] == ["2aa7"] * 3 + ["2a52", "2aa7"]
    assert frames[-1][1] == live.hex()


def test_the_start_is_computed_from_the_collectors_time() -> None:
    """CGMS 1.0.2 section 3.4.1."""
    sensor = worn(clock="unset")
    now = WALL + timedelta(minutes=10)
    assert CgmStatus.from_bytes(sensor.read("2aa9", wall=now)).status_flags == ("time_synchronization_required",)
    sensor.write("2aaa", bytes(SessionStartTime.of(now.astimezone(), is_sealed=True)), wall=now)
    assert SessionStartTime.from_bytes(sensor.read("2aaa", wall=now)).meter_time(0) == WALL.isoformat()
    assert CgmStatus.from_bytes(sensor.read("2aa9", wall=now)).status == 0


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("00000000000080ff", "LENGTH"),
        ("ea070b150700 00 80ff", "MISSING_CRC"),
        ("ea070b150700 00 80ff 0000", "INVALID_CRC"),
    ],
)
def test_a_start_that_is_not_sealed_right_is_refused(value: str, why: str) -> None:
    with pytest.raises(AttError, match=why):
        worn().write("2aaa", bytes.fromhex(value), wall=WALL)


def test_a_start_that_is_no_time_is_refused() -> None:
    with pytest.raises(AttError, match="NOT_ALLOWED"):
        worn(is_sealed=False).write("2aaa", bytes.fromhex("0000000000000080ff"), wall=WALL)


def test_how_often_it_tells_can_be_asked_and_set_and_nothing_else() -> None:
    sensor = worn()
    for command in (
        CgmControl.get_interval(is_sealed=True),
        CgmControl.set_interval(0, is_sealed=True),
        CgmControl(op_code=26, is_sealed=True),
    ):
        sensor.write("2aac", bytes(command), wall=WALL)
    answers = [CgmControl.from_bytes(bytes.fromhex(value)) for _, value in said(sensor)]
    assert answers[0].interval_min == 1
    assert [a.response_code_value for a in answers[1:]] == [1, 2]
    sensor.measure(wall=WALL, glucose_mg_dl=100)
    assert said(sensor) == []
    with pytest.raises(AttError, match="MISSING_CRC"):
        sensor.write("2aac", b"\x02", wall=WALL)


def test_its_frames_are_sealed_or_not_as_its_feature_says() -> None:
    for is_sealed in (True, False):
        sensor = worn(is_sealed=is_sealed)
        assert CgmFeature.from_bytes(sensor.read("2aa8", wall=WALL)).has_e2e_crc is is_sealed
        assert len(sensor.records[0].frames[0]) == (8 if is_sealed else 6)


def test_a_frame_for_a_sensor_that_nobody_wears_is_refused() -> None:
    with pytest.raises(MalformedError):
        worn(records=0).keep(b"\x06")


def test_a_range_is_a_command_of_seven_octets() -> None:
    command = RecordAccess(
        op_code=OpCode.REPORT_STORED_RECORDS,
        operator=Operator.WITHIN_RANGE_OF,
        operand=bytes((FilterType.SEQUENCE_NUMBER, 5, 0, 5, 0)),
    )
    assert bytes(command).hex() == "01040105000500"
