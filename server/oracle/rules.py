"""The rules as the oracle reads them: the same YAML text, by a reader of its own that keeps only what decides.

The strict check of a rule file is `homevigil rules`; here an unknown word is an error, because a rule that is not understood
would otherwise pass as a rule that agrees.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from fractions import Fraction
from typing import Any, Final, Literal

import yaml

from server.oracle.absence_rules import (
    SCHEDULE_WORDS,
    SILENCE_WORDS,
    ScheduleRule,
    SilenceRule,
    schedule_rule,
    silence_rule,
)
from server.oracle.combined_rules import COMBINED_WORDS, CombinedRule, combined_rule
from server.oracle.glucose_rules import LASTING_WORDS, RANGE_WORDS, LastingRule, RangeRule, lasting_rule, range_rule
from server.oracle.trend_rules import (
    TREND_WORDS,
    ChangeRule,
    CountRule,
    RollingRule,
    TrendRule,
    reach_of,
    signal_of,
    trend_rule,
)
from server.oracle.written import Condition, common, conditions_of, need, number

OF_ONE_VALUE: Final = ("systolic", "diastolic", "pulse", "glucose", "spo2", "temperature")
"""The signals of which one reading may be enough: a worn sensor has episodes, a weight has changes."""

_WHEN_WORDS: Final = {
    "days_in_a_row": {"kind", "any_of", "days", "missing_day", "max_span_days", "min_readings_per_day"},
    "single_value": {"kind", "any_of", "readings", "arrived", "confirm"},
    "failed_measurements": {"kind", "count"},
    **TREND_WORDS,
    "range_share": RANGE_WORDS,
    "lasting": LASTING_WORDS,
    "combined": COMBINED_WORDS,
    "silence": SILENCE_WORDS,
    "schedule": SCHEDULE_WORDS,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class DaysRule:
    """`days` measured days in a row meet a condition within `span` calendar days; over after `good_days` days `below_by` off."""

    id: str
    version: int
    priority: str
    tell: tuple[str, ...]
    is_for_everyone: bool
    conditions: tuple[Condition, ...]
    days: int
    span: int
    min_readings: int
    below_by: Fraction
    good_days: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirm:
    """It becomes `priority` when a repeat or symptoms confirm it, or when nothing has come `within` this time."""

    within: timedelta
    priority: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ValueRule:
    """One reading of one of these qualities meets a condition; `ends_by` says what ends it."""

    id: str
    version: int
    priority: str
    tell: tuple[str, ...]
    is_for_everyone: bool
    conditions: tuple[Condition, ...]
    qualities: frozenset[str]
    is_about_late: bool
    ends_by: Literal["reading_below", "new_reading", "person"]
    visible_hours: int
    at_most_hours: int | None
    confirm: Confirm | None


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureRule:
    """`count` failed measurements of one kind in a clinical day; over when the day is."""

    id: str
    version: int
    priority: str
    tell: tuple[str, ...]
    is_for_everyone: bool
    count: int


OracleRule = (
    DaysRule | ValueRule | FailureRule | TrendRule | RangeRule | LastingRule | CombinedRule | SilenceRule | ScheduleRule
)


def rules_of(yaml_text: str) -> tuple[OracleRule, ...]:
    """The rules of one file's text; raises `MalformedError` (`rule_not_understood`) rather than leave one out."""
    return tuple(_rule(written) for written in yaml.safe_load(yaml_text)["rules"])


def span_days(rules: tuple[OracleRule, ...]) -> int:
    """The longest run of measured days, in calendar days, or of days with answers, that any of the rules counts."""
    spans = [rule.span for rule in rules if isinstance(rule, DaysRule)]
    return max([1, *spans, *(rule.lasting_days for rule in rules if isinstance(rule, CombinedRule))])


def reach_days(rules: tuple[OracleRule, ...]) -> int:
    """The most days before an element that its window may go back."""
    return max((_reach_days(rule) for rule in rules), default=0)


def _reach_days(rule: OracleRule) -> int:
    match rule:
        case RollingRule() | ChangeRule() | CountRule():
            return reach_of(rule).span_days
        case RangeRule():
            return rule.days
        case CombinedRule():
            return rule.reach_days
        case ScheduleRule():
            return rule.of_days
        case LastingRule():
            return rule.span_days
        case _:
            return 0


def _rule(written: Mapping[str, Any]) -> OracleRule:
    when, resolve = written["when"], written["resolve"]
    known = _WHEN_WORDS.get(when["kind"])
    need(known is not None and not set(when) - known, written)
    match when["kind"]:
        case "days_in_a_row":
            return _days_rule(written, when, resolve)
        case "single_value":
            return _value_rule(written, when, resolve)
        case kind if kind in TREND_WORDS:
            return trend_rule(written, when)
        case "range_share":
            return range_rule(written, when)
        case "lasting":
            return lasting_rule(written, when)
        case "combined":
            return combined_rule(written, when)
        case "silence":
            return silence_rule(written, when)
        case "schedule":
            return schedule_rule(written, when)
    return FailureRule(**common(written), count=when["count"])


def _days_rule(written: Mapping[str, Any], when: Mapping[str, Any], resolve: Mapping[str, Any]) -> DaysRule:
    return DaysRule(
        **common(written),
        conditions=_pressures(written),
        days=when["days"],
        span=when["days"] if when["missing_day"] == "break" else when["max_span_days"],
        min_readings=when.get("min_readings_per_day", 1),
        below_by=number(resolve["below_by"]),
        good_days=resolve["days"],
    )


def _value_rule(written: Mapping[str, Any], when: Mapping[str, Any], resolve: Mapping[str, Any]) -> ValueRule:
    confirm = when.get("confirm")
    need(confirm is None or set(confirm) == {"within_minutes", "priority"}, written)
    return ValueRule(
        **common(written),
        conditions=_of_one_reading(written),
        qualities=frozenset(when["readings"]),
        is_about_late=when["arrived"] == "late",
        ends_by=resolve["by"],
        visible_hours=resolve.get("visible_hours", 0),
        at_most_hours=resolve.get("at_most_hours"),
        confirm=None
        if confirm is None
        else Confirm(within=timedelta(minutes=confirm["within_minutes"]), priority=confirm["priority"]),
    )


def _pressures(written: Mapping[str, Any]) -> tuple[Condition, ...]:
    """The conditions of a rule that knows the two pressures alone: another signal would be taken for one of them."""
    found = conditions_of(written["when"])
    need(all(c.signal in ("systolic", "diastolic") for c in found), written)
    return found


def _of_one_reading(written: Mapping[str, Any]) -> tuple[Condition, ...]:
    """The conditions of a rule about single values: signals that one reading carries, all in one unit."""
    found = conditions_of(written["when"])
    need(all(c.signal in OF_ONE_VALUE for c in found), written)
    groups = {signal_of(written, c.signal, c.unit).group for c in found}
    need(len(groups) == len({c.unit for c in found}) == 1, written)
    return found
