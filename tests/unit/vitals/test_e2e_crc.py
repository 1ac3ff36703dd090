"""E2E-CRC against the vectors of the specification and of others, and against an implementation by long division."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vitals.errors import MalformedError
from vitals.gatt.e2e_crc import check_seal, e2e_crc, has_seal, sealed

VECTORS = (
    ("CGMS 1.0.2 section 3.11: sent as 01 2F", bytes.fromhex("3E010203040506070809"), 0x2F01),
    ("CRC-16/MCRF4XX, the catalogue's check value", b"123456789", 0x6F91),
    ("Microchip AN752", bytes.fromhex("58251F98"), 0x07F1),
    ("Nordic CRC16Test", b"A", 0x5C0A),
    ("the seed", b"", 0xFFFF),
)


@pytest.mark.parametrize(("source", "data", "crc"), VECTORS, ids=[source for source, _, _ in VECTORS])
def test_a_published_sum_is_ours(source: str, data: bytes, crc: int) -> None:
    assert e2e_crc(data) == crc
    assert sealed(data) == data + crc.to_bytes(2, "little")


@given(st.binary(max_size=40))
def test_the_sum_is_the_remainder_of_a_long_division(data: bytes) -> None:
    """D16 + D12 + D5 + 1 over the bits in the order in which they are fed; the seed is added to the first sixteen."""
    bits = [octet >> place & 1 for octet in data + b"\0\0" for place in range(8)]
    bits[:16] = [bit ^ 1 for bit in bits[:16]]
    for at in range(len(bits) - 16):
        if bits[at]:
            for term in (0, 4, 11, 16):
                bits[at + term] ^= 1
    assert e2e_crc(data) == sum(bit << place for place, bit in enumerate(bits[-16:]))


@given(st.binary(max_size=30), st.data())
def test_no_single_bit_changes_unseen(body: bytes, data: st.DataObject) -> None:
    frame = bytearray(sealed(body))
    check_seal(bytes(frame))
    at = data.draw(st.integers(0, 8 * len(frame) - 1))
    frame[at // 8] ^= 1 << at % 8
    with pytest.raises(MalformedError) as refused:
        check_seal(bytes(frame))
    assert refused.value.reason == "crc"
    assert refused.value.datum == bytes(frame)


def test_a_seal_is_there_or_not_and_nothing_in_between() -> None:
    assert has_seal(sealed(b"abc"), expected=3)
    assert not has_seal(b"abc", expected=3)
    for length in (0, 1, 2, 4, 6):
        with pytest.raises(MalformedError) as refused:
            has_seal(bytes(length), expected=3)
        assert refused.value.reason == "frame_length"


def test_unknown_flags_take_the_blame_for_a_wrong_sum() -> None:
    for data in (b"abc\0\0", b"abcd"):
        with pytest.raises(MalformedError) as refused:
            has_seal(data, expected=3, reserved=True)
        assert refused.value.reason == "flags"


def test_a_sum_of_the_other_bit_order_is_refused_and_said_to_be_one() -> None:
    with pytest.raises(MalformedError, match="fed the other way round") as refused:
        check_seal(b"123456789" + b"\xb1\x29")  # CRC-16/CCITT-FALSE of the catalogue: 0x29B1
    assert refused.value.reason == "crc"
    with pytest.raises(MalformedError) as other:
        check_seal(b"123456789" + b"\x91\x6e")
    assert "other way" not in str(other.value)
