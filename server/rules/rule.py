"""A rule as a clinician writes it: strict models of the YAML, and nothing that judges.

Every kind says what it looks at (`when`) and how its episode ends (`resolve`); both are closed unions, so that a misspelt
word is an error with a place and never a rule that quietly does not fire.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal, get_args

from pydantic import Discriminator, Field, Tag, model_validator

from server.rules.conditions import (
    Change,
    CountOfLast,
    DaysInARow,
    DayThreshold,
    FailedMeasurements,
    Lasting,
    Part,
    RangeShare,
    Rolling,
    ShareStatistic,
    SingleValue,
    TrendThreshold,
    ValueThreshold,
)
from server.rules.episodes import Audience, Language, Priority, is_more_urgent
from server.rules.signals import group_of
from vitals.errors import MalformedError

Text = Annotated[str, Field(min_length=1, max_length=2000)]
PerLanguage = dict[Language, Text]


class ResolveByDays(Part):
    """`days` consecutive measured days, each at least `below_by` on the good side of every threshold."""

    below_by: Annotated[float, Field(ge=0, le=100)]
    days: Annotated[int, Field(ge=1, le=31)]


class ResolveByTrend(Part):
    """Ends with the first answer that is at least `below_by` on the good side of every threshold. A gap ends nothing."""

    below_by: Annotated[float, Field(ge=0, le=100)]


class ResolveByTime(Part):
    """Ends with as long a time on the good side as it takes to begin. A gap ends nothing."""

    by: Literal["time"]


class ResolveByReading(Part):
    """What ends a single-value episode. It is never ended by silence: a gap is not a good value.

    `by: reading_below`: a later accepted reading on the good side of every threshold; the episode stays visible for
    `visible_hours` after it, at a lower priority. `by: new_reading`: the patient has measured again, whatever the value.
    `by: person`: only a person closes it. `at_most_hours` ends a mere prompt that nobody followed.
    A later sitting that meets the condition again takes the place of an episode that is still open (not with `person`).
    """

    by: Literal["reading_below", "new_reading", "person"]
    visible_hours: Annotated[int, Field(ge=0, le=24 * 31)] = 0
    at_most_hours: Annotated[int, Field(ge=1, le=24 * 31)] | None = None

    @model_validator(mode="after")
    def _hours_fit(self) -> "ResolveByReading":
        if self.by == "person" and (self.visible_hours or self.at_most_hours is not None):
            raise ValueError("by: person takes no hours")
        return self


class ResolveAtDayClose(Part):
    """Ends with the clinical day, at 03:00 local."""

    at: Literal["day_close"]


class _Rule(Part):
    id: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,63}$")]
    version: Annotated[int, Field(ge=1)]
    title: PerLanguage
    source: Text
    priority: Priority
    tell: Annotated[tuple[Audience, ...], Field(strict=False, max_length=2)]
    patient_message: PerLanguage | None = None
    watch: Literal["everyone", "chosen"] = "everyone"
    """For whom it speaks: everybody for whom it is not switched off, or only those for whom somebody has chosen it."""

    @model_validator(mode="after")
    def _every_language(self) -> "_Rule":
        languages = set(get_args(Language))
        if set(self.title) != languages:
            raise ValueError("title needs en and zh")
        if self.patient_message is not None and set(self.patient_message) != languages:
            raise ValueError("patient_message needs en and zh")
        if "patient" in self.tell and self.patient_message is None:
            raise ValueError("a rule that tells the patient needs a patient_message")
        if len(set(self.tell)) != len(self.tell):
            raise ValueError("tell names somebody twice")
        return self


class DaysInARowRule(_Rule):
    when: DaysInARow
    resolve: ResolveByDays


class SingleValueRule(_Rule):
    when: SingleValue
    resolve: ResolveByReading

    @model_validator(mode="after")
    def _confirm_fits(self) -> "SingleValueRule":
        confirm = self.when.confirm
        if confirm is not None and self.resolve.by != "reading_below":
            raise ValueError("confirm needs resolve: {by: reading_below}")
        if confirm is not None and not is_more_urgent(confirm.priority, than=self.priority):
            raise ValueError(f"confirm.priority must be above the rule's, which is {self.priority}")
        return self


class FailedMeasurementsRule(_Rule):
    when: FailedMeasurements
    resolve: ResolveAtDayClose


class RollingRule(_Rule):
    when: Rolling
    resolve: ResolveByTrend


class CountOfLastRule(_Rule):
    when: CountOfLast
    resolve: ResolveByTrend


class ChangeRule(_Rule):
    when: Change
    resolve: ResolveByTrend


class RangeShareRule(_Rule):
    when: RangeShare
    resolve: ResolveByTrend


class LastingRule(_Rule):
    when: Lasting
    resolve: ResolveByTime


TrendRule = RollingRule | CountOfLastRule | ChangeRule
NumberedRule = DaysInARowRule | SingleValueRule | TrendRule | RangeShareRule | LastingRule

KINDS: Final = (
    "days_in_a_row",
    "single_value",
    "failed_measurements",
    "rolling",
    "count_of_last",
    "change",
    "range_share",
    "lasting",
)


def _kind_of(value: Any) -> str | None:
    if isinstance(value, _Rule):
        return str(getattr(value, "when").kind)  # noqa: B009 - the union's members share it, the base class does not
    when = value.get("when") if isinstance(value, Mapping) else None
    kind = when.get("kind") if isinstance(when, Mapping) else None
    return kind if isinstance(kind, str) else None


Rule = Annotated[
    Annotated[DaysInARowRule, Tag("days_in_a_row")]
    | Annotated[SingleValueRule, Tag("single_value")]
    | Annotated[FailedMeasurementsRule, Tag("failed_measurements")]
    | Annotated[RollingRule, Tag("rolling")]
    | Annotated[CountOfLastRule, Tag("count_of_last")]
    | Annotated[ChangeRule, Tag("change")]
    | Annotated[RangeShareRule, Tag("range_share")]
    | Annotated[LastingRule, Tag("lasting")],
    Discriminator(
        _kind_of,
        custom_error_type="unknown_kind",
        custom_error_message=f"when.kind must be one of {', '.join(KINDS)}",
    ),
]


class RuleFile(Part):
    """One YAML file of rules."""

    rules: Annotated[tuple[Rule, ...], Field(strict=False)]


class RuleSet:
    """The rules that judge, by id. Equal ids are refused."""

    __slots__ = ("_by_id", "rules")

    def __init__(self, rules: "tuple[Rule, ...]") -> None:
        self.rules = rules
        self._by_id = {rule.id: rule for rule in rules}
        if len(self._by_id) != len(rules):
            twice = sorted({rule.id for rule in rules if sum(other.id == rule.id for other in rules) > 1})
            raise MalformedError("rule_twice", f"two rules are called {', '.join(twice)}; give each its own id", twice)

    def __contains__(self, rule_id: object) -> bool:
        return rule_id in self._by_id

    def by_id(self, rule_id: str) -> "Rule":
        """The rule called `rule_id`; raises `KeyError`."""
        return self._by_id[rule_id]

    def only(self, rule_ids: tuple[str, ...]) -> "RuleSet":
        """These rules alone, in this order; raises `MalformedError` for an id that is not here."""
        unknown = [rule_id for rule_id in rule_ids if rule_id not in self._by_id]
        if unknown:
            known = ", ".join(self._by_id)
            raise MalformedError("rule_unknown", f"no rule called {', '.join(unknown)}; there are {known}", unknown)
        return RuleSet(tuple(self._by_id[rule_id] for rule_id in rule_ids))


def thresholds_in_force(
    rule: "DaysInARowRule | SingleValueRule | RollingRule | CountOfLastRule", parameters: Mapping[str, Any]
) -> tuple[float, ...]:
    """The value of each condition of `rule.when.any_of`, with a patient's own `parameters` by signal put in their place.

    Raises `MalformedError` (`threshold_unknown`, `threshold_value`) for parameters that do not fit the rule: judging by
    something else than what was written would be silent.
    """
    is_of_pressure = all(group_of(condition.signal) == "pressure" for condition in rule.when.any_of)
    is_plain = isinstance(rule, DaysInARowRule | SingleValueRule)  # a trend's number may be a deviation or a count
    bounds = (20.0, 300.0) if is_plain and is_of_pressure else (0.0, 1000.0)
    units = {str(condition.signal): str(condition.unit) for condition in rule.when.any_of}
    _refuse_misfits(rule.id, parameters, units, bounds)
    return tuple(float(parameters.get(condition.signal, condition.value)) for condition in rule.when.any_of)


@dataclass(frozen=True, slots=True, kw_only=True)
class Number:
    """One number that a patient may have of their own. `is_upper`: more of it alerts less; `step`: what makes a difference."""

    name: str
    value: float
    is_upper: bool
    step: float


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
    is_spread = isinstance(rule, RollingRule) and rule.when.statistic in ("sd", "arv")
    conditions: Sequence[DayThreshold | ValueThreshold | TrendThreshold] = rule.when.any_of
    return tuple(
        Number(
            name=condition.signal,
            value=value,
            is_upper=condition.comparison in ("above", "at_least"),
            step=value * _SPREAD_STEP if is_spread else _STEPS[condition.unit],
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


def refuse_all(rule: FailedMeasurementsRule, parameters: Mapping[str, Any]) -> None:
    """Raises `MalformedError` for any parameter: the rule has none."""
    _refuse_misfits(rule.id, parameters, {}, (0.0, 0.0))


def check_parameters(rule: Rule, parameters: Mapping[str, float]) -> None:
    """Raises `MalformedError` (`threshold_unknown`, `threshold_value`) for what the rule could not be judged by."""
    match rule:
        case FailedMeasurementsRule():
            refuse_all(rule, parameters)
        case ChangeRule():
            change_in_force(rule, parameters)
        case RangeShareRule() | LastingRule():
            value_in_force(rule, parameters)
        case _:
            thresholds_in_force(rule, parameters)


def change_in_force(rule: ChangeRule, parameters: Mapping[str, Any]) -> float:
    """How far the value must rise or fall, for a patient with `parameters` of their own; raises as `thresholds_in_force`."""
    name = "falls_by" if rule.when.rises_by is None else "rises_by"
    _refuse_misfits(rule.id, parameters, {name: rule.when.unit}, (0.0, 1000.0))
    return float(parameters.get(name, getattr(rule.when, name)))


def value_in_force(rule: RangeShareRule | LastingRule, parameters: Mapping[str, Any]) -> float:
    """The number compared with, for a patient with a `value` of their own; raises as `thresholds_in_force`."""
    _refuse_misfits(rule.id, parameters, {"value": rule.when.unit}, (0.0, 1000.0))
    return float(parameters.get("value", rule.when.value))


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
