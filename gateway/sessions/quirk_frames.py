"""Frames of meters that write them in their own way, put into the layout that the characteristic has. The raw bytes stay as sent.

Each rewriting is pinned to captured bytes, or refuses. What is only shown on the way to a result (a cuff that inflates, a scale
that still moves) is `None`: nothing has been measured yet.
"""

from collections.abc import Callable
from typing import Final

from gateway.sessions.quirks import REASON, Frames
from gateway.sessions.unasked import Decode, Sent
from vitals.errors import MalformedError
from vitals.gatt import uuids
from vitals.gatt.blood_pressure import BloodPressureMeasurement
from vitals.gatt.weight_scale import UNSUCCESSFUL

Rewrite = Callable[[bytes], bytes | None]

_BM85: Final = (0x56, 19)
"""Flags and length of all four captured frames: time stamp, pulse, status, and a reserved bit for the user octet."""
_RENPHO_STEPS: Final = 10
"""0.05 kg a count, where the standard's is 0.005 kg."""


def decode_as(frames: Frames, characteristic: str, decode: Decode) -> Decode:
    """`decode` for frames of `characteristic` as this meter writes them."""
    rewrite = _REWRITES.get((frames, characteristic))
    if rewrite is None:
        return decode

    def read(raw: bytes) -> Sent | None:
        standard = rewrite(raw)
        return None if standard is None else decode(standard)

    return read


def _bm85(raw: bytes) -> bytes:
    """`56 sys dia 0000 time PULSE user STATUS` with pulse and status big end first. A mean of 0 is no mean."""
    if (raw[:1], len(raw)) != (bytes((_BM85[0],)), _BM85[1]):
        raise MalformedError(REASON, "not the layout that a BM85 is known to send", raw)
    flags = BloodPressureMeasurement.Flags
    known = flags.TIME_STAMP | flags.PULSE_RATE | flags.USER_ID | flags.STATUS
    pressures, mean, at = raw[1:5], raw[5:7], raw[7:14]
    if mean == b"\0\0":
        mean = b"\xff\x07"
    return bytes((known,)) + pressures + mean + at + raw[15:13:-1] + raw[16:17] + raw[18:16:-1]


def _qardio(raw: bytes) -> bytes | None:
    """As sent; a frame without a status, or with no diastolic pressure, is the pressure on the way (two programs, two signs)."""
    if len(raw) < 7:
        return raw  # the codec says what is wrong with it
    is_result = raw[0] & BloodPressureMeasurement.Flags.STATUS and raw[3:5] != b"\0\0"
    return raw if is_result else None


def _renpho(raw: bytes) -> bytes:
    """Counts of 0.05 kg, beside a reserved flag (0x4E was captured, openScale waits for 0x2E): a frame without one may be of
    another model that counts as the standard does. What it sends in pounds nobody has captured; its user 170 is everybody, so
    it is nobody."""
    if len(raw) < 3 or raw[0] & 0x91 or not raw[0] & 0x60:
        raise MalformedError(REASON, "a Renpho frame with flags that nobody has shown", raw)
    count = int.from_bytes(raw[1:3], "little")
    if count != UNSUCCESSFUL:
        count *= _RENPHO_STEPS
    if count > UNSUCCESSFUL:
        raise MalformedError(REASON, "a weight beyond what the standard's field can hold", raw)
    flags, rest = raw[0] & 0x0F, raw[3:]
    if flags & 0x04:
        at = 7 if flags & 0x02 else 0
        flags, rest = flags & ~0x04, rest[:at] + rest[at + 1 :]
    return bytes((flags,)) + count.to_bytes(2, "little") + rest


def _xiaomi(raw: bytes) -> bytes | None:
    """Bit 5: it stands still; bit 7: nobody is on it any more, the number is of before. Bit 4 the codec refuses."""
    if len(raw) < 3:
        return raw
    if raw[0] & 0x40:
        raise MalformedError(REASON, "a flag of which nothing is known", raw)
    if raw[0] & 0xA0 != 0x20:
        return None
    return bytes((raw[0] & ~0x20,)) + raw[1:]


def _detecto(raw: bytes) -> bytes:
    """As the standard in pounds; what it counts in kilograms its own manual says in two ways, one of them twice the other."""
    plain = _plain_weight(raw)
    if len(raw) >= 3 and not raw[0] & 0x11:  # of bit 4 the codec knows more
        raise MalformedError(REASON, "kilograms of a Detecto, and its manual contradicts itself on their step", raw)
    return plain


def _plain_weight(raw: bytes) -> bytes:
    """Known scales change what the number means with the reserved flags (half kilograms, tenfold counts): without an entry that
    says what they are, no weight is read beside them."""
    if raw and raw[0] & 0xE0 and not raw[0] & 0x10:  # of bit 4 the codec knows more
        raise MalformedError(REASON, f"reserved flags {raw[0] & 0xE0:#04x}, and nothing is known of this scale", raw)
    return raw


_REWRITES: Final[dict[tuple[Frames, str], Rewrite]] = {
    ("beurer_bm85", uuids.BLOOD_PRESSURE_MEASUREMENT): _bm85,
    ("qardio", uuids.BLOOD_PRESSURE_MEASUREMENT): _qardio,
    ("renpho", uuids.WEIGHT_MEASUREMENT): _renpho,
    ("xiaomi", uuids.WEIGHT_MEASUREMENT): _xiaomi,
    ("detecto", uuids.WEIGHT_MEASUREMENT): _detecto,
    ("standard", uuids.WEIGHT_MEASUREMENT): _plain_weight,
}
