"""SFLOAT, the 16-bit decimal float of IEEE 11073-20601: how a meter writes a number together with its precision.

The exponent is two's complement. A public library that reads it with a bias of eight turns 120 mmHg into 0.0000012, so
every word is pinned by tests. The 32-bit FLOAT is not read here: no blood-pressure or glucose characteristic has one.
"""

from dataclasses import dataclass
from decimal import Decimal
from typing import Final, Self

from vitals.errors import MalformedError

_SPECIALS: Final = {
    0x7FF: "nan",
    0x800 - 0x1000: "nres",
    0x7FE: "positive_infinity",
    0x802 - 0x1000: "negative_infinity",
    0x801 - 0x1000: "reserved",
}
"""Mantissas that are no number. The standard means the whole word with exponent 0; some meters set an exponent too, and no
number may be read out of those."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sfloat:
    """`mantissa` x 10^`exponent`: 12 and 4 bits. The exponent is the meter's precision and is kept: 2.0 is not 2.00."""

    mantissa: int
    exponent: int = 0

    def __post_init__(self) -> None:
        assert -2048 <= self.mantissa <= 2047, self.mantissa
        assert -8 <= self.exponent <= 7, self.exponent

    @classmethod
    def of(cls, number: Decimal | float | int | str, exponent: int = 0) -> Self:
        """`number` at the precision of 10^`exponent`, rounded half to even; it must fit the 12 bits."""
        mantissa = int(Decimal(str(number)).scaleb(-exponent).to_integral_value())
        word = cls(mantissa=mantissa, exponent=exponent)
        assert word.special is None, f"{number} at 10^{exponent} is a word with a meaning of its own"
        return word

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """The two bytes, least significant first; raises `MalformedError` (`frame_length`) for another length."""
        if len(data) != 2:
            raise MalformedError("frame_length", f"{len(data)} bytes, an SFLOAT has 2", data)
        word = int.from_bytes(data, "little")
        return cls(mantissa=_signed(word & 0xFFF, 12), exponent=_signed(word >> 12, 4))

    def __bytes__(self) -> bytes:
        return ((self.exponent & 0xF) << 12 | self.mantissa & 0xFFF).to_bytes(2, "little")

    @property
    def special(self) -> str | None:
        """`nan`, `nres` (not at this resolution), `positive_infinity`, `negative_infinity`, `reserved`; None for a number."""
        return _SPECIALS.get(self.mantissa)

    @property
    def value(self) -> Decimal | None:
        """The exact number, or None where the meter says that it has none."""
        return None if self.special else Decimal(self.mantissa).scaleb(self.exponent)

    @property
    def number(self) -> float | None:
        """The float nearest to `value`."""
        return None if self.value is None else float(self.value)


def _signed(word: int, bits: int) -> int:
    return word - (1 << bits) if word >> (bits - 1) else word


NAN: Final = Sfloat(mantissa=0x7FF)
NRES: Final = Sfloat(mantissa=-0x800)
POSITIVE_INFINITY: Final = Sfloat(mantissa=0x7FE)
NEGATIVE_INFINITY: Final = Sfloat(mantissa=-0x7FE)
