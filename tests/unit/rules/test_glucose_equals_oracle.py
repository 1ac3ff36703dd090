"""The rules about glucose over time (range_share, lasting) against the oracle: any rule, any history, the same episodes."""

from collections import Counter
from dataclasses import replace
from datetime import timedelta
from random import Random

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from unit.rules import glucose_histories, histories
from unit.rules.glucose_histories import COMPARISONS, KINDS, RULE
from unit.rules.test_engine_equals_oracle import both_of, check

from server.oracle.shapes import OraclePatient, OracleThreshold


def drawn(random: Random, kind: str) -> tuple[str, OraclePatient]:
    """A rule, and a patient; now and then with a number of their own, now and then seen only from some day on."""
    text, signal = glucose_histories.some_rule(random, kind)
    made = glucose_histories.some_patient(random, signal)
    (written,) = yaml.safe_load(text)["rules"]
    if random.random() < 0.2:
        (value,) = (written["when"][word] for word in COMPARISONS if word in written["when"])
        own = OracleThreshold(version=3, parameters={"value": value * random.choice((1, 1.01, 0.9))})
        made = replace(made, thresholds={RULE: own})
    if random.random() < 0.2 and made.readings:
        cut = random.choice(made.readings).measured_at + random.choice((timedelta(0), timedelta(hours=-9)))
        made = replace(made, judged_from=cut)
    return text, made


def check_glucose(random: Random, kind: str) -> int:
    text, made = drawn(random, kind)
    return check(made, *both_of(text), histories.some_now(random, made))


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=400, deadline=None)
@given(random=st.integers(0, 2**63).map(Random))
def test_the_episodes_of_a_glucose_rule_equal_the_oracles(kind: str, random: Random) -> None:
    check_glucose(random, kind)


@pytest.mark.parametrize("kind", KINDS)
def test_the_made_up_glucose_does_fire(kind: str) -> None:
    found = Counter(min(check_glucose(Random(seed), kind), 2) for seed in range(150))
    assert found[0] > 10
    assert found[1] > 20
    assert found[2] > 0
