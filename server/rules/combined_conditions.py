"""What a rule of several conditions looks at (`when`): those of other kinds, joined by all_of, any_of and not. Judges nothing."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar, Final, Literal

from pydantic import Discriminator, Field, Tag, model_validator

from server.rules.conditions import Change, CountOfLast, Part, Rolling
from server.rules.signals import group_of

BelowBy = Annotated[float, Field(ge=0, le=100)]
"""How far on the good side of every threshold an answer must lie to be a no, as `below_by` in `resolve`."""


class Age(Part):
    """How old an answer may be for it to count when the alert begins. A plain age: a day is 24 hours, and no clinical day."""

    hours: Annotated[int, Field(ge=1, le=744)] | None = None
    days: Annotated[int, Field(ge=1, le=31)] | None = None

    @model_validator(mode="after")
    def _one_of_both(self) -> "Age":
        if (self.hours is None) == (self.days is None):
            raise ValueError("give hours or days")
        return self

    @property
    def in_hours(self) -> int:
        return self.hours if self.hours is not None else 24 * (self.days or 0)


class RollingCondition(Rolling):
    """A `rolling` that answers yes where it holds, and no where every signal is `below_by` on the good side."""

    below_by: BelowBy = 0.0

    @model_validator(mode="after")
    def _one_row(self) -> "RollingCondition":
        if len({group_of(condition.signal) for condition in self.any_of}) > 1:
            raise ValueError(
                "a condition is about one signal, or systolic and diastolic; make another part of the others"
            )
        return self


class CountCondition(CountOfLast):
    """A `count_of_last` that answers yes where it holds, and no where too few are less than `below_by` on the good side."""

    below_by: BelowBy = 0.0


class ChangeCondition(Change):
    """A `change` that answers yes where it holds, and no where it is `below_by` less than that."""

    below_by: BelowBy = 0.0


Condition = RollingCondition | CountCondition | ChangeCondition

_NEGATED, _ANY_OF, _ALL_OF = "negated", "one_of_several", "all_of_several"
PART_TAGS: Final = (_NEGATED, _ANY_OF, _ALL_OF)
"""Steps in the place of an error that are not in the text."""


def _tag_of(part: Any) -> str | None:
    """By which words a part is recognised."""
    match part:
        case Rolling() | CountOfLast() | Change():
            return part.kind
        case Negated():
            return _NEGATED
        case AnyOf():
            return _ANY_OF
        case AllOf():
            return _ALL_OF
        case Mapping():
            kind = part.get("kind")
            words = {"not": _NEGATED, "any_of": _ANY_OF, "all_of": _ALL_OF}
            return kind if isinstance(kind, str) else next((tag for word, tag in words.items() if word in part), None)
    return None


_A_CONDITION: Final = "a condition (kind: rolling, count_of_last or change)"


def _told_apart(also: str) -> Discriminator:
    return Discriminator(
        _tag_of, custom_error_type="unknown_part", custom_error_message=f"a part is {_A_CONDITION}, or {also}"
    )


_Conditions = (
    Annotated[RollingCondition, Tag("rolling")]
    | Annotated[CountCondition, Tag("count_of_last")]
    | Annotated[ChangeCondition, Tag("change")]
)


class Negated(Part):
    """Yes where the condition says no, and no where it says yes. Of what cannot be said nothing is said here either."""

    condition: Annotated[
        Annotated[_Conditions, _told_apart("nothing else: `not` is of one condition")], Field(alias="not")
    ]


_Simple = Annotated[_Conditions | Annotated[Negated, Tag(_NEGATED)], _told_apart("not: of one")]


class AnyOf(Part):
    """Yes if any part is; no if all are."""

    any_of: Annotated[tuple[_Simple, ...], Field(strict=False, min_length=2, max_length=8)]

    is_any: ClassVar[bool] = True

    @property
    def parts(self) -> "tuple[AnyPart, ...]":
        return self.any_of


class AllOf(Part):
    """Yes if all parts are; no if any is."""

    all_of: Annotated[tuple[_Simple, ...], Field(strict=False, min_length=2, max_length=8)]

    is_any: ClassVar[bool] = False

    @property
    def parts(self) -> "tuple[AnyPart, ...]":
        return self.all_of


_OfAll = Annotated[
    _Conditions | Annotated[Negated, Tag(_NEGATED)] | Annotated[AnyOf, Tag(_ANY_OF)],
    _told_apart("not: of one, or any_of: of several"),
]
_OfAny = Annotated[
    _Conditions | Annotated[Negated, Tag(_NEGATED)] | Annotated[AllOf, Tag(_ALL_OF)],
    _told_apart("not: of one, or all_of: of several"),
]


class Combined(Part):
    """All of several conditions hold, or any of them, with answers that are no older than `within` when it begins.

    What a condition has said last is what it says; one that has said nothing within that time is unknown, and so is a `not` of
    it: an alert never begins by what is not known. Once it has begun, it ends with an answer, and never because answers grow old.
    """

    kind: Literal["combined"]
    within: Age
    all_of: Annotated[tuple[_OfAll, ...], Field(strict=False, min_length=2, max_length=8)] | None = None
    any_of: Annotated[tuple[_OfAny, ...], Field(strict=False, min_length=2, max_length=8)] | None = None

    @model_validator(mode="after")
    def _one_word(self) -> "Combined":
        if (self.all_of is None) == (self.any_of is None):
            raise ValueError("give all_of or any_of")
        return self

    @property
    def is_any(self) -> bool:
        """Is one part enough?"""
        return self.any_of is not None

    @property
    def parts(self) -> "tuple[AnyPart, ...]":
        return self.any_of or self.all_of or ()

    @property
    def within_days(self) -> int:
        """Whole days, rounded up."""
        return -(-self.within.in_hours // 24)

    @property
    def conditions(self) -> tuple[tuple[Condition, bool], ...]:
        """Each condition in the order written, and whether it is under `not`."""
        return tuple(_conditions_of(self))


AnyPart = Condition | Negated | AnyOf | AllOf | Combined


def _conditions_of(part: AnyPart) -> Iterator[tuple[Condition, bool]]:
    match part:
        case Negated():
            yield part.condition, True
        case Combined() | AllOf() | AnyOf():
            for each in part.parts:
                yield from _conditions_of(each)
        case _:
            yield part, False
