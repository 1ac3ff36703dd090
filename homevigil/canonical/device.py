"""0x2A19, the battery, and 0x2A24 to 0x2A29, what a meter says of itself, as canonical JSON."""

from functools import partial
from typing import Final

from homevigil.canonical.answer import Canonical, Decoder
from vitals.errors import MalformedError
from vitals.gatt import device_information, uuids
from vitals.gatt.frame import check_length


def battery(frame: bytes) -> Canonical:
    check_length(frame, expected=1)
    if frame[0] > 100:
        raise MalformedError("range", f"a battery of {frame[0]} %", frame)
    return {"kind": "battery", "battery_percent": frame[0]}


def text(name: str, frame: bytes) -> Canonical:
    """As the gateway keeps it: padding and control characters cut off, null if nothing is left."""
    return {"kind": name, "text": device_information.text(frame)}


DECODERS: Final[dict[str, Decoder]] = {
    uuids.BATTERY_LEVEL: battery,
    **{number: partial(text, name) for name, number in device_information.CHARACTERISTICS.items()},
}
