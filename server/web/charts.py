"""Charts as pure functions: values in, SVG text out. No script, no style of its own (`clinic.css` colours the classes).

Every chart of a kind has the same scale, so that rows can be compared by eye, and a text that says the same in words.
It does not know days or zones: x is a number of days from the left edge, in the patient's own days.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Final, Literal

from markupsafe import Markup

Slot = Literal["morning", "evening", "other"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Dot:
    """One value at `day` (days from the left edge). `low` is the lower end of a pair, such as the diastolic value.

    `is_past_line`: of the pair, unless `is_low_past_line` says it of the lower end by itself. `struck`: why it does not count, in
    words; it is crossed out where it would stand. `doubted`: why it is not to be relied on; it is drawn hollow.
    """

    day: float
    high: float
    low: float | None = None
    slot: Slot = "other"
    is_past_line: bool = False
    is_low_past_line: bool | None = None
    struck: str = ""
    doubted: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Band:
    """Several values of the days from `day` on in one column: from the lowest to the highest, so that no extreme is lost."""

    day: float
    days: float
    lowest: float
    mean: float
    highest: float
    is_past_line: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """What happened at `day`: a line with a letter at its top, and `says` in words."""

    day: float
    sign: str
    says: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """The vertical axis, its ticks every `step`, and the threshold lines drawn across it."""

    lowest: float
    highest: float
    step: float
    lines: tuple[float, ...] = ()


PRESSURE_RANGE_MMHG: Final = (40.0, 220.0)
GLUCOSE_RANGE_MMOL_L: Final = (0.0, 20.0)
"""The common axes. A value beyond them is drawn at the edge, pointing outward; the words keep its number."""


def pressure_scale(lines: tuple[float, ...]) -> Scale:
    return Scale(lowest=PRESSURE_RANGE_MMHG[0], highest=PRESSURE_RANGE_MMHG[1], step=20.0, lines=lines)


def glucose_scale(lines: tuple[float, ...] = ()) -> Scale:
    return Scale(lowest=GLUCOSE_RANGE_MMOL_L[0], highest=GLUCOSE_RANGE_MMOL_L[1], step=5.0, lines=lines)


OXYGEN_RANGE_PERCENT: Final = (80.0, 100.0)
TEMPERATURE_RANGE_CELSIUS: Final = (34.0, 42.0)
HEART_RATE_RANGE_BPM: Final = (40.0, 200.0)
WEIGHT_HEIGHT_KG: Final = 10.0
"""Weights differ too much for one axis: as many kg are shown around everybody's own middle."""


def value_scale(kind: str, middle: float, lines: tuple[float, ...] = ()) -> Scale:
    """The axis of a kind with one value; `middle` is the median of what is shown."""
    match kind:
        case "glucose":
            return glucose_scale(lines)
        case "oxygen_saturation":
            lowest, highest, step = *OXYGEN_RANGE_PERCENT, 5.0
        case "temperature":
            lowest, highest, step = *TEMPERATURE_RANGE_CELSIUS, 2.0
        case "heart_rate":
            lowest, highest, step = *HEART_RATE_RANGE_BPM, 40.0
        case _:
            lowest, step = round(middle - WEIGHT_HEIGHT_KG / 2), 5.0
            highest = lowest + WEIGHT_HEIGHT_KG
    return Scale(lowest=lowest, highest=highest, step=step, lines=lines)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Frame:
    """Where the plot lies inside the picture, in user units."""

    width: float
    height: float
    left: float
    right: float
    top: float
    bottom: float
    days: float
    scale: Scale

    def x(self, day: float) -> float:
        return self.left + (self.width - self.left - self.right) * min(max(day / self.days, 0.0), 1.0)

    def y(self, value: float) -> float:
        within = min(max(value, self.scale.lowest), self.scale.highest)
        share = (within - self.scale.lowest) / (self.scale.highest - self.scale.lowest)
        return self.height - self.bottom - (self.height - self.top - self.bottom) * share


def chart(
    dots: Sequence[Dot],
    *,
    scale: Scale,
    days: int,
    day_names: Sequence[tuple[float, str]],
    unit: str,
    says: str,
    bands: Sequence[Band] = (),
    marks: Sequence[Mark] = (),
    height: float = 320,
) -> Markup:
    """A chart with axes. `day_names` are labels under the axis: (day, text)."""
    frame = _Frame(width=860, height=height, left=44, right=44, top=24, bottom=28, days=days, scale=scale)
    parts = [
        *_grid(frame),
        *_day_names(frame, day_names),
        *(part for mark in marks for part in _mark(frame, mark)),
        *_lines(frame),
        *(part for band in bands for part in _band(frame, band)),
        *(mark for dot in dots for mark in _dot(frame, dot, radius=4.5)),
        f'<text class="unit" x="2" y="11">{escape(unit)}</text>',
    ]
    head = (
        f'<svg class="chart" viewBox="0 0 {frame.width:g} {frame.height:g}" role="img" '
        f'aria-label="{escape(says)}" focusable="false">'
    )
    return Markup("\n".join((head, *parts, "</svg>")))


def _lines(frame: _Frame) -> list[str]:
    drawn = []
    for value in frame.scale.lines:
        y = frame.y(value)
        drawn.append(
            f'<line class="threshold" x1="{frame.left:g}" x2="{frame.width - frame.right:g}" y1="{y:.1f}" y2="{y:.1f}"/>'
        )
        drawn.append(
            f'<text class="threshold-name" x="{frame.width - frame.right + 3:g}" y="{y + 4:.1f}">{value:g}</text>'
        )
    return drawn


