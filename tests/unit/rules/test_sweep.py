"""A sweep over a cohort against each question asked from the beginning at every reading of every patient, in plain Python."""

import inspect
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from hashlib import sha256
from itertools import pairwise
from statistics import variance
from typing import Final
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from numba import njit

from server.rules import compiling, kernels, sweep_columns, sweep_days, sweep_gaps, sweep_kernels, trend_kernels
from server.rules import sweep_plan as ask
from server.rules.clinical_days import Calendar
from server.rules.sweep import Cohort, calendars, stretches
from server.rules.sweep_columns import FOREVER
from server.rules.sweep_plan import Plan, Question
from server.rules.windows import ZoneSpan, from_us, to_us
from server.sweeps import sweep

UPPER, LOWER = 0, 1
UNIT: Final = 1_000_000
MINUTE_US: Final = 60_000_000
HOUR_US: Final = 60 * MINUTE_US
BEGIN: Final = datetime(2025, 3, 27, 20, tzinfo=UTC)
"""Two nights before Berlin goes forward."""
HOMES: Final = (
    ((BEGIN, "Asia/Shanghai"),),
    ((BEGIN, "Europe/Berlin"),),
    ((BEGIN, "Asia/Tokyo"), (BEGIN + timedelta(days=2, hours=9), "America/Los_Angeles")),  # a date comes back
)
SCORES: Final = (90, 60, 40, 10, 0)
SCORE_STEP: Final = 30 * UNIT


@njit
def thousandths(micro: int) -> int:
    """As a kernel calls it: Python cannot."""
    return sweep_kernels._thousandths(micro)


@njit
def reciprocal(step: int) -> tuple[int, int]:
    return sweep_kernels._reciprocal(step)


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    at_us: list[int]
    upper: list[int]
    lower: list[int]
    home: int


Answer = bool | None
Found = tuple[int, int, int]
"""Began, held last, ended."""


@st.composite
def people(draw: st.DrawFn) -> Person:
    """From none to sixty readings: equal instants, sittings of several, days without; values often near thresholds."""
    gaps = draw(st.lists(st.sampled_from([0, 1, 9, 10, 11, 240, 300, 600, 1440, 4000]), max_size=60))
    n = len(gaps)
    values = st.lists(st.sampled_from([70, 95, 120, 139, 140, 141, 150, 180]), min_size=n, max_size=n)
    return Person(
        at_us=[to_us(BEGIN) + sum(gaps[: i + 1]) * MINUTE_US for i in range(n)],
        upper=[value * UNIT for value in draw(values)],
        lower=[value * UNIT for value in draw(values)],
        home=draw(st.integers(0, len(HOMES) - 1)),
    )


cohorts = st.lists(people(), min_size=1, max_size=6)


def cohort_of(persons: Sequence[Person], until_us: int | None = None) -> Cohort:
    latest = max([to_us(BEGIN), *(at for person in persons for at in person.at_us)])
    homes = [Calendar([ZoneSpan(valid_from=at, zone=zone) for at, zone in home], from_us(1 << 52)) for home in HOMES]
    spans_from, shifts = calendars(homes, 2025, 2026)
    return Cohort(
        first=np.cumsum([0, *(len(person.at_us) for person in persons)]).astype(np.int64),
        at_us=np.array([at for person in persons for at in person.at_us], np.int64),
        values=np.array(
            [[v for each in persons for v in each.upper], [v for each in persons for v in each.lower]], np.int32
        ),
        calendar=np.array([person.home for person in persons], np.int64),
        spans_from=spans_from,
        shifts=shifts,
        until_us=latest if until_us is None else until_us,
    )


def plan_of(questions: Sequence[Question]) -> Plan:
    return ask.plan(questions, SCORES)


# --- the questions in plain Python --------------------------------------------------------------------------------------


def holds(times: Sequence[int], answers: Sequence[Answer]) -> list[Found]:
    """What holds; an open question changes nothing."""
    found: list[Found] = []
    is_held = False
    for at, answer in zip(times, answers, strict=True):
        if answer and not is_held:
            found.append((at, at, FOREVER))
        elif answer:
            found[-1] = (found[-1][0], at, FOREVER)
        elif answer is False and is_held:
            found[-1] = (*found[-1][:2], at)
        is_held = is_held if answer is None else answer
    return found


