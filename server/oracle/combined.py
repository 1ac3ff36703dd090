"""Alerts of rules that ask several trends at once: at every instant with an answer the whole is asked anew.

An answer counts for so long as the rule says when an alert begins, and as long as the alert lasts once it has begun: silence
ends nothing.
"""

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal

from server.oracle.answers import Question, answer, grounds, questions
from server.oracle.chart import Chart
from server.oracle.combined_rules import Branch, CombinedRule, Leaf
from server.oracle.elements import Element, Placed
from server.oracle.shapes import OracleAlert

QUIET: Final = timedelta(days=7)
FRESH_DAYS: Final = 7
GROUNDS_KEPT: Final = 100
MOMENT: Final = timedelta(microseconds=1)

Said = Literal["yes", "no"]
_SWAPPED: Final[dict[Said | None, Said | None]] = {"yes": "no", "no": "yes", None: None}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answer:
    question: Question
    index: int
    said: Said

    @property
    def element(self) -> Element:
        return self.question.elements[self.index]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Voice:
    """A condition of the rule, and all that it answered, in the order of its elements."""

    leaf: Leaf
    answers: list[_Answer]

    def newest(self, since: datetime, until: datetime) -> _Answer | None:
        """Its newest answer after `since` and not after `until`; of several at one instant the last in the row."""
        count = bisect_right(self.answers, until, key=lambda one: one.element.at)
        found = self.answers[count - 1] if count else None
        return found if found is not None and found.element.at > since else None

    def supports(self, newest: _Answer) -> bool:
        """Does it speak for the whole?"""
        return newest.said == ("no" if self.leaf.is_not else "yes")


@dataclass(slots=True, kw_only=True)
class _Stretch:
    """While it holds. `newest_at`: the last instant at which it would have begun, too."""

    began_at: datetime
    newest_at: datetime
    ended_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Judged:
    """The rule for one patient; `voices` in the order in which its conditions are written."""

    rule: CombinedRule
    chart: Chart
    voices: list[_Voice]

    def heard(self, since: datetime, until: datetime) -> list[_Answer | None]:
        return [voice.newest(since, until) for voice in self.voices]

    def holds(self, since: datetime, until: datetime) -> bool:
        """By the newest answer of each condition between the two?"""
        said = (None if one is None else one.said for one in self.heard(since, until))
        return _value(self.rule.whole, said) == "yes"

    def trigger(self, at: datetime) -> _Answer:
        """What was answered at an instant; of several the condition's that is written first."""
        first = next(one for voice in self.voices if (one := voice.newest(at - MOMENT, at)) is not None)
        assert first.element.at == at, "stretches begin and go on with answers"
        return first


def alerts(rule: CombinedRule, chart: Chart) -> list[OracleAlert]:
    """Oldest first."""
    judged = _Judged(rule=rule, chart=chart, voices=[_voice(leaf, chart) for leaf in rule.whole.leaves()])
    episodes: list[list[_Stretch]] = []
    for stretch in _stretches(judged):
        ended_at = episodes[-1][-1].ended_at if episodes else None
        if ended_at is not None and stretch.began_at - ended_at <= QUIET:
            episodes[-1].append(stretch)
        else:
            episodes.append([stretch])
    return [_said(judged, episode) for episode in episodes]


def _voice(leaf: Leaf, chart: Chart) -> _Voice:
    (question,) = questions(leaf.trend, chart, leaf.trend.conditions)
    found = []
    for index, element in enumerate(question.elements):
        if element.day > chart.unjudged:
            match answer(question, index):
                case "yes":
                    found.append(_Answer(question=question, index=index, said="yes"))
                case "good":
                    found.append(_Answer(question=question, index=index, said="no"))
    return _Voice(leaf=leaf, answers=found)


def _value(part: Leaf | Branch, said: Iterator[Said | None]) -> Said | None:
    """`said`: what each condition says, in the order in which they are written."""
    if isinstance(part, Leaf):
        own = next(said)
        return _SWAPPED[own] if part.is_not else own
    values = [_value(each, said) for each in part.parts]
    decides: Said = "no" if part.word == "all_of" else "yes"
    if decides in values:
        return decides
    return None if None in values else _SWAPPED[decides]


def _stretches(judged: _Judged) -> list[_Stretch]:
    """Oldest first; only the last may have no end."""
    found: list[_Stretch] = []
    within = judged.rule.within
    for at in sorted({one.element.at for voice in judged.voices for one in voice.answers}):
        is_new = judged.holds(at - within, at)
        current = found[-1] if found and found[-1].ended_at is None else None
        if current is None:
            if is_new:
                found.append(_Stretch(began_at=at, newest_at=at))
        elif not judged.holds(current.began_at - within, at):
            current.ended_at = at
        elif is_new:
            current.newest_at = at
    return found


def _said(judged: _Judged, episode: list[_Stretch]) -> OracleAlert:
    rule, chart = judged.rule, judged.chart
    personal = chart.patient.thresholds.get(rule.id)
    began_at, again_at, newest_at = episode[0].began_at, episode[-1].began_at, episode[-1].newest_at
    first, again, ended_at = judged.trigger(began_at), judged.trigger(again_at), episode[-1].ended_at
    last_day = max(first.element.day, judged.trigger(newest_at).element.day)
    is_of_day = again.question.rule.of == "days"
    return OracleAlert(
        rule_id=rule.id,
        rule_version=rule.version,
        threshold_version=0 if personal is None else personal.version,
        priority=rule.priority,
        state="active" if ended_at is None else "resolved",
        first_day=first.element.day,
        last_day=last_day,
        started_at=began_at,
        opened_at=began_at,
        deliver_at=chart.days.eight_o_clock(again_at) if is_of_day else again_at,
        resolved_at=ended_at,
        evidence_at=newest_at,
        reading_ids=_grounds(judged, newest_at),
        tells=rule.tell,
        fresh_until=chart.days.close(last_day + timedelta(days=FRESH_DAYS)),
        said=tuple(None if one is None else one.said for one in judged.heard(newest_at - rule.within, newest_at)),
    )


def _grounds(judged: _Judged, newest_at: datetime) -> tuple[str, ...]:
    """What the conditions that speak for it were answered of, each reading once."""
    found: set[Placed] = set()
    for voice, one in zip(judged.voices, judged.heard(newest_at - judged.rule.within, newest_at), strict=True):
        if one is not None and voice.supports(one):
            found.update(grounds(one.question, one.index))
    return tuple(name for _, name in sorted(found)[-GROUNDS_KEPT:])
