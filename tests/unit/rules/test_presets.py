"""Presets: who they fit, which of several decides, and what a preset file may not say."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from server.rules.load import load_catalog
from server.rules.presets import Choice, Preset, load_presets, proposed
from vitals.errors import MalformedError

CATALOG = load_catalog()
THREE_DAYS = "bp-above-140-90-3-days"
GUIDELINE = "bp-at-130-80-3-days"


def preset(name: str, **more: Any) -> Preset:
    facts: dict[str, Any] = {
        "title": {"en": name, "zh": name},
        "source": "made up",
        "conditions": ["I10"],
        "watch": ["b"],
    }
    return Preset.model_validate({"id": name, **facts, **more})


def test_a_preset_fits_by_condition_by_age_or_by_both() -> None:
    both = preset("p", conditions=["E10-E14"], age_at_least=80)
    assert both.fits({"E11.9", "I10"}, 80)
    assert not both.fits({"E11.9", "I10"}, 79)
    assert not both.fits({"E11.9"}, None)
    assert not both.fits({"E15"}, 80)
    assert preset("p", conditions=["E10-E14"]).fits({"E10"}, None)
    assert preset("p", conditions=[], age_at_least=80).fits(set(), 80)


def test_of_several_that_fit_the_last_decides_about_a_rule() -> None:
    found = proposed(
        [
            preset("first", watch=["b", "c"], instead_of=["a"], parameters={"b": {"systolic": 130}}),
            preset("second", watch=["d"], instead_of=["b"]),
            preset("not-theirs", conditions=["N18"], watch=["a"]),
        ],
        conditions=["I10"],
        age=None,
    )
    assert found == {
        "a": Choice(rule_id="a", is_watched=False, parameters={}, because="first"),
        "b": Choice(rule_id="b", is_watched=False, parameters={}, because="second"),
        "c": Choice(rule_id="c", is_watched=True, parameters={}, because="first"),
        "d": Choice(rule_id="d", is_watched=True, parameters={}, because="second"),
    }


def test_every_condition_of_the_catalogs_presets_is_met_by_somebody() -> None:
    presets = load_presets(CATALOG)
    assert len({each.id for each in presets}) == len(presets)
    assert {"I10-I15", "E10-E14", "N18", "I50", "O10-O16"} <= {text for each in presets for text in each.conditions}
    for each in presets:
        assert set(each.title) == {"en", "zh"}
        for rule_id in each.watch:
            assert CATALOG.by_id(rule_id).watch == "chosen", f"{each.id}: {rule_id} speaks of everybody anyhow"
        for rule_id in each.instead_of:
            assert rule_id in (THREE_DAYS, "spo2-at-91") or CATALOG.by_id(rule_id).watch == "chosen"


def test_an_old_diabetic_is_not_judged_by_the_line_that_makes_the_old_fall() -> None:
    found = proposed(load_presets(CATALOG), conditions=["E11.9", "I10"], age=84)
    assert found["bp-at-145-85-3-days"].is_watched
    assert not found[GUIDELINE].is_watched
    assert not found[THREE_DAYS].is_watched
    assert found["glucose-sd-above-3"].is_watched
    assert found["sensor-in-range-below-50"].is_watched
    assert not found["sensor-in-range-below-70"].is_watched


def test_a_prescribed_oxygen_target_is_not_alarmed_at_by_the_rule_for_everyone() -> None:
    found = proposed(load_presets(CATALOG), conditions=["J44.9"], age=70)
    assert not found["spo2-at-91"].is_watched
    assert found["spo2-at-84"].is_watched


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"watch": ["no-such-rule"]}, "there is no rule no-such-rule"),
        ({"instead_of": ["no-such-rule"]}, "there is no rule no-such-rule"),
        ({"parameters": {THREE_DAYS: {"weight": 80.0}}}, "no parameter 'weight'"),
        ({"parameters": {"bp-critical": {"systolic": 190.0}}}, "parameters of bp-critical, which is not watched"),
        ({"instead_of": [THREE_DAYS]}, "both watched and not"),
        ({"conditions": []}, "give conditions or age_at_least"),
        ({"conditions": ["heart"]}, "no ICD-10 code"),
        ({"age": 3}, "Extra inputs"),
    ],
)
def test_a_preset_file_is_refused_with_what_is_wrong(tmp_path: Path, change: dict[str, Any], says: str) -> None:
    good = preset("p", watch=[THREE_DAYS]).model_dump(mode="json")
    file = tmp_path / "presets.yaml"
    file.write_text(yaml.safe_dump({"presets": [good]}), encoding="utf-8")
    load_presets(CATALOG, file)
    file.write_text(yaml.safe_dump({"presets": [good | change]}), encoding="utf-8")
    with pytest.raises(MalformedError, match=says):
        load_presets(CATALOG, file)
