"""Rules of several conditions as they are written: what cannot be judged cannot be written, and what is written is kept."""

import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError
from unit.rules.combined_cases import BREATH, GAIN, HOT, LATER, PULSE, at, breath, combined, hot
from unit.rules.glucose_cases import BERLIN, found, rule

from server.rules.backtest import Span, replay
from server.rules.engine import RELATIVE_MARKS_DAYS, look_back_days, reach_days
from server.rules.load import load_rules, schema
from server.rules.rule import CombinedRule, RuleSet
from server.rules.windows import PatientHistory, PersonalThreshold, window_of
from vitals.errors import MalformedError

BOTH = combined(HOT, BREATH)


def test_a_patient_has_no_numbers_of_their_own() -> None:
    with pytest.raises(MalformedError, match="has no parameter 'temperature'"):
        found(BOTH, [hot(at(0), 39)], LATER, own={"temperature": 39})
    assert len(found(BOTH, [hot(at(0), 39), breath(at(1), 90)], LATER, own={})) == 1


def test_the_view_reaches_back_for_what_an_alert_may_begin_with() -> None:
    assert look_back_days(RuleSet((BOTH,))) >= 3
    assert look_back_days(RuleSet((combined(HOT, BREATH, within="hours: 25"),))) >= 4
    assert look_back_days(RuleSet((combined(HOT, BREATH, within="days: 31"),))) >= 33
    assert reach_days(RuleSet((combined(GAIN, HOT),))) == RELATIVE_MARKS_DAYS + 4


def test_conditions_are_in_the_order_written() -> None:
    asked = combined(HOT, f"{{any_of: [{{not: {BREATH}}}, {PULSE}]}}", GAIN)
    assert isinstance(asked, CombinedRule)
    said = [(getattr(each, "any_of", (each,))[0].signal, is_not) for each, is_not in asked.when.conditions]
    assert said == [("temperature", False), ("spo2", True), ("pulse", False), ("weight", False)]


NESTED = f"{{any_of: [{HOT}, {BREATH}]}}"


@pytest.mark.parametrize(
    ("within", "parts", "says"),
    [
        ("days: 1", f"all_of: [{HOT}]", "at least 2 items"),
        ("days: 1", f"all_of: [{', '.join([HOT] * 9)}]", "at most 8 items"),
        ("days: 1", f"all_of: [{HOT}, {BREATH}], any_of: [{HOT}, {BREATH}]", "give all_of or any_of"),
        ("days: 1", "", "give all_of or any_of"),
        ("days: 1", f"all_of: [{HOT}, {{all_of: [{HOT}, {BREATH}]}}]", "a part is a condition"),
        ("days: 1", f"any_of: [{HOT}, {NESTED}]", "a part is a condition"),
        ("days: 1", f"all_of: [{HOT}, {{any_of: [{HOT}, {{all_of: [{HOT}, {BREATH}]}}]}}]", "a part is a condition"),
        ("days: 1", f"all_of: [{HOT}, {{not: {NESTED}}}]", "a part is a condition"),
        ("days: 1", f"all_of: [{HOT}, {{not: {{not: {HOT}}}}}]", "a part is a condition"),
        (
            "days: 1",
            f"all_of: [{HOT}, {{kind: lasting}}]",
            "a part is a condition (kind: rolling, count_of_last or change)",
        ),
        ("days: 1", f"all_of: [{HOT}, 7]", "a part is a condition"),
        ("days: 1", f"all_of: [{HOT}, {BREATH[:-1]}, above: 3}}]", "Extra inputs"),
        ("days: 1", f"all_of: [{HOT}, {BREATH.replace('below_by: 2', 'below_by: -1')}]", "greater than or equal to 0"),
        (
            "days: 1",
            f"all_of: [{HOT}, {{kind: rolling, statistic: mean, over: {{hours: 1}}, min_readings: 1, any_of:"
            " [{signal: systolic, above: 140, unit: mmHg}, {signal: pulse, above: 100, unit: bpm}]}]",
            "one signal, or systolic and diastolic",
        ),
        ("hours: 745", f"all_of: [{HOT}, {BREATH}]", "less than or equal to 744"),
        ("days: 32", f"all_of: [{HOT}, {BREATH}]", "less than or equal to 31"),
        ("days: 1, hours: 1", f"all_of: [{HOT}, {BREATH}]", "give hours or days"),
    ],
)
def test_what_cannot_be_judged_cannot_be_written(within: str, parts: str, says: str) -> None:
    with pytest.raises(ValidationError) as error:
        rule(f"kind: combined, within: {{{within}}}, {parts}", resolve="by: parts")
    assert says in str(error.value)


def test_an_error_names_the_part_as_it_is_written(tmp_path: Path) -> None:
    written = combined(HOT, f"{{any_of: [{{not: {BREATH}}}, {PULSE}]}}").model_dump(by_alias=True, exclude_none=True)
    written["when"]["all_of"][1]["any_of"][0]["not"]["needed"] = 0
    file = tmp_path / "rules.yaml"
    file.write_text(json.dumps({"rules": [written]}), encoding="utf-8")
    with pytest.raises(MalformedError) as error:
        load_rules(file)
    assert f"{file}: rules.0.when.all_of.1.any_of.0.not.needed: " in error.value.message


def test_it_ends_by_its_parts_alone() -> None:
    with pytest.raises(ValidationError):
        rule(f"kind: combined, within: {{days: 1}}, all_of: [{HOT}, {BREATH}]", resolve="below_by: 1")


def test_what_is_written_is_what_is_kept_of_it() -> None:
    asked = combined(f"{{not: {HOT}}}", f"{{any_of: [{BREATH}, {GAIN}]}}", within="days: 2")
    kept = asked.model_dump(mode="json", exclude_unset=True, by_alias=True)["when"]
    written: dict[str, Any] = yaml.safe_load(
        f"{{kind: combined, within: {{days: 2}}, all_of: [{{not: {HOT}}}, {{any_of: [{BREATH}, {GAIN}]}}]}}"
    )
    assert kept == written


def test_the_schema_knows_the_kind() -> None:
    assert {"Combined", "Negated", "AnyOf", "AllOf", "Age"} <= set(schema()["$defs"])


def test_a_back_test_runs_it_and_wishes_for_no_other_numbers() -> None:
    rows = [row for day in range(60) for row in (hot(at(24 * day), 39), breath(at(24 * day + 1), 90))]
    span = Span(since=at(24 * 20), until=at(24 * 60))
    history = PatientHistory(
        patient_id=1,
        enrolled_on=date(2026, 1, 1),
        zones=BERLIN,
        window=window_of([*rows, hot(at(24 * 25 + 2), 36), *(hot(at(24 * 40 + n), 36) for n in (2, 3))]),
        thresholds={BOTH.id: PersonalThreshold(version=1, parameters={"temperature": 39.5})},
    )
    replayed = replay(history, RuleSet((BOTH,)), span, as_written=False, with_wishes=True)
    assert replayed.alerts == ()  # one long alert, open since before the span
    assert replayed.days_under_alert[BOTH.id] > 38
    assert (replayed.misfits, replayed.wishes) == ((BOTH.id,), ())
