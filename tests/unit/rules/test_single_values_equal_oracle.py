"""Rules about single values against the oracle: any signal, any history, the same events, raised at the same µs."""

from collections import Counter
from datetime import timedelta
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st
from unit.rules import histories, value_histories
from unit.rules.test_engine_equals_oracle import both_of, check

from server.oracle.alerts import alerts_of
from server.rules.engine import judge


def check_values(random: Random) -> int:
    drawn = value_histories.some_rule(random)
    made = value_histories.some_patient(random, drawn)
    return check(made, *both_of(drawn.text), value_histories.some_now(random, made))


@settings(max_examples=600, deadline=None)
@given(st.integers(0, 2**63).map(Random))
def test_the_events_of_one_value_equal_the_oracles(random: Random) -> None:
    check_values(random)


def test_the_made_up_values_do_fire_and_are_raised() -> None:
    found: Counter[str] = Counter()
    for seed in range(200):
        random = Random(seed)
        drawn = value_histories.some_rule(random)
        made = value_histories.some_patient(random, drawn)
        _, oracles = both_of(drawn.text)
        for alert in alerts_of(made, oracles, now=value_histories.some_now(random, made)):
            found[alert.state] += 1
            found["raised"] += alert.raised_at is not None
            found["confirmed"] += alert.confirmed_at is not None
            found["below"] += alert.has_reading_below
    assert min(found[each] for each in ("active", "resolved", "raised", "confirmed", "below")) > 30, found


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**63).map(Random))
def test_time_alone_changes_nothing_before_the_timer(random: Random) -> None:
    """Until the time to repeat is over, or a value is no longer shown, the same is said."""
    drawn = value_histories.some_rule(random)
    made = value_histories.some_patient(random, drawn)
    now = value_histories.some_now(random, made)
    rules, _ = both_of(drawn.text)
    history = histories.history_of(made)
    judged = judge(history, rules, now=now)
    if judged.next_due_at is None or any(now < at <= judged.next_due_at for at, _ in made.zones):
        return
    if any(now < at for at, _ in made.symptoms):
        return  # what is answered later is judged when it comes
    just_before = judged.next_due_at - timedelta(microseconds=1)
    assert judge(history, rules, now=just_before).findings == judged.findings
