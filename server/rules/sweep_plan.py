"""What a sweep asks of every patient: questions, each a row of integers that the kernels read. No question compiles anything.

Signals are numbered as the rows of `Cohort.values`; thresholds are in millionths of the signal's unit, as the values are; windows
are (t - width, t] in µs. A question that needs `fewest` readings in view is open at a reading where they are fewer. It reads no
rule's text: who has one turns it into questions.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from server.rules import sweep_columns as columns
from server.rules.trend_kernels import Int64s

if TYPE_CHECKING:
    from server.rules.conditions import Comparison

Question = dict[int, int]
"""Columns of the plan and their values; what is left out is 0."""

_NOT_ASKED: Final = 1 << 31
"""More than any value: the limit of a signal that a rule does not look at."""

_SIGNS: Final[dict["Comparison", int]] = {"above": 1, "at_least": 1, "below": -1, "at_most": -1}


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Questions as the kernels read them. `scores`: what a value counts in a mean of scores, see `score_above`."""

    table: Int64s
    scores: Int64s

    def __len__(self) -> int:
        return len(self.table)


def plan(questions: Sequence[Question], scores: Sequence[int] = (0,)) -> Plan:
    """The plan of `questions`, which are numbered from 0 in what is found."""
    table = np.zeros((len(questions), columns.PLAN_COLUMNS), np.int64)
    for row, question in enumerate(questions):
        for column, value in question.items():
            table[row, column] = value
    return Plan(table=table, scores=np.array(scores, np.int64))


def mean(signal: int, comparison: "Comparison", threshold: int, *, width_us: int, fewest: int) -> Question:
    """The mean of the values in view is above, at least, below or at most the threshold."""
    sign = _SIGNS[comparison]
    return {
        **_window(columns.MEAN, signal, width_us, fewest),
        columns.SIGN: sign,
        columns.LIMIT: sign * threshold,
        columns.FLOOR: -1 if comparison.startswith("at_") else 0,
    }


def share(
    signal: int, low: int, high: int, comparison: "Comparison", percent: int, *, width_us: int, fewest: int
) -> Question:
    """The share of the values in view that lie in `low`..`high`, both included, is above, …, at most `percent`."""
    return {
        **_window(columns.SHARE, signal, width_us, fewest),
        columns.LIMIT: low,
        columns.OTHER_LIMIT: high,
        columns.SIGN: _SIGNS[comparison],
        columns.PERCENT: percent,
        columns.FLOOR: -1 if comparison.startswith("at_") else 0,
    }


def score_above(signal: int, step: int, threshold: int, *, width_us: int, fewest: int) -> Question:
    """The mean of `scores[value // step]` over the values in view is above the threshold; the plan has the scores.

    Values below the table count as its first, beyond it as its last.
    """
    return {
        **_window(columns.SCORE, signal, width_us, fewest),
        columns.LIMIT: threshold,
        columns.OTHER_LIMIT: step,
    }


def deviation_above(signal: int, thousandths: int, *, width_us: int, fewest: int) -> Question:
    """The sample SD of the values in view is above so many thousandths of the unit."""
    return {**_window(columns.SPREAD, signal, width_us, max(fewest, 2)), columns.LIMIT: thousandths}


def variation_above(signal: int, percent_hundredths: int, *, width_us: int, fewest: int) -> Question:
    """The coefficient of variation of the values in view is above so many hundredths of a percent."""
    window = _window(columns.SPREAD, signal, width_us, max(fewest, 2))
    return {**window, columns.LIMIT: percent_hundredths, columns.IS_RELATIVE: 1}


def extreme(signal: int, comparison: "Comparison", threshold: int, *, width_us: int, fewest: int) -> Question:
    """Some value in view is above, …, at most the threshold."""
    return {**_window(columns.EXTREME, signal, width_us, fewest), **_beyond(comparison, threshold)}


def many(needed: int, *, width_us: int) -> Question:
    """At least `needed` readings are in view."""
    return _window(columns.MANY, 0, width_us, needed)


def among_last(
    signal: int,
    comparison: "Comparison",
    threshold: int,
    *,
    needed: int,
    of_last: int,
    width_us: int = columns.FOREVER,
    from_row: int = 0,
) -> Question:
    """At least `needed` of the last `of_last` readings in view are above, …, at most the threshold.

    A no takes all `of_last` in view; a patient's readings before `from_row` answer nothing.
    """
    window = _window(columns.AMONG, signal, width_us, needed)
    return {**window, **_beyond(comparison, threshold), columns.OF_LAST: of_last, columns.START: from_row}


def change(signal: int, by: int, *, width_us: int, fewest: int = 1) -> Question:
    """The value is at least `by` above the lowest in view; with a negative `by`, so much below the highest."""
    window = _window(columns.RISE, signal, width_us, fewest)
    return {**window, columns.SIGN: 1 if by > 0 else -1, columns.LIMIT: abs(by)}


def silence(*, width_us: int) -> Question:
    """For `width_us` nothing follows a reading. It is so from that instant on."""
    return _window(columns.SILENCE, 0, width_us, 0)


def repeated(signal: int, at_least: int, other: int, other_at_least: int, *, within_us: int) -> Question:
    """A reading is critical in one of two signals, and so was the one before it, at most `within_us` earlier."""
    window = _window(columns.REPEAT, signal, within_us, 0)
    return {**window, columns.OTHER: other, columns.LIMIT: at_least - 1, columns.OTHER_LIMIT: other_at_least - 1}


def days_in_a_row(
    signal: int, above: int, other: int, other_above: int | None, *, needs_both: bool, days: int, span_days: int
) -> Question:
    """The last `days` measured days are all above in either signal, or in both, and span at most `span_days`.

    A day's value is the mean of its sittings' means. Open before the `days`-th measured day.
    """
    assert not (needs_both and other_above is None), "both are asked for"
    return {
        columns.KIND: columns.DAYS,
        columns.SIGNAL: signal,
        columns.OTHER: other,
        columns.LIMIT: above,
        columns.OTHER_LIMIT: _NOT_ASKED if other_above is None else other_above,
        columns.NEEDS_BOTH: int(needs_both),
        columns.OF_LAST: days,
        columns.WIDTH: span_days,
    }


def _window(kind: int, signal: int, width_us: int, fewest: int) -> Question:
    return {columns.KIND: kind, columns.SIGNAL: signal, columns.WIDTH: width_us, columns.FEWEST: fewest}


def _beyond(comparison: "Comparison", threshold: int) -> Question:
    """A value is an integer: at least T is above T - 1."""
    sign = _SIGNS[comparison]
    return {columns.SIGN: sign, columns.LIMIT: sign * threshold - comparison.startswith("at_")}
