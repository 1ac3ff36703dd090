"""FLOAT, the 32-bit decimal float of IEEE 11073-20601: how a thermometer writes a temperature. It is no IEEE 754 float.

The same as `Sfloat` with more bits, and the same five words that are no number.
"""

from dataclasses import dataclass
from typing import Final

from vitals.gatt.sfloat import DecimalFloat


@dataclass(frozen=True, slots=True, kw_only=True)
class Float32(DecimalFloat):
    """24 and 8 bits: seven digits."""

    MANTISSA_BITS = 24
    EXPONENT_BITS = 8


NAN: Final = Float32(mantissa=0x7FFFFF)
NRES: Final = Float32(mantissa=-0x800000)
POSITIVE_INFINITY: Final = Float32(mantissa=0x7FFFFE)
NEGATIVE_INFINITY: Final = Float32(mantissa=-0x7FFFFE)
