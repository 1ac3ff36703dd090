"""The control point of glucose sensors: what is asked, what is answered, and what this gateway cannot even say."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vitals.errors import MalformedError
from vitals.gatt.cgm_control import CgmControl, OpCode, ResponseCode
from vitals.gatt.e2e_crc import sealed
from vitals.gatt.sfloat import Sfloat

LENGTHS = {
    **dict.fromkeys((2, 8, 11, 14, 17, 20, 23, 25, 26, 27), 0),
    **dict.fromkeys((1, 3), 1),
    **dict.fromkeys((5, 7, 9, 10, 12, 13, 15, 16, 18, 19, 21, 22, 24, 28), 2),
    **dict.fromkeys((4, 6), 10),
}
"""GATT Specification Supplement, tables 3.84 and 3.86; the answer with the interval as CGMS 1.0.2 table 3.6 has it."""


def test_every_code_of_the_specification_is_known() -> None:
    assert sorted(LENGTHS) == sorted(OpCode)


@pytest.mark.parametrize("code", sorted(LENGTHS), ids=lambda code: OpCode(code).name)
def test_a_known_code_has_its_operand_with_the_right_sum_or_without(code: int) -> None:
    for length in range(20):
        frame = bytes((code,)) + bytes(length)
        if length == LENGTHS[code]:
            assert CgmControl.from_bytes(frame) == CgmControl(op_code=code, operand=bytes(length))
            assert CgmControl.from_bytes(sealed(frame)).is_sealed
            continue
        with pytest.raises(MalformedError) as refused:
            CgmControl.from_bytes(frame)
        assert refused.value.reason == ("crc" if length == LENGTHS[code] + 2 else "frame_length")


@given(st.binary(max_size=20))
def test_any_bytes_are_a_command_or_malformed(data: bytes) -> None:
    try:
        sent = CgmControl.from_bytes(data)
    except MalformedError as e:
        assert e.reason in ("frame_length", "crc")  # noqa: PT017
    else:
        assert bytes(sent) == data


def test_an_unknown_code_is_kept_with_whatever_follows() -> None:
    """Medtronic's "read current session id", answered by its pump with "not supported" (OpenMinimed cgm/controller.py)."""
    asked = CgmControl.from_bytes(bytes.fromhex("8C 1234"))
    assert (asked.op_code, asked.operand, asked.is_sealed) == (0x8C, b"\x12\x34", False)
    with pytest.raises(AssertionError):
        CgmControl(op_code=0x8C, is_sealed=True)


def test_the_interval_is_asked_for_set_and_answered() -> None:
    assert bytes(CgmControl.get_interval(is_sealed=False)) == b"\x02"
    assert bytes(CgmControl.set_interval(5, is_sealed=False)) == b"\x01\x05"
    answer = CgmControl.from_bytes(bytes(CgmControl.interval(5, is_sealed=True)))
    assert (answer.interval_min, answer.is_sealed, answer.alert_level) == (5, True, None)
    done = CgmControl.response(OpCode.SET_COMMUNICATION_INTERVAL, ResponseCode.SUCCESS, is_sealed=False)
    assert (done.request_op_code, done.response_code_value, done.interval_min) == (1, 1, None)
    assert CgmControl.get_interval(is_sealed=True).request_op_code is None


def test_an_alert_level_is_a_number_only_where_there_is_one() -> None:
    assert CgmControl.from_bytes(bytes.fromhex("07 4600")).alert_level == Sfloat.of(70)
    assert CgmControl.from_bytes(b"\x08").alert_level is None


@pytest.mark.parametrize("verb", ["start", "stop", "calibrate", "set_alert", "reset"])
def test_the_gateway_has_no_word_for_what_changes_a_treatment(verb: str) -> None:
    assert not [name for name in vars(CgmControl) if name.startswith(verb)]
