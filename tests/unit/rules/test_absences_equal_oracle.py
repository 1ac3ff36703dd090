"""Silences and schedules against the oracle: any gaps, any time at which nobody could hear, seen whole or from some day on."""

from collections import Counter
from dataclasses import replace
from datetime import timedelta
from random import Random
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from unit.rules import absence_histories, histories
from unit.rules.absence_histories import KINDS
from unit.rules.test_engine_equals_oracle import both_of, check, told_by

from server.oracle.shapes import OraclePatient
from server.rules.engine import judge, reach_days


def drawn(random: Random, kind: str) -> tuple[str, OraclePatient]:
    text = absence_histories.some_rule(random, kind)
    return text, absence_histories.some_patient(random, text)


def check_absence(random: Random, kind: str) -> int:
    """Now and then with a view that begins on some day, and what is known of before; or with less than is known of before."""
    text, made = drawn(random, kind)
    if random.random() < 0.15:
        made = histories.flown_west(random, made)
    now = absence_histories.some_now(random, made)
    if random.random() < 0.3 and made.readings:
        since = random.choice(made.readings).measured_at + random.choice((0, -9, 11, 100)) * timedelta(hours=1)
        before = timedelta(days=random.choice((0, 1, 7, 30)))
        made = replace(absence_histories.cut(made, since - before), judged_from=since)
    return check(made, *both_of(text), now)


def check_view(random: Random, kind: str) -> int:
    """Through a view of what the store loads, the engine says of the days that it judges what it says with all in view."""
    text, made = drawn(random, kind)
    if not made.readings:
        return 0
    rules, _ = both_of(text)
    now = absence_histories.some_now(random, made)
    since = random.choice(made.readings).measured_at + timedelta(hours=random.choice((0, -9, 100, 240)))
    whole = replace(made, judged_from=since)
    seen = replace(absence_histories.cut(made, since - timedelta(days=reach_days(rules))), judged_from=since)
    said, of_all = (_said(each, text, now) for each in (seen, whole))
    assert said == of_all
    return len(said)


def _said(made: OraclePatient, text: str, now: Any) -> list[dict[str, Any]]:
    return [told_by(finding) for finding in judge(histories.history_of(made), both_of(text)[0], now=now).findings]


def check_timer(random: Random, kind: str) -> int:
    """Until the timer time alone changes nothing; whether something has changed at it."""
    text, made = drawn(random, kind)
    rules, _ = both_of(text)
    now = absence_histories.some_now(random, made)
    history = histories.history_of(replace(made, unheard=tuple(span for span in made.unheard if span[1] is not None)))
    judged = judge(history, rules, now=now)
    if judged.next_due_at is None or any(now < at <= judged.next_due_at for at, _ in made.zones):
        return 0
    before = judge(history, rules, now=judged.next_due_at - timedelta(microseconds=1))
    assert [told_by(each) for each in before.findings] == [told_by(each) for each in judged.findings]
    at = judge(history, rules, now=judged.next_due_at)
    return [told_by(each) for each in at.findings] != [told_by(each) for each in judged.findings]


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=200, deadline=None)
@given(random=st.integers(0, 2**63).map(Random))
def test_what_was_not_measured_equals_the_oracles(kind: str, random: Random) -> None:
    check_absence(random, kind)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=100, deadline=None)
@given(random=st.integers(0, 2**63).map(Random))
def test_through_a_view_the_same_is_said(kind: str, random: Random) -> None:
    check_view(random, kind)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=100, deadline=None)
@given(random=st.integers(0, 2**63).map(Random))
@example(random=Random(2854)).via("a reading of a clock that is ahead, and a silence before it")
def test_time_alone_changes_nothing_before_the_timer(kind: str, random: Random) -> None:
    check_timer(random, kind)


@pytest.mark.parametrize("kind", KINDS)
def test_the_made_up_gaps_do_fire(kind: str) -> None:
    found = Counter(min(check_absence(Random(seed), kind), 2) for seed in range(100))
    assert found[0] > 5
    assert found[1] > 20
    assert found[2] > 1
    assert sum(check_view(Random(seed), kind) for seed in range(50)) > 15
    assert sum(check_timer(Random(seed), kind) for seed in range(50)) > 5
