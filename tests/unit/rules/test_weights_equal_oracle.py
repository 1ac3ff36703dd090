"""Whose a weight is, by the engine and by the oracle: the same ones are doubted, and trends of weight see the same episodes."""

from collections import Counter
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from unit.rules import histories, trend_histories, weight_histories
from unit.rules.clinic import Clinic, fresh_view
from unit.rules.test_engine_equals_oracle import both_of, check

from server.oracle.chart import chart_of
from server.oracle.shapes import OraclePatient, OracleReading
from server.rules.engine import judge, reach_days
from server.rules.episodes import Finding
from server.rules.features import features_of
from server.rules.rule import RuleSet
from server.rules.windows import ACCEPTED, SUSPECT, WEIGHT, window_of

KINDS = ("change", "rolling", "count_of_last")


def check_doubts(random: Random) -> int:
    """How many weights are doubted."""
    made = weight_histories.some_patient(random)
    now = histories.some_now(random, made)
    features = features_of(histories.history_of(made), now=now)
    window = features.history.window
    is_doubted = (window.kind == WEIGHT) & (window.quality == ACCEPTED) & (features.quality == SUSPECT)
    doubted = {str(each) for each, it_is in zip(window.reading_ids, is_doubted, strict=True) if it_is}
    assert doubted == chart_of(made, now).others
    return len(doubted)


def check_weight(random: Random, kind: str) -> int:
    """A trend of weight; now and then seen only from some day on."""
    drawn = trend_histories.some_rule(random, kind, signals=("weight",))
    made = weight_histories.some_patient(random)
    if random.random() < 0.2 and made.readings:
        cut = random.choice(made.readings).measured_at + random.choice((timedelta(0), timedelta(hours=-9)))
        made = replace(made, judged_from=cut)
    return check(made, *both_of(drawn.text), histories.some_now(random, made))


def check_view(random: Random, kind: str) -> int:
    """With no more readings than the store loads the engine says what it says with all of them."""
    rules, _ = both_of(trend_histories.some_rule(random, kind, signals=("weight",)).text)
    made = weight_histories.some_patient(random, days=60)
    if not made.readings:
        return 0
    now, since = histories.some_now(random, made), random.choice(made.readings).measured_at
    return len(_seen_alike(made, rules, since, now))


def _seen_alike(made: OraclePatient, rules: RuleSet, since: datetime, now: datetime) -> tuple[Finding, ...]:
    from_there = since - timedelta(days=reach_days(rules))
    whole = replace(made, judged_from=since)
    seen = replace(whole, readings=tuple(r for r in made.readings if r.measured_at >= from_there))
    said, of_all = (judge(histories.history_of(each), rules, now=now).findings for each in (seen, whole))
    assert said == of_all
    return said


HEAVY = """
rules:
  - id: heavy
    version: 1
    title: {en: t, zh: t}
    source: made up
    when: {kind: rolling, statistic: highest, over: {days: 1}, min_readings: 1, any_of: [{signal: weight, above: 90, unit: kg}]}
    resolve: {below_by: 0}
    priority: low
    tell: [doctor]
"""
FIRST = datetime(2026, 3, 1, 3, tzinfo=UTC)


def _somebody(*weighed: tuple[timedelta, str]) -> OraclePatient:
    """With these weights, so long after `FIRST`."""
    readings = tuple(
        OracleReading(
            name=histories.name_of(number),
            kind="weight",
            measured_at=FIRST + after,
            received_at=FIRST + after,
            weight_kg=Fraction(kg),
        )
        for number, (after, kg) in enumerate(weighed)
    )
    zones = ((datetime(2020, 1, 1, tzinfo=UTC), "UTC"),)
    return OraclePatient(readings=readings, zones=zones, enrolled_on=date(2026, 2, 1))


def test_what_is_believed_through_the_one_before_it_is_believed_in_every_view() -> None:
    """92 is far from 86.1, and so is 91 three days before it, but only by the weights of two weeks before that."""
    day, hour = timedelta(days=1), timedelta(hours=1)
    lighter = [(each * hour, "80") for each in range(1, 6)]
    nearer = [(each * day, "86.1") for each in (7, 8, 9)]
    made = _somebody(*lighter, *nearer, (14 * day, "91"), (17 * day, "92"))
    rules, oracles = both_of(HEAVY)
    since, now = FIRST + 17 * day - timedelta(minutes=1), FIRST + 18 * day
    (finding,) = _seen_alike(made, rules, since, now)
    assert finding.started_at == FIRST + 17 * day
    assert check(replace(made, judged_from=since), rules, oracles, now) == 1


def test_what_is_believed_after_three_days_goes_on_with_the_alert_that_ended_a_week_before_it() -> None:
    """91 on two days, 80 again from the 8th day on, and 91 not quite a week later, believed with the 91 three days after."""
    day = timedelta(days=1)
    weights = [*["80"] * 5, "91", "91", *["80"] * 7]
    week = timedelta(days=7, minutes=-30)
    made = _somebody(
        *((each * day, kg) for each, kg in enumerate(weights)), (7 * day + week, "91"), (10 * day + week, "91")
    )
    history, (rules, _) = histories.history_of(made), both_of(HEAVY)
    clinic = Clinic(replace(history, window=window_of(())), rules)
    for reading in made.readings:
        clinic.take([histories.row_of(reading)], reading.measured_at)
    (episode,) = fresh_view(history, rules, made.readings[-1].measured_at)
    assert clinic.says() == [episode]


@settings(max_examples=200, deadline=None)
@given(random=st.integers(0, 2**63).map(Random))
def test_the_weights_that_are_doubted_are_the_oracles(random: Random) -> None:
    check_doubts(random)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=80, deadline=None)
@given(random=st.integers(0, 2**63).map(Random))
def test_the_episodes_of_a_trend_of_weight_equal_the_oracles(kind: str, random: Random) -> None:
    check_weight(random, kind)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=40, deadline=None)
@given(random=st.integers(0, 2**63).map(Random))
def test_through_a_view_the_same_is_said(kind: str, random: Random) -> None:
    check_view(random, kind)


def test_the_made_up_weights_are_doubted_and_do_fire() -> None:
    doubted = Counter(min(check_doubts(Random(seed)), 2) for seed in range(100))
    assert doubted[0] > 1
    assert doubted[2] > 50
    assert sum(check_weight(Random(seed), KINDS[seed % 3]) for seed in range(90)) > 40
