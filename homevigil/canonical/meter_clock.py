"""0x2A08, 0x2A2B and 0x2A0F as canonical JSON: what a meter takes the time to be."""

from typing import Final

from homevigil.canonical.answer import Canonical, Decoder
from vitals.gatt import uuids
from vitals.gatt.current_time import CurrentTime
from vitals.gatt.date_time import DateTime
from vitals.gatt.frame import flag_words
from vitals.gatt.local_time import LocalTime


def date_time(frame: bytes) -> Canonical:
    return {"kind": "date_time", "meter_time": DateTime.from_bytes(frame).iso}


def current_time(frame: bytes) -> Canonical:
    """A day of the week that the meter does not know is null."""
    sent = CurrentTime.from_bytes(frame)
    return {
        "kind": "current_time",
        "meter_time": None if sent.naive is None else sent.naive.isoformat(),
        "day_of_week": sent.day_of_week or None,
        "adjust_reason": flag_words(CurrentTime.AdjustReason, sent.adjust_reason),
    }


def local_time(frame: bytes) -> Canonical:
    sent = LocalTime.from_bytes(frame)
    return {
        "kind": "local_time",
        "zone_minutes": None if sent.zone is None else sent.zone * 15,
        "daylight_saving_minutes": None if sent.daylight is None else sent.daylight * 15,
    }


DECODERS: Final[dict[str, Decoder]] = {
    uuids.DATE_TIME: date_time,
    uuids.CURRENT_TIME: current_time,
    uuids.LOCAL_TIME: local_time,
}
