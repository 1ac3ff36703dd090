"""How a plan was kept: by when was measured alone, and held against nobody whom the house could not hear."""

import inspect
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from server.rules import keeping
from server.rules.keeping import POINTS_ANSWERED, POINTS_MEASURED, WINDOW, Kept, kept, readings_at
from server.rules.occasions import Agreed, occasions
from server.rules.plans import Measure, Plan
from server.rules.windows import UnheardSpan, ZoneSpan, to_us

BEGIN = datetime(2026, 6, 1, tzinfo=UTC)
NOW = BEGIN + timedelta(days=7)
PLAN = Plan(items=(Measure(kind="measure", of="blood_pressure", at=("07:30", "19:30"), readings=2),))
PLANNED = occasions([Agreed(since=BEGIN, plan=PLAN)], [ZoneSpan(valid_from=BEGIN, zone="UTC")], begin=BEGIN, end=NOW)


def judged(measured: Sequence[datetime], *, unheard: Sequence[UnheardSpan] = (), answers: int = 0) -> Kept:
    instants = {"blood_pressure": np.array(sorted(map(to_us, measured)), np.int64)}
    return kept(PLANNED, instants, unheard=unheard, answers=answers, now=NOW)


def test_one_reading_near_its_time_keeps_an_occasion_and_two_keep_it_whole() -> None:
    morning, evening = PLANNED[0].at, PLANNED[1].at
    found = judged([morning - timedelta(hours=1), evening + timedelta(minutes=1), evening + timedelta(minutes=2)])
    assert (found.planned, found.measured, found.whole) == (14, 2, 1)
    assert found.share == 2 / 14
    assert found.points == 2 * POINTS_MEASURED


def test_a_reading_far_from_every_time_keeps_none() -> None:
    assert judged([PLANNED[0].at + WINDOW + timedelta(seconds=1)]).measured == 0


def test_what_could_not_be_heard_is_held_against_nobody() -> None:
    first_day = UnheardSpan(began=BEGIN, ended=BEGIN + timedelta(days=1))
    found = judged([each.at for each in PLANNED[2:]], unheard=[first_day])
    assert (found.unknown, found.share, found.streak_days) == (2, 1.0, 6)


def test_a_day_that_was_missed_ends_a_streak_and_an_evening_does_not() -> None:
    days = [each.at for each in PLANNED]
    assert judged(days[0:6:2]).longest_days == 3
    assert judged(days[0:6:2]).streak_days == 0
    assert judged([*days[0:4:2], *days[8:]]).streak_days == 3


def test_an_answer_earns_the_same_whatever_it_is() -> None:
    assert judged([], answers=3).points == 3 * POINTS_ANSWERED


def test_no_value_can_come_in() -> None:
    for function in (kept, readings_at, keeping.count_readings):
        assert not {"value", "systolic", "reading", "window"} & set(inspect.signature(function).parameters)


@given(
    measured=st.lists(st.integers(0, 7 * 24 * 60).map(lambda minute: BEGIN + timedelta(minutes=minute)), max_size=40)
)
def test_each_reading_counts_for_the_nearest_occasion_and_for_one_alone(measured: list[datetime]) -> None:
    instants = np.array(sorted(map(to_us, measured)), np.int64)
    planned = np.array([to_us(each.at) for each in PLANNED], np.int64)
    counts = readings_at(planned, instants, window_us=int(WINDOW / timedelta(microseconds=1)))
    near = [min(abs(at - each.at) for each in PLANNED) <= WINDOW for at in measured]
    assert counts.sum() == sum(near)
    assert judged(measured).measured == sum(
        any(
            abs(at - each.at) <= WINDOW and min(abs(at - o.at) for o in PLANNED) == abs(at - each.at) for at in measured
        )
        for each in PLANNED
    )
