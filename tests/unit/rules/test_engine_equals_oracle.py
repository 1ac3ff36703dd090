"""The engine against the oracle on made-up histories: the same episodes, the same instants, the same numbers."""

from dataclasses import replace
from datetime import datetime
from fractions import Fraction
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from unit.rules import histories, oracle

from server.rules import single_value
from server.rules.engine import judge
from server.rules.episodes import Finding
from server.rules.features import features_of
from server.rules.load import load_catalog
from server.rules.rule import DaysInARowRule, RuleSet
from server.rules.windows import ACCEPTED, PersonalThreshold

CATALOG = load_catalog()
THREE_DAYS = CATALOG.by_id("bp-above-140-90-3-days")
assert isinstance(THREE_DAYS, DaysInARowRule)

VARIANTS: dict[str, tuple[dict[str, Any], oracle.DaysRule]] = {
    "catalog": ({}, oracle.DaysRule()),
    "strict": (
        {"missing_day": "break", "max_span_days": None, "min_readings_per_day": 2},
        oracle.DaysRule(span=3, at_least=2),
    ),
    "maintenance": ({"max_span_days": 21}, oracle.DaysRule(span=21)),
    "or equal": ({"comparison": "at_least"}, oracle.DaysRule(or_equal=True)),
    "two days": ({"days": 2}, oracle.DaysRule(days=2)),
    "one day": ({"days": 1}, oracle.DaysRule(days=1)),
}


def variant(changes: dict[str, Any]) -> RuleSet:
    """The three-day rule with other parameters, through the same strict model."""
    written = THREE_DAYS.model_dump(exclude_none=True)
    changes = dict(changes)
    comparison = changes.pop("comparison", "above")
    for condition in written["when"]["any_of"]:
        condition[comparison] = condition.pop("above")
    written["when"] |= changes
    written["when"] = {key: value for key, value in written["when"].items() if value is not None}
    return RuleSet((DaysInARowRule.model_validate(written),))


def told_by(finding: Finding) -> dict[str, Any]:
    return {
        "state": finding.state,
        "first_day": finding.first_day,
        "last_day": finding.last_day,
        "started_at": finding.started_at,
        "opened_at": finding.opened_at,
        "deliver_at": finding.deliver_at,
        "resolved_at": finding.resolved_at,
        "values": [
            (round(Fraction(day["systolic"]), 2), round(Fraction(day["diastolic"]), 2))
            for day in finding.verdict.numbers["days"]
        ],
    }


def told_by_oracle(episode: dict[str, Any]) -> dict[str, Any]:
    rounded = [
        (round(Fraction(round(float(s), 2)), 2), round(Fraction(round(float(d), 2)), 2)) for s, d in episode["values"]
    ]
    return {key: episode[key] for key in episode if key not in ("run", "resolved_on")} | {"values": rounded}


def check_days(random: Random, name: str) -> int:
    changes, rule = VARIANTS[name]
    made = histories.patient(random)
    now = histories.some_now(random, made)
    history = histories.history_of(made)
    if random.random() < 0.2:
        rule = replace(rule, systolic=Fraction("137.5"), diastolic=Fraction(86))
        personal = PersonalThreshold(version=3, parameters={"systolic": 137.5, "diastolic": 86})
        history = replace(history, thresholds={THREE_DAYS.id: personal})
    found = judge(history, variant(changes), now=now)
    expected = [told_by_oracle(episode) for episode in oracle.days_in_a_row(made, rule, now)]
    assert [told_by(finding) for finding in found.findings] == expected
    return len(expected)


def check_qualities(random: Random) -> None:
    made = histories.patient(random)
    pressures = features_of(histories.history_of(made), now=histories.some_now(random, made)).pressures
    verdict = oracle.qualities(made)
    names = [r.name for r in oracle.usable(made)]
    words = ("invalid", "rejected", "suspect", "accepted")
    assert [words[code] for code in pressures.quality] == [verdict[name] for name in names]
    assert words.index("accepted") == ACCEPTED


