"""Device Information Service (0x180A): what a meter says of itself, as text. It decides quirks, never identity."""

from typing import Final

from vitals.gatt import uuids

CHARACTERISTICS: Final = {
    "manufacturer": uuids.MANUFACTURER_NAME,
    "model": uuids.MODEL_NUMBER,
    "serial": uuids.SERIAL_NUMBER,
    "firmware": uuids.FIRMWARE_REVISION,
    "hardware": uuids.HARDWARE_REVISION,
    "software": uuids.SOFTWARE_REVISION,
}
"""What is worth reading, and where."""

MAX_CHARACTERS: Final = 64
"""A name longer than this is not a name. An attribute may have 512 bytes."""


def text(data: bytes) -> str | None:
    """The text in a characteristic: UTF-8, with the padding NULs that some meters send cut off; None if nothing is left.

    Never raises: a meter with a broken name still measures. What is not UTF-8 becomes U+FFFD, control characters go.
    """
    decoded = data.split(b"\0", 1)[0].decode("utf-8", "replace")
    printable = "".join(character for character in decoded if character.isprintable()).strip()
    return printable[:MAX_CHARACTERS] or None
