"""CGM Measurement (0x2AA7, service 0x181F): what a glucose sensor that is worn has measured, one or more records a
notification.

Layout: Bluetooth SIG, CGMS 1.0.2 section 3.1 and GATT Specification Supplement (2025-12-23) section 3.43. The unit is mg/dL
and nothing else (a finger-stick's is kg/L or mol/L). Says what the sensor said; whether to believe it is `vitals.quality`'s
question.

A record is its own octets, whatever others came with it: the same one comes alone while it is new, and among others when it
is asked for again. So `split` first, and keep, name and refuse each by itself; one that is broken costs no other.

A record has no clock, only the minutes since its session began, which are its sequence number too, and begin at 0 again
with the next session. `vitals.gatt.cgm_session` makes a meter time of them.

The octets of the status come in the order status, calibration and temperature, warning (both sources, and Wireshark).
Nordic's libraries call the first one "warning", and let flag bit 5 announce it; a sensor that sends one octet alone and
means that would say something else with it. Sent without any bit set (some do, though they should not), an octet is none.
"""

from dataclasses import dataclass
from enum import IntFlag
from typing import Final, Literal, Self

from vitals import reading, units
from vitals.errors import MalformedError
from vitals.gatt.e2e_crc import has_seal, sealed
from vitals.gatt.frame import Cursor, check_minimum, flag_words, u16
from vitals.gatt.sfloat import Sfloat


class SensorStatus(IntFlag):
    """Sensor Status Annunciation, and the CGM Status: three octets in one word, the status lowest."""

    SESSION_STOPPED = 0x000001
    BATTERY_LOW = 0x000002
    SENSOR_TYPE_INCORRECT = 0x000004
    SENSOR_MALFUNCTION = 0x000008
    DEVICE_SPECIFIC_ALERT = 0x000010
    DEVICE_FAULT = 0x000020
    TIME_SYNCHRONIZATION_REQUIRED = 0x000100
    CALIBRATION_NOT_ALLOWED = 0x000200
    CALIBRATION_RECOMMENDED = 0x000400
    CALIBRATION_REQUIRED = 0x000800
    TEMPERATURE_HIGH = 0x001000
    TEMPERATURE_LOW = 0x002000
    CALIBRATION_PENDING = 0x004000
    BELOW_PATIENT_LOW = 0x010000
    ABOVE_PATIENT_HIGH = 0x020000
    BELOW_HYPO = 0x040000
    ABOVE_HYPER = 0x080000
    RATE_OF_DECREASE_EXCEEDED = 0x100000
    RATE_OF_INCREASE_EXCEEDED = 0x200000
    BELOW_DEVICE_RANGE = 0x400000
    ABOVE_DEVICE_RANGE = 0x800000


class _Flags(IntFlag):
    TREND = 0x01
    QUALITY = 0x02
    WARNING = 0x20
    CALIBRATION_TEMPERATURE = 0x40
    STATUS = 0x80


_ALWAYS: Final = 6
"""Size, flags, concentration, time offset."""
_OPTIONAL: Final = {
    _Flags.STATUS: 1,
    _Flags.CALIBRATION_TEMPERATURE: 1,
    _Flags.WARNING: 1,
    _Flags.TREND: 2,
    _Flags.QUALITY: 2,
}
_OCTETS: Final = {_Flags.STATUS: 0, _Flags.CALIBRATION_TEMPERATURE: 8, _Flags.WARNING: 16}
"""Where each octet of the status lies in the word, in the order in which they are sent."""


def split(data: bytes) -> tuple[bytes, ...]:
    """The records of one notification, each in its own octets, by the size that each begins with.

    Raises `MalformedError` (`frame_length`) if the sizes do not add up: then nobody knows where a record begins.
    """
    check_minimum(data, _ALWAYS)
    found, at = [], 0
    while at < len(data):
        size = data[at]
        if size < _ALWAYS or at + size > len(data):
            raise MalformedError("frame_length", f"a record of {size} bytes at {at} of {len(data)}", data)
        found.append(data[at : at + size])
        at += size
    return tuple(found)


