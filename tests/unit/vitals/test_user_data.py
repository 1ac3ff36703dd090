"""Who stands before a shared meter: registration, consent, and answers of any length."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vitals.errors import MalformedError
from vitals.gatt.user_data import DatabaseChangeIncrement, OpCode, ResponseValue, UserControl, UserIndex

LENGTHS = {1: 2, 2: 3, 3: 0, 4: 0, 5: 1}
AFTER_SUCCESS = {1: 1, 2: 0, 3: 0, 4: 1, 5: 1}


@pytest.mark.parametrize("code", LENGTHS, ids=lambda code: OpCode(code).name)
def test_a_known_command_has_its_parameter(code: int) -> None:
    for length in range(8):
        frame = bytes((code,)) + bytes(length)
        if length == LENGTHS[code]:
            assert bytes(UserControl.from_bytes(frame)) == frame
            continue
        with pytest.raises(MalformedError) as refused:
            UserControl.from_bytes(frame)
        assert refused.value.reason == "frame_length"


@pytest.mark.parametrize("code", AFTER_SUCCESS, ids=lambda code: OpCode(code).name)
def test_success_is_followed_by_what_was_asked_for(code: int) -> None:
    for length in range(5):
        frame = bytes((32, code, 1)) + bytes((7,)) * length
        if length == AFTER_SUCCESS[code]:
            sent = UserControl.from_bytes(frame)
            assert (sent.request_op_code, sent.response_value) == (code, ResponseValue.SUCCESS)
            assert sent.user_index == (7 if code in (1, 5) else None)
            assert sent.number_of_users == (7 if code == 4 else None)
            continue
        with pytest.raises(MalformedError) as refused:
            UserControl.from_bytes(frame)
        assert refused.value.reason == "frame_length"


@pytest.mark.parametrize("value", [0, 2, 3, 4, 5, 6, 255])
def test_what_is_no_success_names_nobody(value: int) -> None:
    """Whatever a meter adds to its refusal is kept and not read as a user."""
    for rest in (b"", b"\x07"):
        sent = UserControl.from_bytes(bytes((32, 1, value)) + rest)
        assert (sent.response_value, sent.user_index, sent.number_of_users) == (value, None, None)
        assert sent.parameter.endswith(rest)


@pytest.mark.parametrize("frame", ["", "20", "2001"])
def test_an_answer_to_nothing_is_malformed(frame: str) -> None:
    with pytest.raises(MalformedError) as refused:
        UserControl.from_bytes(bytes.fromhex(frame))
    assert refused.value.reason == "frame_length"


@given(st.binary(max_size=12))
def test_any_bytes_are_a_command_or_malformed(data: bytes) -> None:
    for codec in (UserControl, UserIndex, DatabaseChangeIncrement):
        try:
            sent = codec.from_bytes(data)
        except MalformedError as e:
            assert e.reason == "frame_length"  # noqa: PT017
        else:
            assert bytes(sent) == data


def test_a_user_is_registered_and_then_consents() -> None:
    assert bytes(UserControl.register(999)) == bytes.fromhex("01 E703")
    answer = UserControl.from_bytes(
        bytes(UserControl.response(OpCode.REGISTER_NEW_USER, ResponseValue.SUCCESS, b"\x03"))
    )
    assert answer.user_index == 3
    consent = UserControl.consent(3, 999)
    assert bytes(consent) == bytes.fromhex("02 03 E703")
    assert (consent.user_index, consent.consent_code) == (3, 999)
    assert bytes(UserControl.list_users()) == b"\x04"
    assert UserControl.list_users().consent_code is None


@pytest.mark.parametrize("code", [-1, 10_000])
def test_a_consent_code_has_four_digits(code: int) -> None:
    with pytest.raises(AssertionError) as wrong:
        UserControl.register(code)
    assert str(code) not in str(wrong.value), "a consent code opens a person's records: no message has it"
    with pytest.raises(AssertionError):
        UserControl.consent(1, code)


def test_nobody_consents_for_the_unknown_user() -> None:
    with pytest.raises(AssertionError):
        UserControl.consent(0xFF, 1)
    assert UserIndex.from_bytes(b"\xff").user_slot is None
    assert UserIndex.from_bytes(b"\x00").user_slot == 0


@pytest.mark.parametrize("verb", ["delete", "remove"])
def test_the_gateway_has_no_word_for_deleting(verb: str) -> None:
    assert not [name for name in vars(UserControl) if name.startswith(verb)]


def test_the_increment_is_four_octets_little_end_first() -> None:
    assert DatabaseChangeIncrement.from_bytes(b"\x01\0\0\0").count == 1
    assert bytes(DatabaseChangeIncrement(count=0x04030201)) == b"\x01\x02\x03\x04"
    with pytest.raises(AssertionError):
        DatabaseChangeIncrement(count=2**32)
