"""The trend rules (rolling, count_of_last, change) against the oracle: any rule, any history, the same episodes to the µs."""

from collections import Counter
from dataclasses import replace
from datetime import timedelta
from random import Random

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from unit.rules import histories, trend_histories
from unit.rules.test_engine_equals_oracle import both_of, check
from unit.rules.trend_histories import CENTRES, RULE, Drawn

from server.oracle.shapes import OraclePatient, OracleThreshold

TRENDS = ("rolling", "count_of_last", "change")


def drawn(random: Random, kind: str) -> tuple[Drawn, OraclePatient]:
    """A rule, and a patient; now and then with a threshold of their own, now and then seen only from some day on."""
    rule = trend_histories.some_rule(random, kind)
    made = trend_histories.some_patient(random, rule.signals)
    (written,) = yaml.safe_load(rule.text)["rules"]
    if random.random() < 0.2:
        own = OracleThreshold(version=3, parameters=_own(random, written["when"]))
        made = replace(made, thresholds={RULE: own})
    if random.random() < 0.2 and made.readings:
        cut = random.choice(made.readings).measured_at + random.choice((timedelta(0), timedelta(hours=-9)))
        made = replace(made, judged_from=cut)
    return rule, made


def _own(random: Random, when: dict[str, object]) -> dict[str, float]:
    """A number for one of the things that the rule compares."""
    if when["kind"] == "change":
        return {"rises_by" if "rises_by" in when else "falls_by": CENTRES[str(when["signal"])][3]}
    conditions = when["any_of"]
    assert isinstance(conditions, list)
    condition = random.choice(conditions)
    (value,) = (condition[word] for word in ("above", "at_least", "below", "at_most") if word in condition)
    return {condition["signal"]: value * random.choice((1, 1.01))}


def check_trend(random: Random, kind: str) -> int:
    rule, made = drawn(random, kind)
    return check(made, *both_of(rule.text), histories.some_now(random, made))


@pytest.mark.parametrize("kind", TRENDS)
@settings(max_examples=400, deadline=None)
@given(random=st.integers(0, 2**63).map(Random))
def test_the_episodes_of_a_trend_equal_the_oracles(kind: str, random: Random) -> None:
    check_trend(random, kind)


@pytest.mark.parametrize("kind", TRENDS)
def test_the_made_up_trends_do_fire(kind: str) -> None:
    found = Counter(min(check_trend(Random(seed), kind), 2) for seed in range(150))
    assert found[0] > 10
    assert found[1] > 20
    assert found[2] > 0
