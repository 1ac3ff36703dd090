"""Health Thermometer Service (0x1809): Temperature Measurement 0x2A1C, Temperature Type 0x2A1D, Intermediate Temperature 0x2A1E.

Layouts: Bluetooth SIG, HTS 1.0. The unit is the thermometer's setting and comes with every value.
"""

from dataclasses import dataclass
from enum import IntEnum, IntFlag
from typing import Final, Literal, Self

from vitals import reading
from vitals.gatt.date_time import DateTime
from vitals.gatt.float32 import Float32
from vitals.gatt.frame import Cursor, check_length, check_minimum, member, word_of
from vitals.units import temperature_celsius

Unit = Literal["°C", "°F"]


class TemperatureType(IntEnum):
    """Where it was measured. `EAR` is the lobe, `TYMPANUM` the drum."""

    ARMPIT = 1
    BODY = 2
    EAR = 3
    FINGER = 4
    GASTRO_INTESTINAL_TRACT = 5
    MOUTH = 6
    RECTUM = 7
    TOE = 8
    TYMPANUM = 9


def temperature_type(data: bytes) -> TemperatureType | None:
    """Temperature Type (0x2A1D): where this thermometer always measures, if its frames do not say. None for a reserved code.

    Raises `MalformedError` (`frame_length`) for anything but one byte.
    """
    check_length(data, expected=1)
    return member(TemperatureType, data[0])


class _Flags(IntFlag):
    FAHRENHEIT = 0x01
    TIME_STAMP = 0x02
    TYPE = 0x04


_ALWAYS: Final = 5
"""Flags and one FLOAT."""
_OPTIONAL: Final = {_Flags.TIME_STAMP: DateTime.LENGTH, _Flags.TYPE: 1}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Temperature:
    """The layout that both characteristics share. `type_code` is a `TemperatureType`, or reserved; a field is None where its flag
    is clear."""

    Flags = _Flags

    temperature: Float32
    unit: Unit = "°C"
    date_time: DateTime | None = None
    type_code: int | None = None

    def __post_init__(self) -> None:
        assert self.unit in ("°C", "°F"), self.unit
        assert self.type_code is None or 0 <= self.type_code <= 0xFF, self.type_code

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Raises `MalformedError`: `frame_length`, or `flags` where unknown flags may explain the length."""
        check_minimum(data, _ALWAYS)
        flags = data[0]
        expected = _ALWAYS + sum(length for flag, length in _OPTIONAL.items() if flags & flag)
        check_length(data, expected=expected, reserved=bool(flags & 0xF8))
        at = Cursor(data, 1)
        return cls(
            temperature=at.float32(),
            unit="°F" if flags & _Flags.FAHRENHEIT else "°C",
            date_time=at.date_time() if flags & _Flags.TIME_STAMP else None,
            type_code=at.u8() if flags & _Flags.TYPE else None,
        )

    def __bytes__(self) -> bytes:
        flags = _Flags.FAHRENHEIT if self.unit == "°F" else _Flags(0)
        body = bytes(self.temperature)
        for flag, field in (
            (_Flags.TIME_STAMP, None if self.date_time is None else bytes(self.date_time)),
            (_Flags.TYPE, None if self.type_code is None else bytes((self.type_code,))),
        ):
            if field is not None:
                flags |= flag
                body += field
        return bytes((flags,)) + body

    @property
    def celsius(self) -> float | None:
        """In °C; None where the thermometer says that it has no number."""
        sent = self.temperature.value
        return None if sent is None else float(temperature_celsius(sent, self.unit))

    @property
    def site(self) -> TemperatureType | None:
        """Where, if the frame says it; None for a reserved code too."""
        return None if self.type_code is None else member(TemperatureType, self.type_code)

    @property
    def meter_time(self) -> str | None:
        """The thermometer's clock as it said it, ISO 8601 without a zone; None if there is none that a calendar knows."""
        return None if self.date_time is None else self.date_time.iso


class TemperatureMeasurement(_Temperature):
    """One temperature (0x2A1C), in the unit in which the thermometer sent it."""

    __slots__ = ()

    def to_measurement(self, always: TemperatureType | None = None) -> reading.Temperature:
        """The same in °C, with what was sent beside it; what the thermometer says it lacks is None.

        `always` is what its Temperature Type (0x2A1D) says; it counts only where the frame has no type of its own.
        """
        return reading.Temperature(
            temperature_celsius=self.celsius,
            unit_sent=self.unit,
            temperature_sent=self.temperature.number,
            site=word_of(always if self.type_code is None else self.site),
        )


class IntermediateTemperature(_Temperature):
    """What the thermometer shows while it still rises (0x2A1E). It is never a reading: nothing has been measured yet."""

    __slots__ = ()
