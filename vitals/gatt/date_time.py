"""Date Time (0x2A08): a meter's wall clock, seven bytes, no zone.

It says what the meter said. Zones, corrections and trust belong to the gateway.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar, Final, Self

from vitals.errors import MalformedError

_YEARS: Final = range(1582, 9999)
"""The specification has 1582 (the Gregorian calendar) to 9999; 0 means unknown. The last year is left out, because its last
day, moved into another zone, is no datetime any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DateTime:
    """The fields as sent. Year, month or day 0 is "unknown"; a date or hour that no calendar has is kept but is no time."""

    LENGTH: ClassVar[int] = 7

    year: int
    month: int
    day: int
    hour: int = 0
    minute: int = 0
    second: int = 0

    def __post_init__(self) -> None:
        assert 0 <= self.year <= 0xFFFF, self.year
        for octet in (self.month, self.day, self.hour, self.minute, self.second):
            assert 0 <= octet <= 0xFF, octet

    @classmethod
    def of(cls, moment: datetime) -> Self:
        """The wall clock of `moment`, cut to the second; its zone is not sent."""
        return cls(
            year=moment.year,
            month=moment.month,
            day=moment.day,
            hour=moment.hour,
            minute=moment.minute,
            second=moment.second,
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Raises `MalformedError` (`frame_length`) for anything but 7 bytes."""
        if len(data) != cls.LENGTH:
            raise MalformedError("frame_length", f"{len(data)} bytes, a Date Time has {cls.LENGTH}", data)
        year = int.from_bytes(data[:2], "little")
        month, day, hour, minute, second = data[2:]
        return cls(year=year, month=month, day=day, hour=hour, minute=minute, second=second)

    def __bytes__(self) -> bytes:
        octets = bytes((self.month, self.day, self.hour, self.minute, self.second))
        return self.year.to_bytes(2, "little") + octets

    @property
    def naive(self) -> datetime | None:
        """The wall clock without a zone, or None if a part is unknown or impossible (30 February, 25 o'clock)."""
        if self.year not in _YEARS:
            return None
        try:
            return datetime(self.year, self.month, self.day, self.hour, self.minute, self.second)  # noqa: DTZ001
        except ValueError:
            return None

    @property
    def iso(self) -> str | None:
        """`naive` as ISO 8601 without a zone."""
        return None if self.naive is None else self.naive.isoformat()
