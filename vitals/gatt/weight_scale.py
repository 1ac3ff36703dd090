"""Weight Scale Service (0x181D): Weight Measurement 0x2A9D, Weight Scale Feature 0x2A9E.

Layouts: Bluetooth SIG, WSS 1.0.0. The weight is a count of 0.005 kg or 0.01 lb whatever the scale can resolve: a public library
multiplies it by the resolution of the feature word and makes 1.2 kg of 0.6 kg. Scales that count in other steps behind the same
number (Renpho: 0.05 kg) cannot be told by their frames, only by who made them.
"""

from dataclasses import dataclass
from decimal import Decimal
from enum import IntFlag
from typing import Final, Literal, Self

from vitals import reading, units
from vitals.errors import MalformedError
from vitals.gatt.date_time import DateTime
from vitals.gatt.frame import Cursor, check_length, check_minimum, u16, u32

UNSUCCESSFUL: Final = 0xFFFF
"""The scale could not weigh (WSS 1.0.0 section 3.2.1.2). Read as a count it is 327.675 kg."""

Unit = Literal["kg", "lb"]

_STEP: Final = {"kg": Decimal("0.005"), "lb": Decimal("0.01")}
_HEIGHT_STEP: Final = {"kg": Decimal("0.001"), "lb": Decimal("0.1")}
_HEIGHT_UNIT: Final = {"kg": "m", "lb": "in"}
_BMI_STEP: Final = Decimal("0.1")
_NOBODYS: Final = frozenset({0, 0xFFFF})
"""A BMI or height that nobody has. The specification has no word for "unknown" here, so these mean nothing."""


class _Flags(IntFlag):
    IMPERIAL = 0x01
    TIME_STAMP = 0x02
    USER_ID = 0x04
    BMI_HEIGHT = 0x08


_DISPUTED: Final = 0x10
"""A reserved flag with which known scales change what the number means: Xiaomi's count half kilograms (jin) with it, Detecto's
say that the weight is below zero (esphome/esphome#4946; Detecto 7550 owner's manual). No weight is read out of such a frame."""
_ALWAYS: Final = 3
"""Flags and weight."""
_OPTIONAL: Final = {_Flags.TIME_STAMP: DateTime.LENGTH, _Flags.USER_ID: 1, _Flags.BMI_HEIGHT: 4}


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightMeasurement:
    """One weighing (0x2A9D). Numbers are the wire's counts: `weight` of 0.005 kg or 0.01 lb, `bmi` of 0.1, `height` of 0.001 m or
    0.1 in. A field is None where its flag is clear."""

    Flags = _Flags

    weight: int
    unit: Unit = "kg"
    date_time: DateTime | None = None
    user_id: int | None = None
    bmi: int | None = None
    height: int | None = None

    def __post_init__(self) -> None:
        assert 0 <= self.weight <= 0xFFFF, self.weight
        assert self.unit in ("kg", "lb"), self.unit
        assert self.user_id is None or 0 <= self.user_id <= 0xFF, self.user_id
        assert (self.bmi is None) == (self.height is None), "one flag is for both"
        assert self.bmi is None or 0 <= self.bmi <= 0xFFFF, self.bmi
        assert self.height is None or 0 <= self.height <= 0xFFFF, self.height

    @classmethod
    def count(cls, weight: Decimal | float | int | str, unit: Unit = "kg") -> int:
        """The wire's count nearest to a weight in this unit, for `weight`."""
        return int((Decimal(str(weight)) / _STEP[unit]).to_integral_value())

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Raises `MalformedError`: `frame_length`, or `flags` where unknown flags may explain the length or change the number."""
        check_minimum(data, _ALWAYS)
        flags = data[0]
        expected = _ALWAYS + sum(length for flag, length in _OPTIONAL.items() if flags & flag)
        check_length(data, expected=expected, reserved=bool(flags & 0xF0))
        if flags & _DISPUTED:
            raise MalformedError("flags", "bit 4: half kilograms to one maker, below zero to another", data)
        at = Cursor(data, 1)
        return cls(
            weight=at.u16(),
            unit="lb" if flags & _Flags.IMPERIAL else "kg",
            date_time=at.date_time() if flags & _Flags.TIME_STAMP else None,
            user_id=at.u8() if flags & _Flags.USER_ID else None,
            bmi=at.u16() if flags & _Flags.BMI_HEIGHT else None,
            height=at.u16() if flags & _Flags.BMI_HEIGHT else None,
        )

    def __bytes__(self) -> bytes:
        flags = _Flags.IMPERIAL if self.unit == "lb" else _Flags(0)
        body = u16(self.weight)
        for flag, field in (
            (_Flags.TIME_STAMP, None if self.date_time is None else bytes(self.date_time)),
            (_Flags.USER_ID, None if self.user_id is None else bytes((self.user_id,))),
            (_Flags.BMI_HEIGHT, None if self.bmi is None or self.height is None else u16(self.bmi) + u16(self.height)),
        ):
            if field is not None:
                flags |= flag
                body += field
        return bytes((flags,)) + body

    @property
    def weight_sent(self) -> Decimal | None:
        """The weight in `unit`; None if the scale says that it could not weigh."""
        return None if self.weight == UNSUCCESSFUL else self.weight * _STEP[self.unit]

    @property
    def bmi_kg_m2(self) -> Decimal | None:
        """None if the scale sent none, one that nobody has, or one beside no weight."""
        if self.bmi is None or self.bmi in _NOBODYS or self.weight == UNSUCCESSFUL:
            return None
        return self.bmi * _BMI_STEP

    @property
    def height_m(self) -> Decimal | None:
        """What the scale was told; None if it sent none, or one that nobody has."""
        if self.height is None or self.height in _NOBODYS:
            return None
        return units.height_m(self.height * _HEIGHT_STEP[self.unit], _HEIGHT_UNIT[self.unit])

    @property
    def user_slot(self) -> int | None:
        """The scale's user number, `vitals.reading.GUEST` for one whom it does not know; None if it names no users."""
        return self.user_id

    @property
    def meter_time(self) -> str | None:
        """The scale's clock as it said it, ISO 8601 without a zone; None if there is none that a calendar knows."""
        return None if self.date_time is None else self.date_time.iso

    def to_measurement(self) -> reading.Weight:
        """The same in kg and metres, with what was sent beside it; what the scale says it lacks is None."""
        sent = self.weight_sent
        return reading.Weight(
            weight_kg=None if sent is None else float(units.weight_kg(sent, self.unit)),
            unit_sent=self.unit,
            weight_sent=_float(sent),
            bmi=_float(self.bmi_kg_m2),
            height_m=_float(self.height_m),
        )


