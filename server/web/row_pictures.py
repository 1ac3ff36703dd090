"""The small charts of a worklist row: the signal that fired, on the scale that every row shares, with the lines of its rule.

A row has a few dozen readings and a page has dozens of rows, so all marks of one look are one path. The same is said in words.
"""

from collections.abc import Iterable, Sequence
from html import escape
from statistics import median
from typing import Final

from markupsafe import Markup

from server.people.rule_texts import Condition
from server.web import charts
from server.web.charts import Dot, Scale
from server.web.history import KINDS_OF, Span, Valued, lines_of, pressure_dots, say_pressures, say_values, value_dots
from server.web.words import KINDS, UNITS, Words

WIDTH: Final = 232.0
HEIGHT: Final = 62.0
RIGHT: Final = 30.0
"""Room for the numbers of the lines."""

RADIUS: Final = 2.3
LOW_SYSTOLIC_MMHG: Final = 90.0
LOW_DIASTOLIC_MMHG: Final = 60.0
"""Where the shaded bands of a blood pressure begin: below 90 is low (clinical 1.6), and 60 is its usual companion. They are drawn
and never judged by."""


def draw_rows(
    values: Sequence[Valued],
    span: Span,
    conditions: Sequence[Condition],
    words: Words,
    *,
    kinds: Sequence[str] = ("blood_pressure",),
) -> tuple[tuple[str, Markup], ...]:
    """The small charts of a row, each with its name: all that its gravest alert is about, else pressure, else glucose."""

    def drawn(each: Sequence[str]) -> tuple[tuple[str, Markup], ...]:
        pictures = ((kind, _draw(values, span, conditions, words, kind)) for kind in each)
        return tuple((words.among(KINDS, kind), picture) for kind, picture in pictures if picture is not None)

    return drawn(kinds) or drawn(("blood_pressure", "glucose"))[:1]


def _draw(
    values: Sequence[Valued], span: Span, conditions: Sequence[Condition], words: Words, kind: str
) -> Markup | None:
    if kind not in KINDS:
        return None
    lines = lines_of(conditions, kind)
    if kind == "blood_pressure":
        dots = pressure_dots(values, span, conditions)
        scale = charts.pressure_scale(lines)
        says = say_pressures(dots, span, lines, words) if dots else ""
    else:
        dots = value_dots(values, span, kind, conditions)
        scale = charts.value_scale(kind, median(dot.high for dot in dots) if dots else 0.0, lines)
        says = say_values(dots, span, kind, words) if dots else ""
    return sparkline(dots, scale=scale, days=span.days, bands=bands_of(conditions, kind), says=says) if dots else None


def bands_of(conditions: Iterable[Condition], kind: str) -> tuple[tuple[float, float], ...]:
    """From where to where a value is on the right side of the rule's lines, for each signal that has a line."""
    found = []
    for each in conditions:
        if each.unit != UNITS[kind] or kind not in KINDS_OF.get(each.signal, ()):
            continue
        floor = {"systolic": LOW_SYSTOLIC_MMHG, "diastolic": LOW_DIASTOLIC_MMHG}.get(each.signal, float("-inf"))
        found.append((floor, each.value) if each.comparison in ("above", "at_least") else (each.value, float("inf")))
    return tuple(band for band in found if band[0] < band[1])


def sparkline(
    dots: Sequence[Dot], *, scale: Scale, days: int, says: str, bands: Sequence[tuple[float, float]] = ()
) -> Markup:
    """The picture; `says` is the same in words."""
    frame = _Frame(scale, days)
    parts = [
        f'<svg class="sparkline" viewBox="0 0 {WIDTH:g} {HEIGHT:g}" role="img" aria-label="{escape(says)}" focusable="false">',
        *(frame.band(low, high) for low, high in bands),
        *(frame.line(value) for value in scale.lines),
    ]
    for look, is_past in (("within", False), ("past", True)):
        mine = [dot for dot in dots if dot.is_past_line is is_past]
        if bars := "".join(frame.bar(dot) for dot in mine):
            parts.append(f'<path class="pair {look}" d="{bars}"/>')
        if marks := "".join(frame.marks(dot) for dot in mine):
            parts.append(f'<path class="{look}" d="{marks}"/>')
    return Markup("\n".join((*parts, "</svg>")))


class _Frame:
    """Where a value lies in the picture, in user units to a tenth."""

    def __init__(self, scale: Scale, days: int) -> None:
        self._scale = scale
        self._days = days

    def x(self, day: float) -> float:
        return 3 + (WIDTH - RIGHT - 6) * min(max(day / self._days, 0.0), 1.0)

    def y(self, value: float) -> float:
        within = min(max(value, self._scale.lowest), self._scale.highest)
        share = (within - self._scale.lowest) / (self._scale.highest - self._scale.lowest)
        return HEIGHT - 4 - (HEIGHT - 8) * share

    def band(self, low: float, high: float) -> str:
        top, bottom = self.y(high), self.y(low)
        return f'<rect class="band" x="0" y="{top:.1f}" width="{WIDTH - RIGHT:g}" height="{bottom - top:.1f}"/>'

    def line(self, value: float) -> str:
        y = self.y(value)
        return (
            f'<line class="threshold" x1="0" x2="{WIDTH - RIGHT:g}" y1="{y:.1f}" y2="{y:.1f}"/>'
            f'<text class="threshold-name" x="{WIDTH - RIGHT + 3:g}" y="{y + 4:.1f}">{value:g}</text>'
        )

    def bar(self, dot: Dot) -> str:
        if dot.low is None:
            return ""
        return f"M{self.x(dot.day):.1f} {self.y(dot.high):.1f}V{self.y(dot.low):.1f}"

    def marks(self, dot: Dot) -> str:
        ends = (dot.high,) if dot.low is None else (dot.high, dot.low)
        return "".join(self._mark(dot, value) for value in ends)

    def _mark(self, dot: Dot, value: float) -> str:
        """Morning is a circle, evening a diamond, any other time a square; past the edge it is an arrow outward."""
        x, y, r = self.x(dot.day), self.y(value), RADIUS
        if value > self._scale.highest:
            return f"M{x:.1f} {y - r:.1f}l{r} {2 * r}h{-2 * r}z"
        if value < self._scale.lowest:
            return f"M{x:.1f} {y + r:.1f}l{r} {-2 * r}h{-2 * r}z"
        match dot.slot:
            case "morning":
                return f"M{x - r:.1f} {y:.1f}a{r} {r} 0 1 0 {2 * r} 0a{r} {r} 0 1 0 {-2 * r} 0z"
            case "evening":
                return f"M{x:.1f} {y - 3:.1f}l3 3l-3 3l-3-3z"
            case "other":
                return f"M{x - 2:.1f} {y - 2:.1f}h4v4h-4z"
