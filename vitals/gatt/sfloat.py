"""SFLOAT, the 16-bit decimal float of IEEE 11073-20601: how a meter writes a number together with its precision.

The exponent is two's complement. A public library that reads it with a bias of eight turns 120 mmHg into 0.0000012, so
every word is pinned by tests. The 32-bit FLOAT is the same thing with more bits (`float32`).
"""

from dataclasses import dataclass
from decimal import Decimal
from typing import ClassVar, Final, Self

from vitals.errors import MalformedError


@dataclass(frozen=True, slots=True, kw_only=True)
class DecimalFloat:
    """`mantissa` x 10^`exponent`, both two's complement. The exponent is the meter's precision and is kept: 2.0 is not 2.00."""

    MANTISSA_BITS: ClassVar[int]
    EXPONENT_BITS: ClassVar[int]

    mantissa: int
    exponent: int = 0

    def __post_init__(self) -> None:
        assert -self._top() <= self.mantissa < self._top(), self.mantissa
        assert -(1 << self.EXPONENT_BITS - 1) <= self.exponent < 1 << self.EXPONENT_BITS - 1, self.exponent

    @classmethod
    def of(cls, number: Decimal | float | int | str, exponent: int = 0) -> Self:
        """`number` at the precision of 10^`exponent`, rounded half to even; it must fit the mantissa."""
        mantissa = int(Decimal(str(number)).scaleb(-exponent).to_integral_value())
        word = cls(mantissa=mantissa, exponent=exponent)
        assert word.special is None, f"{number} at 10^{exponent} is a word with a meaning of its own"
        return word

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """The word, least significant byte first; raises `MalformedError` (`frame_length`) for another length."""
        length = (cls.MANTISSA_BITS + cls.EXPONENT_BITS) // 8
        if len(data) != length:
            raise MalformedError("frame_length", f"{len(data)} bytes, this number has {length}", data)
        word = int.from_bytes(data, "little")
        mantissa = _signed(word & (1 << cls.MANTISSA_BITS) - 1, cls.MANTISSA_BITS)
        return cls(mantissa=mantissa, exponent=_signed(word >> cls.MANTISSA_BITS, cls.EXPONENT_BITS))

    def __bytes__(self) -> bytes:
        bits = self.MANTISSA_BITS + self.EXPONENT_BITS
        word = (self.exponent << self.MANTISSA_BITS | self.mantissa & (1 << self.MANTISSA_BITS) - 1) & (1 << bits) - 1
        return word.to_bytes(bits // 8, "little")

    @property
    def special(self) -> str | None:
        """`nan`, `nres` (not at this resolution), `positive_infinity`, `negative_infinity`, `reserved`; None for a number.

        The standard means these mantissas with exponent 0; some meters set an exponent too, and no number may be read out of
        those.
        """
        top = self._top()
        return {
            top - 1: "nan",
            -top: "nres",
            top - 2: "positive_infinity",
            2 - top: "negative_infinity",
            1 - top: "reserved",
        }.get(self.mantissa)

    @property
    def value(self) -> Decimal | None:
        """The exact number, or None where the meter says that it has none."""
        return None if self.special else Decimal(self.mantissa).scaleb(self.exponent)

    @property
    def number(self) -> float | None:
        """The float nearest to `value`."""
        return None if self.value is None else float(self.value)

    @classmethod
    def _top(cls) -> int:
        return 1 << cls.MANTISSA_BITS - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Sfloat(DecimalFloat):
    """12 and 4 bits: three digits and a half."""

    MANTISSA_BITS = 12
    EXPONENT_BITS = 4


def _signed(word: int, bits: int) -> int:
    return word - (1 << bits) if word >> (bits - 1) else word


NAN: Final = Sfloat(mantissa=0x7FF)
NRES: Final = Sfloat(mantissa=-0x800)
POSITIVE_INFINITY: Final = Sfloat(mantissa=0x7FE)
NEGATIVE_INFINITY: Final = Sfloat(mantissa=-0x7FE)
