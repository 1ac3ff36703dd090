"""What a rule looks at (`when`), as a clinician writes it: one strict model for each kind, and nothing that judges.

Units and comparisons are part of the text, and a kind says in words what a missing day or too few readings do.
"""

from collections.abc import Callable, Mapping
from functools import cached_property
from operator import ge, gt, le, lt
from typing import Annotated, Any, Final, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, model_validator

from server.rules.episodes import Priority
from server.rules.signals import ELEMENTS_OF, SOURCES, Elements, Signal, Unit, group_of

Comparison = Literal["above", "at_least", "below", "at_most"]
PressureSignal = Literal["systolic", "diastolic"]

COMPARISONS: Final[tuple[Comparison, ...]] = get_args(Comparison)
RISING: Final[tuple[Comparison, ...]] = ("above", "at_least")
"""Those that a rise brings about."""

COMPARE: Final[Mapping[Comparison, Callable[[Any, Any], Any]]] = {
    "above": gt,
    "at_least": ge,
    "below": lt,
    "at_most": le,
}
"""Of numbers, or of arrays of them, with a number."""


class Part(BaseModel):
    """The strictness of every part: no coercion, no unknown key, no NaN."""

    model_config = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False, frozen=True)


class Compared(Part):
    """Exactly one comparison with a number."""

    above: float | None = None
    at_least: float | None = None
    below: float | None = None
    at_most: float | None = None

    @model_validator(mode="after")
    def _one_comparison(self) -> "Compared":
        given = [word for word in COMPARISONS if getattr(self, word) is not None]
        if len(given) != 1:
            raise ValueError(f"give exactly one of above, at_least, below, at_most (got {', '.join(given) or 'none'})")
        return self

    @cached_property
    def comparison(self) -> Comparison:
        return next(word for word in COMPARISONS if getattr(self, word) is not None)

    @cached_property
    def value(self) -> float:
        return float(getattr(self, self.comparison))


class _PressureThreshold(Compared):
    signal: PressureSignal
    unit: Literal["mmHg"]


class DayThreshold(_PressureThreshold):
    """A comparison of the mean of a day's sittings."""

    statistic: Literal["day_mean"]


_OF_ONE_VALUE: Final = ("systolic", "diastolic", "pulse", "glucose", "spo2", "temperature")


class ValueThreshold(Compared):
    """A comparison of one reading as it is, in the unit in which it is written. HI is above every limit, LO below every limit."""

    signal: Signal
    unit: Unit
    statistic: Literal["value"] = "value"

    @model_validator(mode="after")
    def _signal_fits(self) -> "ValueThreshold":
        if self.signal not in _OF_ONE_VALUE:
            raise ValueError(
                f"one value may be of {', '.join(_OF_ONE_VALUE)}; {self.signal} is for other kinds of rule"
                " (a worn sensor has episodes, a weight has changes)"
            )
        if self.unit not in SOURCES[self.signal].columns:
            raise ValueError(f"{self.signal} is in {' or '.join(SOURCES[self.signal].columns)}")
        return self


class TrendThreshold(Compared):
    """A comparison of a statistic of recent readings, in the unit of the statistic."""

    signal: Signal
    unit: Unit | Literal["readings"]


class Reach(Part):
    """How far back is looked: hours to the minute, or clinical days, today counted."""

    hours: Annotated[int, Field(ge=1, le=2160)] | None = None
    days: Annotated[int, Field(ge=1, le=90)] | None = None

    @model_validator(mode="after")
    def _one_of_both(self) -> "Reach":
        if (self.hours is None) == (self.days is None):
            raise ValueError("give hours or days")
        return self

    @property
    def span_days(self) -> int:
        """Calendar days that it can touch."""
        return self.days if self.days is not None else (self.hours or 0) // 24 + 2


