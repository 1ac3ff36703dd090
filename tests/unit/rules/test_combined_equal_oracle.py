"""Combined rules against the oracle: any conditions joined in any way, any history, the same episodes to the µs."""

from collections import Counter
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from random import Random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from unit.rules import combined_histories, histories
from unit.rules.combined_histories import RULE
from unit.rules.test_engine_equals_oracle import both_of, check, told_by_state

from server.oracle import rules as oracle_rules
from server.oracle.shapes import OraclePatient, OracleReading, OracleThreshold
from server.rules.engine import judge, reach_days


def drawn(random: Random) -> tuple[str, OraclePatient]:
    """A rule, and a patient; now and then one for whom it was chosen or left out, or who is seen only from some day on."""
    rule = combined_histories.some_rule(random)
    made = combined_histories.some_patient(random, rule)
    if random.random() < 0.2:
        made = histories.flown_west(random, made)
    if random.random() < 0.1:
        own = OracleThreshold(version=3, parameters={}, is_watched=random.choice((None, True, False)))
        made = replace(made, thresholds={RULE: own})
    if random.random() < 0.2 and made.readings:
        cut = random.choice(made.readings).measured_at + random.choice((timedelta(0), timedelta(hours=-9)))
        made = replace(made, judged_from=cut)
    return rule.text, made


def check_combined(random: Random) -> int:
    text, made = drawn(random)
    return check(made, *both_of(text), histories.some_now(random, made))


def check_timer(random: Random) -> None:
    """A sitting that a condition waits for is over at the timer, and not before."""
    text, made = drawn(random)
    rules, _ = both_of(text)
    now = histories.some_now(random, made)
    history = histories.history_of(made)
    judged = judge(history, rules, now=now)
    if judged.next_due_at is None or any(now < at <= judged.next_due_at for at, _ in made.zones):
        return
    just_before = judged.next_due_at - timedelta(microseconds=1)
    later: list[tuple[Any, ...]] = [told_by_state(f) for f in judge(history, rules, now=just_before).findings]
    assert later == [told_by_state(f) for f in judged.findings]


@settings(max_examples=200, deadline=None)
@given(random=st.integers(0, 2**63).map(Random))
def test_the_episodes_of_a_combined_rule_equal_the_oracles(random: Random) -> None:
    check_combined(random)


@settings(max_examples=40, deadline=None)
@given(random=st.integers(0, 2**63).map(Random))
def test_time_alone_changes_nothing_before_the_timer(random: Random) -> None:
    check_timer(random)


EITHER = """
rules:
  - id: combined
    version: 1
    title: {en: t, zh: t}
    source: made up
    when:
      kind: combined
      within: {days: 1}
      any_of:
        - kind: rolling
          statistic: highest
          over: {hours: 1}
          min_readings: 1
          any_of: [{signal: temperature, above: 38, unit: °C}]
        - {kind: rolling, statistic: lowest, over: {hours: 1}, min_readings: 1, any_of: [{signal: spo2, below: 92, unit: "%"}]}
    resolve: {by: parts}
    priority: low
    tell: [doctor]
"""


def test_its_last_day_is_never_before_its_first_though_somebody_flies_into_yesterday() -> None:
    """Hot on the 11th in Auckland, and after that low on the 10th in Los Angeles."""
    moved = datetime(2026, 3, 11, 7, 30, tzinfo=UTC)
    first, second = moved - timedelta(hours=15), moved + timedelta(minutes=30)
    hot, low = (
        OracleReading(
            name=histories.name_of(0),
            kind="temperature",
            measured_at=first,
            received_at=first,
            temperature_celsius=Fraction(39),
        ),
        OracleReading(
            name=histories.name_of(1),
            kind="oxygen_saturation",
            measured_at=second,
            received_at=second,
            spo2_percent=Fraction(90),
        ),
    )
    zones = ((datetime(2020, 1, 1, tzinfo=UTC), "Pacific/Auckland"), (moved, "America/Los_Angeles"))
    made = OraclePatient(readings=(hot, low), zones=zones, enrolled_on=date(2026, 2, 1))
    rules, oracles = both_of(EITHER)
    now = second + timedelta(hours=1)
    assert check(made, rules, oracles, now) == 1
    (finding,) = judge(histories.history_of(made), rules, now=now).findings
    assert finding.first_day == finding.last_day == date(2026, 3, 11)


def test_the_view_goes_as_far_back_as_the_widest_condition() -> None:
    (rules, oracles), (wider, wider_oracles) = (
        both_of(EITHER),
        both_of(EITHER.replace("over: {hours: 1}", "over: {days: 40}", 1)),
    )
    assert reach_days(wider) - reach_days(rules) == 38
    assert (oracle_rules.reach_days(oracles), oracle_rules.reach_days(wider_oracles)) == (2, 40)


def test_the_made_up_conditions_do_hold_together() -> None:
    found = Counter(min(check_combined(Random(seed)), 2) for seed in range(120))
    assert found[0] > 10
    assert found[1] > 20
    assert found[2] > 1
