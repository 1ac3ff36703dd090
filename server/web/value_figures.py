"""Charts of the kinds that have one number: finger-sticks, weight, blood oxygen, temperature, heart rate; common axes.

As for blood pressure: what rules may not use is drawn and in no figure. Many readings become columns of days or weeks, each from
its lowest to its highest.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from statistics import median
from typing import Final

import numpy as np
from markupsafe import Markup

from server.rules.features import Features
from server.rules.windows import ACCEPTED, INVALID, KIND_CODES, REJECTED, TIME_CERTAIN, from_us
from server.web import charts
from server.web.charts import Band, Dot
from server.web.history import Span, day_names, say_values, slot_at
from server.web.pressure_figures import DOTS_MAX
from server.web.words import KINDS, QUALITIES, UNITS, Words

COLUMNS: Final[Mapping[str, str]] = {
    "glucose": "glucose_mmol_l",
    "weight": "weight_kg",
    "oxygen_saturation": "spo2_percent",
    "temperature": "temperature_celsius",
    "heart_rate": "pulse_bpm",
}
LINES: Final[Mapping[str, tuple[float, ...]]] = {"glucose": (3.9, 10.0)}
"""What is drawn across where no rule of the patient's says otherwise: the range of finger-sticks (ADA, section 6)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ValueFigure:
    """One kind. `says` is the chart in words; `rows`: day, readings, lowest, mean and highest of each day or week."""

    kind: str
    name: str
    unit: str
    chart: Markup
    says: str
    rows: tuple[tuple[str, int, str, str, str], ...]


def figure(
    features: Features, kind: str, span: Span, words: Words, *, struck: Sequence[Dot] = ()
) -> ValueFigure | None:
    """`None` where nothing of this kind lies in the span."""
    dots = _dots(features, kind, span, words)
    usable = [dot for dot in dots if not dot.struck and not dot.doubted]
    if not usable:
        return None
    scale = charts.value_scale(kind, median(dot.high for dot in usable), LINES.get(kind, ()))
    is_many = len(dots) > DOTS_MAX
    days = 7 if span.days > 31 else 1
    columns = _columns(usable, days=7 if span.days > 90 else 1) if is_many else []
    says = say_values(usable, span, kind, words)
    unit = UNITS[kind]
    return ValueFigure(
        kind=kind,
        name=words.say(KINDS[kind]),
        unit=unit,
        chart=charts.chart(
            [] if is_many else [*dots, *struck],
            scale=scale,
            days=span.days,
            day_names=day_names(span, words),
            unit=unit,
            says=says,
            bands=columns,
            height=240,
        ),
        says=says,
        rows=tuple(_row(usable, each, days, kind, span, words) for each in _columns(usable, days=days)),
    )


def _dots(features: Features, kind: str, span: Span, words: Words) -> list[Dot]:
    window = features.history.window
    values = getattr(window, COLUMNS[kind])
    rows = np.flatnonzero((window.kind == KIND_CODES[kind]) & ~np.isnan(values) & (features.quality != INVALID))
    dots = []
    for row in map(int, rows):
        at = from_us(int(window.measured_at_us[row]))
        day = span.place(at)
        if not 0 <= day <= span.days:
            continue
        quality = int(features.quality[row])
        is_sure = quality == ACCEPTED and window.time_quality[row] == TIME_CERTAIN
        dots.append(
            Dot(
                day=day,
                high=float(values[row]),
                slot=slot_at(at, span.zone),
                struck=words.among(QUALITIES, "rejected") if quality == REJECTED else "",
                doubted="" if is_sure or quality == REJECTED else words.among(QUALITIES, "suspect"),
            )
        )
    return dots


def _columns(dots: Sequence[Dot], *, days: int) -> list[Band]:
    columns = []
    for column, some in groupby(dots, key=lambda dot: int(dot.day) // days):
        values = [dot.high for dot in some]
        columns.append(
            Band(
                day=column * days,
                days=days,
                lowest=min(values),
                mean=sum(values) / len(values),
                highest=max(values),
            )
        )
    return columns


def _row(
    dots: Sequence[Dot], band: Band, days: int, kind: str, span: Span, words: Words
) -> tuple[str, int, str, str, str]:
    n = sum(band.day <= dot.day < band.day + days for dot in dots)
    first = span.day(int(band.day))
    name = words.short_date(first)
    if days > 1:
        name = f"{name} – {words.short_date(min(span.day(int(band.day) + days - 1), span.last_day))}"
    lowest, mean, highest = (words.amount(kind, value) for value in (band.lowest, band.mean, band.highest))
    return name, n, lowest, mean, highest
