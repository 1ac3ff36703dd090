"""What a meter can be told to measure, one value a field: the command `measure`, and who may be told what."""

from datetime import datetime
from typing import Annotated, Literal

from msgspec import Meta, Struct

NaiveTime = Annotated[datetime, Meta(tz=False)]
"""A wall clock without a zone."""

Milligrams = Annotated[float, Meta(ge=0, le=2000)]
Pressure = Annotated[int, Meta(ge=0, le=2000)]


class Measure(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="do", tag="measure"):
    """One inflation, one drop of blood, one step on the scale; `at` is what the wall clock shows, now if it is left out.

    `rises` lets a thermometer or a cuff take its time and show on the way how far it is. `is_worn` puts a strap or an oximeter
    on, which then tells every second what it shows, or takes it off.
    """

    meter: str
    systolic_mmhg: Pressure | None = None
    diastolic_mmhg: Pressure | None = None
    pulse_bpm: Pressure | None = None
    user_slot: Annotated[int, Meta(ge=0, le=255)] | None = None
    glucose_mg_dl: Milligrams | None = None
    weight_kg: Annotated[float, Meta(ge=0, le=300)] | None = None
    height_m: Annotated[float, Meta(ge=0, le=3)] | None = None
    temperature_celsius: Annotated[float, Meta(ge=0, le=60)] | None = None
    site: Literal["armpit", "body", "ear", "finger", "mouth", "rectum", "toe", "tympanum"] | None = None
    rises: bool | None = None
    spo2_percent: Annotated[int, Meta(ge=0, le=100)] | None = None
    sensor_status: Annotated[int, Meta(ge=0, le=0xFFFFFF)] | None = None
    is_worn: bool | None = None
    has_contact: bool | None = None
    meal: Literal["preprandial", "postprandial", "fasting", "casual", "bedtime"] | None = None
    status: Annotated[int, Meta(ge=0, le=0xFFFF)] | None = None
    at: NaiveTime | None = None

    @property
    def given(self) -> frozenset[str]:
        """The fields that say what to measure, and are said."""
        fields = self.__struct_fields__
        return frozenset(f for f in fields if f not in ("meter", "at") and getattr(self, f) is not None)
