"""The engine against the oracle on made-up histories: the same alerts, the same instants, the same numbers.

Both read the same YAML, each by its own reader; both grade the same measurements, each by its own gate.
"""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from random import Random
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from unit.rules import histories

from server.oracle.alerts import alerts_of
from server.oracle.chart import chart_of
from server.oracle.marks import by_itself, inflations
from server.oracle.rules import OracleRule, rules_of
from server.oracle.shapes import Kind, OracleAlert, OraclePatient, OracleReading, OracleThreshold
from server.rules import single_value
from server.rules.engine import judge
from server.rules.episodes import Finding
from server.rules.features import features_of
from server.rules.load import CATALOG as FOLDER
from server.rules.load import is_scenario, load_catalog
from server.rules.rule import RuleFile, RuleSet
from server.rules.windows import ACCEPTED
from vitals.quality import grade
from vitals.reading import KINDS

CATALOG = load_catalog()
TEXTS = [file.read_text(encoding="utf-8") for file in sorted(FOLDER.glob("*.yaml")) if not is_scenario(file)]
ORACLES: tuple[OracleRule, ...] = tuple(rule for text in TEXTS for rule in rules_of(text))
WRITTEN: list[dict[str, Any]] = [rule for text in TEXTS for rule in yaml.safe_load(text)["rules"]]
THREE_DAYS = "bp-above-140-90-3-days"
CRITICAL = ("bp-critical", "bp-critical-repeat", "bp-critical-late")

STRICT = {"missing_day": "break", "max_span_days": None, "min_readings_per_day": 2}
VARIANTS: dict[str, dict[str, Any]] = {
    "catalog": {},
    "strict": STRICT,
    "maintenance": {"max_span_days": 21},
    "or equal": {"comparison": "at_least"},
    "two days": {"days": 2},
    "one day": {"days": 1},
    "five of two": {"days": 5, "max_span_days": 9, "resolve": {"below_by": 2.5, "days": 2}},
    "low": {"comparison": "at_most", "values": (136, 85), "resolve": {"below_by": 0, "days": 1}},
}


def written_as(rule_id: str, changes: dict[str, Any]) -> str:
    """One rule of the catalog with other parameters, as text."""
    changes = dict(changes)
    (rule,) = (yaml.safe_load(yaml.safe_dump(rule)) for rule in WRITTEN if rule["id"] == rule_id)
    comparison, values = changes.pop("comparison", None), changes.pop("values", None)
    for index, condition in enumerate(rule["when"]["any_of"]):
        (word,) = {"above", "at_least", "below", "at_most"} & set(condition)
        value = condition.pop(word)
        condition[comparison or word] = value if values is None else values[index]
    rule["resolve"] |= changes.pop("resolve", {})
    rule["when"] = {key: value for key, value in (rule["when"] | changes).items() if value is not None}
    return yaml.safe_dump({"rules": [rule]})


def both_of(text: str) -> tuple[RuleSet, tuple[OracleRule, ...]]:
    return RuleSet(RuleFile.model_validate(yaml.safe_load(text)).rules), rules_of(text)


FACTS = ("rule_id", "rule_version", "threshold_version", "state", "priority", "first_day", "last_day", "started_at",
         "opened_at", "deliver_at", "resolved_at", "fresh_until")  # fmt: skip
COUNTS = ("of", "days", "measured_days", "needed_days", "of_days", "unknown_days", "since", "at")
"""What rules about absence count, and say when they did."""


def told_by(finding: Finding) -> dict[str, Any]:
    numbers = finding.verdict.numbers
    is_count = "needed_days" in numbers
    return {name: getattr(finding, name) for name in FACTS} | {
        "evidence_at": finding.newest_at,
        "tells": finding.tell,
        "tells_late": finding.tell_late,
        "readings": numbers["reading_ids"],
        "has_reading_below": numbers.get("below_at") is not None,
        "confirmed_at": numbers.get("confirmed_at"),
        "raised_at": (finding.raised_at, numbers.get("raised_at")),
        "values": [] if is_count else [_value(day) for day in numbers.get("days", ())],
        "said": [part["said"] for part in numbers.get("parts", ())],
        "counts": {name: numbers[name] for name in COUNTS if name in numbers} if is_count else {},
    }


def _value(day: dict[str, float]) -> tuple[Fraction, Fraction]:
    return hundredths(day["systolic"]), hundredths(day["diastolic"])


def told_by_oracle(alert: OracleAlert) -> dict[str, Any]:
    return {name: getattr(alert, name) for name in (*FACTS, "evidence_at", "tells", "tells_late")} | {
        "readings": list(alert.reading_ids),
        "has_reading_below": alert.has_reading_below,
        "confirmed_at": _iso(alert.confirmed_at),
        "raised_at": (alert.raised_at, _iso(alert.raised_at)),
        "values": [(hundredths(float(s)), hundredths(float(d))) for s, d in alert.values],
        "said": list(alert.said),
        "counts": {name: _iso(each) if isinstance(each, datetime) else each for name, each in alert.counts.items()},
    }


def _iso(instant: datetime | None) -> str | None:
    return None if instant is None else instant.isoformat()


def hundredths(value: float) -> Fraction:
    return round(Fraction(round(value, 2)), 2)


def check(made: OraclePatient, rules: RuleSet, oracles: tuple[OracleRule, ...], now: datetime) -> int:
    """Both say the same of this patient; how many alerts that were."""
    found = judge(histories.history_of(made), rules, now=now).findings
    expected = alerts_of(made, oracles, now=now)
    assert [told_by(finding) for finding in found] == [told_by_oracle(alert) for alert in expected]
    return len(expected)


