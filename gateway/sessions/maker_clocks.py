"""How makers tell their meters the time where they keep to neither of the SIG's two ways: commands, and no answer that shows it.

Sources are with the entries of `quirks.toml`; each command is pinned to the bytes that the named program writes.
"""

from datetime import UTC, datetime, timedelta
from typing import Final, Literal

from vitals.gatt import uuids
from vitals.gatt.date_time import DateTime

_CONTOUR: Final = b"\x01"
_CARESENS: Final = bytes.fromhex("C0030100")


def in_command(way: Literal["contour", "caresens"], wall: datetime) -> tuple[str, bytes]:
    """Where to write what, so that the meter shows `wall` (aware, in the home's zone).

    A Contour is told UTC and the home's distance from it in minutes, daylight saving included: what it shows is what people read.
    """
    if way == "caresens":
        return uuids.CARESENS_CLOCK, _CARESENS + bytes(DateTime.of(wall))
    offset = wall.utcoffset()
    assert offset is not None, "a home has a zone"
    minutes = offset // timedelta(minutes=1)
    return uuids.CONTOUR_CLOCK, _CONTOUR + bytes(DateTime.of(wall.astimezone(UTC))) + minutes.to_bytes(
        2, "little", signed=True
    )
