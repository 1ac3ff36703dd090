"""The rules as the oracle reads them: the same YAML text, by a reader of its own that keeps only what decides.

The strict check of a rule file is `homevigil rules`; here an unknown word is an error, because a rule that is not understood
would otherwise pass as a rule that agrees.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final, Literal

import yaml

from server.oracle.shapes import OracleThreshold
from vitals.errors import MalformedError

COMPARISONS: Final = ("above", "at_least", "below", "at_most")
_WHEN_WORDS: Final = {
    "days_in_a_row": {"kind", "any_of", "days", "missing_day", "max_span_days", "min_readings_per_day"},
    "single_value": {"kind", "any_of", "readings", "arrived"},
    "failed_measurements": {"kind", "count"},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """`signal` (systolic or diastolic) compared with `value` in mmHg."""

    signal: str
    comparison: str
    value: Fraction

    def is_met(self, value: Fraction) -> bool:
        match self.comparison:
            case "above":
                return value > self.value
            case "at_least":
                return value >= self.value
            case "below":
                return value < self.value
            case _:
                return value <= self.value

    def is_good(self, value: Fraction, by: Fraction) -> bool:
        """Is it on the other side, by at least so much?"""
        is_far = value <= self.value - by if self.comparison in ("above", "at_least") else value >= self.value + by
        return is_far and not self.is_met(value)


@dataclass(frozen=True, slots=True, kw_only=True)
class DaysRule:
    """`days` measured days in a row meet a condition within `span` calendar days; over after `good_days` days `below_by` off."""

    id: str
    version: int
    priority: str
    tell: tuple[str, ...]
    conditions: tuple[Condition, ...]
    days: int
    span: int
    min_readings: int
    below_by: Fraction
    good_days: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ValueRule:
    """One reading of one of these qualities meets a condition; `ends_by` says what ends it."""

    id: str
    version: int
    priority: str
    tell: tuple[str, ...]
    conditions: tuple[Condition, ...]
    qualities: frozenset[str]
    is_about_late: bool
    ends_by: Literal["reading_below", "new_reading", "person"]
    visible_hours: int
    at_most_hours: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureRule:
    """`count` failed measurements of one kind in a clinical day; over when the day is."""

    id: str
    version: int
    priority: str
    tell: tuple[str, ...]
    count: int


OracleRule = DaysRule | ValueRule | FailureRule


def rules_of(yaml_text: str) -> tuple[OracleRule, ...]:
    """The rules of one file's text; raises `MalformedError` (`rule_not_understood`) rather than leave one out."""
    return tuple(_rule(written) for written in yaml.safe_load(yaml_text)["rules"])


def span_days(rules: tuple[OracleRule, ...]) -> int:
    """The longest run of calendar days that any of the rules looks at."""
    return max((rule.span for rule in rules if isinstance(rule, DaysRule)), default=1)


def in_force(conditions: tuple[Condition, ...], personal: OracleThreshold | None) -> tuple[Condition, ...]:
    """The conditions with a patient's own numbers in place of the rule's."""
    own = {} if personal is None else personal.parameters
    return tuple(
        Condition(signal=c.signal, comparison=c.comparison, value=_number(own.get(c.signal, c.value)))
        for c in conditions
    )


def _rule(written: Mapping[str, Any]) -> OracleRule:
    when, resolve = written["when"], written["resolve"]
    known = _WHEN_WORDS.get(when["kind"])
    if known is None or set(when) - known:
        raise MalformedError(
            "rule_not_understood", f"the oracle does not understand {written['id']}: teach it first", written["id"]
        )
    if when["kind"] == "days_in_a_row":
        return _days_rule(written, when, resolve)
    if when["kind"] == "single_value":
        return _value_rule(written, when, resolve)
    return FailureRule(**_common(written), count=when["count"])


def _days_rule(written: Mapping[str, Any], when: Mapping[str, Any], resolve: Mapping[str, Any]) -> DaysRule:
    return DaysRule(
        **_common(written),
        conditions=_conditions(when),
        days=when["days"],
        span=when["days"] if when["missing_day"] == "break" else when["max_span_days"],
        min_readings=when.get("min_readings_per_day", 1),
        below_by=_number(resolve["below_by"]),
        good_days=resolve["days"],
    )


def _value_rule(written: Mapping[str, Any], when: Mapping[str, Any], resolve: Mapping[str, Any]) -> ValueRule:
    return ValueRule(
        **_common(written),
        conditions=_conditions(when),
        qualities=frozenset(when["readings"]),
        is_about_late=when["arrived"] == "late",
        ends_by=resolve["by"],
        visible_hours=resolve.get("visible_hours", 0),
        at_most_hours=resolve.get("at_most_hours"),
    )


def _common(written: Mapping[str, Any]) -> dict[str, Any]:
    return {name: written[name] for name in ("id", "version", "priority")} | {"tell": tuple(written["tell"])}


def _conditions(when: Mapping[str, Any]) -> tuple[Condition, ...]:
    return tuple(
        Condition(signal=c["signal"], comparison=word, value=_number(c[word]))
        for c in when["any_of"]
        for word in COMPARISONS
        if c.get(word) is not None
    )


def _number(value: Any) -> Fraction:
    return value if isinstance(value, Fraction) else Fraction(str(value))
