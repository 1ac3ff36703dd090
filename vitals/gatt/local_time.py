"""Local Time Information (0x2A0F): which zone, and how much daylight saving, a meter takes its clock to be in.

Two bytes: the zone's standard time in quarters of an hour from UTC, and what daylight saving adds (GATT Specification Supplement,
Time Zone and DST Offset). What is reserved is None, as unknown is.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import ClassVar, Final, Self

from vitals.gatt.frame import check_length

QUARTER: Final = timedelta(minutes=15)
_ZONES: Final = range(-48, 57)
_UNKNOWN_ZONE: Final = -128
_DAYLIGHT: Final = {0: 0, 2: 2, 4: 4, 8: 8}
"""Quarters of an hour by code, which is the same number: standard time, half, one and two hours."""
_UNKNOWN_DAYLIGHT: Final = 255


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalTime:
    """Both in quarters of an hour; None where the meter does not know."""

    LENGTH: ClassVar[int] = 2

    zone: int | None = None
    daylight: int | None = None

    def __post_init__(self) -> None:
        assert self.zone is None or self.zone in _ZONES, self.zone
        assert self.daylight is None or self.daylight in _DAYLIGHT, self.daylight

    @classmethod
    def of(cls, moment: datetime) -> Self:
        """That of an aware instant in its zone; a part that the two bytes cannot say is None."""
        offset, saving = moment.utcoffset(), moment.dst()
        assert offset is not None, "an aware instant"
        saving = saving or timedelta(0)
        zone, rest = divmod(offset - saving, QUARTER)
        daylight = saving // QUARTER
        return cls(
            zone=zone if not rest and zone in _ZONES else None, daylight=daylight if daylight in _DAYLIGHT else None
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Raises `MalformedError` (`frame_length`) for anything but 2 bytes."""
        check_length(data, expected=cls.LENGTH)
        zone = int.from_bytes(data[:1], "little", signed=True)
        return cls(zone=zone if zone in _ZONES else None, daylight=_DAYLIGHT.get(data[1]))

    def __bytes__(self) -> bytes:
        zone = _UNKNOWN_ZONE if self.zone is None else self.zone
        return zone.to_bytes(1, "little", signed=True) + bytes(
            (_UNKNOWN_DAYLIGHT if self.daylight is None else self.daylight,)
        )
