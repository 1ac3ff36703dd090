"""What a glucose sensor says of its session (service 0x181F): CGM Feature 0x2AA8, Status 0x2AA9, Session Start Time 0x2AAA
and Session Run Time 0x2AAB. Layouts: Bluetooth SIG, CGMS 1.0.2 sections 3.2 to 3.5 and GATT Specification Supplement
(2025-12-23).

A session is a CGM session in this module, by the specification's word: the time that a sensor is worn, no conversation over
the radio.

When was a record measured? A sensor has no clock of its own, it counts minutes. "The user-facing time is the sum of the
Session Start Time and the Time Offset" (CGMS 3.4.5), and the start is computed by the sensor when a collector writes its
own time. So

- `meter_time` of a record is `SessionStartTime.meter_time(offset)`: it tells equal offsets of two sessions apart and never
  changes while the session lasts. Read the start before anything is kept: a record kept without it would have another name
  later.
- `Evidence.meter_wall` is `SessionStartTime.user_facing_time(offset)`; and the sensor's present, read from the Status at an
  instant of ours, is the clock read together: `clock_meter = start.user_facing_time(status.time_offset_min)`, `clock_at` =
  that instant. The distance of the two offsets is then the record's age, right to the minute, whoever has set the start to
  whatever. `READING_TOGETHER` in `gateway.timing` covers the minute that may tick over in between.
- A start with year 0 is no start, and neither is one beside the status bit that time must be synchronised: such a record
  has no meter time and no wall clock.
- `SessionStartTime.instant(offset)` needs zone and daylight saving, both of which a sensor may leave unknown. It is shown,
  and decides nothing: the pair of offsets is better evidence.

To start a session clears the sensor's memory, so this gateway never does (see `cgm_control`).
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import IntEnum, IntFlag
from typing import Final, Self

from vitals.gatt.cgm_measurement import SensorStatus
from vitals.gatt.date_time import DateTime
from vitals.gatt.e2e_crc import LENGTH, check_seal, has_seal, sealed
from vitals.gatt.frame import Cursor, check_length, flag_words, member, u16, u24
from vitals.gatt.glucose import SampleType

UNKNOWN_ZONE: Final = -128
UNKNOWN_DST: Final = 255
_QUARTER: Final = timedelta(minutes=15)
_ZONES: Final = range(-48, 57)
_DST: Final = (0, 2, 4, 8)
"""Standard, half an hour, an hour, two hours; in quarters, like the zone. Other values are reserved."""
_NO_CRC: Final = 0xFFFF


class SampleLocation(IntEnum):
    """Where the sensor sits, high nibble."""

    FINGER = 1
    ALTERNATE_SITE_TEST = 2
    EARLOBE = 3
    CONTROL_SOLUTION = 4
    SUBCUTANEOUS_TISSUE = 5
    NOT_AVAILABLE = 15


class Ability(IntFlag):
    CALIBRATION = 0x000001
    PATIENT_ALERTS = 0x000002
    HYPO_ALERTS = 0x000004
    HYPER_ALERTS = 0x000008
    RATE_ALERTS = 0x000010
    DEVICE_SPECIFIC_ALERT = 0x000020
    SENSOR_MALFUNCTION = 0x000040
    TEMPERATURE_HIGH_LOW = 0x000080
    RESULT_HIGH_LOW = 0x000100
    LOW_BATTERY = 0x000200
    SENSOR_TYPE_ERROR = 0x000400
    DEVICE_FAULT = 0x000800
    E2E_CRC = 0x001000
    MULTIPLE_BONDS = 0x002000
    MULTIPLE_SESSIONS = 0x004000
    TREND = 0x008000
    QUALITY = 0x010000


@dataclass(frozen=True, slots=True, kw_only=True)
class CgmFeature:
    """What the sensor can (0x2AA8). `sample_type` and `sample_location` are None for reserved members."""

    abilities: int
    sample_type: SampleType | None = None
    sample_location: SampleLocation | None = None

    def __post_init__(self) -> None:
        assert 0 <= self.abilities <= 0xFFFFFF, self.abilities

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Raises `MalformedError`: `frame_length`, or `crc`. Without the ability the sum is there too, and means nothing."""
        check_length(data, expected=4 + LENGTH)
        at = Cursor(data)
        abilities, sample = at.u24(), at.u8()
        if abilities & Ability.E2E_CRC:
            check_seal(data)
        return cls(
            abilities=abilities,
            sample_type=member(SampleType, sample & 0xF),
            sample_location=member(SampleLocation, sample >> 4),
        )

    def __bytes__(self) -> bytes:
        body = u24(self.abilities) + bytes(((self.sample_location or 0) << 4 | (self.sample_type or 0),))
        return sealed(body) if self.has_e2e_crc else body + u16(_NO_CRC)

    @property
    def has_e2e_crc(self) -> bool:
        """Whether every frame of this sensor carries a sum, those written to it included."""
        return bool(self.abilities & Ability.E2E_CRC)

    @property
    def ability_words(self) -> tuple[str, ...]:
        return flag_words(Ability, self.abilities)


