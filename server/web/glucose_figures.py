"""A patient's glucose as the record and the report show it: a grid by meals for finger-sticks, a profile for a worn sensor.

Which of the two is a question of density: a profile needs fourteen days of a sensor with 70 % of its readings (Battelino et al.
2019). Of finger-sticks a share is a share of readings and is never called time.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final
from zoneinfo import ZoneInfo

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from server.rules import glucose_profile, glucose_report, glucose_slots
from server.rules.clinical_days import DAY_START, Calendar
from server.rules.features import Features
from server.rules.glucose_report import GlucoseReport
from server.rules.glucose_slots import BANDS, GOALS, LIMITS, SLOTS, Band, Slot, SlotReport, Stick, Unit
from server.rules.glucose_trace import Trace, trace_of
from server.rules.kernels import Int64s
from server.rules.windows import TIME_CODES
from server.store.reading_lists import ShownReading
from server.web import agp
from server.web.agp import DayCurve, Share
from server.web.words import Words, mark
from vitals.units import MG_DL_PER_MMOL_L

PROFILE_DAYS: Final = 14
GRID_DAYS: Final = 31

BAND_NAMES: Final[Mapping[Band, str]] = {
    "very_low": mark("Very low glucose"),
    "low": mark("Low glucose"),
    "in_range": mark("In range"),
    "high": mark("High glucose"),
    "very_high": mark("Very high glucose"),
}
SLOT_NAMES: Final[Mapping[Slot, str]] = {
    "fasting": mark("Fasting"),
    "before_meal": mark("Before a meal"),
    "after_meal": mark("After a meal"),
    "bedtime": mark("At bedtime"),
    "other": mark("Not marked"),
}
_SIGNS: Final[Mapping[Band, str]] = {"very_low": "▼▼", "low": "▼", "in_range": "", "high": "▲", "very_high": "▲▲"}
_PER_MMOL: Final = float(MG_DL_PER_MMOL_L)
_DAY_US: Final = 86_400_000_000
_DAY_START_US: Final = DAY_START.hour * 3_600_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class StickCell:
    """One finger-stick in the grid. `sign` and `band` say the same, for eyes and for ears; both are empty in range."""

    clock: str
    value: str
    sign: str
    band: str
    css_class: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GridRow:
    day: str
    cells: tuple[tuple[StickCell, ...], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnFoot:
    """What the readings of one column come to, in words; empty where there is nothing to say."""

    n: int
    mean: str
    ends: str
    goal: str
    at_goal: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ShareLine:
    """How many of all readings are in one range. `css_class` is the range's own name."""

    css_class: str
    name: str
    limits: str
    n: int
    percent: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StickFigures:
    """The finger-sticks of a span. `unit` is that of the grid; `lows` are in both."""

    n: int
    unit: str
    rows: tuple[GridRow, ...]
    columns: tuple[str, ...]
    feet: tuple[ColumnFoot, ...]
    shares: tuple[ShareLine, ...]
    lows: tuple[str, ...]
    mean: str
    spread: str
    days_left_out: int


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


def sticks_of(readings: Iterable[ShownReading], calendar: Calendar) -> list[Stick]:
    """The finger-sticks that count: accepted, in use, of a certain time."""
    return [
        Stick(
            at=each.measured_at,
            day=calendar.day_of(each.measured_at),
            mmol_l=each.glucose_mmol_l,
            mg_dl=each.glucose_mg_dl,
            unit="mg/dL" if each.unit_sent in ("kg/L", "mg/dL") else "mmol/L",
            censored=each.glucose_censored,
            meal=each.meal,
        )
        for each in readings
        if each.kind == "glucose" and each.quality == "accepted" and each.standing == "in_use" and not each.is_failed
        if TIME_CODES[each.time_quality] == 0
    ]


def stick_figures(sticks: Sequence[Stick], zone: str, unit: Unit, words: Words) -> StickFigures | None:
    """`None` where there is none."""
    if not sticks:
        return None
    made = glucose_slots.report(sticks)
    days = sorted(made.grid, reverse=True)
    return StickFigures(
        n=made.n,
        unit=unit,
        rows=tuple(_row(day, made, zone, unit, words) for day in days[:GRID_DAYS]),
        columns=tuple(words.say(SLOT_NAMES[slot]) for slot in SLOTS),
        feet=tuple(_foot(slot, made, unit, words) for slot in SLOTS),
        shares=tuple(_share(band, made, unit, words) for band in BANDS),
        lows=tuple(f"{words.moment(each.at, zone)} · {_say_both(each, unit, words)}" for each in reversed(made.lows)),
        mean="–" if made.mean_mmol_l is None else say_both(made.mean_mmol_l, unit, words),
        spread=_spread(made, unit, words),
        days_left_out=max(len(days) - GRID_DAYS, 0),
    )


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


