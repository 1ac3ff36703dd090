"""A patient's blood pressures as the record shows them: a chart on the patient's own lines, means by time of day, a table.

What rules may not use is drawn and in no figure: doubted readings hollow, rejected and corrected ones crossed out.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import groupby
from typing import Final

from markupsafe import Markup

from server.people.rule_texts import Condition
from server.rules import pressure_report
from server.rules.features import Features
from server.rules.kernels import MICRO
from server.rules.pressure_report import Average, Pressure, PressureReport
from server.rules.windows import ACCEPTED, INVALID, REJECTED, from_us
from server.web import charts
from server.web.charts import Band, Dot, Mark
from server.web.history import Span, day_names, lines_of, say_pressures, slot_at
from server.web.words import QUALITIES, Words

DOTS_MAX: Final = 400
"""More readings than this are drawn as columns of days or weeks, from the lowest to the highest."""
DAY_ROWS_MAX: Final = 31


@dataclass(frozen=True, slots=True, kw_only=True)
class MeanLine:
    """One line of the means, as it is read."""

    name: str
    n: int
    mean: str
    spread: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DayLine:
    """One day, or one week, in numbers: what a chart shows for who does not see it."""

    name: str
    n: int
    morning: str
    evening: str
    lowest: str
    highest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PressureFigures:
    """What the section shows. `chart` is `None` where nothing was measured in the span."""

    chart: Markup | None
    means: tuple[MeanLine, ...]
    days: tuple[DayLine, ...]
    is_by_week: bool
    doubted: int
    difference: str


def figures(
    features: Features,
    span: Span,
    conditions: Sequence[Condition],
    words: Words,
    *,
    struck: Sequence[Dot] = (),
    marks: Sequence[Mark] = (),
    height: float = 320,
) -> PressureFigures:
    """Of the readings of `features` that lie in the span."""
    last_day = span.last_day.toordinal()
    made = pressure_report.report(features, first_day=last_day - span.days + 1, last_day=last_day, is_block=False)
    dots = list(_dots(features, span, conditions, words))
    usable = [dot for dot in dots if not dot.struck and not dot.doubted]
    is_by_week = span.days > 90
    return PressureFigures(
        chart=_draw(dots, struck, usable, span, conditions, words, marks, height=height) if dots else None,
        means=mean_lines(made, words),
        days=tuple(_day_lines(made, words, is_by_week=span.days > DAY_ROWS_MAX)),
        is_by_week=is_by_week or span.days > DAY_ROWS_MAX,
        doubted=sum(bool(dot.doubted) for dot in dots),
        difference=_difference(made, words),
    )


def draw(
    features: Features, span: Span, conditions: Sequence[Condition], words: Words, *, height: float = 320
) -> Markup | None:
    """The chart alone; `None` where nothing was measured in the span."""
    dots = list(_dots(features, span, conditions, words))
    usable = [dot for dot in dots if not dot.struck and not dot.doubted]
    return _draw(dots, (), usable, span, conditions, words, (), height=height) if dots else None


def mean_lines(made: PressureReport, words: Words) -> tuple[MeanLine, ...]:
    """Morning, evening and all, those that there are."""
    named = (
        (words.say("Morning"), made.morning),
        (words.say("Evening"), made.evening),
        (words.say("All"), made.overall),
    )
    return tuple(
        MeanLine(name=name, n=each.n, mean=say_mean(each, words), spread=say_spread(each, words))
        for name, each in named
        if each is not None
    )


def say_mean(average: Average, words: Words) -> str:
    """134.5/84.2: with a decimal, so that nobody has to guess on which side of a line it was rounded."""
    return f"{words.number(float(average.systolic), 1)}/{words.number(float(average.diastolic), 1)}"


def say_spread(average: Average, words: Words) -> str:
    if average.systolic_sd is None or average.diastolic_sd is None:
        return "–"
    return f"{words.number(average.systolic_sd, 1)}/{words.number(average.diastolic_sd, 1)}"


def _dots(features: Features, span: Span, conditions: Sequence[Condition], words: Words) -> Iterable[Dot]:
    """What has two numbers and lies in the span, in order of time."""
    pressures = features.pressures
    for place in range(len(pressures)):
        quality = int(pressures.quality[place])
        at = from_us(int(pressures.at_us[place]))
        day = span.place(at)
        if quality == INVALID or not 0 <= day <= span.days:
            continue
        systolic, diastolic = int(pressures.systolic[place]) / MICRO, int(pressures.diastolic[place]) / MICRO
        yield Dot(
            day=day,
            high=systolic,
            low=diastolic,
            slot=slot_at(at, span.zone),
            is_past_line=quality == ACCEPTED and _is_past(systolic, "systolic", conditions),
            is_low_past_line=quality == ACCEPTED and _is_past(diastolic, "diastolic", conditions),
            struck=words.among(QUALITIES, "rejected") if quality == REJECTED else "",
            doubted=words.among(QUALITIES, "suspect") if quality not in (REJECTED, ACCEPTED) else "",
        )


def _is_past(value: float, signal: str, conditions: Sequence[Condition]) -> bool:
    return any(each.is_met_by(value) for each in conditions if each.signal == signal)


def _draw(
    dots: Sequence[Dot],
    struck: Sequence[Dot],
    usable: Sequence[Dot],
    span: Span,
    conditions: Sequence[Condition],
    words: Words,
    marks: Sequence[Mark],
    *,
    height: float,
) -> Markup:
    lines = lines_of(conditions, "blood_pressure")
    is_many = len(dots) > DOTS_MAX
    unusable = [dot for dot in dots if dot.struck or dot.doubted]
    return charts.chart(
        [] if is_many else [*usable, *unusable, *struck],
        scale=charts.pressure_scale(lines),
        days=span.days,
        day_names=day_names(span, words),
        unit="mmHg",
        says=say_pressures(usable, span, lines, words) if usable else words.say("No usable reading."),
        bands=_columns(usable, conditions, days=7 if span.days > 90 else 1) if is_many else (),
        marks=marks,
        height=height,
    )


def _columns(dots: Sequence[Dot], conditions: Sequence[Condition], *, days: int) -> list[Band]:
    """Upper and lower values in columns of so many days, each from its lowest to its highest."""
    columns = []
    for column, some in groupby(dots, key=lambda dot: int(dot.day) // days):
        each = list(some)
        for signal, values in (
            ("systolic", [dot.high for dot in each]),
            ("diastolic", [dot.low for dot in each if dot.low is not None]),
        ):
            is_past = any(_is_past(value, signal, conditions) for value in values)
            columns.append(
                Band(
                    day=column * days,
                    days=days,
                    lowest=min(values),
                    mean=sum(values) / len(values),
                    highest=max(values),
                    is_past_line=is_past,
                )
            )
    return columns


def _day_lines(made: PressureReport, words: Words, *, is_by_week: bool) -> Iterable[DayLine]:
    counted = sorted((each for each in made.readings if each.counts), key=lambda each: each.day)
    days = 7 if is_by_week else 1
    for column, some in groupby(counted, key=lambda each: (each.day - made.first_day) // days):
        readings = list(some)
        first = date.fromordinal(made.first_day + column * days)
        last = date.fromordinal(min(made.first_day + column * days + days - 1, made.last_day))
        yield DayLine(
            name=words.short_date(first) if days == 1 else f"{words.short_date(first)} – {words.short_date(last)}",
            n=len(readings),
            morning=_mean_of(readings, "morning", words),
            evening=_mean_of(readings, "evening", words),
            lowest=_pair(min(readings, key=_by_value), words),
            highest=_pair(max(readings, key=_by_value), words),
        )


def _by_value(reading: Pressure) -> tuple[int, int]:
    return reading.systolic_micro, reading.diastolic_micro


def _pair(reading: Pressure, words: Words) -> str:
    return words.pressure(reading.systolic_micro / MICRO, reading.diastolic_micro / MICRO)


def _mean_of(readings: Sequence[Pressure], part: str, words: Words) -> str:
    average = pressure_report.average(each for each in readings if each.part == part)
    return "–" if average is None else say_mean(average, words)


def _difference(made: PressureReport, words: Words) -> str:
    """How much higher the upper value is in the morning; nothing where there is no morning or no evening."""
    if made.morning is None or made.evening is None:
        return ""
    difference = float(made.morning.systolic - made.evening.systolic)
    sign = "+" if difference > 0 else "−" if difference < 0 else ""
    return f"{sign}{words.number(abs(difference), 1)}"
