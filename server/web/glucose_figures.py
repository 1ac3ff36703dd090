"""A patient's finger-sticks as the record and the report show them: a grid by meals. A worn sensor's are in `sensor_figures`.

A share is a share of readings here, and is never called time.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final
from zoneinfo import ZoneInfo

from server.rules import glucose_slots
from server.rules.clinical_days import Calendar
from server.rules.glucose_slots import BANDS, GOALS, LIMITS, SLOTS, Band, Slot, SlotReport, Stick, Unit
from server.rules.windows import TIME_CODES
from server.store.reading_lists import ShownReading
from server.web.words import Words, mark
from vitals.units import MG_DL_PER_MMOL_L

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
