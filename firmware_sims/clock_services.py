"""Where a meter's clock is, and how it is told the time: the SIG's two characteristics, and what makers have in their place.

Pure; what the clock shows and what becomes of a write is the firmware's business.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal

from vitals.errors import MalformedError
from vitals.gatt import uuids
from vitals.gatt.current_time import CurrentTime
from vitals.gatt.date_time import DateTime

ClockService = Literal["current_time", "window", "date_time", "date_time_read_only", "contour", "caresens", "none"]
"""0x2A2B, to be written at any time or only after its first notification; 0x2A08 inside the profile's own service, to be written
or not; a command of the maker's own, and nothing that says the time; nowhere."""

WINDOW_FROM: Final = timedelta(minutes=10)
"""An Omron takes no smaller change (weliem/blessed-android, BluetoothHandler.java)."""
_CARESENS_COMMAND: Final = bytes.fromhex("C0030100")


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """`service` None: the meter's own. `says` is how it speaks by itself."""

    characteristic: str
    service: str | None
    is_readable: bool = False
    is_writable: bool = True
    says: Literal["notify", "indicate"] | None = None


PLACES: Final[dict[ClockService, Place]] = {
    "current_time": Place(characteristic=uuids.CURRENT_TIME, service=uuids.CURRENT_TIME_SERVICE, is_readable=True),
    "window": Place(
        characteristic=uuids.CURRENT_TIME, service=uuids.CURRENT_TIME_SERVICE, is_readable=True, says="notify"
    ),
    "date_time": Place(characteristic=uuids.DATE_TIME, service=None, is_readable=True),
    "date_time_read_only": Place(characteristic=uuids.DATE_TIME, service=None, is_readable=True, is_writable=False),
    "contour": Place(
        characteristic=uuids.CONTOUR_CLOCK, service="00000000-0002-11e2-9e96-0800200c9a66", says="indicate"
    ),
    "caresens": Place(characteristic=uuids.CARESENS_CLOCK, service="fff0", says="notify"),
}
"""All but `none`."""


def wanted(service: ClockService, value: bytes) -> datetime | None:
    """The wall clock that a write asks for; None for no time that a calendar has. Raises `MalformedError`."""
    match service:
        case "contour":
            if len(value) != 10 or value[0] != 1:
                raise MalformedError("frame_length", "01, a Date Time in UTC and the minutes from it", value)
            utc = DateTime.from_bytes(value[1:8]).naive
            minutes = int.from_bytes(value[8:], "little", signed=True)
            return None if utc is None else utc + timedelta(minutes=minutes)
        case "caresens":
            if value[:4] != _CARESENS_COMMAND:
                raise MalformedError("frame_length", "C0 03 01 00 and a Date Time", value)
            return DateTime.from_bytes(value[4:]).naive
        case "date_time" | "date_time_read_only":
            return DateTime.from_bytes(value).naive
        case _:
            return CurrentTime.from_bytes(value).naive
