"""What people are shown of the rules: titles, sources, and the lines that a chart draws. It judges nothing."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from server.rules.conditions import DIFFERENCES
from server.rules.rule import (
    CombinedRule,
    CountOfLastRule,
    DaysInARowRule,
    RollingRule,
    Rule,
    RuleSet,
    SingleValueRule,
)
from server.rules.urgency import is_urgent

_CONDITIONED: Final = (DaysInARowRule, SingleValueRule)

CRITICAL_SYSTOLIC_MMHG: Final = 180.0
"""From here on the symptom list of the American Heart Association belongs to a reading (docs/explanation/safety)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """One comparison of a rule, such as systolic above 140 mmHg."""

    signal: str
    comparison: str
    value: float
    unit: str = "mmHg"

    def is_met_by(self, value: float) -> bool:
        match self.comparison:
            case "above":
                return value > self.value
            case "at_least":
                return value >= self.value
            case "below":
                return value < self.value
        return value <= self.value


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleText:
    """A rule as it is shown. `is_critical`: one pressure so high is enough, and the symptom list belongs to it.

    `has_lines`: it compares what was measured, so that its limits are lines of a chart. Those on a spread, a rise or a share of
    the time are not; of a rule of several conditions each says so in the verdict.
    `asks_symptoms`: a yes to them makes it urgent. `is_urgent`: it may come to the highest priority, and its clock runs.
    """

    title: Mapping[str, str]
    source: str
    conditions: tuple[Condition, ...] = field(default=())
    is_trend: bool = False
    is_critical: bool = False
    has_lines: bool = True
    asks_symptoms: bool = False
    is_urgent: bool = False


def texts_of(rules: RuleSet) -> Mapping[str, RuleText]:
    """Every rule's text by its id."""
    return {rule.id: _text(rule) for rule in rules.rules}


def text_of(texts: Mapping[str, RuleText], rule_id: str) -> RuleText:
    """The rule's text; its bare id for a rule that this build no longer has."""
    return texts.get(rule_id) or RuleText(title={"en": rule_id, "zh": rule_id}, source="")


def trend_conditions(texts: Mapping[str, RuleText]) -> tuple[str, tuple[Condition, ...]]:
    """The lines of a chart that no alert has chosen: the id and the conditions of the first rule over days."""
    return next(((rule_id, text.conditions) for rule_id, text in texts.items() if text.is_trend), ("", ()))


def is_of_values(kind: str, of: str, statistic: str | None) -> bool:
    """Does such a trend compare what was measured, and not a spread or a rise of it?"""
    return of not in DIFFERENCES and (kind == "count_of_last" or statistic in ("mean", "highest", "lowest"))


def _text(rule: Rule) -> RuleText:
    title = {str(language): text for language, text in rule.title.items()}
    if not isinstance(rule, _CONDITIONED):
        return RuleText(title=title, source=rule.source, has_lines=_has_lines(rule), is_urgent=is_urgent(rule))
    conditions = tuple(
        Condition(signal=each.signal, comparison=each.comparison, value=each.value, unit=each.unit)
        for each in rule.when.any_of
    )
    is_high = any(
        each.signal == "systolic" and each.comparison in ("above", "at_least") and each.value >= CRITICAL_SYSTOLIC_MMHG
        for each in conditions
    )
    return RuleText(
        title=title,
        source=rule.source,
        conditions=conditions,
        is_trend=isinstance(rule, DaysInARowRule),
        is_critical=isinstance(rule, SingleValueRule) and is_high,
        asks_symptoms=isinstance(rule, SingleValueRule) and is_high and rule.when.confirm is not None,
        is_urgent=is_urgent(rule),
    )


def _has_lines(rule: Rule) -> bool:
    """Of a rule about a trend or about a share of the time."""
    match rule:
        case RollingRule():
            return is_of_values(rule.when.kind, rule.when.of, rule.when.statistic)
        case CountOfLastRule():
            is_flag = any(each.unit == "flag" for each in rule.when.any_of)
            return is_of_values(rule.when.kind, rule.when.of, None) and not is_flag
        case CombinedRule():
            return True
        case _:
            return False