class DaysInARow(Part):
    """The last `days` measured days all meet `any_of`, and span at most `max_span_days` (both end days counted).

    `missing_day: bridge`: a day without enough readings neither counts nor breaks. `break`: it breaks, so the days must
    follow each other in the calendar. A measured day that does not meet the condition always starts the count again.
    """

    kind: Literal["days_in_a_row"]
    any_of: Annotated[tuple[DayThreshold, ...], Field(strict=False, min_length=1, max_length=8)]
    days: Annotated[int, Field(ge=1, le=31)]
    missing_day: Literal["bridge", "break"]
    max_span_days: Annotated[int, Field(ge=1, le=62)] | None = None
    min_readings_per_day: Annotated[int, Field(ge=1, le=24)] = 1

    @model_validator(mode="after")
    def _span_fits(self) -> "DaysInARow":
        if self.missing_day == "break" and self.max_span_days is not None:
            raise ValueError("max_span_days belongs to missing_day: bridge; leave it out")
        if self.missing_day == "bridge" and (self.max_span_days is None or self.max_span_days < self.days):
            raise ValueError(f"missing_day: bridge needs max_span_days of at least {self.days}")
        return self

    @property
    def span_days(self) -> int:
        return self.days if self.max_span_days is None else self.max_span_days


class Confirm(Part):
    """A repeat that meets the condition too, 45 seconds or more later, makes the alert `priority`, as a yes to the symptoms does.

    So does the end of `within_minutes` after the first reading was received: nobody has repeated it. A later reading on the good
    side takes the alert down instead.
    """

    within_minutes: Annotated[int, Field(ge=1, le=1440)]
    priority: Priority


class SingleValue(Part):
    """One reading meets `any_of`. Readings of one sitting are one event.

    All signals of a rule are carried by one kind of reading. `arrived: in_time`: received within 30 minutes of being measured, or
    within 24 hours if no normal reading was measured in between. `arrived: late`: all others. Orphans (records from before a
    clock change) are never used. `confirm`: what makes it more urgent.
    """

    kind: Literal["single_value"]
    any_of: Annotated[tuple[ValueThreshold, ...], Field(strict=False, min_length=1, max_length=8)]
    readings: Annotated[
        tuple[Literal["accepted", "suspect", "rejected"], ...], Field(strict=False, min_length=1, max_length=3)
    ]
    arrived: Literal["in_time", "late"]
    confirm: Confirm | None = None

    @model_validator(mode="after")
    def _one_kind_of_reading(self) -> "SingleValue":
        signals = {condition.signal for condition in self.any_of}
        if len({group_of(signal) for signal in signals}) > 1:
            raise ValueError("any_of is about one signal, or systolic and diastolic; write another rule for the others")
        if len({condition.unit for condition in self.any_of}) > 1:
            raise ValueError("any_of is written in one unit")
        if self.confirm is not None and self.arrived == "late":
            raise ValueError("what arrived late is not confirmed: leave confirm out")
        return self


class FailedMeasurements(Part):
    """`count` measurements of one kind failed (quality invalid) within one clinical day: look at the meter."""

    kind: Literal["failed_measurements"]
    count: Annotated[int, Field(ge=1, le=100)]


Statistic = Literal["mean", "highest", "lowest", "sd", "cv", "arv", "count"]
_COMPARISONS_OF: Final[Mapping[Statistic, tuple[Comparison, ...]]] = {
    "mean": COMPARISONS,
    "arv": COMPARISONS,
    "highest": ("above", "at_least"),
    "lowest": ("below", "at_most"),
    "sd": ("above",),
    "cv": ("above",),
    "count": ("at_least",),
}
_UNIT_OF: Final[Mapping[Statistic, str]] = {"cv": "%", "count": "readings"}


class _Trend(Part):
    of: Elements = "readings"
    any_of: Annotated[tuple[TrendThreshold, ...], Field(strict=False, min_length=1, max_length=8)]

    @model_validator(mode="after")
    def _signals_fit(self) -> "_Trend":
        for condition in self.any_of:
            if condition.signal not in ELEMENTS_OF.get(self.of, SOURCES):
                raise ValueError(f"{self.of} are of {', '.join(ELEMENTS_OF[self.of])}; {condition.signal} has readings")
        if len({condition.signal for condition in self.any_of}) != len(self.any_of):
            raise ValueError("any_of names a signal twice")
        return self

    @property
    def numbers(self) -> tuple[float, ...]:
        """What is compared with, as written."""
        return tuple(condition.value for condition in self.any_of)


DIFFERENCES: Final[tuple[Elements, ...]] = ("day_spreads", "meal_rises")
"""Elements that are a difference of values, and no value."""


