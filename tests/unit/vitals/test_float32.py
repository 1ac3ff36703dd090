"""FLOAT against an independent formulation of the standard."""

import struct
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vitals.errors import MalformedError
from vitals.gatt.float32 import NAN, NEGATIVE_INFINITY, NRES, POSITIVE_INFINITY, Float32

VECTORS = {
    0xFF00016E: "36.6",
    0xFF00016C: "36.4",
    0xFE000D97: "34.79",
    0xFE000EB0: "37.60",
    0x00000000: "0",
    0x00000025: "37",
    0x01000004: "40",
    0xFFFFFFFF: "-0.1",
    0x007FFFFD: "8388605",
    0x00800003: "-8388605",
}
"""HL7 PHD FLOATS.md, a thermometer's manual (36.4 and 34.79), Nordic's library (37.60), and values worked out by hand."""
SPECIALS = {
    0x007FFFFF: "nan",
    0x00800000: "nres",
    0x007FFFFE: "positive_infinity",
    0x00800002: "negative_infinity",
    0x00800001: "reserved",
}


def word(number: int) -> bytes:
    return struct.pack("<I", number)


@pytest.mark.parametrize(("number", "text"), VECTORS.items())
def test_a_vector_keeps_its_precision(number: int, text: str) -> None:
    value = Float32.from_bytes(word(number)).value
    assert value is not None
    assert f"{value:f}" == text


@given(st.binary(min_size=4, max_size=4))
def test_any_word_is_what_the_book_says(data: bytes) -> None:
    """Sign bits and place values, not two's complement by shifting as in the code."""
    ours = Float32.from_bytes(data)
    low, middle, high, top = data
    mantissa = low + 256 * middle + 65536 * (high % 128) - (8_388_608 if high >= 128 else 0)
    exponent = top % 128 - (128 if top >= 128 else 0)
    assert (ours.mantissa, ours.exponent) == (mantissa, exponent)
    assert bytes(ours) == data
    if -8_388_606 < mantissa < 8_388_606:
        assert ours.value is not None
        assert Fraction(ours.value) == mantissa * Fraction(10) ** exponent
        assert ours.number == float(f"{mantissa}e{exponent}")
    else:
        assert (ours.value, ours.number) == (None, None)
        assert ours.special


@pytest.mark.parametrize(("number", "name"), SPECIALS.items())
@pytest.mark.parametrize("exponent", [0x00, 0xFF, 0x01, 0x80])
def test_a_special_is_no_number_whatever_its_exponent(number: int, name: str, exponent: int) -> None:
    special = Float32.from_bytes(word(number | exponent << 24))
    assert (special.special, special.value, special.number) == (name, None, None)


def test_the_constants_are_the_standards_words() -> None:
    constants = (NAN, NRES, POSITIVE_INFINITY, NEGATIVE_INFINITY)
    assert [bytes(constant).hex() for constant in constants] == ["ffff7f00", "00008000", "feff7f00", "02008000"]


@given(st.integers(-8_388_605, 8_388_605), st.integers(-128, 127))
def test_what_is_encoded_is_read_again(mantissa: int, exponent: int) -> None:
    number = Decimal(mantissa).scaleb(exponent)
    assert Float32.from_bytes(bytes(Float32.of(number, exponent))).value == number


@pytest.mark.parametrize("number", [8_388_606, 8_388_607, -8_388_606, -8_388_608, 8_388_608])
def test_a_number_that_does_not_fit_is_our_mistake(number: int) -> None:
    with pytest.raises(AssertionError):
        Float32.of(number)


@pytest.mark.parametrize("data", [b"", b"\x00\x00", bytes(3), bytes(5)])
def test_only_four_bytes_are_a_word(data: bytes) -> None:
    with pytest.raises(MalformedError, match="frame_length") as refused:
        Float32.from_bytes(data)
    assert refused.value.datum == data
