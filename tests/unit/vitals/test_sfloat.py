"""SFLOAT against an independent formulation of the standard, word by word."""

import struct
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vitals.errors import MalformedError
from vitals.gatt.sfloat import NAN, NEGATIVE_INFINITY, NRES, POSITIVE_INFINITY, Sfloat

VECTORS = {
    0x0078: "120",
    0xF014: "2.0",
    0xE0C8: "2.00",
    0x1002: "20",
    0x0B2E: "-1234",
    0xB07E: "0.00126",
    0xC046: "0.0070",
    0x0000: "0",
    0x07FD: "2045",
    0x0803: "-2045",
}
"""IEEE 11073-20601 and values worked out by hand."""


def by_the_book(word: int) -> tuple[int, int]:
    """Mantissa and exponent by sign bits and place values, not by shifting two's complement as the code does."""
    mantissa = (word % 2048) - (2048 if word // 2048 % 2 else 0)
    exponent = (word // 4096 % 8) - (8 if word // 32768 else 0)
    return mantissa, exponent


def test_all_65536_words_are_what_the_book_says() -> None:
    for word in range(0x10000):
        ours = Sfloat.from_bytes(struct.pack("<H", word))
        mantissa, exponent = by_the_book(word)
        assert (ours.mantissa, ours.exponent) == (mantissa, exponent)
        assert bytes(ours) == struct.pack("<H", word)
        if -2046 < mantissa < 2046:
            assert ours.value == Decimal(mantissa) * Decimal(10) ** exponent
            assert ours.number == float(f"{mantissa}e{exponent}")
        else:
            assert ours.value is None
            assert ours.number is None
            assert ours.special is not None


@pytest.mark.parametrize(("word", "text"), VECTORS.items())
def test_a_vector_of_the_standard(word: int, text: str) -> None:
    value = Sfloat.from_bytes(struct.pack("<H", word)).value
    assert value is not None
    assert f"{value:f}" == text


def test_the_five_specials_are_named() -> None:
    named = {word: Sfloat.from_bytes(struct.pack("<H", word)).special for word in (0x7FF, 0x800, 0x7FE, 0x802, 0x801)}
    assert named == {
        0x7FF: "nan",
        0x800: "nres",
        0x7FE: "positive_infinity",
        0x802: "negative_infinity",
        0x801: "reserved",
    }
    constants = (NAN, NRES, POSITIVE_INFINITY, NEGATIVE_INFINITY)
    assert [bytes(constant).hex() for constant in constants] == ["ff07", "0008", "fe07", "0208"]


@pytest.mark.parametrize("word", [0x17FF, 0xF7FF, 0x8800, 0x7802, 0x37FE, 0xE801])
def test_a_special_mantissa_with_an_exponent_is_no_number_either(word: int) -> None:
    assert Sfloat.from_bytes(struct.pack("<H", word)).value is None


def test_a_number_that_was_rounded_by_a_float_is_exact_again() -> None:
    assert Sfloat.of(19.7, -1) == Sfloat(mantissa=197, exponent=-1)
    assert Sfloat.of("0.00126", -5) == Sfloat(mantissa=126, exponent=-5)
    assert Sfloat.of(Decimal("0.0072"), -4).number == 0.0072
    assert Sfloat.of(1230, 1) == Sfloat(mantissa=123, exponent=1)


@given(st.integers(-2045, 2045), st.integers(-8, 7))
def test_what_is_encoded_is_read_again(mantissa: int, exponent: int) -> None:
    number = Decimal(mantissa).scaleb(exponent)
    assert Sfloat.from_bytes(bytes(Sfloat.of(number, exponent))).value == number


@pytest.mark.parametrize("number", [2046, 2047, -2046, -2047, -2048, 2048, 5000])
def test_a_number_that_does_not_fit_is_our_mistake(number: int) -> None:
    with pytest.raises(AssertionError):
        Sfloat.of(number)


@pytest.mark.parametrize("data", [b"", b"\x00", b"\x00\x00\x00"])
def test_only_two_bytes_are_a_word(data: bytes) -> None:
    with pytest.raises(MalformedError, match="frame_length") as refused:
        Sfloat.from_bytes(data)
    assert refused.value.datum == data
