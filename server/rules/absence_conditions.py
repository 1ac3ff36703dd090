"""What a rule about readings that did not come looks at (`when`), and how its episode ends. It judges nothing.

A home that cannot be heard proves nothing: a day of which that is true for longer than `unknown_after_hours` is neither quiet nor
missed, unless a reading of it came after all.
"""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from server.rules.conditions import Part

UnknownAfterHours = Annotated[int, Field(ge=0, le=24)]
"""A day is unknown if the home could not be heard for more than so many hours of it; exactly so many is known."""

DAYS_MAX = 90


class Silence(Part):
    """Nothing of any kind was measured on `days` closed days since the last day that has a reading, or since enrolment.

    Unknown days between them neither count nor break.
    """

    kind: Literal["silence"]
    days: Annotated[int, Field(ge=1, le=DAYS_MAX)]
    unknown_after_hours: UnknownAfterHours


class Schedule(Part):
    """Of the last `of_days` closed days fewer than `measured_days` have `readings_per_day` readings of the kind `of`.

    With unknown days among them it may be that nobody can say: then what was true stays true.
    """

    kind: Literal["schedule"]
    of: Literal["blood_pressure", "glucose", "sensor_glucose", "weight", "oxygen_saturation", "temperature"]
    measured_days: Annotated[int, Field(ge=1, le=DAYS_MAX)]
    of_days: Annotated[int, Field(ge=1, le=DAYS_MAX)]
    readings_per_day: Annotated[int, Field(ge=1, le=24)] = 1
    unknown_after_hours: UnknownAfterHours

    @model_validator(mode="after")
    def _fits(self) -> "Schedule":
        if self.measured_days > self.of_days:
            raise ValueError(f"measured_days is at most of_days, which is {self.of_days}")
        return self


class ResolveByMeasuring(Part):
    """Ends with the next reading, of whatever kind."""

    by: Literal["measuring"]


class ResolveBySchedule(Part):
    """Ends with the close of the first day at which enough days have been measured again. What cannot be known ends nothing."""

    by: Literal["schedule"]
