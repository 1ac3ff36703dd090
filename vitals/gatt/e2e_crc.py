"""E2E-CRC: two octets at the end of a frame that show whether it arrived as the meter made it.

CRC-16 with D16 + D12 + D5 + 1, seed 0xFFFF, octets fed least significant bit first, sent least significant octet first.
Sources: Bluetooth SIG, CGMS 1.0.2 section 3.11 and GATT Specification Supplement (2025-12-23) section 2.5, which print one
vector; Silicon Labs' and Nordic's stacks agree (CRC-16/MCRF4XX).

A pump that is sold (Medtronic 780G, frames captured by OpenMinimed) feeds the bits the other way round. Such a frame is
refused like any other whose sum is wrong, and the refusal says so: a quirk for a known meter may take it one day, nobody
guesses it.
"""

from binascii import crc_hqx
from typing import Final

from vitals.errors import MalformedError
from vitals.gatt.frame import check_length, u16

LENGTH: Final = 2
SEED: Final = 0xFFFF
_REVERSED_POLYNOMIAL: Final = 0x8408


def e2e_crc(data: bytes) -> int:
    """The sum of `data`."""
    register = SEED
    for octet in data:
        register ^= octet
        for _ in range(8):
            register = register >> 1 ^ (_REVERSED_POLYNOMIAL if register & 1 else 0)
    return register


def sealed(data: bytes) -> bytes:
    """`data` with its sum behind it."""
    return data + u16(e2e_crc(data))


def has_seal(data: bytes, *, expected: int, reserved: bool = False) -> bool:
    """Whether `data` is `expected` octets and their sum; False where it is the `expected` octets alone.

    Raises `MalformedError`: `crc` for a wrong sum, else as `check_length` does. `reserved` as there: two more octets may then be
    a field that this specification does not know, and the blame for a wrong sum is `flags`.
    """
    if len(data) != expected + LENGTH:
        check_length(data, expected=expected, reserved=reserved)
        return False
    check_seal(data, reason="flags" if reserved else "crc")
    return True


def check_seal(data: bytes, *, reason: str = "crc") -> None:
    """Raise `MalformedError` (`reason`) unless the last two octets are the sum of those before them."""
    body, sent = data[:-LENGTH], int.from_bytes(data[-LENGTH:], "little")
    found = e2e_crc(body)
    if sent != found:
        hint = "; it would fit bits fed the other way round" if sent == crc_hqx(body, SEED) else ""
        raise MalformedError(reason, f"E2E-CRC {sent:#06x}, the frame gives {found:#06x}{hint}", data)
