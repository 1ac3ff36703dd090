"""Current Time (0x2A2B): the clock of a meter that has the Current Time Service, read or set by the gateway."""

from dataclasses import dataclass
from datetime import datetime
from enum import IntFlag
from typing import ClassVar, Self

from vitals.errors import MalformedError
from vitals.gatt.date_time import DateTime


@dataclass(frozen=True, slots=True, kw_only=True)
class CurrentTime:
    """Ten bytes: wall clock, day of the week (1 Monday to 7 Sunday, 0 unknown), 1/256 seconds, why it was last adjusted."""

    LENGTH: ClassVar[int] = 10

    class AdjustReason(IntFlag):
        MANUAL = 0x01
        EXTERNAL_REFERENCE = 0x02
        TIME_ZONE = 0x04
        DAYLIGHT_SAVING = 0x08

    date_time: DateTime
    day_of_week: int = 0
    fractions256: int = 0
    adjust_reason: int = 0

    @classmethod
    def of(cls, moment: datetime, adjust_reason: int = AdjustReason.EXTERNAL_REFERENCE) -> Self:
        """The wall clock of `moment`, to 1/256 second; its zone is not sent."""
        return cls(
            date_time=DateTime.of(moment),
            day_of_week=moment.isoweekday(),
            fractions256=moment.microsecond * 256 // 1_000_000,
            adjust_reason=int(adjust_reason),
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Raises `MalformedError` (`frame_length`) for anything but 10 bytes."""
        if len(data) != cls.LENGTH:
            raise MalformedError("frame_length", f"{len(data)} bytes, a Current Time has {cls.LENGTH}", data)
        day_of_week, fractions256, adjust_reason = data[DateTime.LENGTH :]
        date_time = DateTime.from_bytes(data[: DateTime.LENGTH])
        return cls(date_time=date_time, day_of_week=day_of_week, fractions256=fractions256, adjust_reason=adjust_reason)

    def __bytes__(self) -> bytes:
        return bytes(self.date_time) + bytes((self.day_of_week, self.fractions256, self.adjust_reason))

    @property
    def naive(self) -> datetime | None:
        """The wall clock without a zone, or None if the meter does not know it."""
        whole = self.date_time.naive
        return None if whole is None else whole.replace(microsecond=self.fractions256 * 1_000_000 // 256)