def _grid(frame: _Frame) -> list[str]:
    drawn = []
    value = frame.scale.lowest
    while value <= frame.scale.highest:
        y = frame.y(value)
        drawn.append(
            f'<line class="grid" x1="{frame.left:g}" x2="{frame.width - frame.right:g}" y1="{y:.1f}" y2="{y:.1f}"/>'
        )
        drawn.append(f'<text class="tick" x="{frame.left - 6:g}" y="{y + 4:.1f}" text-anchor="end">{value:g}</text>')
        value += frame.scale.step
    return drawn


def _day_names(frame: _Frame, day_names: Sequence[tuple[float, str]]) -> list[str]:
    return [
        f'<text class="tick" x="{frame.x(day):.1f}" y="{frame.height - 8:g}" text-anchor="middle">{escape(name)}</text>'
        for day, name in day_names
    ]


def _mark(frame: _Frame, mark: Mark) -> list[str]:
    x = frame.x(mark.day)
    return [
        f'<line class="happened" x1="{x:.1f}" x2="{x:.1f}" y1="{frame.top:g}" y2="{frame.height - frame.bottom:g}"/>',
        f'<text class="happened-name" x="{x:.1f}" y="{frame.top - 6:g}" text-anchor="middle">{escape(mark.sign)}'
        f"<title>{escape(mark.says)}</title></text>",
    ]


def _band(frame: _Frame, band: Band) -> list[str]:
    """A bar from the lowest to the highest with a stroke at the mean; an end beyond the axis is an arrow outward."""
    css_class = "past" if band.is_past_line else "within"
    left, right = frame.x(band.day), frame.x(band.day + band.days)
    room = (right - left) * 0.15
    left, right = left + room, right - room
    top, bottom, mean = frame.y(band.highest), frame.y(band.lowest), frame.y(band.mean)
    drawn = [
        f'<rect class="band {css_class}" x="{left:.1f}" y="{top:.1f}" width="{right - left:.1f}" '
        f'height="{max(bottom - top, 1.0):.1f}"/>',
        f'<line class="mean" x1="{left:.1f}" x2="{right:.1f}" y1="{mean:.1f}" y2="{mean:.1f}"/>',
    ]
    middle, radius = (left + right) / 2, min((right - left) / 2, 4.5)
    if band.highest > frame.scale.highest:
        drawn.append(_shape(frame, middle, band.highest, "other", css_class, radius))
    if band.lowest < frame.scale.lowest:
        drawn.append(_shape(frame, middle, band.lowest, "other", css_class, radius))
    return drawn


def _dot(frame: _Frame, dot: Dot, *, radius: float) -> list[str]:
    if dot.struck:
        return [_cross(frame, dot, radius)]
    if dot.doubted:
        ends = (dot.high,) if dot.low is None else (dot.low, dot.high)
        shapes = "".join(_shape(frame, frame.x(dot.day), end, dot.slot, "doubted", radius * 0.8) for end in ends)
        return [f"<g>{shapes}<title>{escape(dot.doubted)}</title></g>"]
    css_class = "past" if dot.is_past_line else "within"
    x = frame.x(dot.day)
    drawn = []
    if dot.low is not None:
        y_high, y_low = frame.y(dot.high), frame.y(dot.low)
        drawn.append(f'<line class="pair {css_class}" x1="{x:.1f}" x2="{x:.1f}" y1="{y_high:.1f}" y2="{y_low:.1f}"/>')
        is_low_past = dot.is_past_line if dot.is_low_past_line is None else dot.is_low_past_line
        drawn.append(_shape(frame, x, dot.low, dot.slot, "past" if is_low_past else "within", radius * 0.8))
    drawn.append(_shape(frame, x, dot.high, dot.slot, css_class, radius))
    return drawn


def _cross(frame: _Frame, dot: Dot, r: float) -> str:
    x = frame.x(dot.day)
    ends = (dot.high,) if dot.low is None else (dot.high, dot.low)
    strokes = "".join(
        f"M{x - r:.1f} {y - r:.1f}l{2 * r:.1f} {2 * r:.1f}m0 {-2 * r:.1f}l{-2 * r:.1f} {2 * r:.1f}"
        for y in map(frame.y, ends)
    )
    return f'<path class="struck" d="{strokes}"><title>{escape(dot.struck)}</title></path>'


def _shape(frame: _Frame, x: float, value: float, slot: Slot, css_class: str, r: float) -> str:
    """Morning is a circle, evening a diamond, any other time a square; past the edge it is an arrow outward."""
    y = frame.y(value)
    if value > frame.scale.highest:
        return f'<path class="{css_class}" d="M{x:.1f} {y - r:.1f}l{r:.1f} {2 * r:.1f}h{-2 * r:.1f}z"/>'
    if value < frame.scale.lowest:
        return f'<path class="{css_class}" d="M{x:.1f} {y + r:.1f}l{r:.1f} {-2 * r:.1f}h{-2 * r:.1f}z"/>'
    match slot:
        case "morning":
            return f'<circle class="{css_class}" cx="{x:.1f}" cy="{y:.1f}" r="{r:.1f}"/>'
        case "evening":
            d = 1.3 * r
            return f'<path class="{css_class}" d="M{x:.1f} {y - d:.1f}l{d:.1f} {d:.1f}l{-d:.1f} {d:.1f}l{-d:.1f} {-d:.1f}z"/>'
        case "other":
            return (
                f'<rect class="{css_class}" x="{x - 0.85 * r:.1f}" y="{y - 0.85 * r:.1f}" '
                f'width="{1.7 * r:.1f}" height="{1.7 * r:.1f}"/>'
            )