def check_single(random: Random) -> int:
    made = histories.patient(random)
    now = histories.some_now(random, made)
    history = histories.history_of(made)
    ids = {str(histories.reading_id(r)): r.name for r in made.readings}
    total = 0
    for rule_id, wanted, late, by in (
        ("bp-critical", {"accepted", "suspect"}, False, "reading_below"),
        ("bp-critical-repeat", {"rejected"}, False, "new_reading"),
        ("bp-critical-late", {"accepted", "suspect", "rejected"}, True, "person"),
    ):
        found = judge(history, CATALOG.only((rule_id,)), now=now).findings
        expected = oracle.critical(made, wanted=wanted, late=late, by=by, now=now)
        assert [
            {
                "state": f.state,
                "opened_at": f.opened_at,
                "resolved_at": f.resolved_at,
                "readings": [ids[reading_id] for reading_id in f.verdict.numbers["reading_ids"]],
                "below": f.verdict.numbers["below_at"] is not None,
            }
            for f in found
        ] == expected
        total += len(expected)
    return total


def check_failed(random: Random) -> None:
    made = histories.patient(random)
    for reading in made.readings:
        reading.absolute = random.choice(("invalid", "accepted"))
    now = histories.some_now(random, made)
    found = judge(histories.history_of(made), CATALOG.only(("check-the-meter",)), now=now).findings
    assert [{"day": f.first_day, "opened_at": f.opened_at, "state": f.state} for f in found] == oracle.failed_days(
        made, now
    )


def check_timer(random: Random) -> None:
    """Between one judging and its `next_due_at` time alone changes nothing; at it, or before, everything is said."""
    made = histories.patient(random)
    now = histories.some_now(random, made)
    history = histories.history_of(made)
    judged = judge(history, CATALOG, now=now)
    end = judged.next_due_at or datetime.max.replace(year=2030, tzinfo=now.tzinfo)
    if not _moves_between(made, now, end):
        just_before = now + (end - now) * 0.999
        later = judge(history, CATALOG, now=just_before)
        assert [told_by_state(f) for f in later.findings] == [told_by_state(f) for f in judged.findings]


def told_by_state(finding: Finding) -> tuple[Any, ...]:
    return finding.rule_id, finding.state, finding.first_day, finding.last_day, finding.resolved_at, finding.priority


def _moves_between(made: oracle.Patient, start: datetime, end: datetime) -> bool:
    return any(start < at <= end for at, _ in made.zones)


randoms = st.integers(0, 2**63).map(Random)


@pytest.mark.parametrize("name", VARIANTS)
@settings(max_examples=120, deadline=None)
@given(random=randoms)
def test_the_episodes_of_a_days_rule_equal_the_oracles(name: str, random: Random) -> None:
    check_days(random, name)


@settings(max_examples=200, deadline=None)
@given(random=randoms)
def test_the_quality_of_every_reading_equals_the_oracles(random: Random) -> None:
    check_qualities(random)


@settings(max_examples=200, deadline=None)
@given(random=randoms)
def test_the_events_of_single_value_rules_equal_the_oracles(random: Random) -> None:
    check_single(random)


@settings(max_examples=100, deadline=None)
@given(random=randoms)
def test_the_days_of_failed_measurements_equal_the_oracles(random: Random) -> None:
    check_failed(random)


@settings(max_examples=150, deadline=None)
@given(random=randoms)
def test_time_alone_changes_nothing_before_the_timer(random: Random) -> None:
    check_timer(random)


def test_the_made_up_histories_do_fire() -> None:
    assert sum(check_days(Random(seed), "catalog") for seed in range(100)) > 30
    assert sum(check_single(Random(seed)) for seed in range(60)) > 60


def test_a_rule_that_looks_at_one_value_says_when_it_ends() -> None:
    made = histories.patient(Random(5))
    features = features_of(histories.history_of(made), now=histories.some_now(Random(5), made))
    rule = CATALOG.by_id("bp-critical-late")
    assert single_value.ends(rule, features, personal={}) == []
