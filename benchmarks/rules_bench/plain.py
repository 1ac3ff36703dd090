"""The judge of equality: every rule in plain Python, one reading after another, with lists, deques and exact integers.

Written from the docstrings of `specs`, for being read and not for speed; it shares no line with an engine.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from benchmarks.rules_bench.cohort import Cohort
from benchmarks.rules_bench.specs import (
    DAY_S,
    HOUR_S,
    RISK_OF_GLUCOSE,
    Confirmed,
    CountOfLast,
    DaysInARow,
    LowGlucoseRisk,
    Raises,
    RangeShare,
    Rise,
    Rolling,
    RuleSpec,
    Silence,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Reading:
    at_s: int
    day: int
    sitting: int
    systolic: int
    diastolic: int
    pulse: int
    glucose: int


_Verdict = tuple[int, bool | None]
"""A time, and yes, no or not evaluable."""


def judge(cohort: Cohort, rules: Sequence[RuleSpec]) -> list[Raises]:
    """The answer to each rule."""
    histories = list(_histories(cohort))
    return [_answer(histories, rule, cohort.until_s) for rule in rules]


def _histories(cohort: Cohort) -> Iterator[list[_Reading]]:
    for begin, end in pairwise(cohort.first.tolist()):
        columns = (getattr(cohort, name)[begin:end].tolist() for name in _Reading.__slots__)
        yield [_Reading(**dict(zip(_Reading.__slots__, values, strict=True))) for values in zip(*columns, strict=True)]


def _answer(histories: Sequence[list[_Reading]], rule: RuleSpec, until_s: int) -> Raises:
    raised: list[int] = []
    for readings in histories:
        if isinstance(rule, Silence):
            raised += _silences(rule, readings, until_s)
            continue
        before: bool | None = None
        for at_s, verdict in _verdicts(rule, readings):
            if verdict and not before:
                raised.append(at_s)
            if verdict is not None:
                before = verdict
    return len(raised), sum(raised)


def _verdicts(rule: RuleSpec, readings: Sequence[_Reading]) -> Iterator[_Verdict]:
    match rule:
        case DaysInARow():
            return _days_in_a_row(rule, readings)
        case CountOfLast():
            return _count_of_last(rule, readings)
        case Confirmed():
            return _confirmed(rule, readings)
        case Rolling() | RangeShare() | LowGlucoseRisk() | Rise():
            return _windows(rule, readings)
        case Silence():
            raise AssertionError("a silence has no verdict at a reading")


def _days_in_a_row(rule: DaysInARow, readings: Sequence[_Reading]) -> Iterator[_Verdict]:
    days: dict[int, dict[int, list[_Reading]]] = {}
    day_of_sitting: dict[int, int] = {}
    for reading in readings:
        day = day_of_sitting.setdefault(reading.sitting, reading.day)
        days.setdefault(day, {}).setdefault(reading.sitting, []).append(reading)
    last: deque[tuple[int, bool]] = deque(maxlen=rule.days)
    for day, sittings in days.items():
        is_above = _exceeds(sittings, rule.systolic_above, lambda reading: reading.systolic)
        if rule.diastolic_above is not None:
            diastolic = _exceeds(sittings, rule.diastolic_above, lambda reading: reading.diastolic)
            is_above = is_above and diastolic if rule.needs_both else is_above or diastolic
        last.append((day, is_above))
        if len(last) == rule.days:
            yield day * DAY_S, all(above for _, above in last) and day - last[0][0] + 1 <= rule.span_days


def _exceeds(sittings: dict[int, list[_Reading]], threshold: int, value: Callable[[_Reading], int]) -> bool:
    """Whether the mean over sittings of their means is above; sittings have one or two readings, so halves are exact."""
    doubled = 0
    for sitting in sittings.values():
        assert len(sitting) in (1, 2)
        doubled += sum(map(value, sitting)) * 2 // len(sitting)
    return doubled > threshold * 2 * len(sittings)


def _count_of_last(rule: CountOfLast, readings: Sequence[_Reading]) -> Iterator[_Verdict]:
    last: deque[bool] = deque(maxlen=rule.of)
    for reading in readings:
        last.append(getattr(reading, rule.signal) > rule.above)
        yield reading.at_s, sum(last) >= rule.hits if len(last) == rule.of else None


def _confirmed(rule: Confirmed, readings: Sequence[_Reading]) -> Iterator[_Verdict]:
    critical_at_s: int | None = None
    for reading in readings:
        is_critical = reading.systolic >= rule.systolic_at_least or reading.diastolic >= rule.diastolic_at_least
        is_repeat = critical_at_s is not None and reading.at_s - critical_at_s <= rule.within_s
        yield reading.at_s, is_critical and is_repeat
        critical_at_s = reading.at_s if is_critical else None


def _windows(rule: Rolling | RangeShare | LowGlucoseRisk | Rise, readings: Sequence[_Reading]) -> Iterator[_Verdict]:
    signal = "glucose" if isinstance(rule, LowGlucoseRisk) else rule.signal
    window: deque[_Reading] = deque()
    for reading in readings:
        window.append(reading)
        while window[0].at_s <= reading.at_s - rule.hours * HOUR_S:
            window.popleft()
        values = [getattr(each, signal) for each in window]
        is_evaluable = isinstance(rule, Rise) or len(values) >= rule.min_readings
        yield reading.at_s, _window_says(rule, values) if is_evaluable else None


def _window_says(rule: Rolling | RangeShare | LowGlucoseRisk | Rise, values: Sequence[int]) -> bool:
    """Of the values of a window, the newest last."""
    match rule:
        case Rise():
            return values[-1] - min(values) >= rule.by
        case RangeShare():
            return 100 * sum(rule.low <= value <= rule.high for value in values) < rule.below_percent * len(values)
        case LowGlucoseRisk():
            return sum(RISK_OF_GLUCOSE[value] for value in values) > rule.above * len(values)
        case Rolling():
            return _STATISTICS[rule.statistic](values, rule.threshold)


def _sd_above(values: Sequence[int], threshold: int) -> bool:
    """s² > T², with s² = (c Σv² − (Σv)²) / (c (c − 1))."""
    count = len(values)
    return count * sum(value * value for value in values) - sum(values) ** 2 > threshold**2 * count * (count - 1)


def _cv_above(values: Sequence[int], percent: int) -> bool:
    """(100 s / mean)² > T², multiplied out by c² (c − 1)."""
    count, total = len(values), sum(values)
    scatter = count * sum(value * value for value in values) - total**2
    return 100**2 * scatter * count > percent**2 * total**2 * (count - 1)


_STATISTICS: Final[dict[str, Callable[[Sequence[int], int], bool]]] = {
    "mean": lambda values, threshold: sum(values) > threshold * len(values),
    "max": lambda values, threshold: max(values) > threshold,
    "min": lambda values, threshold: min(values) < threshold,
    "sd": _sd_above,
    "cv": _cv_above,
    "count": lambda values, threshold: len(values) >= threshold,
}


def _silences(rule: Silence, readings: Sequence[_Reading], until_s: int) -> Iterator[int]:
    """The times at which somebody had been silent for so long."""
    for_s = rule.hours * HOUR_S
    ends_s = [reading.at_s for reading in readings[1:]] + [until_s]
    for reading, end_s in zip(readings, ends_s, strict=True):
        if end_s - reading.at_s > for_s:
            yield reading.at_s + for_s