def some_patient(random: Random) -> OraclePatient:
    """A made-up patient, now and then with thresholds of their own, now and then seen only from some day on."""
    made = histories.patient(random)
    if random.random() < 0.2:
        own = OracleThreshold(version=3, parameters={"systolic": 137.5, "diastolic": 86})
        made = replace(made, thresholds=dict.fromkeys((THREE_DAYS, *CRITICAL), own))
    if random.random() < 0.2 and made.readings:
        cut = random.choice(made.readings).measured_at + random.choice((timedelta(0), timedelta(hours=-9)))
        made = replace(made, judged_from=cut)
    return made


def check_days(random: Random, name: str) -> int:
    made = some_patient(random)
    return check(made, *both_of(written_as(THREE_DAYS, VARIANTS[name])), histories.some_now(random, made))


def check_qualities(random: Random) -> None:
    made = histories.patient(random)
    now = histories.some_now(random, made)
    pressures = features_of(histories.history_of(made), now=now).pressures
    verdict = chart_of(made, now).quality
    names = [one.name for one in inflations(made.readings)]
    words = ("invalid", "rejected", "suspect", "accepted")
    assert [words[code] for code in pressures.quality] == [verdict[name] for name in names]
    assert words.index("accepted") == ACCEPTED


def check_marks(random: Random) -> str:
    """What intake makes of a measurement of any kind, the oracle makes of it too; which kind it was."""
    at = datetime(2026, 5, 4, tzinfo=UTC)
    made = OracleReading(name=histories.name_of(1), measured_at=at, received_at=at, status=0)
    made = histories.some_other(random, made)
    assert grade(histories.measurement_of(made))[0] == by_itself(made), made
    return made.kind


def check_single(random: Random) -> int:
    made = some_patient(random)
    oracles = tuple(rule for rule in ORACLES if rule.id in CRITICAL)
    return check(made, CATALOG.only(tuple(rule.id for rule in oracles)), oracles, histories.some_now(random, made))


def check_failed(random: Random) -> int:
    made = histories.patient(random)
    readings = [random.choice((histories.failed(random, r), histories.some_other(random, r), r)) for r in made.readings]
    made = replace(made, readings=tuple(readings))
    oracles = tuple(rule for rule in ORACLES if rule.id == "check-the-meter")
    return check(made, CATALOG.only(("check-the-meter",)), oracles, histories.some_now(random, made))


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


def _moves_between(made: OraclePatient, start: datetime, end: datetime) -> bool:
    return any(start < at <= end for at, _ in made.zones)


randoms = st.integers(0, 2**63).map(Random)


@pytest.mark.parametrize("name", VARIANTS)
@settings(max_examples=120, deadline=None)
@given(random=randoms)
def test_the_alerts_of_a_days_rule_equal_the_oracles(name: str, random: Random) -> None:
    check_days(random, name)


@settings(max_examples=200, deadline=None)
@given(random=randoms)
def test_the_quality_of_every_reading_equals_the_oracles(random: Random) -> None:
    check_qualities(random)


@settings(max_examples=1000, deadline=None)
@given(random=randoms)
def test_the_mark_of_a_measurement_of_any_kind_equals_the_oracles(random: Random) -> None:
    check_marks(random)


GOOD: dict[Kind, dict[str, Fraction]] = {
    "blood_pressure": {"systolic_mmhg": Fraction(120), "diastolic_mmhg": Fraction(80)},
    "glucose": {"glucose_mmol_l": Fraction(6)},
    "sensor_glucose": {"glucose_mmol_l": Fraction(6)},
    "oxygen_saturation": {"spo2_percent": Fraction(97)},
}


@pytest.mark.parametrize("kind", GOOD)
def test_every_status_bit_means_the_same_to_both(kind: Kind) -> None:
    at = datetime(2026, 5, 4, tzinfo=UTC)
    good = OracleReading(name=histories.name_of(1), kind=kind, measured_at=at, received_at=at, **GOOD[kind])  # type: ignore[arg-type]
    width = 24 if kind == "sensor_glucose" else 16
    made = [replace(good, status=1 << bit) for bit in range(width)]
    if kind == "oxygen_saturation":
        made += [replace(good, sensor_status=1 << bit) for bit in range(24)]
    marks = [grade(histories.measurement_of(each))[0] for each in made]
    assert marks == [by_itself(each) for each in made]
    assert {"accepted", "rejected"} <= set(marks)


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
    assert sum(check_days(Random(seed), "low") for seed in range(100)) > 30
    assert sum(check_single(Random(seed)) for seed in range(60)) > 60
    assert sum(check_failed(Random(seed)) for seed in range(60)) > 60
    assert {check_marks(Random(seed)) for seed in range(60)} == set(KINDS) - {"blood_pressure"}


def test_the_oracle_reads_every_rule_of_the_catalog() -> None:
    assert {rule.id for rule in ORACLES} == {rule.id for rule in CATALOG.rules}


def test_a_rule_that_looks_at_one_value_says_when_it_ends() -> None:
    made = histories.patient(Random(5))
    features = features_of(histories.history_of(made), now=histories.some_now(Random(5), made))
    rule = CATALOG.by_id("bp-critical-late")
    assert single_value.ends(rule, features, personal={}) == []