def in_view(person: Person, values: list[int], width_us: int, fewest: int) -> Iterator[list[int] | None]:
    for i, at in enumerate(person.at_us):
        seen = [values[j] for j in range(i + 1) if person.at_us[j] > at - width_us]
        yield seen if len(seen) >= fewest else None


def over(signal: int, width_us: int, fewest: int, says: Callable[[list[int]], bool]) -> Callable[[Person], list[Found]]:
    """The newest value stands last in what `says` is given."""

    def answer(person: Person) -> list[Found]:
        values = person.lower if signal == LOWER else person.upper
        views = in_view(person, values, width_us, fewest)
        return holds(person.at_us, [None if seen is None else says(seen) for seen in views])

    return answer


def among(
    needed: int, of_last: int, width_us: int, is_hit: Callable[[int], bool], from_row: int = 0
) -> Callable[[Person], list[Found]]:
    def answer(person: Person) -> list[Found]:
        answers: list[Answer] = []
        for i, at in enumerate(person.at_us):
            last = [j for j in range(max(0, i + 1 - of_last), i + 1) if person.at_us[j] > at - width_us]
            is_yes = sum(is_hit(person.upper[j]) for j in last) >= needed
            answers.append(is_yes if i >= from_row and (is_yes or len(last) == of_last) else None)
        return holds(person.at_us, answers)

    return answer


def silent(width_us: int, until_us: int) -> Callable[[Person], list[Found]]:
    def answer(person: Person) -> list[Found]:
        following = [*person.at_us[1:], until_us]
        return [
            (at + width_us, at + width_us, FOREVER if i + 1 == len(person.at_us) else after)
            for i, (at, after) in enumerate(zip(person.at_us, following, strict=bool(person.at_us)))
            if after - at > width_us
        ]

    return answer


def repeated(person: Person) -> list[Found]:
    hits = [upper >= 180 * UNIT or lower >= 150 * UNIT for upper, lower in zip(person.upper, person.lower, strict=True)]
    near = [i > 0 and person.at_us[i] - person.at_us[i - 1] <= 10 * MINUTE_US for i in range(len(hits))]
    return holds(person.at_us, [hits[i] and hits[i - 1] and near[i] for i in range(len(hits))])


def clinical_day(person: Person, at_us: int) -> int:
    at = from_us(at_us)
    zone = [zone for since, zone in HOMES[person.home] if since <= at or since == BEGIN][-1]
    return (at.astimezone(ZoneInfo(zone)).replace(tzinfo=None) - timedelta(hours=3)).toordinal()


def days_of(person: Person) -> dict[int, tuple[Fraction, Fraction]]:
    """The means over sittings of their means, by day, in order; of three readings or more the first does not count."""
    sittings: list[list[int]] = []
    for i, at in enumerate(person.at_us):
        if i == 0 or at - person.at_us[i - 1] > 10 * MINUTE_US:
            sittings.append([])
        sittings[-1].append(i)
    days: dict[int, list[tuple[Fraction, Fraction]]] = {}
    for rows in sittings:
        used = rows[1:] if len(rows) > 2 else rows
        mean = (
            Fraction(sum(person.upper[i] for i in used), len(used)),
            Fraction(sum(person.lower[i] for i in used), len(used)),
        )
        days.setdefault(clinical_day(person, person.at_us[rows[0]]), []).append(mean)
    return {
        day: (
            sum(upper for upper, _ in means) / Fraction(len(means)),
            sum(lower for _, lower in means) / Fraction(len(means)),
        )
        for day, means in sorted(days.items())
    }


def in_a_row(
    days: int, span_days: int, is_high: Callable[[Fraction, Fraction], bool]
) -> Callable[[Person], list[Found]]:
    def answer(person: Person) -> list[Found]:
        measured = days_of(person)
        answers: list[Answer] = []
        for d, day in enumerate(measured):
            last = list(measured)[max(0, d + 1 - days) : d + 1]
            is_met = all(is_high(*measured[each]) for each in last) and day - last[0] < span_days
            answers.append(is_met if len(last) == days else None)
        return holds(list(measured), answers)

    return answer


