"""The kind of rule that asks several trends at once, as the oracle reads it: which must hold, which must not, and how long."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, Literal

from server.oracle.signals import signal_called
from server.oracle.trend_rules import TREND_WORDS, TrendRule, reach_of, trend_rule
from server.oracle.written import common, need

Word = Literal["all_of", "any_of"]

COMBINED_WORDS: Final = {"kind", "within", "all_of", "any_of"}
_OTHER: Final[dict[Word, Word]] = {"all_of": "any_of", "any_of": "all_of"}

MOST_WITHIN: Final = {"days": 31, "hours": 744}


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaf:
    """One condition: a trend that must hold, or (`is_not`) must be on the good side."""

    trend: TrendRule
    is_not: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Branch:
    """Parts of which all must hold, or any."""

    word: Word
    parts: tuple["Leaf | Branch", ...]

    def leaves(self) -> Iterator[Leaf]:
        """The conditions in the order in which they are written."""
        for part in self.parts:
            yield from part.leaves() if isinstance(part, Branch) else (part,)


@dataclass(frozen=True, slots=True, kw_only=True)
class CombinedRule:
    """`whole` holds by the newest answers of its conditions, none of them older than `within` when it begins.

    `within` is plain time, also where it is written in days.
    """

    id: str
    version: int
    priority: str
    tell: tuple[str, ...]
    is_for_everyone: bool
    whole: Branch
    within: timedelta

    @property
    def lasting_days(self) -> int:
        """The days that an answer may be old, a part of one for a whole."""
        return -(-self.within // timedelta(days=1))

    @property
    def reach_days(self) -> int:
        """The most days before an answer that its window may go back."""
        return max(reach_of(leaf.trend).span_days for leaf in self.whole.leaves())


def combined_rule(written: Mapping[str, Any], when: Mapping[str, Any]) -> CombinedRule:
    need(written["resolve"] == {"by": "parts"}, written)
    words = [word for word in _OTHER if when.get(word) is not None]
    need(len(words) == 1, written)
    return CombinedRule(
        **common(written),
        whole=_branch(written, words[0], when[words[0]], is_nested=False),
        within=_within(written, when["within"]),
    )


def _branch(written: Mapping[str, Any], word: Word, parts: Sequence[Mapping[str, Any]], *, is_nested: bool) -> Branch:
    need(2 <= len(parts) <= 8, written)
    return Branch(word=word, parts=tuple(_part(written, part, word, is_nested=is_nested) for part in parts))


def _part(written: Mapping[str, Any], said: Mapping[str, Any], word: Word, *, is_nested: bool) -> Leaf | Branch:
    """A condition or not one, or, one level deep, parts joined by the other word."""
    if "kind" in said:
        return _leaf(written, said, is_not=False)
    if set(said) == {"not"}:
        return _leaf(written, said["not"], is_not=True)
    other = _OTHER[word]
    need(not is_nested and set(said) == {other}, written)
    return _branch(written, other, said[other], is_nested=True)


def _leaf(written: Mapping[str, Any], said: Mapping[str, Any], *, is_not: bool) -> Leaf:
    """A condition is a trend's `when`, with the distance to the good side beside it."""
    when = {word: value for word, value in said.items() if word != "below_by"}
    known = TREND_WORDS.get(when.get("kind", ""))
    need(known is not None and not set(when) - known, written)
    alone = {**written, "when": when, "resolve": {"below_by": said.get("below_by", 0)}}
    trend = trend_rule(alone, when)
    signals = {signal_called(condition.signal) for condition in trend.conditions}
    need(len({signal.group for signal in signals if signal is not None}) == 1, written)
    return Leaf(trend=trend, is_not=is_not)


def _within(written: Mapping[str, Any], said: Mapping[str, Any]) -> timedelta:
    given = {word: value for word, value in said.items() if value is not None}
    need(len(given) == 1 and set(given) <= set(MOST_WITHIN), written)
    ((word, value),) = given.items()
    need(1 <= value <= MOST_WITHIN[word], written)
    return timedelta(**given)
