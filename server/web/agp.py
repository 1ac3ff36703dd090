"""The ambulatory glucose profile as SVG text: percentile bands over a day, shares in range as a bar, and the days one by one.

Layout of the international consensus (Battelino et al. 2019; Johnson et al. 2019). Pure, as `charts`: no words of its own but
those it is given, no script, no style. Glucose is in mg/dL here; the axis is labelled in the unit that it is given.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from itertools import groupby
from typing import Final

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from server.rules.glucose_profile import SLOTS_A_DAY, TOP_MG_DL

LOW, HIGH = 70.0, 180.0
_TICKS: Final = (54.0, 70.0, 180.0, 250.0)
_WIDTH, _HEIGHT = 860.0, 340.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 52.0, 52.0, 20.0, 30.0
_HOURS: Final = (0, 3, 6, 9, 12, 15, 18, 21, 24)
_POINTS_A_DAY: Final = 96
"""A day's curve is drawn by its lowest and its highest value in each quarter hour: no extreme is lost."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """One part of the bar, the highest first: how much in percent, with its name and what else is said of it."""

    name: str
    css_class: str
    percent: float
    says: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DayCurve:
    """One day: minutes since midnight and mg/dL of each value, in order of time."""

    name: str
    minutes: Sequence[float]
    mg_dl: Sequence[float]


def profile_chart(
    lines: NDArray[np.float64], *, tick_names: Sequence[str], names: Sequence[str], unit: str, says: str
) -> Markup:
    """The curves. `lines`: [96, 5] percentiles; `tick_names`: of 54, 70, 180 and 250 mg/dL; `names`: of the five curves."""
    parts = [
        f'<rect class="target" x="{_LEFT:g}" y="{_y(HIGH):.1f}" width="{_WIDTH - _LEFT - _RIGHT:g}" '
        f'height="{_y(LOW) - _y(HIGH):.1f}"/>'
    ]
    for value, name in zip(_TICKS, tick_names, strict=True):
        css_class = "limit" if value in (LOW, HIGH) else "grid"
        parts.append(
            f'<line class="{css_class}" x1="{_LEFT:g}" x2="{_WIDTH - _RIGHT:g}" y1="{_y(value):.1f}" y2="{_y(value):.1f}"/>'
        )
        parts.append(
            f'<text class="tick" x="{_LEFT - 6:g}" y="{_y(value) + 4:.1f}" text-anchor="end">{escape(name)}</text>'
        )
    for hour in _HOURS:
        x = _x(hour * SLOTS_A_DAY / 24)
        parts.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP:g}" y2="{_HEIGHT - _BOTTOM:g}"/>')
        parts.append(f'<text class="tick" x="{x:.1f}" y="{_HEIGHT - 9:g}" text-anchor="middle">{hour:02d}:00</text>')
    closed = np.vstack([lines, lines[:1]])  # 24:00 is 00:00
    for low, high, css_class in ((0, 4, "outer"), (1, 3, "inner")):
        parts += [_area(closed, run, low, high, css_class) for run in _runs(closed)]
    parts += [_curve(closed, run) for run in _runs(closed)]
    last = closed[-1]
    parts += [
        f'<text class="curve-name" x="{_WIDTH - _RIGHT + 4:g}" y="{y + 4:.1f}">{escape(name)}</text>'
        for name, y in zip(names, _apart([_y(value) for value in last]), strict=True)
        if not np.isnan(last[0])
    ]
    parts.append(f'<text class="unit" x="2" y="12">{escape(unit)}</text>')
    return _picture("chart agp", _WIDTH, _HEIGHT, says, parts)


def shares_bar(shares: Sequence[Share], *, says: str) -> Markup:
    """The bar, the highest range at its top, each part with its name and number beside it."""
    width, height, top, bar = 330.0, 250.0, 6.0, 236.0
    parts, y = [], top
    places = _apart(
        [_middle(shares, place, top, bar) for place in range(len(shares))],
        least=34.0,
        lowest=top + 14,
        highest=top + bar - 12,
    )
    for share, at in zip(shares, places, strict=True):
        size = bar * share.percent / 100
        parts.append(f'<rect class="share {share.css_class}" x="4" y="{y:.1f}" width="56" height="{size:.1f}"/>')
        parts.append(f'<path class="leader" d="M60 {y + size / 2:.1f}L78 {at - 4:.1f}"/>')
        parts.append(f'<text class="share-name" x="82" y="{at:.1f}">{escape(share.name)}</text>')
        parts.append(f'<text class="share-says" x="82" y="{at + 14:.1f}">{escape(share.says)}</text>')
        y += size
    return _picture("shares", width, height, says, parts)


