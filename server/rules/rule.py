"""A rule as a clinician writes it: strict models of the YAML, and nothing that judges.

Every kind says what it looks at (`when`) and how its episode ends (`resolve`); both are closed unions, so that a misspelt
word is an error with a place and never a rule that quietly does not fire. Units and comparisons are part of the text.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, get_args

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, model_validator

from server.rules.episodes import Audience, Language
from vitals.errors import MalformedError

Comparison = Literal["above", "at_least", "below", "at_most"]
Priority = Literal["information", "low", "medium", "high"]
Signal = Literal["systolic", "diastolic"]
Text = Annotated[str, Field(min_length=1, max_length=2000)]
PerLanguage = dict[Language, Text]

COMPARISONS: Final[tuple[Comparison, ...]] = get_args(Comparison)


class Part(BaseModel):
    """The strictness of every part: no coercion, no unknown key, no NaN."""

    model_config = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False, frozen=True)


class _Threshold(Part):
    signal: Signal
    above: float | None = None
    at_least: float | None = None
    below: float | None = None
    at_most: float | None = None
    unit: Literal["mmHg"]

    @model_validator(mode="after")
    def _one_comparison(self) -> "_Threshold":
        given = [word for word in COMPARISONS if getattr(self, word) is not None]
        if len(given) != 1:
            raise ValueError(f"give exactly one of above, at_least, below, at_most (got {', '.join(given) or 'none'})")
        return self

    @property
    def comparison(self) -> Comparison:
        return next(word for word in COMPARISONS if getattr(self, word) is not None)

    @property
    def value(self) -> float:
        return float(getattr(self, self.comparison))


class DayThreshold(_Threshold):
    """A comparison of the mean of a day's sittings."""

    statistic: Literal["day_mean"]


class ValueThreshold(_Threshold):
    """A comparison of one reading as it is."""

    statistic: Literal["value"] = "value"


class DaysInARow(Part):
    """The last `days` measured days all meet `any_of`, and span at most `max_span_days` (both end days counted).

    `missing_day: bridge`: a day without enough readings neither counts nor breaks. `break`: it breaks, so the days must
    follow each other in the calendar. A measured day that does not meet the condition always starts the count again.
    """

    kind: Literal["days_in_a_row"]
    any_of: Annotated[tuple[DayThreshold, ...], Field(strict=False, min_length=1, max_length=8)]
    days: Annotated[int, Field(ge=1, le=31)]
    missing_day: Literal["bridge", "break"]
    max_span_days: Annotated[int, Field(ge=1, le=62)] | None = None
    min_readings_per_day: Annotated[int, Field(ge=1, le=24)] = 1

    @model_validator(mode="after")
    def _span_fits(self) -> "DaysInARow":
        if self.missing_day == "break" and self.max_span_days is not None:
            raise ValueError("max_span_days belongs to missing_day: bridge; leave it out")
        if self.missing_day == "bridge" and (self.max_span_days is None or self.max_span_days < self.days):
            raise ValueError(f"missing_day: bridge needs max_span_days of at least {self.days}")
        return self

    @property
    def span_days(self) -> int:
        return self.days if self.max_span_days is None else self.max_span_days


class SingleValue(Part):
    """One reading meets `any_of`. Readings of one sitting are one event.

    `arrived: in_time`: received within 30 minutes of being measured, or within 24 hours if no normal reading was measured in
    between. `arrived: late`: all others. Orphans (records from before a clock change) are never used.
    """

    kind: Literal["single_value"]
    any_of: Annotated[tuple[ValueThreshold, ...], Field(strict=False, min_length=1, max_length=8)]
    readings: Annotated[
        tuple[Literal["accepted", "suspect", "rejected"], ...], Field(strict=False, min_length=1, max_length=3)
    ]
    arrived: Literal["in_time", "late"]


class FailedMeasurements(Part):
    """`count` measurements of one kind failed (quality invalid) within one clinical day: look at the meter."""

    kind: Literal["failed_measurements"]
    count: Annotated[int, Field(ge=1, le=100)]


class ResolveByDays(Part):
    """`days` consecutive measured days, each at least `below_by` on the good side of every threshold."""

    below_by: Annotated[float, Field(ge=0, le=100)]
    days: Annotated[int, Field(ge=1, le=31)]


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


class FailedMeasurementsRule(_Rule):
    when: FailedMeasurements
    resolve: ResolveAtDayClose


KINDS: Final = ("days_in_a_row", "single_value", "failed_measurements")


def _kind_of(value: Any) -> str | None:
    if isinstance(value, _Rule):
        return str(getattr(value, "when").kind)  # noqa: B009 - the union's members share it, the base class does not
    when = value.get("when") if isinstance(value, Mapping) else None
    kind = when.get("kind") if isinstance(when, Mapping) else None
    return kind if isinstance(kind, str) else None


Rule = Annotated[
    Annotated[DaysInARowRule, Tag("days_in_a_row")]
    | Annotated[SingleValueRule, Tag("single_value")]
    | Annotated[FailedMeasurementsRule, Tag("failed_measurements")],
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


def thresholds_in_force(rule: "DaysInARowRule | SingleValueRule", parameters: Mapping[str, Any]) -> tuple[float, ...]:
    """The value of each condition of `rule.when.any_of`, with a patient's own `parameters` by signal put in their place.

    Raises `MalformedError` (`threshold_unknown`, `threshold_value`) for parameters that do not fit the rule: judging by
    something else than what was written would be silent.
    """
    signals = {condition.signal for condition in rule.when.any_of}
    for name, value in parameters.items():
        if name not in signals:
            raise MalformedError("threshold_unknown", f"{rule.id} has no parameter {name!r}", name)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 20 <= value <= 300:
            raise MalformedError("threshold_value", f"{rule.id}: {name} must be a number from 20 to 300 mmHg", value)
    return tuple(float(parameters.get(condition.signal, condition.value)) for condition in rule.when.any_of)
