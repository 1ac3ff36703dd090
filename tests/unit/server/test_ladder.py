"""The table of who is told next: bounded by what is promised, and never waiting for somebody who is not there."""

from datetime import UTC, datetime, timedelta
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.push.ladder import LADDERS, steps
from server.rules.episodes import Priority

TOLD_AT = datetime(2026, 11, 22, 8, 0, tzinfo=UTC)
PROMISE = timedelta(minutes=10)
"""Of a critical value: a clinician's decision (clinical 1.5)."""

priorities = st.sampled_from(sorted(LADDERS))


def told(priority: str, *, doctor: bool = True, backup: bool = True) -> list[tuple[str, timedelta]]:
    found = steps(priority, told_at=TOLD_AT, is_doctor_reachable=doctor, has_backup=backup)
    return [(due.whom, due.due_at - TOLD_AT) for due in found]


def test_every_priority_has_its_ladder() -> None:
    assert set(LADDERS) == set(get_args(Priority))


def test_everybody_has_been_told_of_a_critical_value_while_there_is_time_to_decide() -> None:
    assert told("high") == [("backup", timedelta(minutes=3)), ("desk", timedelta(minutes=6))]
    assert told("high")[-1][1] < PROMISE


def test_an_unconfirmed_one_goes_to_the_backup_after_half_an_hour_and_to_the_desk_after_two() -> None:
    assert told("medium") == [("backup", timedelta(minutes=30)), ("desk", timedelta(hours=2))]


@pytest.mark.parametrize("priority", ["low", "information"])
def test_a_trend_wakes_nobody_else(priority: str) -> None:
    assert told(priority) == []


def test_without_a_backup_the_desk_is_told_at_the_backups_time() -> None:
    assert told("high", backup=False) == [("desk", timedelta(minutes=3))]


def test_without_a_doctor_the_backup_is_told_at_once() -> None:
    assert told("medium", doctor=False) == [("backup", timedelta(0)), ("desk", timedelta(hours=2))]
    assert told("medium", doctor=False, backup=False) == [("desk", timedelta(minutes=30))]


@given(priorities, st.booleans(), st.booleans())
def test_steps_follow_each_other_and_none_is_before_the_doctor(priority: str, doctor: bool, backup: bool) -> None:
    found = told(priority, doctor=doctor, backup=backup)
    assert [after for _, after in found] == sorted({after for _, after in found})
    assert all(after >= timedelta(0) for _, after in found)
    assert ("backup" in dict(found)) <= backup
    assert bool(found) == bool(LADDERS[priority]), "without a backup the desk remains"


@given(priorities, st.booleans())
def test_who_is_missing_never_makes_anybody_wait_longer(priority: str, doctor: bool) -> None:
    full = told(priority)
    for found in (told(priority, doctor=doctor, backup=False), told(priority, doctor=False)):
        assert all(sooner <= later for (_, sooner), (_, later) in zip(found, full, strict=False))