def say_in(mmol_l: float, unit: Unit, words: Words) -> str:
    """7.4 or 133, without its unit."""
    return words.number(mmol_l, 1) if unit == "mmol/L" else words.number(mmol_l * _PER_MMOL)


def say_both(mmol_l: float, unit: Unit, words: Words) -> str:
    """7.4 mmol/L (133 mg/dL): the clinic's unit first."""
    other: Unit = "mg/dL" if unit == "mmol/L" else "mmol/L"
    first, second = (f"{say_in(mmol_l, each, words)} {each}" for each in (unit, other))
    return words.say("%(first)s (%(second)s)", first=first, second=second)


def say_limits(band: Band, unit: Unit, words: Words) -> str:
    """<3.0, 3.0–3.8, 3.9–10.0, 10.1–13.9, >13.9 in mmol/L."""
    very_low, low, high, very_high = LIMITS[unit]
    digits, step = (1, 0.1) if unit == "mmol/L" else (0, 1.0)

    def say(value: float) -> str:
        return words.number(value, digits)

    match band:
        case "very_low":
            return f"<{say(very_low)}"
        case "low":
            return f"{say(very_low)}–{say(low - step)}"
        case "in_range":
            return f"{say(low)}–{say(high)}"
        case "high":
            return f"{say(high + step)}–{say(very_high)}"
    return f">{say(very_high)}"


def _row(day: int, made: SlotReport, zone: str, unit: Unit, words: Words) -> GridRow:
    return GridRow(
        day=words.short_date(date.fromordinal(day)),
        cells=tuple(tuple(_cell(each, zone, unit, words) for each in made.grid[day].get(slot, ())) for slot in SLOTS),
    )


def _cell(stick: Stick, zone: str, unit: Unit, words: Words) -> StickCell:
    band = stick.band
    return StickCell(
        clock=f"{stick.at.astimezone(ZoneInfo(zone)):%H:%M}",
        value=stick.censored or say_in(stick.mmol_l or 0.0, unit, words),
        sign=_SIGNS[band],
        band="" if band == "in_range" else words.say(BAND_NAMES[band]),
        css_class=band,
    )


def _foot(slot: Slot, made: SlotReport, unit: Unit, words: Words) -> ColumnFoot:
    figures = made.slots[slot]
    has_ends = figures.lowest_mmol_l is not None and figures.highest_mmol_l is not None
    lowest, highest = figures.lowest_mmol_l or 0.0, figures.highest_mmol_l or 0.0
    return ColumnFoot(
        n=figures.n,
        mean="" if figures.mean_mmol_l is None else say_in(figures.mean_mmol_l, unit, words),
        ends=f"{say_in(lowest, unit, words)}–{say_in(highest, unit, words)}" if has_ends else "",
        goal=_goal(slot, unit, words),
        at_goal="" if figures.at_goal is None or not figures.n else f"{figures.at_goal}/{figures.n}",
    )


def _goal(slot: Slot, unit: Unit, words: Words) -> str:
    if slot not in GOALS:
        return ""
    lowest, highest = GOALS[slot][unit]
    digits = 1 if unit == "mmol/L" else 0
    top = words.number(highest, digits)
    return f"<{top}" if lowest is None else f"{words.number(lowest, digits)}–{top}"


def _share(band: Band, made: SlotReport, unit: Unit, words: Words) -> ShareLine:
    percent = made.percent(band)
    return ShareLine(
        css_class=band,
        name=words.say(BAND_NAMES[band]),
        limits=f"{say_limits(band, unit, words)} {unit}",
        n=made.counts[band],
        percent="–" if percent is None else f"{words.number(float(percent), 1)} %",
    )


def _spread(made: SlotReport, unit: Unit, words: Words) -> str:
    if made.sd_mmol_l is None or made.cv_percent is None:
        return ""
    return words.say(
        "SD %(sd)s, CV %(cv)s %%",
        sd=say_both(made.sd_mmol_l, unit, words),
        cv=words.number(made.cv_percent, 1),
    )


def _say_both(stick: Stick, unit: Unit, words: Words) -> str:
    value = stick.censored or say_both(stick.mmol_l or 0.0, unit, words)
    return f"{value} · {words.say(BAND_NAMES[stick.band])} · {words.say(SLOT_NAMES[stick.slot])}"


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
