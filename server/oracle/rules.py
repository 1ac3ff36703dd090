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

from server.oracle.glucose_rules import LASTING_WORDS, RANGE_WORDS, LastingRule, RangeRule, lasting_rule, range_rule
from server.oracle.signals import PRESSURE, Signal, signal_called
from server.oracle.written import COMPARISONS, Condition, common, need, not_understood, number

STATISTICS: Final = ("mean", "highest", "lowest", "sd", "cv", "arv", "count")
OWN_UNITS: Final = {"cv": "%", "count": "readings"}
"""Of the statistics that are not in the unit of the signal."""

OF: Final = {
    "readings": None,
    "first_of_day": None,
    "first_of_morning": None,
    "sittings": PRESSURE,
    "days": PRESSURE,
    "day_spreads": "glucose",
    "meal_rises": "glucose",
}
"""What a trend counts, and the one group of signals that it is made of, if it is not made of any."""

OF_ONE_VALUE: Final = ("systolic", "diastolic", "pulse", "glucose", "spo2", "temperature")
"""The signals of which one reading may be enough: a worn sensor has episodes, a weight has changes."""

_WHEN_WORDS: Final = {
    "days_in_a_row": {"kind", "any_of", "days", "missing_day", "max_span_days", "min_readings_per_day"},
    "single_value": {"kind", "any_of", "readings", "arrived", "confirm"},
    "failed_measurements": {"kind", "count"},
    "rolling": {"kind", "statistic", "of", "over", "min_readings", "any_of"},
    "count_of_last": {"kind", "of", "needed", "of_last", "within", "on_days", "min_readings", "any_of"},
    "change": {"kind", "of", "within", "signal", "unit", "rises_by", "falls_by"},
    "range_share": RANGE_WORDS,
    "lasting": LASTING_WORDS,
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """How far a window goes back from an element, which is in it: some clinical days, its own counted, or some hours."""

    days: int | None
    hours: int | None

    @property
    def span_days(self) -> int:
        """The most calendar days that it can touch; one of them may have 23 hours."""
        if self.days is not None:
            return self.days
        assert self.hours is not None
        return self.hours // 24 + 2


@dataclass(frozen=True, slots=True, kw_only=True)
class RollingRule:
    """The `statistic` of the elements within `over` meets a condition; over when it is `below_by` on the good side."""

    id: str
    version: int
    priority: str
    tell: tuple[str, ...]
    is_for_everyone: bool
    conditions: tuple[Condition, ...]
    below_by: Fraction
    of: str
    statistic: str
    over: Reach
    min_readings: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CountRule:
    """`needed` of the last `of_last` elements meet a condition, those not `within` not counted.

    They must be of `on_days` days; with less than `fewest` it is never a no."""

    id: str
    version: int
    priority: str
    tell: tuple[str, ...]
    is_for_everyone: bool
    conditions: tuple[Condition, ...]
    below_by: Fraction
    of: str
    needed: int
    of_last: int
    within: Reach
    on_days: int
    fewest: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeRule:
    """An element is so far above the lowest `within`, or below the highest: `direction` (rises_by or falls_by) says which.

    How far is its one condition.
    """

    id: str
    version: int
    priority: str
    tell: tuple[str, ...]
    is_for_everyone: bool
    conditions: tuple[Condition, ...]
    below_by: Fraction
    of: str
    direction: str
    within: Reach


TrendRule = RollingRule | CountRule | ChangeRule
OracleRule = DaysRule | ValueRule | FailureRule | TrendRule | RangeRule | LastingRule


def rules_of(yaml_text: str) -> tuple[OracleRule, ...]:
    """The rules of one file's text; raises `MalformedError` (`rule_not_understood`) rather than leave one out."""
    return tuple(_rule(written) for written in yaml.safe_load(yaml_text)["rules"])


def span_days(rules: tuple[OracleRule, ...]) -> int:
    """The longest run of measured days, in calendar days, that any of the rules counts."""
    return max((rule.span for rule in rules if isinstance(rule, DaysRule)), default=1)


def reach_days(rules: tuple[OracleRule, ...]) -> int:
    """The most days before an element that its window may go back."""
    return max((_reach_days(rule) for rule in rules), default=0)


def _reach_days(rule: OracleRule) -> int:
    match rule:
        case RollingRule():
            return rule.over.span_days
        case ChangeRule() | CountRule():
            return rule.within.span_days
        case RangeRule():
            return rule.days
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
        case "rolling":
            return _rolling_rule(written, when)
        case "count_of_last":
            return _count_rule(written, when)
        case "change":
            return _change_rule(written, when)
        case "range_share":
            return range_rule(written, when)
        case "lasting":
            return lasting_rule(written, when)
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


def _rolling_rule(written: Mapping[str, Any], when: Mapping[str, Any]) -> RollingRule:
    statistic = when["statistic"]
    need(statistic in STATISTICS, written)
    return RollingRule(
        **_of_trend(written),
        conditions=_trend_conditions(written, unit=OWN_UNITS.get(statistic)),
        statistic=statistic,
        over=_reach(written, when["over"]),
        min_readings=when["min_readings"],
    )


def _count_rule(written: Mapping[str, Any], when: Mapping[str, Any]) -> CountRule:
    return CountRule(
        **_of_trend(written),
        conditions=_trend_conditions(written, unit=None),
        needed=when["needed"],
        of_last=when["of_last"],
        within=_reach(written, when.get("within", {})),
        on_days=when.get("on_days") or 1,
        fewest=when.get("min_readings") or when["of_last"],
    )


def _change_rule(written: Mapping[str, Any], when: Mapping[str, Any]) -> ChangeRule:
    said = [word for word in ("rises_by", "falls_by") if when.get(word) is not None]
    need(len(said) == 1, written)
    signal = _signal(written, when["signal"], when["unit"])
    condition = Condition(signal=signal.name, comparison="at_least", value=number(when[said[0]]), unit=signal.unit)
    return ChangeRule(
        **_of_trend(written), conditions=(condition,), direction=said[0], within=_reach(written, when["within"])
    )


def _of_trend(written: Mapping[str, Any]) -> dict[str, Any]:
    of = written["when"].get("of", "readings")
    need(of in OF and set(written["resolve"]) == {"below_by"}, written)
    return common(written) | {"of": of, "below_by": number(written["resolve"]["below_by"])}


def _reach(written: Mapping[str, Any], said: Mapping[str, int | None]) -> Reach:
    days, hours = said.get("days"), said.get("hours")
    need(not set(said) - {"days", "hours"} and (days is None) is not (hours is None), written)
    return Reach(days=days, hours=hours)


def _pressures(written: Mapping[str, Any]) -> tuple[Condition, ...]:
    """The conditions of a rule that knows the two pressures alone: another signal would be taken for one of them."""
    found = _conditions(written["when"])
    need(all(c.signal in ("systolic", "diastolic") for c in found), written)
    return found


def _of_one_reading(written: Mapping[str, Any]) -> tuple[Condition, ...]:
    """The conditions of a rule about single values: signals that one reading carries, all in one unit."""
    found = _conditions(written["when"])
    need(all(c.signal in OF_ONE_VALUE for c in found), written)
    groups = {_signal(written, c.signal, c.unit).group for c in found}
    need(len(groups) == len({c.unit for c in found}) == 1, written)
    return found


def _trend_conditions(written: Mapping[str, Any], *, unit: str | None) -> tuple[Condition, ...]:
    """`unit` is that of the statistic, if it has one of its own. A signal comes in one unit, so that it is one column."""
    for said in written["when"]["any_of"]:
        comparisons = set(said) - {"signal", "unit"}
        need(len(comparisons) == 1 and comparisons < set(COMPARISONS), written)
    found = _conditions(written["when"])
    for c in found:
        need(unit in (None, c.unit), written)
        _signal(written, c.signal, c.unit if unit is None else None)
    need(len({(c.signal, c.unit) for c in found}) == len({c.signal for c in found}), written)
    return found


def _signal(written: Mapping[str, Any], name: str, unit: str | None) -> Signal:
    signal = signal_called(name, unit)
    group = OF[written["when"].get("of", "readings")]
    if signal is None or group not in (None, signal.group):
        raise not_understood(written)
    return signal


def _conditions(when: Mapping[str, Any]) -> tuple[Condition, ...]:
    return tuple(
        Condition(signal=c["signal"], comparison=word, value=number(c[word]), unit=c["unit"])
        for c in when["any_of"]
        for word in COMPARISONS
        if c.get(word) is not None
    )
