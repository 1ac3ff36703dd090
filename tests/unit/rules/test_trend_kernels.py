"""The kernels of `server.rules.trend_kernels` against the question asked from the beginning at every reading, in plain Python."""

from collections.abc import Callable, Sequence
from fractions import Fraction
from itertools import pairwise
from statistics import variance

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st
from numba import njit

from server.rules import sweep_gaps
from server.rules import trend_kernels as kernels

MINUTE_US = 60_000_000
FOREVER_US = 1 << 60
Answer = bool | None
Stretch = tuple[int, int, int]


@st.composite
def times(draw: st.DrawFn, least: int = 0) -> list[int]:
    """Ascending instants in µs, with equal ones, bursts and gaps longer than any window."""
    gaps = draw(st.lists(st.sampled_from([0, 1, 2, 5, 10, 59, 60, 61, 600]), min_size=least, max_size=60))
    return [sum(gaps[: i + 1]) * MINUTE_US for i in range(len(gaps))]


@st.composite
def series(draw: st.DrawFn, least: int = 0) -> tuple[list[int], list[int]]:
    """Instants and values in thousandths, often equal to one another."""
    at_us = draw(times(least))
    few = st.sampled_from([0, 90_000, 120_000, 120_001, 121_000, 139_999, 140_000, 140_001, 150_000, 250_000])
    return at_us, draw(st.lists(few, min_size=len(at_us), max_size=len(at_us)))


widths = st.sampled_from([1, 10, 60, 120, 601]).map(lambda minutes: minutes * MINUTE_US)
fewest = st.integers(1, 6)
starts = st.sampled_from([0, 0, 0, 1, 4, 15, 16, 17, 40])


def in_view(at_us: Sequence[int], i: int, width_us: int) -> list[int]:
    return [j for j in range(i + 1) if at_us[j] > at_us[i] - width_us]


def stretches(answers: Sequence[Answer], start: int = 0) -> list[Stretch]:
    """(began, last, ended) of what holds; an open question changes nothing, and before `start` all are open."""
    found: list[list[int]] = []
    holds = False
    for i in range(start, len(answers)):
        answer = answers[i]
        if answer and not holds:
            found.append([i, i, -1])
        elif answer:
            found[-1][1] = i
        elif answer is False and holds:
            found[-1][2] = i
        holds = holds if answer is None else answer
    return [(began, last, ended) for began, last, ended in found]


def told(n: int, kernel: Callable[[np.ndarray], int]) -> list[Stretch]:
    found = np.full((n, 3), -7, np.int64)
    return [tuple(map(int, row)) for row in found[: kernel(found)]]


@njit
def repeated(at: np.ndarray, hits: np.ndarray, start: int, within: int, found: np.ndarray) -> int:
    """As a kernel calls it: Python cannot."""
    return sweep_gaps.repeated(at, hits, start, within, found)


@njit
def product_exceeds(a: int, b: int, c: int, d: int) -> bool:
    return kernels._product_exceeds(a, b, c, d)


@njit
def silent(at: np.ndarray, width: int, now: int, found: np.ndarray) -> int:
    return sweep_gaps.silent(at, width, now, found)


def int64s(values: Sequence[int]) -> np.ndarray:
    return np.array(values, np.int64)


def scratch(n: int) -> np.ndarray:
    return np.full(n + 1, -9, np.int64)


@given(series(), widths, fewest, st.sampled_from([120_000, 139_999, 140_000]), st.sampled_from([0, -1]), starts)
@example(([0, 1, 2], [140_000, 140_000, 140_000]), 10, 1, 140_000, -1, 0)
def test_a_mean_is_above_where_the_mean_of_the_window_is(
    drawn: tuple[list[int], list[int]], width_us: int, few: int, threshold: int, floor: int, start: int
) -> None:
    at_us, values = drawn
    answers: list[Answer] = []
    for i in range(len(values)):
        rows = in_view(at_us, i, width_us)
        mean = Fraction(sum(values[j] for j in rows), len(rows))
        answers.append(None if len(rows) < few else mean > threshold or (floor == -1 and mean == threshold))
    at, terms = int64s(at_us), int64s([value - threshold for value in values])
    rows_of = scratch(len(values))
    assert told(
        len(values), lambda found: kernels.sums_above(at, at, terms, start, width_us, few, floor, rows_of, found)
    ) == stretches(answers, start)


