"""The clock inside a meter: what it shows when the wall shows something else, and what happens when it is set.

Wall clocks only, without zones, as in the meters themselves. It is told the time and never reads one.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from firmware_sims.settings import Clock, WrongClock
from vitals.gatt.date_time import DateTime

UNKNOWN: Final = DateTime(year=0, month=0, day=0)
NEVER_SET: Final = datetime(1970, 1, 1)  # noqa: DTZ001  # a meter's clock has no zone
FIRST: Final = datetime(2000, 1, 1)  # noqa: DTZ001
LAST: Final = datetime(2099, 12, 31, 23, 59, 59)  # noqa: DTZ001
"""What the display of a meter can show; a clock set beyond it stays where it is."""


@dataclass(slots=True, kw_only=True)
class MeterClock:
    """`is_there` is False for a meter without any clock; `says_so` is True while it knows that nobody has set it. One with
    `resets_to` begins anew when it is looked at after it was off."""

    is_there: bool = True
    is_set: bool = True
    offset: timedelta = timedelta(0)
    stuck_at: datetime | None = None
    says_so: bool = False
    resets_to: datetime | None = None
    is_off: bool = False

    @classmethod
    def of(cls, setting: Clock) -> "MeterClock":
        match setting:
            case "ok":
                return cls()
            case "absent":
                return cls(is_there=False)
            case "unset":
                return cls(is_set=False, says_so=True)
            case "1970":
                return cls(stuck_at=NEVER_SET, says_so=True)
            case WrongClock():
                offset = timedelta(seconds=setting.offset_s)
                return cls(
                    offset=offset,
                    stuck_at=setting.stuck_at,
                    resets_to=setting.resets_to,
                    is_off=setting.resets_to is not None,
                    says_so=setting.says_so,
                )

    def shown(self, wall: datetime) -> datetime | None:
        """What the display shows when the wall shows `wall` (naive); None if the clock is absent or unset."""
        assert wall.tzinfo is None, "a meter's clock has no zone"
        if not self.is_there or not self.is_set:
            return None
        if self.is_off and self.resets_to is not None:
            self.is_off, self.offset = False, self.resets_to - wall
        return self.stuck_at or wall + self.offset

    def switch_off(self) -> None:
        """A clock that does not survive it begins anew when it is looked at next."""
        self.is_off = self.resets_to is not None

    def stamp(self, wall: datetime) -> DateTime | None:
        """The time stamp of a record taken at `wall`; None if the meter has no clock at all."""
        if not self.is_there:
            return None
        shown = self.shown(wall)
        return UNKNOWN if shown is None else DateTime.of(shown)

    def set_to(self, shown: datetime, *, wall: datetime) -> bool:
        """Set the display; False if it cannot show that. A stuck clock takes the write and stays stuck."""
        if not FIRST <= shown <= LAST:
            return False
        self.is_set, self.says_so = True, False
        self.offset = shown - wall
        return True