DAY_US: Final = 24 * HOUR_US
UNTIL_US: Final = to_us(BEGIN) + 70 * DAY_US
T: Final = 140 * UNIT

EVERY: Final[dict[str, tuple[Question, Callable[[Person], list[Found]]]]] = {
    "mean above": (
        ask.mean(UPPER, "above", T, width_us=DAY_US, fewest=2),
        over(UPPER, DAY_US, 2, lambda seen: sum(seen) > T * len(seen)),
    ),
    "mean at least": (
        ask.mean(LOWER, "at_least", T, width_us=10 * MINUTE_US, fewest=1),
        over(LOWER, 10 * MINUTE_US, 1, lambda seen: sum(seen) >= T * len(seen)),
    ),
    "mean below": (
        ask.mean(UPPER, "below", T, width_us=3 * DAY_US, fewest=5),
        over(UPPER, 3 * DAY_US, 5, lambda seen: sum(seen) < T * len(seen)),
    ),
    "mean at most": (
        ask.mean(UPPER, "at_most", T, width_us=DAY_US, fewest=1),
        over(UPPER, DAY_US, 1, lambda seen: sum(seen) <= T * len(seen)),
    ),
    "share below": (
        ask.share(UPPER, 95 * UNIT, T, "below", 70, width_us=2 * DAY_US, fewest=3),
        over(UPPER, 2 * DAY_US, 3, lambda seen: 100 * sum(95 * UNIT <= v <= T for v in seen) < 70 * len(seen)),
    ),
    "share at least": (
        ask.share(LOWER, T, 150 * UNIT, "at_least", 50, width_us=2 * DAY_US, fewest=1),
        over(LOWER, 2 * DAY_US, 1, lambda seen: 100 * sum(T <= v <= 150 * UNIT for v in seen) >= 50 * len(seen)),
    ),
    "score above": (
        ask.score_above(UPPER, SCORE_STEP, 9, width_us=2 * DAY_US, fewest=2),
        over(UPPER, 2 * DAY_US, 2, lambda seen: sum(SCORES[min(v // SCORE_STEP, 4)] for v in seen) > 9 * len(seen)),
    ),
    "SD above": (
        ask.deviation_above(UPPER, 20_000, width_us=2 * DAY_US, fewest=2),
        over(UPPER, 2 * DAY_US, 2, lambda seen: variance(map(Fraction, seen)) > (20 * UNIT) ** 2),
    ),
    "CV above": (
        ask.variation_above(LOWER, 1500, width_us=2 * DAY_US, fewest=3),
        over(
            LOWER,
            2 * DAY_US,
            3,
            lambda seen: variance(map(Fraction, seen)) > (Fraction(3 * sum(seen), 20 * len(seen))) ** 2,
        ),
    ),
    "highest above": (
        ask.extreme(UPPER, "above", 150 * UNIT, width_us=DAY_US, fewest=1),
        over(UPPER, DAY_US, 1, lambda seen: max(seen) > 150 * UNIT),
    ),
    "lowest at most": (
        ask.extreme(LOWER, "at_most", 95 * UNIT, width_us=DAY_US, fewest=2),
        over(LOWER, DAY_US, 2, lambda seen: min(seen) <= 95 * UNIT),
    ),
    "lowest below": (
        ask.extreme(LOWER, "below", 95 * UNIT, width_us=DAY_US, fewest=1),
        over(LOWER, DAY_US, 1, lambda seen: min(seen) < 95 * UNIT),
    ),
    "highest at least": (
        ask.extreme(LOWER, "at_least", 180 * UNIT, width_us=DAY_US, fewest=1),
        over(LOWER, DAY_US, 1, lambda seen: max(seen) >= 180 * UNIT),
    ),
    "many": (ask.many(4, width_us=DAY_US), over(UPPER, DAY_US, 1, lambda seen: len(seen) >= 4)),
    "among the last": (
        ask.among_last(UPPER, "above", T, needed=2, of_last=3, from_row=2),
        among(2, 3, 1 << 60, lambda value: value > T, from_row=2),
    ),
    "among the last of a day": (
        ask.among_last(UPPER, "below", 95 * UNIT, needed=2, of_last=4, width_us=DAY_US),
        among(2, 4, DAY_US, lambda value: value < 95 * UNIT),
    ),
    "rise": (
        ask.change(UPPER, 45 * UNIT, width_us=DAY_US),
        over(UPPER, DAY_US, 1, lambda seen: seen[-1] - min(seen) >= 45 * UNIT),
    ),
    "fall": (
        ask.change(LOWER, -45 * UNIT, width_us=DAY_US, fewest=2),
        over(LOWER, DAY_US, 2, lambda seen: max(seen) - seen[-1] >= 45 * UNIT),
    ),
    "silence": (ask.silence(width_us=2 * DAY_US), silent(2 * DAY_US, UNTIL_US)),
    "repeated": (ask.repeated(UPPER, 180 * UNIT, LOWER, 150 * UNIT, within_us=10 * MINUTE_US), repeated),
    "days, either": (
        ask.days_in_a_row(UPPER, T, LOWER, T, needs_both=False, days=2, span_days=3),
        in_a_row(2, 3, lambda upper, lower: upper > T or lower > T),
    ),
    "days, both": (
        ask.days_in_a_row(UPPER, 120 * UNIT, LOWER, 120 * UNIT, needs_both=True, days=2, span_days=4),
        in_a_row(2, 4, lambda upper, lower: upper > 120 * UNIT and lower > 120 * UNIT),
    ),
    "days, one signal": (
        ask.days_in_a_row(LOWER, 120 * UNIT, UPPER, None, needs_both=False, days=3, span_days=3),
        in_a_row(3, 3, lambda _, lower: lower > 120 * UNIT),
    ),
}
QUESTIONS: Final = [question for question, _ in EVERY.values()]

Row = tuple[int, int, int, int, int]


def expected(persons: Sequence[Person]) -> list[Row]:
    return [
        (rule, patient, *found)
        for patient, person in enumerate(persons)
        for rule, (_, answer) in enumerate(EVERY.values())
        for found in answer(person)
    ]


def rows_of(tables: Iterator[np.ndarray]) -> list[Row]:
    return [(r[0], r[1], r[2], r[3], r[4]) for table in tables for r in table.tolist()]


@given(cohorts)
def test_a_sweep_finds_what_every_question_finds_in_every_patient(persons: list[Person]) -> None:
    assert rows_of(stretches(cohort_of(persons, UNTIL_US), plan_of(QUESTIONS))) == expected(persons)


@pytest.mark.parametrize("name", EVERY)
def test_a_question_finds_the_same_when_it_is_asked_alone(name: str) -> None:
    rng = np.random.default_rng(7)
    persons = [drawn(rng, 200, home) for home in (0, 1, 2)]
    question, answer = EVERY[name]
    found = rows_of(stretches(cohort_of(persons, UNTIL_US), plan_of([question])))
    assert found == [(0, patient, *each) for patient, person in enumerate(persons) for each in answer(person)]
    assert found


@given(cohorts, st.lists(st.integers(0, 6), max_size=4), st.integers(1, 40))
def test_patients_may_be_judged_in_any_ranges_and_with_any_room(
    persons: list[Person], cuts: list[int], room: int
) -> None:
    cohort, plan = cohort_of(persons), plan_of(QUESTIONS)
    whole = rows_of(stretches(cohort, plan))
    bounds = [0, *sorted(min(cut, len(persons)) for cut in cuts), len(persons)]
    parts = [stretches(cohort, plan, begin, end, room=room) for begin, end in pairwise(bounds)]
    assert [row for part in parts for row in rows_of(part)] == whole


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_threads_find_the_same_in_the_same_order(threads: int) -> None:
    rng = np.random.default_rng(threads)
    persons = [drawn(rng, int(rng.integers(0, 90)), int(rng.integers(0, 3))) for _ in range(150)]
    cohort, plan = cohort_of(persons), plan_of(QUESTIONS)
    parts = list(sweep(cohort, plan, threads=threads, take=rows_of, range_patients=7))
    assert [judged for judged, _ in parts] == [min(7 * (i + 1), 150) for i in range(22)]
    assert [row for _, rows in parts for row in rows] == rows_of(stretches(cohort, plan))


def test_who_stops_asking_leaves_the_rest_unjudged() -> None:
    persons = [drawn(np.random.default_rng(1), 10, 0)] * 100
    asked = []

    def take(tables: Iterator[np.ndarray]) -> None:
        asked.append(len(rows_of(tables)))

    judging = sweep(cohort_of(persons), plan_of(QUESTIONS), threads=1, take=take, range_patients=1)
    assert next(judging)[0] == 1
    judging.close()
    assert len(asked) < 10


def test_an_error_in_a_thread_is_the_callers() -> None:
    def take(tables: Iterator[np.ndarray]) -> None:
        raise LookupError(next(tables).shape)

    judging = sweep(cohort_of([drawn(np.random.default_rng(1), 10, 0)]), plan_of(QUESTIONS), threads=2, take=take)
    with pytest.raises(LookupError):
        next(judging)


def test_nobody_and_nothing_are_swept_without_ado() -> None:
    nothing = Person(at_us=[], upper=[], lower=[], home=0)
    assert rows_of(stretches(cohort_of([nothing, nothing]), plan_of(QUESTIONS))) == []
    assert rows_of(stretches(cohort_of([drawn(np.random.default_rng(1), 9, 0)]), plan_of([]))) == []
    assert list(sweep(cohort_of([]), plan_of(QUESTIONS), threads=2, take=rows_of)) == []


def test_a_sitting_of_twenty_readings_is_rounded_down_as_the_days_table_has_it() -> None:
    """Its mean of 19 values is 140 and a nineteenth of a millionth: above 140, and below what one millionth more would be."""
    at_us = [to_us(BEGIN) + i * MINUTE_US for i in range(20)]
    long = Person(at_us=at_us, upper=[0, *[T] * 18, T + 19], lower=[T] * 20, home=0)
    for above, finds in ((T, 1), (T + 1, 0)):
        question = ask.days_in_a_row(UPPER, above, LOWER, None, needs_both=False, days=1, span_days=1)
        assert len(rows_of(stretches(cohort_of([long]), plan_of([question])))) == finds


@given(st.integers(-(2**31), 2**31 - 1))
@example(-(2**31))
@example(2**31 - 1)
@example(-1)
def test_thousandths_are_rounded_down(micro: int) -> None:
    assert thousandths(micro) == micro // 1000


@given(st.integers(0, 2**31 - 1), st.integers(1, 2**31 - 1))
@example(2**31 - 1, 2**31 - 1)
@example(2**31 - 2, 2**31 - 1)
@example(2**31 - 1, 2**30 + 1)
def test_a_reciprocal_divides_exactly(value: int, step: int) -> None:
    factor, shift = reciprocal(step)
    assert value * factor >> shift == value // step
    assert value * factor < 2**63


def test_machine_code_on_disk_is_not_used_with_other_kernels_than_it_holds() -> None:
    """numba takes what a function closes over for a part of its name in the cache."""
    modules = (compiling, kernels, trend_kernels, sweep_columns, sweep_days, sweep_gaps)
    sources = "".join(inspect.getsource(module) for module in modules)
    closed_over = [cell.cell_contents for cell in sweep_kernels.judge.py_func.__closure__]
    assert int.from_bytes(sha256(sources.encode()).digest()[:7], "big") in closed_over


def test_the_first_of_the_days_is_named_as_a_date_is() -> None:
    evening = Person(at_us=[to_us(BEGIN)], upper=[150 * UNIT], lower=[70 * UNIT], home=1)
    question = ask.days_in_a_row(UPPER, T, LOWER, None, needs_both=False, days=1, span_days=1)
    [row] = rows_of(stretches(cohort_of([evening]), plan_of([question])))
    assert row == (0, 0, date(2025, 3, 27).toordinal(), date(2025, 3, 27).toordinal(), FOREVER)


def drawn(rng: np.random.Generator, n: int, home: int) -> Person:
    gaps = rng.choice([1, 9, 11, 200, 500, 900, 4000], n, p=[0.2, 0.1, 0.1, 0.2, 0.2, 0.17, 0.03])
    upper, lower = rng.choice([70, 95, 120, 139, 140, 141, 150, 180], (2, n)) * UNIT
    at_us = to_us(BEGIN) + np.cumsum(gaps) * MINUTE_US
    return Person(at_us=at_us.tolist(), upper=upper.tolist(), lower=lower.tolist(), home=home)