def days_chart(days: Sequence[DayCurve], *, says: str) -> Markup:
    """A small curve for each day, seven in a row, all on one scale; values out of range have a colour, and a dot where low."""
    across, wide, high, head = 7, 122.0, 64.0, 15.0
    rows = -(-len(days) // across)
    parts = []
    for place, day in enumerate(days):
        left, top = (place % across) * wide + 2, (place // across) * (high + head + 6) + head

        def spot(minute: float, value: float, left: float = left, top: float = top) -> tuple[float, float]:
            share = min(max(value, 0.0), TOP_MG_DL) / TOP_MG_DL
            return left + (wide - 6) * minute / 1440, top + high * (1 - share)

        y_high, y_low = spot(0, HIGH)[1], spot(0, LOW)[1]
        parts.append(f'<text class="tick" x="{left:g}" y="{top - 4:g}">{escape(day.name)}</text>')
        parts.append(f'<rect class="frame" x="{left:g}" y="{top:g}" width="{wide - 6:g}" height="{high:g}"/>')
        parts.append(
            f'<rect class="target" x="{left:g}" y="{y_high:.1f}" width="{wide - 6:g}" height="{y_low - y_high:.1f}"/>'
        )
        parts += [_polyline([spot(*point) for point in run], "median") for run in _thinned(day)]
        lows = [spot(minute, value) for minute, value in zip(day.minutes, day.mg_dl, strict=True) if value < LOW]
        parts += [f'<circle class="low" cx="{x:.1f}" cy="{y:.1f}" r="1.6"/>' for x, y in lows]
    return _picture("chart days", across * wide, rows * (high + head + 6), says, parts)


def _thinned(day: DayCurve) -> list[list[tuple[float, float]]]:
    """Runs without a gap of more than 45 minutes; of each quarter hour the lowest and the highest value."""
    runs: list[list[tuple[float, float]]] = []
    newest = -1e9
    points = zip(day.minutes, day.mg_dl, strict=True)
    for _, group in groupby(points, key=lambda point: int(point[0] * _POINTS_A_DAY / 1440)):
        some = list(group)
        ends = {min(some, key=lambda point: point[1]), max(some, key=lambda point: point[1])}
        if some[0][0] - newest > 45:
            runs.append([])
        runs[-1] += sorted(ends)
        newest = some[-1][0]
    return runs


def _x(slot: float) -> float:
    return _LEFT + (_WIDTH - _LEFT - _RIGHT) * slot / SLOTS_A_DAY


def _y(mg_dl: float) -> float:
    share = min(max(mg_dl, 0.0), TOP_MG_DL) / TOP_MG_DL
    return _HEIGHT - _BOTTOM - (_HEIGHT - _TOP - _BOTTOM) * share


def _runs(lines: NDArray[np.float64]) -> list[range]:
    """Stretches of slots that have percentiles."""
    there = ~np.isnan(lines[:, 0])
    runs = []
    for is_there, group in groupby(range(len(lines)), key=lambda slot: bool(there[slot])):
        slots = list(group)
        if is_there:
            runs.append(range(slots[0], slots[-1] + 1))
    return runs


def _area(lines: NDArray[np.float64], run: range, low: int, high: int, css_class: str) -> str:
    there = [(_x(slot), _y(lines[slot, high])) for slot in run]
    back = [(_x(slot), _y(lines[slot, low])) for slot in reversed(run)]
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in (*there, *back))
    return f'<polygon class="{css_class}" points="{points}"/>'


def _curve(lines: NDArray[np.float64], run: range) -> str:
    return _polyline([(_x(slot), _y(lines[slot, 2])) for slot in run], "median")


def _polyline(points: Sequence[tuple[float, float]], css_class: str) -> str:
    return f'<polyline class="{css_class}" points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in points)}"/>'


def _middle(shares: Sequence[Share], place: int, top: float, bar: float) -> float:
    before = sum(share.percent for share in shares[:place])
    return top + bar * (before + shares[place].percent / 2) / 100


def _apart(
    places: Sequence[float], *, least: float = 13.0, lowest: float = 0.0, highest: float = _HEIGHT
) -> list[float]:
    """The same heights moved apart, so that no label lies on another; their order stays."""
    order = sorted(range(len(places)), key=lambda place: places[place])
    moved = [0.0] * len(places)
    free = lowest
    for place in order:
        moved[place] = max(places[place], free)
        free = moved[place] + least
    limit = highest
    for place in reversed(order):
        moved[place] = min(moved[place], limit)
        limit = moved[place] - least
    return moved


def _picture(css_class: str, width: float, height: float, says: str, parts: Sequence[str]) -> Markup:
    head = (
        f'<svg class="{css_class}" viewBox="0 0 {width:g} {height:g}" role="img" '
        f'aria-label="{escape(says)}" focusable="false">'
    )
    return Markup("\n".join((head, *parts, "</svg>")))
