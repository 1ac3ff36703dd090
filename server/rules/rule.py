"""A rule as a clinician writes it: strict models of the YAML, and nothing that judges.

Every kind says what it looks at (`when`) and how its episode ends (`resolve`); both are closed unions, so that a misspelt
word is an error with a place and never a rule that quietly does not fire.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, get_args

from pydantic import Discriminator, Field, Tag, model_validator

from server.rules.absence_conditions import ResolveByMeasuring, ResolveBySchedule, Schedule, Silence
from server.rules.combined_conditions import Combined
from server.rules.conditions import (
    Change,
    CountOfLast,
    DaysInARow,
    FailedMeasurements,
    Part,
    Rolling,
    SingleValue,
)
from server.rules.episodes import Audience, Language, Priority, is_more_urgent
from server.rules.glucose_conditions import Lasting, RangeShare
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


class ResolveByParts(Part):
    """Ends with the first answer of a condition after which the whole is not true any more. A gap ends nothing."""

    by: Literal["parts"]


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


class SilenceRule(_Rule):
    when: Silence
    resolve: ResolveByMeasuring


class ScheduleRule(_Rule):
    when: Schedule
    resolve: ResolveBySchedule


class CombinedRule(_Rule):
    when: Combined
    resolve: ResolveByParts


TrendRule = RollingRule | CountOfLastRule | ChangeRule
AbsenceRule = SilenceRule | ScheduleRule
NumberedRule = DaysInARowRule | SingleValueRule | TrendRule | RangeShareRule | LastingRule | AbsenceRule
UnnumberedRule = FailedMeasurementsRule | CombinedRule
"""Of these no patient has numbers of their own: they are chosen for a patient, or left out."""

KINDS: Final = (
    "days_in_a_row",
    "single_value",
    "failed_measurements",
    "rolling",
    "count_of_last",
    "change",
    "range_share",
    "lasting",
    "silence",
    "schedule",
    "combined",
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
    | Annotated[LastingRule, Tag("lasting")]
    | Annotated[SilenceRule, Tag("silence")]
    | Annotated[ScheduleRule, Tag("schedule")]
    | Annotated[CombinedRule, Tag("combined")],
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