class Rolling(_Trend):
    """A statistic of what was measured over the last hours or clinical days, asked again with each reading.

    `sd` and `arv` (the mean difference of neighbours) are in the unit of the signal, `cv` (the SD as a share of the mean) in
    percent. With fewer than `min_readings` in view it cannot be said, and what was true stays true.
    """

    kind: Literal["rolling"]
    statistic: Statistic
    over: Reach
    min_readings: Annotated[int, Field(ge=1, le=5000)]

    @model_validator(mode="after")
    def _statistic_fits(self) -> "Rolling":
        for condition in self.any_of:
            allowed, unit = _COMPARISONS_OF[self.statistic], _UNIT_OF.get(self.statistic)
            if condition.comparison not in allowed:
                raise ValueError(f"{self.statistic} is compared with {' or '.join(allowed)}")
            units = (unit,) if unit is not None else tuple(SOURCES[condition.signal].columns)
            if condition.unit not in units:
                raise ValueError(f"the {self.statistic} of {condition.signal} is in {' or '.join(units)}")
        if self.statistic in ("sd", "cv") and self.min_readings < 2:
            raise ValueError(f"a {self.statistic} takes min_readings of at least 2")
        if self.statistic == "cv" and (
            self.of in DIFFERENCES or any(c.signal == "irregular_pulse" for c in self.any_of)
        ):
            raise ValueError("a cv is of values that are never 0 or less")
        if self.statistic == "count" and (len(self.any_of) > 1 or self.min_readings > 1):
            raise ValueError("a count has one condition, and min_readings: 1")
        return self


class CountOfLast(_Trend):
    """At least `needed` of the last `of_last` that lie `within` the last hours or clinical days meet `any_of`.

    `on_days`: they must lie on so many clinical days. With fewer than `min_readings` in view (`of_last` unless said), and not
    enough of them beyond, it cannot be said, and what was true stays true.
    """

    kind: Literal["count_of_last"]
    needed: Annotated[int, Field(ge=1, le=100)]
    of_last: Annotated[int, Field(ge=1, le=100)]
    within: Reach
    on_days: Annotated[int, Field(ge=1, le=31)] = 1
    min_readings: Annotated[int, Field(ge=1, le=100)] | None = None

    @model_validator(mode="after")
    def _count_fits(self) -> "CountOfLast":
        if self.needed > self.of_last:
            raise ValueError(f"needed is more than of_last: {self.needed} of {self.of_last}")
        if self.fewest > self.of_last:
            raise ValueError(f"min_readings is more than of_last: {self.fewest} of {self.of_last}")
        if self.on_days > self.needed:
            raise ValueError(f"on_days is more than needed: {self.on_days} of {self.needed}")
        for condition in self.any_of:
            units = tuple(SOURCES[condition.signal].columns)
            if condition.unit not in units:
                raise ValueError(f"{condition.signal} is in {' or '.join(units)}")
        if len({group_of(condition.signal) for condition in self.any_of}) > 1:
            raise ValueError("any_of counts one signal, or systolic and diastolic together")
        return self

    @property
    def fewest(self) -> int:
        return self.of_last if self.min_readings is None else self.min_readings


class Change(Part):
    """What is measured now lies at least so far from the lowest, or the highest, `within` the last hours or clinical days."""

    kind: Literal["change"]
    of: Literal["readings", "first_of_day", "first_of_morning"] = "readings"
    signal: Signal
    rises_by: Annotated[float, Field(gt=0, le=1000)] | None = None
    falls_by: Annotated[float, Field(gt=0, le=1000)] | None = None
    unit: Unit
    within: Reach

    @model_validator(mode="after")
    def _one_direction(self) -> "Change":
        if (self.rises_by is None) == (self.falls_by is None):
            raise ValueError("give rises_by or falls_by")
        if self.unit not in SOURCES[self.signal].columns:
            raise ValueError(f"{self.signal} is in {' or '.join(SOURCES[self.signal].columns)}")
        return self

    @property
    def numbers(self) -> tuple[float, ...]:
        """How far it must rise or fall, as written."""
        return tuple(by for by in (self.rises_by, self.falls_by) if by is not None)


Trend = Rolling | CountOfLast | Change
"""Kinds that are asked again with each element of a row, and whose answer is yes, no or nothing."""
