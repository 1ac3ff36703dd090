"""A patient's own numbers, put in place of a rule's: which there are, whether they fit, and what is in force. Pure.

A number that does not fit its rule is refused: judging by something else than what was written would be silent.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from server.rules.absence_conditions import DAYS_MAX
from server.rules.conditions import DayThreshold, TrendThreshold, ValueThreshold
from server.rules.glucose_conditions import ShareStatistic
from server.rules.rule import (
    AbsenceRule,
    ChangeRule,
    CombinedRule,
    CountOfLastRule,
    DaysInARowRule,
    FailedMeasurementsRule,
    LastingRule,
    NumberedRule,
    RangeShareRule,
    RollingRule,
    Rule,
    ScheduleRule,
    SilenceRule,
    SingleValueRule,
    UnnumberedRule,
)
from server.rules.signals import group_of
from vitals.errors import MalformedError


def thresholds_in_force(
    rule: "DaysInARowRule | SingleValueRule | RollingRule | CountOfLastRule", parameters: Mapping[str, Any]
) -> tuple[float, ...]:
    """The value of each condition of `rule.when.any_of`, with a patient's own `parameters` by signal put in their place.

    Raises `MalformedError` (`threshold_unknown`, `threshold_value`) for parameters that do not fit the rule: judging by
    something else than what was written would be silent.
    """
    units = {str(condition.signal): str(condition.unit) for condition in rule.when.any_of}
    _refuse_misfits(rule.id, parameters, units, _bounds_of(rule))
    return tuple(float(parameters.get(condition.signal, condition.value)) for condition in rule.when.any_of)


_BOUNDS: Final = (0.0, 1000.0)
"""Of a number of whatever unit, at the least and at the most."""


def _bounds_of(rule: "DaysInARowRule | SingleValueRule | RollingRule | CountOfLastRule") -> tuple[float, float]:
    is_of_pressure = all(group_of(condition.signal) == "pressure" for condition in rule.when.any_of)
    is_plain = isinstance(rule, DaysInARowRule | SingleValueRule)  # a trend's number may be a deviation or a count
    return (20.0, 300.0) if is_plain and is_of_pressure else _BOUNDS


@dataclass(frozen=True, slots=True, kw_only=True)
class Number:
    """One number that a patient may have of their own. `is_upper`: more of it alerts less; `step`: what makes a difference.

    `bounds`: what there may be at the least and at the most.
    """

    name: str
    value: float
    is_upper: bool
    step: float
    bounds: tuple[float, float] = _BOUNDS


_STEPS: Final[Mapping[str, float]] = {
    "mmHg": 5,
    "bpm": 5,
    "mmol/L": 0.5,
    "mg/dL": 10,
    "kg": 0.5,
    "%": 1,
    "°C": 0.2,
    "readings": 1,
    "flag": 1,
}
_STEPS_OF_SHARES: Final[Mapping[ShareStatistic, float]] = {
    "share": 5,
    "cv": 2,
    "gmi": 0.2,
    "gri": 5,
    "lbgi": 0.5,
    "hbgi": 1,
}
_SPREAD_STEP: Final = 0.1
"""Of a standard deviation and the like a step is a tenth."""


def numbers_of(rule: NumberedRule, parameters: Mapping[str, Any]) -> tuple[Number, ...]:
    """What may be set for a patient, as it is for one with `parameters`; raises as `thresholds_in_force`."""
    if isinstance(rule, ChangeRule):
        name = "falls_by" if rule.when.rises_by is None else "rises_by"
        by = change_in_force(rule, parameters)
        return (Number(name=name, value=by, is_upper=True, step=_STEPS[rule.when.unit]),)
    if isinstance(rule, RangeShareRule | LastingRule):
        return (_only_number(rule, value_in_force(rule, parameters)),)
    if isinstance(rule, SilenceRule | ScheduleRule):
        name, bounds = _DAYS_OF[rule.when.kind], (1.0, _days_max(rule))
        days = days_in_force(rule, parameters)
        return (Number(name=name, value=days, is_upper=isinstance(rule, SilenceRule), step=1, bounds=bounds),)
    is_spread = isinstance(rule, RollingRule) and rule.when.statistic in ("sd", "arv")
    conditions: Sequence[DayThreshold | ValueThreshold | TrendThreshold] = rule.when.any_of
    return tuple(
        Number(
            name=condition.signal,
            value=value,
            is_upper=condition.comparison in ("above", "at_least"),
            step=value * _SPREAD_STEP if is_spread else _STEPS[condition.unit],
            bounds=_bounds_of(rule),
        )
        for condition, value in zip(conditions, thresholds_in_force(rule, parameters), strict=True)
    )


def _only_number(rule: RangeShareRule | LastingRule, value: float) -> Number:
    step = _STEPS_OF_SHARES.get(rule.when.statistic) if isinstance(rule, RangeShareRule) else None
    return Number(
        name="value",
        value=value,
        is_upper=rule.when.comparison in ("above", "at_least"),
        step=_STEPS[rule.when.unit] if step is None else step,
    )


def is_watched(rule: Rule, is_chosen: bool | None) -> bool:
    """Does the rule speak of a patient? `is_chosen`: what somebody has decided for this one, if anybody has."""
    return rule.watch == "everyone" if is_chosen is None else is_chosen


def refuse_all(rule: UnnumberedRule, parameters: Mapping[str, Any]) -> None:
    """Raises `MalformedError` for any parameter: the rule has none."""
    _refuse_misfits(rule.id, parameters, {}, (0.0, 0.0))


def check_parameters(rule: Rule, parameters: Mapping[str, float]) -> None:
    """Raises `MalformedError` (`threshold_unknown`, `threshold_value`) for what the rule could not be judged by."""
    match rule:
        case FailedMeasurementsRule() | CombinedRule():
            refuse_all(rule, parameters)
        case ChangeRule():
            change_in_force(rule, parameters)
        case RangeShareRule() | LastingRule():
            value_in_force(rule, parameters)
        case SilenceRule() | ScheduleRule():
            days_in_force(rule, parameters)
        case _:
            thresholds_in_force(rule, parameters)


def change_in_force(rule: ChangeRule, parameters: Mapping[str, Any]) -> float:
    """How far the value must rise or fall, for a patient with `parameters` of their own; raises as `thresholds_in_force`."""
    name = "falls_by" if rule.when.rises_by is None else "rises_by"
    _refuse_misfits(rule.id, parameters, {name: rule.when.unit}, _BOUNDS)
    return float(parameters.get(name, getattr(rule.when, name)))


def value_in_force(rule: RangeShareRule | LastingRule, parameters: Mapping[str, Any]) -> float:
    """The number compared with, for a patient with a `value` of their own; raises as `thresholds_in_force`."""
    _refuse_misfits(rule.id, parameters, {"value": rule.when.unit}, _BOUNDS)
    return float(parameters.get("value", rule.when.value))


_DAYS_OF: Final = {"silence": "days", "schedule": "measured_days"}


def days_in_force(rule: AbsenceRule, parameters: Mapping[str, Any]) -> int:
    """How many quiet days, or measured days, for a patient with a number of their own: whole; raises as `thresholds_in_force`."""
    name = _DAYS_OF[rule.when.kind]
    _refuse_misfits(rule.id, parameters, {name: "days"}, (1.0, _days_max(rule)))
    days = float(parameters.get(name, getattr(rule.when, name)))
    if not days.is_integer():
        raise MalformedError("threshold_value", f"{rule.id}: {name} must be a whole number of days", days)
    return int(days)


def _days_max(rule: AbsenceRule) -> float:
    return float(DAYS_MAX if isinstance(rule, SilenceRule) else rule.when.of_days)


def _refuse_misfits(
    rule_id: str, parameters: Mapping[str, Any], units: Mapping[str, str], bounds: tuple[float, float]
) -> None:
    for name, value in parameters.items():
        if name not in units:
            raise MalformedError("threshold_unknown", f"{rule_id} has no parameter {name!r}", name)
        if isinstance(value, bool) or not isinstance(value, int | float) or not bounds[0] <= value <= bounds[1]:
            low, high = (f"{bound:g}" for bound in bounds)
            raise MalformedError(
                "threshold_value", f"{rule_id}: {name} must be a number from {low} to {high} {units[name]}", value
            )