_WEIGHT_RESOLUTION_KG: Final = dict(enumerate(map(Decimal, ("0.5", "0.2", "0.1", "0.05", "0.02", "0.01", "0.005")), 1))
_HEIGHT_RESOLUTION_M: Final = dict(enumerate(map(Decimal, ("0.01", "0.005", "0.001")), 1))


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightScaleFeature:
    """Weight Scale Feature (0x2A9E), 32 bits; reserved ones are not kept.

    The resolutions are codes, 0 for "not specified". They tell how fine the scale weighs, never what its counts mean.
    """

    has_time_stamp: bool = False
    has_users: bool = False
    has_bmi: bool = False
    weight_resolution: int = 0
    height_resolution: int = 0

    def __post_init__(self) -> None:
        assert 0 <= self.weight_resolution <= 0xF, self.weight_resolution
        assert 0 <= self.height_resolution <= 0x7, self.height_resolution

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Raises `MalformedError` (`frame_length`) for anything but 4 bytes."""
        check_length(data, expected=4)
        word = Cursor(data).u32()
        return cls(
            has_time_stamp=bool(word & 1),
            has_users=bool(word & 2),
            has_bmi=bool(word & 4),
            weight_resolution=word >> 3 & 0xF,
            height_resolution=word >> 7 & 0x7,
        )

    def __bytes__(self) -> bytes:
        flags = self.has_time_stamp | self.has_users << 1 | self.has_bmi << 2
        return u32(flags | self.weight_resolution << 3 | self.height_resolution << 7)

    @property
    def weight_resolution_kg(self) -> Decimal | None:
        """None where it is not specified, or reserved."""
        return _WEIGHT_RESOLUTION_KG.get(self.weight_resolution)

    @property
    def height_resolution_m(self) -> Decimal | None:
        """None where it is not specified, or reserved."""
        return _HEIGHT_RESOLUTION_M.get(self.height_resolution)


def _float(value: Decimal | None) -> float | None:
    return None if value is None else float(value)