@dataclass(frozen=True, slots=True, kw_only=True)
class CgmStatus:
    """How the sensor is now (0x2AA9): the minutes since its session began, and the word of `SensorStatus`."""

    time_offset_min: int
    status: int
    is_sealed: bool = False

    def __post_init__(self) -> None:
        assert 0 <= self.time_offset_min <= 0xFFFF, self.time_offset_min
        assert 0 <= self.status <= 0xFFFFFF, self.status

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Raises `MalformedError`: `frame_length` or `crc`."""
        is_sealed = has_seal(data, expected=5)
        at = Cursor(data)
        return cls(time_offset_min=at.u16(), status=at.u24(), is_sealed=is_sealed)

    def __bytes__(self) -> bytes:
        body = u16(self.time_offset_min) + u24(self.status)
        return sealed(body) if self.is_sealed else body

    @property
    def status_flags(self) -> tuple[str, ...]:
        """What the status says, by name."""
        return flag_words(SensorStatus, self.status)


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionStartTime:
    """The wall clock at offset 0 (0x2AAA), with zone and daylight saving in quarters of an hour, as sent."""

    date_time: DateTime
    zone: int = UNKNOWN_ZONE
    dst: int = UNKNOWN_DST
    is_sealed: bool = False

    def __post_init__(self) -> None:
        assert -128 <= self.zone <= 127, self.zone
        assert 0 <= self.dst <= 0xFF, self.dst

    @classmethod
    def of(cls, moment: datetime, *, is_sealed: bool = False) -> Self:
        """The wall clock of an aware `moment`, as a collector writes it; what a sensor cannot express of its zone is unknown."""
        offset, dst = moment.utcoffset(), moment.dst() or timedelta()
        assert offset is not None, "a moment without a zone"
        zone, remainder = divmod(offset - dst, _QUARTER)
        quarters = dst // _QUARTER
        is_known = not remainder and zone in _ZONES and quarters * _QUARTER == dst and quarters in _DST
        return cls(
            date_time=DateTime.of(moment),
            zone=zone if is_known else UNKNOWN_ZONE,
            dst=quarters if is_known else UNKNOWN_DST,
            is_sealed=is_sealed,
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Raises `MalformedError`: `frame_length` or `crc`."""
        is_sealed = has_seal(data, expected=DateTime.LENGTH + 2)
        at = Cursor(data)
        return cls(date_time=at.date_time(), zone=at.s8(), dst=at.u8(), is_sealed=is_sealed)

    def __bytes__(self) -> bytes:
        body = bytes(self.date_time) + bytes((self.zone & 0xFF, self.dst))
        return sealed(body) if self.is_sealed else body

    @property
    def utc_offset(self) -> timedelta | None:
        """How far the wall clock is ahead of UTC; None if zone or daylight saving is unknown or reserved."""
        if self.zone not in _ZONES or self.dst not in _DST:
            return None
        return (self.zone + self.dst) * _QUARTER

    def user_facing_time(self, time_offset_min: int) -> datetime | None:
        """The wall clock at this offset, without a zone; None if the start is not known."""
        start = self.date_time.naive
        return None if start is None else start + timedelta(minutes=time_offset_min)

    def meter_time(self, time_offset_min: int) -> str | None:
        """The same as ISO 8601."""
        told = self.user_facing_time(time_offset_min)
        return None if told is None else told.isoformat()

    def instant(self, time_offset_min: int) -> datetime | None:
        """The same in UTC, by the sensor's own word on its zone; None if it does not say."""
        told, ahead = self.user_facing_time(time_offset_min), self.utc_offset
        return None if told is None or ahead is None else (told - ahead).replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionRunTime:
    """How long the session is expected to last, hours from its start (0x2AAB)."""

    hours: int
    is_sealed: bool = False

    def __post_init__(self) -> None:
        assert 0 <= self.hours <= 0xFFFF, self.hours

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Raises `MalformedError`: `frame_length` or `crc`."""
        is_sealed = has_seal(data, expected=2)
        return cls(hours=Cursor(data).u16(), is_sealed=is_sealed)

    def __bytes__(self) -> bytes:
        body = u16(self.hours)
        return sealed(body) if self.is_sealed else body
