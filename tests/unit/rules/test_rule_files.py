"""Rule files: what a clinician may write, and what an error says when it is not that."""

import re
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml

from server.rules.load import CATALOG, load_catalog, load_rules, schema
from server.rules.own_numbers import thresholds_in_force
from server.rules.rule import DaysInARowRule, Rule, SingleValueRule
from vitals.errors import MalformedError

RULE: dict[str, Any] = {
    "id": "a-rule",
    "version": 1,
    "title": {"en": "A rule", "zh": "规则"},
    "source": "nowhere",
    "when": {
        "kind": "days_in_a_row",
        "any_of": [{"signal": "systolic", "statistic": "day_mean", "above": 140, "unit": "mmHg"}],
        "days": 3,
        "missing_day": "bridge",
        "max_span_days": 5,
    },
    "resolve": {"below_by": 5, "days": 3},
    "priority": "low",
    "tell": ["doctor"],
}


BEFORE_THIS_HELD = {"bp-above-140-90-3-days", "check-the-meter"}
FOR_EVERYONE = {
    "bp-above-140-90-3-days",
    "bp-critical",
    "bp-critical-repeat",
    "bp-critical-late",
    "check-the-meter",
    "bp-low-80",
    "glucose-low-3-0",
    "glucose-low-3-9",
    "glucose-low-late",
    "glucose-hi",
    "glucose-above-16-7-twice",
    "pulse-low-40",
    "pulse-high-131",
    "spo2-at-91",
}


def written(folder: Path, *rules: dict[str, Any], name: str = "rules.yaml") -> Path:
    file = folder / name
    file.write_text(yaml.safe_dump({"rules": list(rules)}), encoding="utf-8")
    return file


def changed(path: str, value: Any) -> dict[str, Any]:
    """RULE with one place set, or taken out if `value` is `...`."""
    rule: Any = deepcopy(RULE)
    *steps, last = (int(step) if step.isdigit() else step for step in path.split("."))
    place = rule
    for step in steps:
        place = place[step]
    if value is ...:
        del place[last]
    else:
        place[last] = value
    return dict(rule)


def test_the_catalog_holds_the_rules_of_the_house() -> None:
    ids = [rule.id for rule in load_catalog().rules]
    assert ids[:4] == ["bp-above-140-90-3-days", "bp-critical", "bp-critical-repeat", "bp-critical-late"]
    assert len(ids) >= 25


def test_a_rule_speaks_of_everybody_only_where_a_life_may_be_at_stake() -> None:
    """Whoever has no such meter hears nothing of it; all other rules wait until somebody chooses them for a patient."""
    of_everyone = {rule.id for rule in load_catalog().rules if rule.watch == "everyone"}
    assert of_everyone == FOR_EVERYONE


@pytest.mark.parametrize("rule", load_catalog().rules, ids=lambda rule: rule.id)
def test_what_a_patient_reads_gives_no_order_about_medicine_and_does_not_pass_for_a_rescuer(rule: Rule) -> None:
    if rule.patient_message is None or rule.id in BEFORE_THIS_HELD:
        return
    en, zh = " ".join(rule.patient_message["en"].split()), rule.patient_message["zh"]
    assert "HomeVigil is not an emergency service." in en
    assert "本系统不是急救服务" in zh
    assert ("120" in en) == ("120" in zh)
    assert not re.search(r"\b(take more|take less|stop taking|double|halve|increase your|reduce your)\b", en)
    if rule.priority in ("medium", "high"):
        assert "120 in China" in en


def test_the_three_day_rule_is_the_one_of_the_documents() -> None:
    rule = load_catalog().by_id("bp-above-140-90-3-days")
    assert isinstance(rule, DaysInARowRule)
    assert [(c.signal, c.comparison, c.value) for c in rule.when.any_of] == [
        ("systolic", "above", 140.0),
        ("diastolic", "above", 90.0),
    ]
    assert (rule.when.days, rule.when.span_days, rule.when.missing_day) == (3, 5, "bridge")
    assert (rule.resolve.below_by, rule.resolve.days) == (5, 3)
    assert rule.patient_message is not None
    assert "建议及时联系您的主治医生调整用药。" in rule.patient_message["zh"]


@pytest.mark.parametrize("rule_id", ["bp-critical", "bp-critical-repeat"])
def test_a_critical_text_says_whom_to_call_with_which_symptoms(rule_id: str) -> None:
    message = load_catalog().by_id(rule_id).patient_message
    assert message is not None
    for symptom in ("chest pain", "shortness of breath", "back pain", "numbness", "weakness", "vision", "speaking"):
        assert symptom in message["en"]
    for symptom in ("胸痛", "气短", "背痛", "麻木", "无力", "视物", "说话困难"):
        assert symptom in message["zh"]
    assert "120" in message["en"]
    assert "120" in message["zh"]
    assert "not an emergency service" in message["en"]
    assert "不是急救服务" in message["zh"]


def test_a_rule_file_becomes_rules(tmp_path: Path) -> None:
    (rule,) = load_rules(written(tmp_path, RULE)).rules
    assert isinstance(rule, DaysInARowRule)
    assert rule.when.min_readings_per_day == 1


def test_the_strict_preset_needs_no_span(tmp_path: Path) -> None:
    strict = changed("when.max_span_days", ...)
    strict["when"] |= {"missing_day": "break", "min_readings_per_day": 2}
    (rule,) = load_rules(written(tmp_path, strict)).rules
    assert isinstance(rule, DaysInARowRule)
    assert rule.when.span_days == 3


