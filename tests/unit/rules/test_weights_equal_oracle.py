"""Whose a weight is, by the engine and by the oracle: the same ones are doubted, and trends of weight see the same episodes."""

from collections import Counter
from dataclasses import replace
from datetime import timedelta
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from unit.rules import histories, trend_histories, weight_histories
from unit.rules.test_engine_equals_oracle import both_of, check

from server.oracle.chart import chart_of
from server.rules.features import features_of
from server.rules.windows import ACCEPTED, SUSPECT, WEIGHT

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


@settings(max_examples=200, deadline=None)
@given(random=st.integers(0, 2**63).map(Random))
def test_the_weights_that_are_doubted_are_the_oracles(random: Random) -> None:
    check_doubts(random)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=80, deadline=None)
@given(random=st.integers(0, 2**63).map(Random))
def test_the_episodes_of_a_trend_of_weight_equal_the_oracles(kind: str, random: Random) -> None:
    check_weight(random, kind)


def test_the_made_up_weights_are_doubted_and_do_fire() -> None:
    doubted = Counter(min(check_doubts(Random(seed)), 2) for seed in range(100))
    assert doubted[0] > 1
    assert doubted[2] > 50
    assert sum(check_weight(Random(seed), KINDS[seed % 3]) for seed in range(90)) > 40
