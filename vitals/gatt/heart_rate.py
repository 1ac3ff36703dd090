"""Heart Rate Service (0x180D): Heart Rate Measurement 0x2A37, Body Sensor Location 0x2A38.

Layouts: Bluetooth SIG, HRS 1.0. A strap sends this about once a second for as long as it is worn, and has no clock. No diagnosis
is made of the intervals.
"""

from dataclasses import dataclass
from enum import IntEnum, IntFlag
from typing import Final, Self

from vitals.errors import MalformedError
from vitals.gatt.frame import Cursor, check_length, check_minimum, member, u16
from vitals.reading import HeartRate

INTERVALS_PER_S: Final = 1024
"""An RR interval counts 1/1024 s."""


class BodySensorLocation(IntEnum):
    OTHER = 0
    CHEST = 1
    WRIST = 2
    FINGER = 3
    HAND = 4
    EAR_LOBE = 5
    FOOT = 6


def body_sensor_location(data: bytes) -> BodySensorLocation | None:
    """Body Sensor Location (0x2A38). None for a reserved code; raises `MalformedError` for anything but one byte."""
    check_length(data, expected=1)
    return member(BodySensorLocation, data[0])


class _Flags(IntFlag):
    WIDE = 0x01
    CONTACT_DETECTED = 0x02
    CONTACT_SUPPORTED = 0x04
    ENERGY = 0x08
    INTERVALS = 0x10


@dataclass(frozen=True, slots=True, kw_only=True)
class HeartRateMeasurement:
    """Beats a minute, and the times between the beats since the last frame, oldest first, in 1/1024 s.

    `has_contact` is None for a sensor that cannot tell; `energy_kj` is None where it is not sent, and stays at 65535 when it
    gets there. A rate of 0 is what the sensor sent: no specification that was read says what it means.
    """

    Flags = _Flags

    bpm: int
    has_contact: bool | None = None
    energy_kj: int | None = None
    intervals: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        assert 0 <= self.bpm <= 0xFFFF, self.bpm
        assert self.energy_kj is None or 0 <= self.energy_kj <= 0xFFFF, self.energy_kj
        assert all(0 <= interval <= 0xFFFF for interval in self.intervals), self.intervals

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Raises `MalformedError`: `frame_length`, also where intervals are announced and none comes; `flags` where unknown flags
        may explain the length, or announce a field that could not be told from intervals."""
        check_minimum(data, 2)
        flags = data[0]
        reserved = bool(flags & 0xE0)
        before = 2 + bool(flags & _Flags.WIDE) + 2 * bool(flags & _Flags.ENERGY)
        count = max(1, (len(data) - before) // 2) if flags & _Flags.INTERVALS else 0
        check_length(data, expected=before + 2 * count, reserved=reserved)
        if count and reserved:
            raise MalformedError("flags", "unknown flags, and a list of intervals without an end of its own", data)
        at = Cursor(data, 1)
        return cls(
            bpm=at.u16() if flags & _Flags.WIDE else at.u8(),
            has_contact=bool(flags & _Flags.CONTACT_DETECTED) if flags & _Flags.CONTACT_SUPPORTED else None,
            energy_kj=at.u16() if flags & _Flags.ENERGY else None,
            intervals=tuple(at.u16() for _ in range(count)),
        )

    def to_measurement(self) -> HeartRate:
        """The rate alone; energy and intervals stay in the raw bytes."""
        return HeartRate(pulse_bpm=float(self.bpm), has_contact=self.has_contact)

    def __bytes__(self) -> bytes:
        """The shorter form of the rate where it fits."""
        flags = _Flags(0)
        if self.has_contact is not None:
            flags |= _Flags.CONTACT_SUPPORTED | (_Flags.CONTACT_DETECTED if self.has_contact else _Flags(0))
        body = bytes((self.bpm,)) if self.bpm <= 0xFF else u16(self.bpm)
        if self.bpm > 0xFF:
            flags |= _Flags.WIDE
        if self.energy_kj is not None:
            flags |= _Flags.ENERGY
            body += u16(self.energy_kj)
        if self.intervals:
            flags |= _Flags.INTERVALS
            body += b"".join(map(u16, self.intervals))
        return bytes((flags,)) + body

    @property
    def intervals_s(self) -> tuple[float, ...]:
        """The same in seconds, exactly: 1024 is a power of two."""
        return tuple(interval / INTERVALS_PER_S for interval in self.intervals)
