"""What a rule of the glucose of some time looks at (`when`): the share of a range, and how long it lasts. Judges nothing."""

from collections.abc import Mapping
from typing import Annotated, Final, Literal

from pydantic import Field, model_validator

from server.rules.conditions import Compared, Part, Reach

_GLUCOSE_UNITS: Final = ("mmol/L", "mg/dL")
ShareStatistic = Literal["share", "mean", "cv", "gmi", "gri", "lbgi", "hbgi"]
_UNITS_OF_SHARES: Final[Mapping[ShareStatistic, tuple[str, ...]]] = {
    "share": ("%",),
    "mean": _GLUCOSE_UNITS,
    "cv": ("%",),
    "gmi": ("%",),
    "gri": ("index",),
    "lbgi": ("index",),
    "hbgi": ("index",),
}


class Band(Part):
    """The readings whose share is looked at: `from` one value `to` another, both included, or all `below` or `above` one."""

    lowest: Annotated[float | None, Field(alias="from")] = None
    highest: Annotated[float | None, Field(alias="to")] = None
    below: float | None = None
    above: float | None = None
    unit: Literal["mmol/L", "mg/dL"]

    @model_validator(mode="after")
    def _one_of_three(self) -> "Band":
        is_between = self.lowest is not None and self.highest is not None
        if (self.lowest is None) != (self.highest is None) or is_between + (self.below is not None) + (
            self.above is not None
        ) != 1:
            raise ValueError("give from and to, or below, or above")
        if self.lowest is not None and self.highest is not None and self.lowest > self.highest:
            raise ValueError(f"from is more than to: {self.lowest} and {self.highest}")
        return self


class RangeShare(Compared):
    """What the glucose of the last closed days comes to, asked at the close of every day that has a reading.

    `share`: how many of a hundred readings lie in `range`; HI and LO count there and in `gri`, and in nothing else. It cannot be
    said with less than `sufficient_percent` of the quarter hours (a worn sensor), or with fewer than `min_readings` on
    `min_days` (finger-sticks), and what was true stays true.
    """

    kind: Literal["range_share"]
    signal: Literal["sensor_glucose", "glucose"]
    statistic: ShareStatistic
    range: Band | None = None
    over: Reach
    sufficient_percent: Annotated[int, Field(ge=1, le=100)] | None = None
    min_readings: Annotated[int, Field(ge=1, le=5000)] | None = None
    min_days: Annotated[int, Field(ge=1, le=90)] | None = None
    unit: Literal["%", "index", "mmol/L", "mg/dL"]

    @model_validator(mode="after")
    def _statistic_fits(self) -> "RangeShare":
        if self.over.days is None:
            raise ValueError("range_share looks at closed days: over takes days")
        if (self.statistic == "share") != (self.range is not None):
            raise ValueError("range belongs to statistic: share, and to no other")
        units = _UNITS_OF_SHARES[self.statistic]
        if self.unit not in units:
            raise ValueError(f"{self.statistic} is in {' or '.join(units)}")
        if self.signal == "glucose" and self.statistic in ("gmi", "gri"):
            raise ValueError(f"{self.statistic} is of a worn sensor: finger-sticks are too few and not taken at random")
        return self

    @model_validator(mode="after")
    def _says_what_suffices(self) -> "RangeShare":
        asks = (self.sufficient_percent is not None, self.min_readings is not None, self.min_days is not None)
        if self.signal == "sensor_glucose" and asks != (True, False, False):
            raise ValueError("sensor_glucose takes sufficient_percent, and neither min_readings nor min_days")
        if self.signal == "glucose" and asks != (False, True, True):
            raise ValueError("glucose takes min_readings and min_days, and no sufficient_percent")
        if (self.min_days or 0) > self.span_days:
            raise ValueError(f"min_days is more than over: {self.min_days} of {self.span_days}")
        return self

    @property
    def span_days(self) -> int:
        return self.over.span_days


class Lasting(Compared):
    """A worn sensor is beyond the limit for at least `minutes`. Readings more than `gap_minutes` apart do not join."""

    kind: Literal["lasting"]
    signal: Literal["sensor_glucose"]
    unit: Literal["mmol/L", "mg/dL"]
    minutes: Annotated[int, Field(ge=1, le=1440)]
    gap_minutes: Annotated[int, Field(ge=1, le=1440)]
