"""The catalog as it is, several rules at once, against the oracle: somebody who measures many things, with some gaps."""

from dataclasses import replace
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st
from unit.rules import absence_histories, histories, trend_histories
from unit.rules.test_engine_equals_oracle import CATALOG, ORACLES, check

from server.oracle.shapes import OracleThreshold

CHOSEN = OracleThreshold(version=1, parameters={}, is_watched=True)


def check_catalog(random: Random) -> int:
    """Some of the rules, chosen for a patient who measures some of what there are signals for."""
    oracles = tuple(random.sample(ORACLES, 6))
    ids = tuple(rule.id for rule in oracles)
    signals = random.sample(tuple(trend_histories.CENTRES), random.choice((2, 4, 8)))
    made = trend_histories.some_patient(random, signals, days=40)
    made = replace(
        made, readings=tuple(absence_histories.with_gaps(random, made)), thresholds=dict.fromkeys(ids, CHOSEN)
    )
    made = replace(made, unheard=absence_histories.some_unheard(random, made, 6))
    return check(made, CATALOG.only(ids), oracles, histories.some_now(random, made))


@settings(max_examples=80, deadline=None)
@given(random=st.integers(0, 2**63).map(Random))
def test_the_alerts_of_the_catalog_equal_the_oracles(random: Random) -> None:
    check_catalog(random)


def test_rules_of_the_catalog_do_fire() -> None:
    assert sum(check_catalog(Random(seed)) for seed in range(40)) > 10
