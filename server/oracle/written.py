"""What all rules are written with: a comparison, and the readers of the words that every kind shares."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, Final

from server.oracle.figures import Figure
from server.oracle.shapes import OracleThreshold
from vitals.errors import MalformedError

COMPARISONS: Final = ("above", "at_least", "below", "at_most")


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """`signal` compared with `value` in `unit`."""

    signal: str
    comparison: str
    value: Fraction
    unit: str

    def is_met(self, value: Figure) -> bool:
        match self.comparison:
            case "above":
                return value > self.value
            case "at_least":
                return value >= self.value
            case "below":
                return value < self.value
            case _:
                return value <= self.value

    def is_good(self, value: Figure, by: Fraction) -> bool:
        """Is it on the other side, by at least so much?"""
        is_far = value <= self.value - by if self.comparison in ("above", "at_least") else value >= self.value + by
        return is_far and not self.is_met(value)


def in_force(
    conditions: tuple[Condition, ...], personal: OracleThreshold | None, *, parameter: str | None = None
) -> tuple[Condition, ...]:
    """The conditions with a patient's own numbers in place of the rule's: by signal, or all by the one called `parameter`."""
    own = {} if personal is None else personal.parameters
    return tuple(replace(c, value=number(own.get(parameter or c.signal, c.value))) for c in conditions)


def common(written: Mapping[str, Any]) -> dict[str, Any]:
    return {name: written[name] for name in ("id", "version", "priority")} | {
        "tell": tuple(written["tell"]),
        "is_for_everyone": written.get("watch", "everyone") == "everyone",
    }


def need(is_understood: bool, written: Mapping[str, Any]) -> None:
    if not is_understood:
        raise not_understood(written)


def not_understood(written: Mapping[str, Any]) -> MalformedError:
    rule_id = written["id"]
    return MalformedError("rule_not_understood", f"the oracle does not understand {rule_id}: teach it first", rule_id)


def number(value: Any) -> Fraction:
    return value if isinstance(value, Fraction) else Fraction(str(value))


def conditions_of(when: Mapping[str, Any]) -> tuple[Condition, ...]:
    return tuple(
        Condition(signal=c["signal"], comparison=word, value=number(c[word]), unit=c["unit"])
        for c in when["any_of"]
        for word in COMPARISONS
        if c.get(word) is not None
    )