@dataclass(frozen=True, slots=True, kw_only=True)
class CgmRecord:
    """One measurement of the sensor, mg/dL. A field is None where its flag is clear; `is_sealed`: an E2E-CRC came with it."""

    Flags = _Flags

    concentration: Sfloat
    time_offset_min: int
    status: int | None = None
    trend: Sfloat | None = None
    quality: Sfloat | None = None
    is_sealed: bool = False

    def __post_init__(self) -> None:
        assert 0 <= self.time_offset_min <= 0xFFFF, self.time_offset_min
        assert self.status is None or 0 <= self.status <= 0xFFFFFF, self.status

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Raises `MalformedError`: `frame_length`, `crc`, or `flags` where unknown flags may explain either.

        Two octets more than the flags say are an E2E-CRC or nothing that can be read: the size leaves no other doubt, so the CGM
        Feature need not be known.
        """
        check_minimum(data, _ALWAYS)
        if data[0] != len(data):
            raise MalformedError("frame_length", f"{len(data)} bytes, the record says {data[0]}", data)
        flags = data[1]
        expected = _ALWAYS + sum(length for flag, length in _OPTIONAL.items() if flags & flag)
        is_sealed = has_seal(data, expected=expected, reserved=bool(flags & 0x1C))
        at = Cursor(data, 2)
        return cls(
            concentration=at.sfloat(),
            time_offset_min=at.u16(),
            status=_status(flags, at),
            trend=at.sfloat() if flags & _Flags.TREND else None,
            quality=at.sfloat() if flags & _Flags.QUALITY else None,
            is_sealed=is_sealed,
        )

    def __bytes__(self) -> bytes:
        flags, octets = _status_octets(self.status)
        body = bytes(self.concentration) + u16(self.time_offset_min) + octets
        for flag, field in ((_Flags.TREND, self.trend), (_Flags.QUALITY, self.quality)):
            if field is not None:
                flags |= flag
                body += bytes(field)
        size = 2 + len(body) + 2 * self.is_sealed
        record = bytes((size, flags)) + body
        return sealed(record) if self.is_sealed else record

    @property
    def status_flags(self) -> tuple[str, ...] | None:
        """What the status says, by name; None without one."""
        return None if self.status is None else flag_words(SensorStatus, self.status)

    @property
    def censored(self) -> Literal["HI", "LO"] | None:
        """What a display shows instead of a number when the result is beyond what the sensor can process."""
        match self._beyond_range:
            case SensorStatus.ABOVE_DEVICE_RANGE:
                return "HI"
            case SensorStatus.BELOW_DEVICE_RANGE:
                return "LO"
        return None

    @property
    def _beyond_range(self) -> int:
        return (self.status or 0) & (SensorStatus.ABOVE_DEVICE_RANGE | SensorStatus.BELOW_DEVICE_RANGE)

    def to_measurement(self) -> reading.SensorGlucose:
        """The same in mmol/L and mg/dL, with what was sent beside it; what the sensor says it lacks is None.

        A result beyond what the sensor can process has no canonical value, whatever number came with it; one that is said to be
        both above and below has neither value nor HI nor LO. The quality is passed on as sent: the specification has per cent,
        a pump that is sold writes 10 where it is content (OpenMinimed), and nothing is judged by it.
        """
        sent = self.concentration.value
        known = None if self._beyond_range or sent is None else units.glucose(sent, "mg/dL")
        return reading.SensorGlucose(
            sequence=self.time_offset_min,
            glucose_mmol_l=None if known is None else float(known[0]),
            glucose_mg_dl=None if known is None else float(known[1]),
            unit_sent="mg/dL",
            glucose_sent=self.concentration.number,
            censored=self.censored,
            status=self.status,
            trend_mg_dl_per_min=None if self.trend is None else self.trend.number,
            quality_percent=None if self.quality is None else self.quality.number,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class CgmMeasurement:
    """A notification as a whole: its records, oldest first."""

    records: tuple[CgmRecord, ...]

    def __post_init__(self) -> None:
        assert self.records, "a notification without a record"

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Raises `MalformedError` for the first record that cannot be read; who must not lose the others calls `split`."""
        return cls(records=tuple(map(CgmRecord.from_bytes, split(data))))

    def __bytes__(self) -> bytes:
        return b"".join(map(bytes, self.records))


def _status(flags: int, at: Cursor) -> int | None:
    """The word that the octets make which `flags` announce; None without any."""
    announced = [shift for flag, shift in _OCTETS.items() if flags & flag]
    return sum(at.u8() << shift for shift in announced) if announced else None


def _status_octets(status: int | None) -> tuple[_Flags, bytes]:
    """The octets in which a bit is set, and their flags. A word of 0 is sent as one octet: there is a status, and it is well."""
    if status is None:
        return _Flags(0), b""
    flags, octets = _Flags(0), b""
    for flag, shift in _OCTETS.items():
        if octet := status >> shift & 0xFF:
            flags |= flag
            octets += bytes((octet,))
    return (flags, octets) if octets else (_Flags.STATUS, b"\0")
