"""What a meter can be told to measure, one value a field: the command `measure`, and who may be told what."""

from datetime import datetime
from typing import Annotated, Literal

from msgspec import Meta, Struct

NaiveTime = Annotated[datetime, Meta(tz=False)]
"""A wall clock without a zone."""

Milligrams = Annotated[float, Meta(ge=0, le=2000)]
Pressure = Annotated[int, Meta(ge=0, le=2000)]


class Measure(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="do", tag="measure"):
    """One inflation, or one drop of blood; `at` is what the wall clock shows, now if it is left out."""

    meter: str
    systolic_mmhg: Pressure | None = None
    diastolic_mmhg: Pressure | None = None
    pulse_bpm: Pressure | None = None
    user_slot: Annotated[int, Meta(ge=0, le=255)] | None = None
    glucose_mg_dl: Milligrams | None = None
    meal: Literal["preprandial", "postprandial", "fasting", "casual", "bedtime"] | None = None
    status: Annotated[int, Meta(ge=0, le=0xFFFF)] | None = None
    at: NaiveTime | None = None

    @property
    def given(self) -> frozenset[str]:
        """The fields that say what to measure, and are said."""
        fields = self.__struct_fields__
        return frozenset(f for f in fields if f not in ("meter", "at") and getattr(self, f) is not None)
