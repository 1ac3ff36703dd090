"""The oracle's reading of trend rules: what it takes from the text, what it refuses, and how far back they look."""

from fractions import Fraction

import pytest
from unit.oracle.trend_cases import text_of

from server.oracle.rules import reach_days, rules_of
from server.oracle.trend_rules import ChangeRule, CountRule, RollingRule
from vitals.errors import MalformedError

ROLLING = (
    "kind: rolling, statistic: mean, of: readings, over: {days: 7}, min_readings: 12,"
    " any_of: [{signal: systolic, at_least: 145, unit: mmHg}, {signal: diastolic, at_least: 90, unit: mmHg}]"
)
COUNT = (
    "kind: count_of_last, of: sittings, needed: 2, of_last: 3, within: {hours: 72},"
    " any_of: [{signal: systolic, below: 90, unit: mmHg}]"
)
CHANGE = "kind: change, of: first_of_day, within: {days: 3}, signal: glucose, rises_by: 2.1, unit: mmol/L"


def test_a_rolling_rule_is_read() -> None:
    (rule,) = rules_of(text_of(ROLLING, below_by=5))
    assert isinstance(rule, RollingRule)
    assert (rule.id, rule.version, rule.priority, rule.tell) == ("trend", 2, "medium", ("patient", "doctor"))
    assert (rule.statistic, rule.of, rule.over.days, rule.over.hours) == ("mean", "readings", 7, None)
    assert (rule.min_readings, rule.below_by) == (12, Fraction(5))
    assert [(c.signal, c.comparison, c.value, c.unit) for c in rule.conditions] == [
        ("systolic", "at_least", Fraction(145), "mmHg"),
        ("diastolic", "at_least", Fraction(90), "mmHg"),
    ]


def test_a_count_is_read() -> None:
    (rule,) = rules_of(text_of(COUNT))
    assert isinstance(rule, CountRule)
    assert (rule.of, rule.needed, rule.of_last, rule.below_by) == ("sittings", 2, 3, Fraction(0))
    assert (rule.within.days, rule.within.hours) == (None, 72)
    with pytest.raises(MalformedError):
        rules_of(text_of(COUNT.replace("within: {hours: 72},", "")))


def test_a_change_is_read() -> None:
    (rule,) = rules_of(text_of(CHANGE, below_by="0.5"))
    assert isinstance(rule, ChangeRule)
    assert (rule.direction, rule.of, rule.within.days, rule.below_by) == (
        "rises_by",
        "first_of_day",
        3,
        Fraction("0.5"),
    )
    (condition,) = rule.conditions
    assert (condition.signal, condition.comparison, condition.unit) == ("glucose", "at_least", "mmol/L")
    assert condition.value == Fraction("2.1")


def test_readings_are_counted_unless_it_says_otherwise() -> None:
    (rule,) = rules_of(text_of(ROLLING.replace("of: readings, ", "")))
    assert isinstance(rule, RollingRule)
    assert rule.of == "readings"


@pytest.mark.parametrize(
    ("text", "known", "unknown"),
    [
        (ROLLING, "kind: rolling", "kind: rolled"),
        (ROLLING, "statistic: mean", "statistic: median"),
        (ROLLING, "of: readings", "of: evenings"),
        (ROLLING, "over: {days: 7}", "over: {weeks: 1}"),
        (ROLLING, "over: {days: 7}", "over: {days: 7, hours: 12}"),
        (ROLLING, "over: {days: 7}", "over: {}"),
        (ROLLING, "min_readings: 12", "min_readings: 12, at_least_days: 3"),
        (ROLLING, "signal: systolic", "signal: mean_pressure"),
        (ROLLING, "at_least: 145, unit: mmHg", "at_least: 19.3, unit: kPa"),
        (ROLLING, "at_least: 145", "at_least: 145, below: 90"),
        (ROLLING, "at_least: 145, ", ""),
        (ROLLING, "at_least: 145", "beyond: 145"),
        (ROLLING, "signal: systolic", "signal: systolic, meal: fasting"),
        (ROLLING, "statistic: mean", "statistic: cv"),
        (ROLLING, "statistic: mean", "statistic: count"),
        (COUNT, "signal: systolic, below: 90, unit: mmHg", "signal: pulse, below: 40, unit: bpm"),
        (
            COUNT.replace("sittings", "days"),
            "signal: systolic, below: 90, unit: mmHg",
            "signal: glucose, below: 4, unit: mmol/L",
        ),
        (COUNT, "within: {hours: 72}", "over: {hours: 72}"),
        (CHANGE, "rises_by: 2.1", "rises_by: 2.1, falls_by: 2"),
        (CHANGE, "rises_by: 2.1, ", ""),
        (CHANGE, "unit: mmol/L", "unit: mmHg"),
        (CHANGE, "of: first_of_day", "of: sittings"),
    ],
)
def test_what_is_not_understood_is_refused(text: str, known: str, unknown: str) -> None:
    assert known in text
    rules_of(text_of(text))
    with pytest.raises(MalformedError):
        rules_of(text_of(text.replace(known, unknown)))


def test_one_signal_in_two_units_is_refused() -> None:
    both = ROLLING.replace("systolic, at_least: 145, unit: mmHg", "glucose, above: 10, unit: mmol/L")
    rules_of(text_of(both))
    both = both.replace("diastolic, at_least: 90, unit: mmHg", "glucose, below: 70, unit: mg/dL")
    with pytest.raises(MalformedError):
        rules_of(text_of(both))


def test_another_end_than_a_distance_is_refused() -> None:
    with pytest.raises(MalformedError):
        rules_of(text_of(ROLLING).replace("{below_by: 0}", "{below_by: 0, days: 3}"))


@pytest.mark.parametrize("signal", ["pulse", "glucose", "weight"])
def test_a_rule_about_pressures_refuses_another_signal(signal: str) -> None:
    """It would be taken for the systolic."""
    when = (
        "kind: days_in_a_row, days: 3, missing_day: break,"
        f" any_of: [{{signal: {signal}, statistic: day_mean, above: 110, unit: bpm}}]"
    )
    with pytest.raises(MalformedError):
        rules_of(text_of(when).replace("{below_by: 0}", "{below_by: 0, days: 3}"))


@pytest.mark.parametrize(
    ("text", "days"),
    [
        (ROLLING, 7),
        (ROLLING.replace("days: 7", "hours: 1"), 2),
        (ROLLING.replace("days: 7", "hours: 24"), 3),
        (ROLLING.replace("days: 7", "hours: 72"), 5),
        (CHANGE, 3),
        (COUNT, 5),
    ],
)
def test_the_view_goes_as_far_back_as_the_widest_window(text: str, days: int) -> None:
    assert reach_days(rules_of(text_of(text))) == days
    assert reach_days((*rules_of(text_of(CHANGE)), *rules_of(text_of(text)))) == max(days, 3)