@pytest.mark.parametrize(
    ("path", "value", "place", "says"),
    [
        (
            "when.kind",
            "rolled",
            "rules.0",
            "when.kind must be one of days_in_a_row, single_value, failed_measurements, rolling, count_of_last, change,"
            " range_share, lasting, silence, schedule, combined",
        ),
        ("when", ..., "rules.0", "when.kind must be one of"),
        ("when.days", "3", "rules.0.when.days", "valid integer"),
        ("when.days", 0, "rules.0.when.days", "greater than or equal to 1"),
        ("when.dayz", 3, "rules.0.when.dayz", "Extra inputs"),
        ("when.max_span_days", 2, "rules.0.when", "at least 3"),
        ("when.missing_day", "break", "rules.0.when", "leave it out"),
        ("when.any_of", [], "rules.0.when.any_of", "at least 1"),
        ("when.any_of.0.at_least", 150, "rules.0.when.any_of.0", "exactly one of"),
        ("when.any_of.0.above", ..., "rules.0.when.any_of.0", "exactly one of"),
        ("when.any_of.0.above", float("nan"), "rules.0.when.any_of.0.above", "finite"),
        ("when.any_of.0.unit", "kPa", "rules.0.when.any_of.0.unit", "mmHg"),
        ("when.any_of.0.signal", "weight", "rules.0.when.any_of.0.signal", "systolic"),
        ("resolve", {"by": "person"}, "rules.0.resolve.by", "Extra inputs"),
        ("title", {"en": "only"}, "rules.0", "title needs en and zh"),
        ("title.fr", "non", "rules.0.title.fr", "'en' or 'zh'"),
        ("tell", ["patient"], "rules.0", "needs a patient_message"),
        ("tell", ["doctor", "doctor"], "rules.0", "twice"),
        ("source", ..., "rules.0.source", "required"),
        ("id", "Not An Id", "rules.0.id", "pattern"),
        ("version", True, "rules.0.version", "integer"),
    ],
)
def test_an_error_names_the_file_and_the_place(tmp_path: Path, path: str, value: Any, place: str, says: str) -> None:
    file = written(tmp_path, changed(path, value))
    with pytest.raises(MalformedError) as error:
        load_rules(file)
    assert error.value.reason == "rule_file"
    assert f"{file}: {place}" in error.value.message
    assert says in error.value.message


def test_two_rules_of_one_name_are_refused_across_files(tmp_path: Path) -> None:
    written(tmp_path, RULE, name="one.yaml")
    written(tmp_path, RULE, name="two.yaml")
    with pytest.raises(MalformedError, match="two rules are called a-rule"):
        load_rules(tmp_path)


def test_scenarios_in_a_folder_are_not_taken_for_rules(tmp_path: Path) -> None:
    written(tmp_path, RULE)
    (tmp_path / "a.test.yaml").write_text("rules: [a-rule]\ntests: []\n")
    (tmp_path / "bug-report.yaml").write_text("rules: [a-rule]\ntests: []\n")
    assert [rule.id for rule in load_rules(tmp_path).rules] == ["a-rule"]


@pytest.mark.parametrize("text", ["rules: [", "rules: [!!python/object:os.system {}]", "\x00"])
def test_a_file_that_is_not_plain_yaml_is_an_error_with_its_name(tmp_path: Path, text: str) -> None:
    file = tmp_path / "broken.yaml"
    file.write_text(text)
    with pytest.raises(MalformedError, match=r"broken\.yaml"):
        load_rules(file)


def test_a_file_that_is_not_there_is_an_error_with_its_name(tmp_path: Path) -> None:
    with pytest.raises(MalformedError, match=r"absent\.yaml"):
        load_rules(tmp_path / "absent.yaml")


def test_an_unknown_rule_is_named_with_those_there_are() -> None:
    with pytest.raises(MalformedError, match="no rule called nonsense; there are bp-above"):
        load_catalog().only(("nonsense",))


def test_the_schema_knows_every_kind_and_forbids_other_keys() -> None:
    text = str(schema())
    for kind in ("days_in_a_row", "single_value", "failed_measurements"):
        assert kind in text
    assert schema()["additionalProperties"] is False


def test_a_patients_own_threshold_takes_the_place_of_the_rules() -> None:
    rule = load_catalog().by_id("bp-above-140-90-3-days")
    assert isinstance(rule, DaysInARowRule)
    assert thresholds_in_force(rule, {}) == (140.0, 90.0)
    assert thresholds_in_force(rule, {"systolic": 150}) == (150.0, 90.0)


@pytest.mark.parametrize("parameters", [{"sistolic": 150}, {"systolic": "150"}, {"systolic": True}, {"systolic": 1000}])
def test_a_threshold_that_does_not_fit_is_an_error_and_not_ignored(parameters: dict[str, Any]) -> None:
    rule = load_catalog().by_id("bp-critical")
    assert isinstance(rule, SingleValueRule)
    with pytest.raises(MalformedError, match="bp-critical"):
        thresholds_in_force(rule, parameters)


def test_every_rule_of_the_catalog_has_scenarios() -> None:
    tested: set[str] = set()
    for file in CATALOG.glob("*.test.yaml"):
        tested |= set(yaml.safe_load(file.read_text(encoding="utf-8"))["rules"])
    assert tested == {rule.id for rule in load_catalog().rules}
