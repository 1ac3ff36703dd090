"""Any order, repeats, batches and restarts end in the same episodes, retracted ones aside (architecture, section 8)."""

from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from random import Random

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from unit.rules import (
    absence_histories,
    combined_histories,
    glucose_histories,
    histories,
    trend_histories,
    value_histories,
    weight_histories,
)
from unit.rules.clinic import Clinic, fresh_view

from server.oracle.shapes import OraclePatient
from server.rules.episodes import Change
from server.rules.load import load_catalog
from server.rules.rule import RuleFile, RuleSet
from server.rules.windows import window_of

CATALOG = load_catalog()
TRENDS = ("rolling", "count_of_last", "change")
SINGLE = "single_value"
COMBINED = "combined"
GUESTS = "guests"
"""Not a kind of rule: a trend of weights, of which some are somebody else's."""


def check_order(random: Random, *, days: int = 18, kind: str | None = None) -> int:
    """Play one patient's readings in an order of their own and compare with judging all of them at the end."""
    made, rules = _drawn(random, kind, days)
    history = histories.history_of(made)
    clinic = Clinic(replace(history, window=window_of(())), rules)
    now = min((r.measured_at for r in made.readings), default=histories.some_now(random, made))
    clinic.enrol(min(now, datetime.combine(made.enrolled_on, time(12), UTC)))
    for batch in _batches(random, [histories.row_of(r) for r in made.readings]):
        now = max(now, *(row.measured_at for row in batch)) + timedelta(minutes=random.choice((0, 1, 45, 600)))
        clinic.take(batch, now)
    end = now + timedelta(days=random.choice((0, 1, 20)))
    clinic.wait_until(end)
    clinic.judge(end, since=end)
    assert clinic.says() == fresh_view(history, rules, end)
    return sum(t.change is Change.RETRACT for t in clinic.transitions)


def _drawn(random: Random, kind: str | None, days: int) -> tuple[OraclePatient, RuleSet]:
    """A patient, and the catalog or a rule of this kind."""
    if kind is None:
        return histories.patient(random, days=days), CATALOG
    if kind in TRENDS:
        trend = trend_histories.some_rule(random, kind)
        text, made = trend.text, trend_histories.some_patient(random, trend.signals, days=days)
    elif kind == GUESTS:
        trend = trend_histories.some_rule(random, random.choice(TRENDS), signals=("weight",))
        text, made = trend.text, weight_histories.some_patient(random, days=days)
    elif kind == COMBINED:
        combined = combined_histories.some_rule(random)
        text, made = combined.text, combined_histories.some_patient(random, combined, days=days)
    elif kind in absence_histories.KINDS:
        text = absence_histories.some_rule(random, kind)
        made = absence_histories.some_patient(random, text, days=days)
    elif kind == SINGLE:
        drawn = value_histories.some_rule(random)
        text, made = drawn.text, replace(value_histories.some_patient(random, drawn, days=days), judged_from=None)
    else:
        text, signal = glucose_histories.some_rule(random, kind)
        made = glucose_histories.some_patient(random, signal, days=days)
    return made, RuleSet(RuleFile.model_validate(yaml.safe_load(text)).rules)


def _batches(random: Random, rows: list[histories.Row]) -> list[list[histories.Row]]:
    """All rows in batches: in order, or displaced by some places, or backwards; some of them come twice."""
    order = sorted(rows, key=lambda row: row.measured_at)
    match random.choice(("in order", "displaced", "displaced", "shuffled", "reversed")):
        case "displaced":
            order = [row for _, row in sorted(enumerate(order), key=lambda at: at[0] + random.choice((0, 0, 3, 12)))]
        case "shuffled":
            random.shuffle(order)
        case "reversed":
            order.reverse()
    batches = []
    while order:
        size = random.choice((1, 1, 2, 7))
        batches.append(order[:size] + random.choices(rows, k=random.choice((0, 0, 2))))
        order = order[size:]
    return batches


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**63).map(Random))
def test_any_order_batch_and_repeat_ends_in_the_same_episodes(random: Random) -> None:
    check_order(random)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**63).map(Random))
def test_a_long_history_seen_through_a_view_ends_in_the_same_episodes(random: Random) -> None:
    check_order(random, days=80)


@pytest.mark.parametrize("kind", TRENDS)
@settings(max_examples=100, deadline=None)
@given(random=st.integers(0, 2**63).map(Random))
def test_trends_in_any_order_end_in_the_same_episodes(kind: str, random: Random) -> None:
    check_order(random, days=50, kind=kind)


@settings(max_examples=100, deadline=None)
@given(random=st.integers(0, 2**63).map(Random))
def test_weights_some_of_them_of_guests_in_any_order_end_in_the_same_episodes(random: Random) -> None:
    check_order(random, days=50, kind=GUESTS)


@pytest.mark.parametrize("kind", glucose_histories.KINDS)
@settings(max_examples=60, deadline=None)
@given(random=st.integers(0, 2**63).map(Random))
def test_glucose_over_time_in_any_order_ends_in_the_same_episodes(kind: str, random: Random) -> None:
    check_order(random, days=40, kind=kind)


@settings(max_examples=200, deadline=None)
@given(random=st.integers(0, 2**63).map(Random))
def test_single_values_of_any_signal_end_in_the_same_episodes(random: Random) -> None:
    check_order(random, days=12, kind=SINGLE)


@pytest.mark.parametrize("kind", absence_histories.KINDS)
@settings(max_examples=60, deadline=None)
@given(random=st.integers(0, 2**63).map(Random))
def test_what_was_not_measured_is_the_same_in_any_order(kind: str, random: Random) -> None:
    check_order(random, days=45, kind=kind)


@settings(max_examples=60, deadline=None)
@given(random=st.integers(0, 2**63).map(Random))
def test_conditions_joined_in_any_order_end_in_the_same_episodes(random: Random) -> None:
    check_order(random, days=24, kind=COMBINED)


def test_the_orders_that_are_tried_do_take_alerts_back() -> None:
    assert sum(check_order(Random(seed)) for seed in range(40)) > 2
