"""The record access control point: our commands, a meter's answers, and what neither of us knows."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vitals.errors import MalformedError
from vitals.gatt.record_access import FilterType, OpCode, Operator, RecordAccess, ResponseCode

COMMANDS = {
    "0401": RecordAccess.count_all(),
    "0101": RecordAccess.report_all(),
    "0103012b00": RecordAccess.report_from(43),
    "010301ffff": RecordAccess.report_from(0xFFFF),
    "0300": RecordAccess.abort(),
    "06000101": RecordAccess.response(OpCode.REPORT_STORED_RECORDS, ResponseCode.SUCCESS),
    "06000106": RecordAccess.response(OpCode.REPORT_STORED_RECORDS, ResponseCode.NO_RECORDS_FOUND),
    "0500f700": RecordAccess.number(247),
}


@pytest.mark.parametrize(("frame", "command"), COMMANDS.items())
def test_a_command_is_the_bytes_of_the_specification(frame: str, command: RecordAccess) -> None:
    assert bytes(command).hex() == frame
    assert RecordAccess.from_bytes(bytes.fromhex(frame)) == command


@given(st.binary(max_size=24))
def test_any_bytes_are_a_frame_or_malformed(data: bytes) -> None:
    try:
        access = RecordAccess.from_bytes(data)
    except MalformedError as e:
        assert e.reason == "frame_length"  # noqa: PT017
        return
    assert bytes(access) == data
    for name in ("filter_type", "minimum", "maximum", "number_of_records", "request_op_code", "response_code_value"):
        assert getattr(access, name) is None or 0 <= getattr(access, name) <= 0xFFFF


@pytest.mark.parametrize(
    "frame",
    [
        "",
        "01",
        "010100",
        "0103",
        "010301",
        "0103012b",
        "0103012b0000",
        "0104010a00",
        "0104010a0014",
        "03 00 00",
        "0600",
        "060001",
        "0600010100",
        "0500",
        "0500f7",
        "010302EA07",
        "0801",
    ],
)
def test_an_operand_that_cannot_be_is_malformed(frame: str) -> None:
    with pytest.raises(MalformedError, match="frame_length"):
        RecordAccess.from_bytes(bytes.fromhex(frame))


@pytest.mark.parametrize("frame", ["0f0f33f0", "00ff", "0107", "0107aabb", "0103032b00112233"])
def test_codes_that_nobody_knows_are_kept_so_that_a_meter_can_answer(frame: str) -> None:
    access = RecordAccess.from_bytes(bytes.fromhex(frame))
    assert bytes(access).hex() == frame
    assert access.minimum is None
    assert access.maximum is None


def test_a_range_has_two_bounds_and_the_others_have_one() -> None:
    def bounds(operator: Operator, operand: str) -> tuple[int | None, int | None]:
        access = RecordAccess(op_code=OpCode.REPORT_STORED_RECORDS, operator=operator, operand=bytes.fromhex(operand))
        return access.minimum, access.maximum

    assert bounds(Operator.WITHIN_RANGE_OF, "010a001400") == (10, 20)
    assert bounds(Operator.GREATER_THAN_OR_EQUAL_TO, "010a00") == (10, None)
    assert bounds(Operator.LESS_THAN_OR_EQUAL_TO, "010a00") == (None, 10)
    assert bounds(Operator.ALL_RECORDS, "") == (None, None)


def test_a_time_filter_has_no_sequence_numbers() -> None:
    access = RecordAccess.from_bytes(bytes.fromhex("010302EA070B15071E00"))
    assert access.filter_type == FilterType.USER_FACING_TIME
    assert access.minimum is None


def test_only_an_answer_answers() -> None:
    assert RecordAccess.report_all().response_code_value is None
    assert RecordAccess.report_all().request_op_code is None
    assert RecordAccess.report_all().number_of_records is None
    answer = RecordAccess.response(OpCode.ABORT_OPERATION, ResponseCode.ABORT_UNSUCCESSFUL)
    assert (answer.request_op_code, answer.response_code_value) == (3, 7)
    assert answer.filter_type is None
