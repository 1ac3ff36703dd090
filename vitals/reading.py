"""What a meter measured (`Measurement`) and the same with its provenance (`Reading`).

Values are in canonical units, named by the field; beside them the value and unit as sent. What the meter says it lacks
is `None`, never NaN. These structs are also the wire format (see `envelope`): strict, and no unknown field passes.
"""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Final, Literal, get_args
from uuid import UUID

from msgspec import Meta, Struct

Identifier = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9:._-]{0,63}\Z")]
"""A gateway, a meter: 1 to 64 characters that mean nothing to MQTT, SQL or a shell."""

ZoneName = Annotated[str, Meta(pattern=r"^[A-Za-z][A-Za-z0-9_+/-]{0,63}\Z")]
"""An IANA time zone by name, such as Asia/Shanghai."""

Instant = Annotated[datetime, Meta(tz=True)]
"""An aware instant."""

Word16 = Annotated[int, Meta(ge=0, le=0xFFFF)]
Word24 = Annotated[int, Meta(ge=0, le=0xFFFFFF)]
GUEST: Final = 0xFF
"""The user number of somebody whom the meter does not know (Blood Pressure Service and Weight Scale Service: "unknown user")."""
UserSlot = Annotated[int, Meta(ge=0, le=GUEST)]
"""A meter's user number, or `GUEST`; a meter that names no users has none."""


WallClock = Annotated[str, Meta(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?\Z")]
"""A meter's clock as ISO 8601 without a zone. Patterns also keep a NUL out, which PostgreSQL has no text for."""

SpecificationName = Annotated[str, Meta(pattern=r"^[a-z0-9_]{1,64}\Z")]
"""The name that a specification gives to an enumeration's member, in snake case."""


class TimeQuality(StrEnum):
    """How far `measured_at` can be trusted (HL7 PHD coincident time stamp; docs/explanation/safety)."""

    SYNCED = "synced"
    CORRECTED = "corrected"
    TRUSTED = "trusted"
    RECEIVED = "received"
    SUSPECT = "suspect"
    ORPHAN = "orphan"


class BloodPressure(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="blood_pressure"
):
    """One inflation of a cuff. `status` is the Measurement Status word as sent (bits: GATT 0x2A35)."""

    systolic_mmhg: float | None
    diastolic_mmhg: float | None
    mean_mmhg: float | None = None
    pulse_bpm: float | None = None
    unit_sent: Literal["mmHg", "kPa"]
    systolic_sent: float | None = None
    diastolic_sent: float | None = None
    mean_sent: float | None = None
    status: Word16 | None = None


Meal = Literal["preprandial", "postprandial", "fasting", "casual", "bedtime"]


class Glucose(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="glucose"):
    """One finger-stick. `censored` is what the meter shows as HI or LO: beyond its range, not a number.

    `sample_type` and `sample_location` are the specification's names in snake case; a reserved member is `None` and
    stays in the reading's raw bytes. `status` is the Sensor Status Annunciation word as sent (GATT 0x2A18).
    """

    sequence: Word16
    glucose_mmol_l: float | None
    glucose_mg_dl: float | None
    unit_sent: Literal["kg/L", "mol/L"] | None = None
    glucose_sent: float | None = None
    censored: Literal["HI", "LO"] | None = None
    sample_type: SpecificationName | None = None
    sample_location: SpecificationName | None = None
    status: Word16 | None = None
    meal: Meal | None = None


class SensorGlucose(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="sensor_glucose"
):
    """One value of a glucose sensor that is worn (CGM). `sequence` is its time offset, minutes since the session began.

    `status` is the Sensor Status Annunciation as sent: the octet of the status lowest, then calibration and temperature, then
    warnings (GATT 0x2AA7). `censored` is what the sensor says is below or above all that it can process.
    """

    sequence: Word16
    glucose_mmol_l: float | None
    glucose_mg_dl: float | None
    unit_sent: Literal["mg/dL", "mmol/L"] | None = None
    glucose_sent: float | None = None
    censored: Literal["HI", "LO"] | None = None
    status: Word24 | None = None
    trend_mg_dl_per_min: float | None = None
    quality_percent: float | None = None


class Weight(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="weight"):
    """One weighing (GATT 0x2A9D). `bmi` in kg/m² and `height_m` where the scale knows who stands on it."""

    weight_kg: float | None
    unit_sent: Literal["kg", "lb"]
    weight_sent: float | None = None
    bmi: float | None = None
    height_m: float | None = None


class OxygenSaturation(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="oxygen_saturation"
):
    """One spot check of a pulse oximeter, or the frame that was kept of its stream. `status` is its Measurement Status,
    `sensor_status` its Device and Sensor Status, both as sent (bits: GATT 0x2A5E, the same in 0x2A5F)."""

    spo2_percent: float | None
    pulse_bpm: float | None = None
    status: Word16 | None = None
    sensor_status: Word24 | None = None


class Temperature(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="temperature"):
    """One body temperature (GATT 0x2A1C). `site` is the specification's name of where; a reserved one is `None`."""

    temperature_celsius: float | None
    unit_sent: Literal["°C", "°F"]
    temperature_sent: float | None = None
    site: SpecificationName | None = None


class HeartRate(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="heart_rate"):
    """A steady heart rate of a strap (GATT 0x2A37). Nobody knows whether its wearer rested: no rule for a resting pulse
    looks at it. `has_contact` is None for a sensor that cannot tell.
    """

    pulse_bpm: float | None
    has_contact: bool | None = None


Measurement = BloodPressure | Glucose | SensorGlucose | Weight | OxygenSaturation | Temperature | HeartRate


def kind_of(measurement: Measurement) -> str:
    """One of `KINDS`: the word that is stored and sent."""
    return str(measurement.__struct_config__.tag)


KINDS: Final = tuple(str(each.__struct_config__.tag) for each in get_args(Measurement))
"""Every kind by its word."""


class Reading(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A measurement with its provenance. Equal `reading_id` means the same inflation or the same drop of blood.

    `meter_time` is the meter's own clock as it said it (ISO 8601 without a zone), never corrected. `measured_at` is the
    best estimate in UTC, and `time_quality` says how good. `clock_offset_s` is the gateway's clock minus the meter's, read
    together. `zone` is the zone of the home. `raw` holds the frame of `characteristic` (four hex digits, or the UUID of a
    maker's own), `context_raw` the 0x2A34 frame that belongs to it.
    """

    reading_id: UUID
    gateway_id: Identifier
    meter_id: Identifier
    user_slot: UserSlot | None = None
    measurement: Measurement
    measured_at: Instant
    meter_time: WallClock | None = None
    received_at: Instant
    time_quality: TimeQuality
    clock_offset_s: float | None = None
    zone: ZoneName
    characteristic: Annotated[str, Meta(pattern=r"^([0-9a-f]{4}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12})\Z")]
    raw: Annotated[bytes, Meta(max_length=512)]
    context_raw: Annotated[bytes, Meta(max_length=512)] | None = None
    decoder: Annotated[str, Meta(pattern=r"^[ -~]{1,32}\Z")]

    def __post_init__(self) -> None:
        """Refuse the first and the last year: moved into another zone such an instant is no datetime any more."""
        for instant in (self.measured_at, self.received_at):
            if not 1 < instant.year < 9999:
                raise ValueError(f"an instant in the year {instant.year}")
