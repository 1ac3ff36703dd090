"""What was agreed with a patient: when to measure, when to take which medicine, how often somebody calls. Pure.

A plan reminds and is compared with; it advises nothing. Names and doses of medicines are free text that the house does not read.
How long somebody may be silent follows from it (`silent_days`), for the rules that judge silence are the only ones that do.
"""

from collections.abc import Collection, Mapping
from datetime import date
from functools import cache
from math import ceil
from pathlib import Path
from typing import Annotated, Any, Final, Literal, get_args

from pydantic import AfterValidator, Field, ValidationError, model_validator

from server.rules.conditions import Part
from server.rules.icd10 import range_of
from server.rules.load import explain, read_yaml
from server.rules.rule import PerLanguage, Text
from vitals.errors import MalformedError

TEMPLATES: Final = Path(__file__).parent / "plan_templates.yaml"

MeasuredKind = Literal["blood_pressure", "glucose", "weight", "oxygen_saturation", "temperature"]
Slot = Literal["fasting", "before_meal", "after_meal", "bedtime"]
MEASURED_KINDS: Final[tuple[MeasuredKind, ...]] = get_args(MeasuredKind)
SLOTS: Final[tuple[Slot, ...]] = get_args(Slot)

ITEMS_MAX: Final = 20
WEEK: Final = (1, 2, 3, 4, 5, 6, 7)
"""Monday is 1, as ISO 8601 counts."""

SILENT_DAYS_MIN, WARNED_DAYS_MIN = 7, 3
"""Clinics count a patient as lost after 7 days; the warning on day three is an engineering choice."""


def _ascending(values: tuple[Any, ...]) -> tuple[Any, ...]:
    if list(values) != sorted(set(values)):
        raise ValueError("write each once, in order")
    return values


WallTime = Annotated[str, Field(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$")]
Times = Annotated[tuple[WallTime, ...], Field(strict=False, min_length=1, max_length=8), AfterValidator(_ascending)]
Weekdays = Annotated[
    tuple[Annotated[int, Field(ge=1, le=7)], ...],
    Field(strict=False, min_length=1, max_length=7),
    AfterValidator(_ascending),
]
FreeText = Annotated[str, Field(max_length=120, pattern=r"^[^\x00-\x1f\x7f]*$")]


class Measure(Part):
    """Measure `of` at these times of these weekdays, `readings` times in a row. `slot`: of a glucose, before or after what."""

    kind: Literal["measure"]
    of: MeasuredKind
    at: Times
    weekdays: Weekdays = WEEK
    readings: Annotated[int, Field(ge=1, le=3)] = 1
    slot: Slot | None = None

    @model_validator(mode="after")
    def _slot_of_a_glucose(self) -> "Measure":
        if self.slot is not None and self.of != "glucose":
            raise ValueError("only a glucose has a slot")
        return self


class Block(Part):
    """The days before a visit, in which is measured more often: the `days` days up to the one before `before`."""

    kind: Literal["block"]
    of: MeasuredKind
    before: Annotated[date, Field(strict=False)]
    days: Annotated[int, Field(ge=3, le=14)] = 7
    at: Times = ("07:30", "19:30")
    readings: Annotated[int, Field(ge=1, le=3)] = 2


class Medicine(Part):
    """A medicine is taken at these times of these weekdays. `name` and `dose` are what the clinic wrote."""

    kind: Literal["medicine"]
    name: Annotated[FreeText, Field(min_length=1)]
    dose: FreeText = ""
    at: Times
    weekdays: Weekdays = WEEK


Item = Annotated[Measure | Block | Medicine, Field(discriminator="kind")]


class Plan(Part):
    """`call_every_days`: somebody calls so often, whatever is measured. `reminders_a_day`: at most so many; 0: none at all."""

    items: Annotated[tuple[Item, ...], Field(strict=False, max_length=ITEMS_MAX)] = ()
    phase: Literal["adjustment", "maintenance"] | None = None
    call_every_days: Annotated[int, Field(ge=7, le=180)] | None = None
    reminders_a_day: Annotated[int, Field(ge=0, le=12)] = 6

    @property
    def measures(self) -> tuple[Measure | Block, ...]:
        return tuple(item for item in self.items if not isinstance(item, Medicine))

    @property
    def medicines(self) -> tuple[Medicine, ...]:
        return tuple(item for item in self.items if isinstance(item, Medicine))

    def weekdays_of(self, kind: str | None = None) -> tuple[int, ...]:
        """The weekdays on which `kind` (None: anything) is measured every week, ascending. A block is no habit."""
        days = {
            day for item in self.items if isinstance(item, Measure) and kind in (None, item.of) for day in item.weekdays
        }
        return tuple(sorted(days))


EMPTY: Final = Plan()
"""Nothing was agreed, or no longer."""


def interval_days(plan: Plan) -> int | None:
    """The longest time from one planned day of measuring to the next; None where no day comes again every week."""
    days = plan.weekdays_of()
    ahead = (*days[1:], *(day + 7 for day in days[:1]))
    return max((after - day for day, after in zip(days, ahead, strict=True)), default=None)


def silent_days(plan: Plan) -> tuple[int, int] | None:
    """(after how many days without a reading the patient is asked, after how many counted as silent); None: by no plan.

    Silent after 7 days or twice the planned interval, whichever is longer (docs/explanation/follow-up); asked on day three, or on
    the day after the one that was missed.
    """
    interval = interval_days(plan)
    if interval is None:
        return None
    return max(WARNED_DAYS_MIN, interval + 1), max(SILENT_DAYS_MIN, 2 * interval)


def agreed_days(plan: Plan, kind: str, *, of: int, of_days: int) -> int | None:
    """How many days of `of_days` a rule that asks a daily measurer for `of` asks of this one; None: it is not measured weekly."""
    days = len(plan.weekdays_of(kind))
    return max(1, ceil(of * days / 7)) if days and of_days == 7 else None


class PlanTemplate(Part):
    """What a clinic usually agrees with such a patient. `conditions` (ICD-10) only order the choice."""

    id: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,63}$")]
    title: PerLanguage
    source: Text
    conditions: Annotated[tuple[str, ...], Field(strict=False)] = ()
    plan: Plan

    def fits(self, conditions: Collection[str]) -> bool:
        return any(code in range_of(codes) for codes in self.conditions for code in conditions)


class _File(Part):
    templates: Annotated[tuple[PlanTemplate, ...], Field(strict=False)]


@cache
def plan_templates() -> tuple[PlanTemplate, ...]:
    """Those that come with this build. Raises `MalformedError` for a file that is not one of templates."""
    try:
        return _File.model_validate(read_yaml(TEMPLATES)).templates
    except ValidationError as e:
        raise MalformedError("plan_templates", explain(e, TEMPLATES), str(TEMPLATES)) from e


def read_plan(written: Mapping[str, Any]) -> Plan:
    """Raises `MalformedError` (`plan`) for what is not one."""
    try:
        return Plan.model_validate(dict(written))
    except ValidationError as e:
        wrong = "; ".join(
            f"{'.'.join(map(str, each['loc'])) or 'plan'}: {each['msg']}"
            for each in e.errors(include_url=False, include_input=False)
        )
        raise MalformedError("plan", wrong) from e