@given(series(least=1), widths, fewest, st.sampled_from([500, 10_000, 30_000]))
def test_a_term_that_spans_two_readings_counts_when_both_are_in_view(
    drawn: tuple[list[int], list[int]], width_us: int, few: int, threshold: int
) -> None:
    at_us, values = drawn
    steps = [abs(after - before) for before, after in pairwise(values)]
    answers: list[Answer] = []
    for i in range(1, len(values)):
        rows = in_view(at_us, i, width_us)
        mine = [steps[j - 1] for j in rows if j - 1 in rows]
        answers.append(None if len(mine) < few else Fraction(sum(mine), len(mine)) > threshold)
    at, since, terms = int64s(at_us[1:]), int64s(at_us[:-1]), int64s([step - threshold for step in steps])
    rows_of = scratch(len(steps))
    assert told(
        len(steps), lambda found: kernels.sums_above(at, since, terms, 0, width_us, few, 0, rows_of, found)
    ) == stretches(answers)


@given(series(), widths, st.integers(2, 6), st.sampled_from([1, 10_000, 15_000, 70_711]), starts)
def test_a_standard_deviation_is_above_where_that_of_the_window_is(
    drawn: tuple[list[int], list[int]], width_us: int, few: int, limit: int, start: int
) -> None:
    at_us, values = drawn
    answers: list[Answer] = []
    for i in range(len(values)):
        mine = [Fraction(values[j]) for j in in_view(at_us, i, width_us)]
        answers.append(None if len(mine) < few else variance(mine) > limit**2)
    assert _spreads(at_us, values, start, width_us, few, limit, is_relative=False) == stretches(answers, start)


@given(series(), widths, st.integers(2, 6), st.sampled_from([1, 1100, 1280, 4915]), starts)
def test_a_coefficient_of_variation_is_above_where_that_of_the_window_is(
    drawn: tuple[list[int], list[int]], width_us: int, few: int, limit: int, start: int
) -> None:
    at_us, values = drawn
    answers: list[Answer] = []
    for i in range(len(values)):
        mine = [Fraction(values[j]) for j in in_view(at_us, i, width_us)]
        if len(mine) < few:
            answers.append(None)
            continue
        mean = sum(mine) / len(mine)
        answers.append(mean > 0 and variance(mine) > (Fraction(limit, 10_000) * mean) ** 2)
    assert _spreads(at_us, values, start, width_us, few, limit, is_relative=True) == stretches(answers, start)


def _spreads(
    at_us: Sequence[int], values: Sequence[int], start: int, width_us: int, few: int, limit: int, *, is_relative: bool
) -> list[Stretch]:
    at, milli, terms, rows = int64s(at_us), int64s(values), scratch(len(values)), scratch(len(values))
    return told(
        len(values),
        lambda found: kernels.spreads_above(at, milli, start, width_us, few, limit, is_relative, terms, rows, found),
    )


@given(*[st.integers(0, 2**62)] * 4)
def test_products_of_128_bits_are_compared_exactly(a: int, b: int, c: int, d: int) -> None:
    assert product_exceeds(a, b, c, d) == (a * b > c * d)


@given(st.integers(0, 2**62), st.integers(0, 2**62))
def test_equal_products_do_not_exceed_each_other(a: int, b: int) -> None:
    assert not product_exceeds(a, b, b, a)


@given(times(), st.data(), widths, fewest, starts)
def test_a_hit_counts_while_it_is_in_view(
    at_us: list[int], data: st.DataObject, width_us: int, few: int, start: int
) -> None:
    hits = data.draw(st.lists(st.sampled_from([0, 0, 0, 1]), min_size=len(at_us), max_size=len(at_us)))
    answers: list[Answer] = []
    for i in range(len(hits)):
        rows = in_view(at_us, i, width_us)
        answers.append(None if len(rows) < few else any(hits[j] for j in rows))
    at, flags = int64s(at_us), np.array(hits, np.uint8)
    assert told(len(hits), lambda found: kernels.hit_within(at, flags, start, width_us, few, found)) == stretches(
        answers, start
    )


