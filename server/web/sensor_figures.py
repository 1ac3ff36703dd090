"""A worn sensor's glucose as the record and the report show it: an ambulatory profile, times in ranges, and the days one by one.

A profile needs fourteen days of a sensor with 70 % of its readings (Battelino et al. 2019); of fewer, little is said.
"""

from dataclasses import dataclass
from datetime import date
from typing import Final

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from server.rules import glucose_profile, glucose_report
from server.rules.clinical_days import DAY_START, Calendar
from server.rules.features import Features
from server.rules.glucose_report import GlucoseReport
from server.rules.glucose_slots import LIMITS, Band, Unit
from server.rules.glucose_trace import Trace, trace_of
from server.rules.kernels import Int64s
from server.web import agp
from server.web.agp import DayCurve, Share
from server.web.glucose_figures import BAND_NAMES, say_both, say_in, say_limits
from server.web.words import Words
from vitals.units import MG_DL_PER_MMOL_L

PROFILE_DAYS: Final = 14

_PER_MMOL: Final = float(MG_DL_PER_MMOL_L)
_DAY_US: Final = 86_400_000_000
_DAY_START_US: Final = DAY_START.hour * 3_600_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One number of the profile: its name, what it is, and the goal that most adults have."""

    name: str
    value: str
    goal: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SensorFigures:
    """A worn sensor over `days` days. The pictures are `None` without enough of its readings (`sufficiency`)."""

    days: int
    sufficiency: str
    is_sufficient: bool
    figures: tuple[Figure, ...]
    profile: Markup | None
    bar: Markup | None
    curves: Markup | None
    hours: tuple[tuple[str, ...], ...]


def sensor_figures(features: Features, *, days: int, unit: Unit, words: Words) -> SensorFigures | None:
    """Of the newest `days` days of a worn sensor, all of whose readings `features` holds; `None` where there is none."""
    trace = trace_of(features, "sensor_glucose", "mg/dL")
    if not len(trace):
        return None
    made = glucose_report.report(trace, days=days)
    is_sufficient = made.is_sufficient and days >= PROFILE_DAYS
    clock_us = (features.calendar.walls_of(trace.at_us) + _DAY_START_US) % _DAY_US
    lines = glucose_profile.profile(trace, clock_us).lines
    return SensorFigures(
        days=days,
        sufficiency=f"{words.number(_active_percent(made), 1)} %",
        is_sufficient=is_sufficient,
        figures=_figures(made, unit, words) if is_sufficient else _few_figures(made, unit, words),
        profile=_draw_profile(lines, unit, words) if is_sufficient else None,
        bar=_draw_bar(made, unit, words) if is_sufficient else None,
        curves=_draw_days(trace, clock_us, features.calendar, words) if is_sufficient else None,
        hours=_hours(lines, unit, words) if is_sufficient else (),
    )


def _figures(made: GlucoseReport, unit: Unit, words: Words) -> tuple[Figure, ...]:
    levels, shares = made.levels, made.shares
    assert levels is not None and shares is not None, "a sensor with enough readings has numbers"  # noqa: PT018
    say = words.say

    def percent(value: float) -> str:
        return f"{words.number(value, 1)} %"

    return (
        *_few_figures(made, unit, words),
        Figure(
            name=say("Glucose management indicator (GMI)"),
            value=f"{percent(levels.gmi_percent)} ({words.number(levels.gmi_mmol_mol)} mmol/mol)",
        ),
        Figure(
            name=say("Variation (CV)"),
            value="–" if levels.cv_percent is None else percent(levels.cv_percent),
            goal="≤36 %",
        ),
        Figure(name=say("Time in range"), value=percent(shares.tir_percent), goal=">70 %"),
        Figure(name=say("Time in tight range"), value=percent(shares.titr_percent)),
        Figure(name=say("Time below range"), value=percent(shares.tbr_70_percent), goal="<4 %"),
        Figure(name=say("of which very low"), value=percent(shares.tbr_54_percent), goal="<1 %"),
        Figure(name=say("Time above range"), value=percent(shares.tar_180_percent), goal="<25 %"),
        Figure(name=say("of which very high"), value=percent(shares.tar_250_percent), goal="<5 %"),
        Figure(
            name=say("Glycemia risk index (GRI)"),
            value=say("%(index)s, zone %(zone)s", index=words.number(shares.gri, 1), zone=shares.gri_zone),
        ),
    )


def _few_figures(made: GlucoseReport, unit: Unit, words: Words) -> tuple[Figure, ...]:
    """What may be said of any number of readings."""
    active = Figure(
        name=words.say("Sensor active"),
        value=words.say(
            "%(percent)s %% of %(days)s days", percent=words.number(_active_percent(made), 1), days=made.days
        ),
        goal="≥70 %",
    )
    if made.levels is None:
        return (active,)
    mean = say_both(made.levels.mean_mmol_l, unit, words)
    return (active, Figure(name=words.say("Mean glucose"), value=mean))


def _active_percent(made: GlucoseReport) -> float:
    """A period that begins amid a quarter hour touches one more than it has."""
    return min(made.sufficiency_percent, 100.0)


def _draw_profile(lines: NDArray[np.float64], unit: Unit, words: Words) -> Markup:
    limits = LIMITS[unit]
    return agp.profile_chart(
        lines,
        tick_names=[words.number(limit, 1 if unit == "mmol/L" else 0) for limit in limits],
        names=["5 %", "25 %", "50 %", "75 %", "95 %"],
        unit=unit,
        says=words.say(
            "Glucose by time of day: the median, with half and nine tenths of all readings around it; as a table below."
        ),
    )


def _draw_bar(made: GlucoseReport, unit: Unit, words: Words) -> Markup:
    shares = made.shares
    assert shares is not None
    each: tuple[tuple[Band, float], ...] = (
        ("very_high", shares.tar_250_percent),
        ("high", shares.tar_180_percent - shares.tar_250_percent),
        ("in_range", shares.tir_percent),
        ("low", shares.tbr_70_percent - shares.tbr_54_percent),
        ("very_low", shares.tbr_54_percent),
    )
    parts = [
        Share(
            name=f"{words.say(BAND_NAMES[band])} {say_limits(band, unit, words)} {unit}",
            css_class=band,
            percent=percent,
            says=f"{words.number(percent, 1)} % · {_say_time(percent, words)}",
        )
        for band, percent in each
    ]
    return agp.shares_bar(parts, says="; ".join(f"{part.name}: {part.says}" for part in parts))


def _say_time(percent: float, words: Words) -> str:
    """A share as a time of the day: 16 h 40 min."""
    hours, minutes = divmod(round(percent * 14.4), 60)
    return words.say("%(hours)s h %(minutes)s min a day", hours=hours, minutes=minutes)


def _draw_days(trace: Trace, clock_us: Int64s, calendar: Calendar, words: Words) -> Markup:
    """The newest fourteen days from midnight to midnight."""
    dates = (calendar.walls_of(trace.at_us) + _DAY_START_US) // _DAY_US
    values = np.where(trace.censored == 0, trace.micro / 1e6, np.where(trace.censored < 0, 40.0, 400.0))
    curves = []
    for day in range(int(dates[-1]) - PROFILE_DAYS + 1, int(dates[-1]) + 1):
        here = dates == day
        curves.append(
            DayCurve(
                name=words.short_date(date.fromordinal(day + date(1970, 1, 1).toordinal())),
                minutes=(clock_us[here] / 6e7).tolist(),
                mg_dl=values[here].tolist(),
            )
        )
    return agp.days_chart(curves, says=words.say("Each of the last 14 days from midnight to midnight."))


def _hours(lines: NDArray[np.float64], unit: Unit, words: Words) -> tuple[tuple[str, ...], ...]:
    """The profile as a table: every second hour and its five percentiles."""
    return tuple(
        (
            f"{slot // 4:02d}:00",
            *("–" if np.isnan(value) else say_in(float(value) / _PER_MMOL, unit, words) for value in lines[slot]),
        )
        for slot in range(0, len(lines), 8)
    )
