"""Which urgent alert speaks for a lesser one of the same signal, so that nobody is told twice of one thing.

Below 3.0 mmol/L the rule for 3.9 holds, too; while a critical pressure is open, its trend is no news. Pure: it compares rules.
"""

from typing import Final

from server.rules.rule import CountOfLastRule, DaysInARowRule, LastingRule, RollingRule, Rule, SingleValueRule
from server.rules.signals import Signal, group_of
from server.rules.urgency import is_urgent

_FINGER_STICKS: Final = frozenset({"fasting_glucose", "preprandial_glucose", "postprandial_glucose"})
_LEVELS: Final = frozenset({"mean", "highest", "lowest"})


def speaks_for(greater: Rule, lesser: Rule) -> bool:
    """Is whatever `lesser` says of a signal on the side on which `greater` is urgent?

    Only of what was measured and counts: what arrived late, and what a meter calls unreliable, is a matter of its own.
    """
    if greater.id == lesser.id or not is_urgent(greater):
        return False
    sides = _sides(lesser)
    return bool(sides) and sides <= _sides(greater)


def _sides(rule: Rule) -> frozenset[tuple[str, bool]]:
    """The signals that the rule compares, each with whether high is bad; none of a rule that compares no level of any."""
    match rule:
        case SingleValueRule() if rule.when.arrived == "in_time" and "accepted" in rule.when.readings:
            return frozenset((_group(each.signal), _is_high(each.comparison)) for each in rule.when.any_of)
        case DaysInARowRule():
            return frozenset((_group(each.signal), _is_high(each.comparison)) for each in rule.when.any_of)
        case CountOfLastRule() if rule.when.of == "readings":
            return frozenset((_group(each.signal), _is_high(each.comparison)) for each in rule.when.any_of)
        case RollingRule() if rule.when.of in ("readings", "sittings", "days") and rule.when.statistic in _LEVELS:
            return frozenset((_group(each.signal), _is_high(each.comparison)) for each in rule.when.any_of)
        case LastingRule():
            return frozenset({(_group(rule.when.signal), _is_high(rule.when.comparison))})
        case _:
            return frozenset()


def _group(signal: Signal) -> str:
    return "glucose" if signal in _FINGER_STICKS else group_of(signal)


def _is_high(comparison: str) -> bool:
    return comparison in ("above", "at_least")