@given(times(), widths, fewest, starts)
def test_many_readings_are_counted_in_their_window(at_us: list[int], width_us: int, needed: int, start: int) -> None:
    answers = [len(in_view(at_us, i, width_us)) >= needed for i in range(len(at_us))]
    at = int64s(at_us)
    assert told(len(at_us), lambda found: kernels.many_within(at, start, width_us, needed, found)) == stretches(
        answers, start
    )


@given(times(), st.data(), widths | st.just(FOREVER_US), st.integers(1, 6), st.integers(1, 6), starts)
def test_hits_are_counted_among_the_last_few_readings_that_are_in_view(
    at_us: list[int], data: st.DataObject, width_us: int, needed: int, of_last: int, start: int
) -> None:
    few, on_days = data.draw(st.integers(1, of_last)), data.draw(st.integers(1, 3))
    days = [at // (30 * MINUTE_US) for at in at_us]
    hits = data.draw(st.lists(st.sampled_from([0, 1]), min_size=len(at_us), max_size=len(at_us)))
    answers: list[Answer] = []
    for i in range(len(hits)):
        mine = [j for j in in_view(at_us, i, width_us) if j > i - of_last]
        hit = [j for j in mine if hits[j]]
        is_met = len(hit) >= needed and len({days[j] for j in hit}) >= on_days
        answers.append(is_met or (False if len(mine) >= few else None))
    at, flags, rows = int64s(at_us), np.array(hits, np.uint8), scratch(len(hits))
    day = int64s(days)
    assert told(
        len(hits),
        lambda found: kernels.hits_among_last(
            at, day, flags, start, width_us, needed, on_days, of_last, few, rows, found
        ),
    ) == stretches(answers, start)


@given(series(), widths, fewest, st.sampled_from([1, 1_000, 30_000, 110_000]), starts)
def test_a_rise_is_measured_from_the_lowest_in_view(
    drawn: tuple[list[int], list[int]], width_us: int, few: int, by: int, start: int
) -> None:
    at_us, values = drawn
    answers: list[Answer] = []
    for i in range(len(values)):
        rows = in_view(at_us, i, width_us)
        answers.append(None if len(rows) < few else values[i] - min(values[j] for j in rows) >= by)
    at, micro = int64s(at_us), np.array(values, np.int32)
    assert told(len(values), lambda found: kernels.rises_by(at, micro, start, width_us, few, by, found)) == stretches(
        answers, start
    )


@given(times(), st.data(), widths, starts)
def test_a_repeat_is_the_very_next_reading_and_soon_enough(
    at_us: list[int], data: st.DataObject, within_us: int, start: int
) -> None:
    hits = data.draw(st.lists(st.sampled_from([0, 1]), min_size=len(at_us), max_size=len(at_us)))
    answers = [i > 0 and hits[i] == hits[i - 1] == 1 and at_us[i] - at_us[i - 1] <= within_us for i in range(len(hits))]
    at, flags = int64s(at_us), np.array(hits, np.uint8)
    assert told(len(hits), lambda found: repeated(at, flags, start, within_us, found)) == stretches(answers, start)


@given(times(), widths, st.integers(0, 700))
def test_silence_lasts_until_the_next_reading(at_us: list[int], width_us: int, later_min: int) -> None:
    now_us = (at_us[-1] if at_us else 0) + later_min * MINUTE_US
    following = [*at_us[1:], now_us]
    expected = [
        (i, i, i + 1 if i + 1 < len(at_us) else -1)
        for i, (at, after) in enumerate(zip(at_us, following, strict=bool(at_us)))
        if after - at > width_us
    ]
    at = int64s(at_us)
    assert told(len(at_us), lambda found: silent(at, width_us, now_us, found)) == expected
