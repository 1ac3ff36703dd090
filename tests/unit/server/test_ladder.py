"""The table of who is told next: bounded by what is promised, and never waiting for somebody who is not there."""

import json
from datetime import UTC, datetime, timedelta
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.push.ladder import LADDERS, Rung, check, kept, read, steps
from server.rules.episodes import Priority
from vitals.errors import MalformedError

TOLD_AT = datetime(2026, 11, 22, 8, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
PROMISE = timedelta(minutes=10)
"""Of a critical value: a clinician's decision (clinical 1.5)."""

priorities = st.sampled_from(sorted(LADDERS))


def told(priority: str, *, doctor: bool = True, backup: bool = True) -> list[tuple[str, timedelta]]:
    found = steps(LADDERS[priority], told_at=TOLD_AT, is_doctor_reachable=doctor, has_backup=backup)
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


def test_the_supervisor_is_told_with_the_desk_where_the_clinic_has_one() -> None:
    found = steps(LADDERS["high"], told_at=TOLD_AT, is_doctor_reachable=True, has_backup=True, has_supervisor=True)
    assert [(due.whom, due.due_at - TOLD_AT) for due in found][1:] == [("supervisor", 6 * MINUTE), ("desk", 6 * MINUTE)]


@pytest.mark.parametrize(
    ("own", "found"),
    [
        ([("backup", 3), ("supervisor", 6)], [("backup", 3), ("desk", 6)]),
        ([("backup", 3), ("supervisor", 6), ("desk", 300)], [("backup", 3), ("desk", 6), ("desk", 300)]),
        ([("supervisor", 3), ("backup", 4), ("supervisor", 6)], [("desk", 3), ("backup", 4)]),
        ([("backup", 3), ("desk", 5), ("supervisor", 6)], [("backup", 3), ("desk", 5)]),
    ],
)
def test_a_supervisor_who_cannot_be_told_leaves_the_step_to_the_desk(
    own: list[tuple[str, int]], found: list[tuple[str, int]]
) -> None:
    rungs = [rung(whom, after) for whom, after in own]
    check({"high": rungs}, 7)
    climbed = steps(rungs, told_at=TOLD_AT, is_doctor_reachable=True, has_backup=True, has_supervisor=False)
    assert [(due.whom, due.due_at - TOLD_AT) for due in climbed] == [(whom, after * MINUTE) for whom, after in found]
    alone = steps(rungs, told_at=TOLD_AT, is_doctor_reachable=True, has_backup=False, has_supervisor=False)
    assert [(due.whom, due.due_at - TOLD_AT) for due in alone][:1] == [("desk", 3 * MINUTE)]


def test_what_became_urgent_late_has_told_everybody_a_minute_before_the_ten_are_over() -> None:
    """Red after five minutes without a repeat: three more for the second contact, and the last one not after the ten."""
    red_at = TOLD_AT + 5 * MINUTE
    found = steps(
        LADDERS["high"],
        told_at=red_at,
        is_doctor_reachable=True,
        has_backup=True,
        has_supervisor=True,
        answer_by=TOLD_AT + PROMISE,
    )
    assert [(due.whom, due.due_at - TOLD_AT) for due in found] == [
        ("backup", 8 * MINUTE),
        ("supervisor", 9 * MINUTE),
        ("desk", 9 * MINUTE),
    ]


def rung(whom: str, minutes: float) -> Rung:
    return Rung(whom=whom, after=timedelta(minutes=minutes))


@pytest.mark.parametrize(
    ("rungs", "why"),
    [
        ({"high": [rung("backup", 4), rung("desk", 6)]}, "within 3 minutes"),
        ({"high": [rung("doctor", 1), rung("desk", 6)]}, "within 3 minutes"),
        ({"high": [rung("backup", 3), rung("desk", 7)]}, "within 6 minutes"),
        ({"high": [rung("backup", 3), rung("user:7", 5)]}, "within 6 minutes"),
        ({"high": []}, "within 3 minutes"),
        ({"high": [rung("supervisor", 3)]}, "name the supervisor"),
        ({"medium": [rung("backup", 5)]}, "within 24 hours"),
        ({"low": [rung("desk", 60), rung("backup", 30)]}, "order"),
        ({"low": [rung("nobody", 60)]}, "whom is"),
        ({"low": [rung("desk", 0)]}, "more than 0 seconds"),
        ({"low": [rung("desk", 8 * 24 * 60)]}, "7 days"),
        ({"low": [rung("desk", 60)] * 9}, "at most 8"),
        ({"worst": [rung("desk", 1)]}, "a priority is one of"),
    ],
)
def test_a_ladder_that_cannot_be_or_is_slower_than_the_ten_minutes_allow_is_refused(
    rungs: dict[str, list[Rung]], why: str
) -> None:
    with pytest.raises(MalformedError, match=why):
        check(rungs, None)


def test_the_products_own_ladders_pass_their_own_check_and_survive_being_kept() -> None:
    check(LADDERS, 7)
    assert read(3, json.loads(json.dumps(kept(LADDERS))), 7).rungs == dict(LADDERS)
