"""Every scenario of the built-in catalog passes; each is a test of its own."""

from functools import cache
from pathlib import Path

import pytest

from server.rules.expectations import rules_beside, run, scenario_files
from server.rules.load import CATALOG
from server.rules.rule import RuleSet
from server.rules.scenarios import Scenario, load_scenarios

SCENARIOS = [scenario for file in scenario_files(CATALOG) for scenario in load_scenarios(file)]


@pytest.mark.parametrize("scenario", SCENARIOS, ids=[f"{s.file.stem}: {s.name}" for s in SCENARIOS])
def test_a_scenario_of_the_catalog_ends_as_it_says(scenario: Scenario) -> None:
    assert run(scenario, rules_of(scenario.file, scenario.rules)).problems == ()


@cache
def rules_of(file: Path, wanted: tuple[str, ...]) -> RuleSet:
    return rules_beside(file, wanted)


KINDS = [scenario for file in scenario_files(Path(__file__).with_name("kinds")) for scenario in load_scenarios(file)]
"""Of kinds of rule that are shown here by rules that nobody is judged by."""


@pytest.mark.parametrize("scenario", KINDS, ids=[f"{s.file.stem}: {s.name}" for s in KINDS])
def test_a_scenario_of_a_kind_of_rule_ends_as_it_says(scenario: Scenario) -> None:
    assert run(scenario, rules_of(scenario.file, scenario.rules)).problems == ()


def test_the_three_day_rule_has_at_least_25_scenarios() -> None:
    assert sum("bp-above-140-90-3-days" in scenario.rules for scenario in SCENARIOS) >= 25


def test_every_reading_of_the_catalogs_scenarios_arrives() -> None:
    assert all(arrival.at <= scenario.now for scenario in SCENARIOS for arrival in scenario.arrivals)
