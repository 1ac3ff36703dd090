"""The rules in plain NumPy, one thread: the honest baseline of a good programmer.

Patients are taken in blocks whose temporaries stay in the caches. Rules of a block share what they have in common: where a
window begins (one `searchsorted` per window length, over all patients of the block, because their times are laid end to end),
prefix sums, the table of days. Raises are looked for among the yeses only.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import Any, Final, TypeVar

import numpy as np
from numpy.typing import NDArray

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
    Signal,
    Silence,
)

BLOCK_ROWS: Final = 32_000
_RISK: Final = np.array(RISK_OF_GLUCOSE, np.int32)
_APART_S: Final = 400 * HOUR_S  # between the patients of a block; longer than any window

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
_T = TypeVar("_T")


def judge(cohort: Cohort, rules: Sequence[RuleSpec], threads: int = 1) -> list[Raises]:
    """The answer to each rule."""
    assert threads == 1, "NumPy's own loops have one thread"
    counts, sums = [0] * len(rules), [0] * len(rules)
    for part in _parts(cohort):
        block = _Block(part)
        for number, rule in enumerate(rules):
            raised = block.raises(rule)
            counts[number] += len(raised)
            sums[number] += int(raised.sum(dtype=np.int64))
    return list(zip(counts, sums, strict=True))


def _parts(cohort: Cohort) -> Iterator[Cohort]:
    begin = 0
    while begin < cohort.patients:
        end = int(np.searchsorted(cohort.first, cohort.first[begin] + BLOCK_ROWS, side="right")) - 1
        end = max(end, begin + 1)
        if cohort.first[end] > cohort.first[begin]:
            yield cohort.part(begin, end)
        begin = end


class _Block:
    """Some patients' readings and what the rules share of them, each part computed when first asked for."""

    def __init__(self, cohort: Cohort) -> None:
        self._cohort = cohort
        self._kept: dict[Any, Any] = {}

    def raises(self, rule: RuleSpec) -> NDArray[Any]:
        """The times of the raises."""
        match rule:
            case DaysInARow():
                return self._days_in_a_row(rule)
            case Silence():
                return self._silences(rule)
            case CountOfLast():
                return self._raised_of(self._count_of_last(rule))
            case Rise():
                values = self._cohort.signal(rule.signal)
                return self._raised_of(values - self._window_least(rule.signal, rule.hours) >= rule.by)
            case Confirmed():
                return self._raised_of(self._confirmed(rule))
            case Rolling() | RangeShare() | LowGlucoseRisk():
                return self._raised_of(self._window_says(rule), rule.hours, rule.min_readings)

    def _raised_of(self, is_yes: Bools, hours: int = 0, min_readings: int = 1) -> NDArray[Any]:
        """The times of the raises among the readings with enough readings in their window."""
        if min_readings <= 1:
            return self._at_s[_edges(is_yes, None, self._patient)]
        evaluable = self._once(
            ("evaluable", hours, min_readings), lambda: np.flatnonzero(self._counts(hours) >= min_readings)
        )
        return self._at_s[_edges(is_yes, evaluable, self._patient)]

    # --- windows of time ------------------------------------------------------------------------------------------------

    def _window_says(self, rule: Rolling | RangeShare | LowGlucoseRisk) -> Bools:
        match rule:
            case RangeShare():
                sums = self._window_sum(
                    rule.signal, rule.hours, lambda values: (values >= rule.low) & (values <= rule.high)
                )
                return 100 * sums < rule.below_percent * self._counts(rule.hours)
            case LowGlucoseRisk():
                sums = self._window_sum("glucose", rule.hours, lambda values: _RISK[values])
                return sums > rule.above * self._counts(rule.hours)
            case Rolling():
                return self._rolling_says(rule)

    def _rolling_says(self, rule: Rolling) -> Bools:
        values = self._cohort.signal(rule.signal)
        if rule.statistic == "max":
            return self._has_hit_within(values > rule.threshold, rule.hours)
        if rule.statistic == "min":
            return self._has_hit_within(values < rule.threshold, rule.hours)
        counts = self._counts(rule.hours)
        if rule.statistic == "count":
            return counts >= rule.threshold
        sums = self._between(rule.hours, self._sums(rule.signal))
        if rule.statistic == "mean":
            return sums > rule.threshold * counts
        squares = self._window_sum(rule.signal, rule.hours, lambda column: np.square(column, dtype=np.int64))
        square_of_sums = np.square(sums)
        scatter = counts * squares - square_of_sums
        if rule.statistic == "sd":
            return scatter > rule.threshold**2 * (counts * (counts - 1))
        return 100**2 * (scatter * counts) > rule.threshold**2 * (square_of_sums * (counts - 1))

    def _has_hit_within(self, is_hit: Bools, hours: int) -> Bools:
        """Whether the last hit, at or before each reading, is in its window: no extreme need be known."""
        if not is_hit.any():
            return is_hit
        last = np.maximum.accumulate(np.where(is_hit, self._line_s, -_APART_S))
        return self._line_s - last < hours * HOUR_S

    def _window_least(self, signal: Signal, hours: int) -> NDArray[np.int16]:
        """By doubling: the least of 1, 2, 4 … readings, and two such runs that together cover a window exactly."""
        values = self._cohort.signal(signal)
        begins, counts = self._begins(hours), self._counts(hours)
        runs = [values]
        for level in range(int(counts.max()).bit_length() - 1):
            shorter, half = runs[-1], 1 << level
            longer = shorter.copy()
            np.minimum(shorter[:-half], shorter[half:], out=longer[:-half])
            runs.append(longer)
        level_of = np.frexp(counts.astype(np.float32))[1] - 1
        table = np.stack(runs)
        ends = np.arange(1, len(values) + 1) - (1 << level_of.astype(np.int64))
        least: NDArray[np.int16] = np.minimum(table[level_of, begins], table[level_of, ends])
        return least

    def _window_sum(self, signal: Signal, hours: int, of: Callable[[NDArray[np.int16]], NDArray[Any]]) -> Ints:
        return self._between(hours, self._prefix(signal, of))

    def _between(self, hours: int, prefix: Ints) -> Ints:
        sums: Ints = prefix[1:] - prefix[self._begins(hours)]
        return sums

    def _sums(self, signal: Signal) -> Ints:
        return self._once(("sums", signal), lambda: self._prefix(signal, lambda values: values))

    def _prefix(self, signal: Signal, of: Callable[[NDArray[np.int16]], NDArray[Any]]) -> Ints:
        """Sums over the block's first 0, 1, 2 … readings."""
        values = of(self._cohort.signal(signal))
        prefix = np.zeros(len(values) + 1, np.int64)
        np.cumsum(values, out=prefix[1:])
        return prefix

    def _begins(self, hours: int) -> Ints:
        """The row at which the window of each reading begins."""
        return self._once(
            ("begins", hours),
            lambda: np.searchsorted(self._line_s, self._line_s - hours * HOUR_S, side="right"),
        )

    def _counts(self, hours: int) -> Ints:
        return self._once(("counts", hours), lambda: np.arange(1, len(self._at_s) + 1) - self._begins(hours))

    # --- days, counts, silences, repeats --------------------------------------------------------------------------------

    def _days_in_a_row(self, rule: DaysInARow) -> NDArray[Any]:
        day, patient, place, doubled_count = self._days
        is_above = self._day_sums("systolic") > rule.systolic_above * doubled_count
        if rule.diastolic_above is not None:
            other = self._day_sums("diastolic") > rule.diastolic_above * doubled_count
            is_above = is_above & other if rule.needs_both else is_above | other
        back = rule.days - 1
        if len(day) <= back:
            return day[:0]
        is_yes = place >= back  # before that nothing is evaluable, which for what follows is as good as a no
        is_yes[back:] &= day[back:] - day[: len(day) - back] < rule.span_days
        for step in range(rule.days):
            is_yes[back:] &= is_above[step : len(day) - back + step]
        return day[_edges(is_yes, None, patient)].astype(np.int64) * DAY_S

    @cached_property
    def _sittings(self) -> tuple[Ints, Ints]:
        """First row and number of readings of each."""
        sitting = self._cohort.sitting
        begins = np.concatenate(([0], np.flatnonzero(sitting[1:] != sitting[:-1]) + 1))
        return begins, np.diff(begins, append=len(sitting))

    @cached_property
    def _day_begins(self) -> Ints:
        """The sitting with which each day of a patient begins."""
        rows, _ = self._sittings
        day, patient = self._cohort.day[rows], self._patient[rows]
        is_new = (day[1:] != day[:-1]) | (patient[1:] != patient[:-1])
        return np.concatenate(([0], np.flatnonzero(is_new) + 1))

    @cached_property
    def _days(self) -> tuple[NDArray[np.int32], NDArray[np.int32], Ints, Ints]:
        """The measured days: ordinal, patient, place among the patient's days, twice the number of sittings."""
        begins = self._day_begins
        rows = self._sittings[0][begins]
        patient = self._patient[rows]
        place = np.arange(len(patient)) - np.searchsorted(patient, patient)
        return self._cohort.day[rows], patient, place, 2 * np.diff(begins, append=len(self._sittings[0]))

    def _day_sums(self, signal: Signal) -> Ints:
        """Of the doubled means of a day's sittings, which are whole: a sitting has one or two readings."""

        def make() -> Ints:
            begins, counts = self._sittings
            doubled = np.add.reduceat(self._cohort.signal(signal), begins, dtype=np.int64) << (2 - counts)
            sums: Ints = np.add.reduceat(doubled, self._day_begins)
            return sums

        return self._once(("day sums", signal), make)

    def _count_of_last(self, rule: CountOfLast) -> Bools:
        hits = self._prefix(rule.signal, lambda values: values > rule.above)
        is_yes = self._place >= rule.of - 1  # before that nothing is evaluable: as good as a no
        is_yes[rule.of - 1 :] &= hits[rule.of :] - hits[: -rule.of] >= rule.hits
        return is_yes

    def _silences(self, rule: Silence) -> NDArray[Any]:
        for_s = rule.hours * HOUR_S
        return self._at_s[self._silent_s > for_s].astype(np.int64) + for_s

    @cached_property
    def _silent_s(self) -> NDArray[np.int32]:
        """From each reading to the patient's next, or to the end."""
        silent_s = np.empty(len(self._at_s), np.int32)
        np.subtract(self._at_s[1:], self._at_s[:-1], out=silent_s[:-1])
        last = self._cohort.first[1:][np.diff(self._cohort.first) > 0] - 1
        silent_s[last] = self._cohort.until_s - self._at_s[last]
        return silent_s

    def _confirmed(self, rule: Confirmed) -> Bools:
        cohort = self._cohort
        is_critical = (cohort.systolic >= rule.systolic_at_least) | (cohort.diastolic >= rule.diastolic_at_least)
        is_yes = np.zeros(len(is_critical), np.bool_)
        is_near = np.diff(self._line_s) <= rule.within_s
        is_yes[1:] = is_critical[1:] & is_critical[:-1] & is_near
        return is_yes

    # --- what everything rests on ---------------------------------------------------------------------------------------

    def _once(self, key: Any, make: Callable[[], _T]) -> _T:
        if key not in self._kept:
            self._kept[key] = make()
        kept: _T = self._kept[key]
        return kept

    @property
    def _at_s(self) -> NDArray[np.int32]:
        return self._cohort.at_s

    @cached_property
    def _patient(self) -> NDArray[np.int32]:
        return self._cohort.patient

    @cached_property
    def _place(self) -> Ints:
        """Of each reading among its patient's."""
        return np.arange(len(self._at_s)) - np.repeat(self._cohort.first[:-1], np.diff(self._cohort.first))

    @cached_property
    def _line_s(self) -> Ints:
        """Seconds, the patients one after another and further apart than any window is long."""
        span_s = self._cohort.until_s - int(self._at_s.min()) + _APART_S
        return self._at_s - int(self._at_s.min()) + self._patient * np.int64(span_s)


def _edges(is_yes: Bools, evaluable: Ints | None, patient: NDArray[np.int32]) -> Ints:
    """The rows of the raises; `evaluable` are the rows that count, all of them if None."""
    if evaluable is not None:
        is_yes = is_yes[evaluable]
    yes = np.flatnonzero(is_yes)
    rows = yes if evaluable is None else evaluable[yes]
    before = yes - 1
    row_before = before if evaluable is None else evaluable[before]
    is_edge = ~is_yes[before] | (patient[rows] != patient[row_before]) | (yes == 0)
    edges: Ints = rows[is_edge]
    return edges
