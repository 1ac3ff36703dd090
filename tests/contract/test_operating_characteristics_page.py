"""The page of operating characteristics is what its run says, of the rule as it is shipped, and says first what it is not."""

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.operating_characteristics_page import page
from server.rules.load import load_catalog

REFERENCE = Path(__file__).parents[2] / "docs/reference"
PAGE = (REFERENCE / "operating-characteristics.md").read_text(encoding="utf-8")


@pytest.fixture
def run() -> dict[str, Any]:
    """The line of the run that the page shows."""
    [line] = (REFERENCE / "operating-characteristics.json").read_text(encoding="utf-8").splitlines()
    return dict(json.loads(line))


def test_the_page_is_what_its_line_renders_to(run: dict[str, Any]) -> None:
    assert page(run) == PAGE, "make it with: python -m benchmarks.operating_characteristics --markdown FILE"


def test_the_run_is_whole_and_no_figure_lies_outside(run: dict[str, Any]) -> None:
    assert (run["patients"], run["days"], run["changed"]) == (4000, 120, False)
    assert (run["compared"], run["outside"], run["is_well"]) == (93, 0, True)


def test_the_run_is_of_the_rule_as_it_is_shipped(run: dict[str, Any]) -> None:
    assert run["rule_version"] == load_catalog().by_id(run["rule"]).version


def test_a_figure_that_lies_outside_is_marked(run: dict[str, Any]) -> None:
    assert "**!**" not in PAGE.partition("## Flagged in a month")[2]
    run["cells"][8]["is_outside"] = True
    assert page(run).partition("## Flagged in a month")[2].count("**!**") == 1


def test_the_page_says_first_that_it_is_a_simulation_and_not_clinical_performance() -> None:
    title, warning = PAGE.split("\n\n")[:2]
    assert title.startswith("# ")
    assert "**This is a simulation.**" in warning
    assert "**not clinical performance**" in warning


def test_every_page_that_leads_to_it_says_what_it_is() -> None:
    for name in ("rules.md", "benchmarks.md"):
        text = " ".join((REFERENCE / name).read_text(encoding="utf-8").split())
        assert "(operating-characteristics.md)" in text
        assert "not clinical performance" in text
