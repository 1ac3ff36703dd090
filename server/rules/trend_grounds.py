"""What an answer of a trend rests on: the elements in its window, their readings, and the number that was compared.

For people to read, and for the ids in a verdict. Nothing is judged by it: the kernels compute exactly, and by themselves.
"""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from server.rules import kernels
from server.rules.conditions import Change, CountOfLast, Reach, Rolling, Trend
from server.rules.series import Series
from server.rules.trend_answers import axis_of
from server.rules.trend_sentences import Limit

GROUNDS_MAX: Final = 100
"""Of the readings in a window the verdict names the newest hundred."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Grounds:
    """`values` of the elements in view, in the unit of the signal; `rows` of the window by time. A count has no `value`."""

    values: tuple[float, ...]
    value: float | None
    rows: tuple[int, ...]


def grounds_of(when: Trend, series: Series, element: int) -> Grounds:
    """What is said at `element` rests on."""
    elements = _in_view(when, series, element)
    values = series.micro[elements] / kernels.MICRO
    rows = sorted(int(row) for e in elements for row in series.rows[series.first[e] : series.first[e + 1]])
    return Grounds(values=tuple(float(each) for each in values), value=_value(when, values), rows=tuple(rows))


def reach_of(when: Trend) -> Reach:
    """How far back it looks."""
    return when.over if isinstance(when, Rolling) else when.within


def as_numbers(limits: tuple[Limit, ...]) -> list[dict[str, Any]]:
    """The comparisons as a verdict names them."""
    return [
        {"signal": each.signal, "comparison": each.comparison, "value": each.value, "unit": each.unit}
        for each in limits
    ]


def _in_view(when: Trend, series: Series, element: int) -> NDArray[np.intp]:
    """The elements of the window that ends with `element`."""
    at, width = axis_of(series, reach_of(when))
    elements = np.flatnonzero(at[: element + 1] > at[element] - width)
    return elements[-when.of_last :] if isinstance(when, CountOfLast) else elements


def _value(when: Trend, values: NDArray[np.float64]) -> float | None:
    """The number that was compared; a count of the last few has none."""
    if isinstance(when, CountOfLast):
        return None
    if isinstance(when, Change):
        return float(values[-1] - values.min() if when.falls_by is None else values.max() - values[-1])
    match when.statistic:
        case "mean":
            return float(values.mean())
        case "highest":
            return float(values.max())
        case "lowest":
            return float(values.min())
        case "sd":
            return float(values.std(ddof=1))
        case "cv":
            return float(100 * values.std(ddof=1) / values.mean())
        case "arv":
            return float(np.abs(np.diff(values)).mean())
        case "count":
            return float(len(values))
