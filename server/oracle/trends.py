"""Alerts of rules about trends: at every element the question is put anew, from the beginning, to the window that ends there.

A rule whose conditions are about different kinds of reading is several questions, each put to elements of its own; it holds
while one of them does.
"""

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from fractions import Fraction
from itertools import chain, pairwise
from typing import Final, Literal

from server.oracle.chart import Chart
from server.oracle.elements import Element, Placed, elements_of
from server.oracle.figures import FEWEST, MILLION, figure, whole
from server.oracle.rules import ChangeRule, CountRule, Reach, RollingRule, TrendRule
from server.oracle.shapes import OracleAlert
from server.oracle.signals import Signal, signal_called
from server.oracle.written import Condition, in_force

QUIET: Final = timedelta(days=7)
"""What begins again within it is the same alert going on."""

FRESH_DAYS: Final = 7
"""Of a finding whose newest day is older nobody is told."""

GROUNDS_KEPT: Final = 100
"""The newest readings that are named as an alert's grounds."""

Answer = Literal["yes", "between", "good"]
"""`between`: not true any more, but not far enough from it to end what was true before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Question:
    """The rule's conditions on one group of signals, with the patient's own numbers, and the elements that answer them.

    `number`: its place among the rule's questions, in the order in which their conditions are written.
    """

    rule: TrendRule
    number: int
    statistic: str
    conditions: tuple[Condition, ...]
    below_by: Fraction
    elements: list[Element]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Yes:
    question: _Question
    index: int

    @property
    def element(self) -> Element:
        return self.question.elements[self.index]


@dataclass(slots=True, kw_only=True)
class _Stretch:
    """While the rule holds: from the first yes (there is one) until `ended_at`; None: it has not ended."""

    yeses: list[_Yes] = field(default_factory=list)
    ended_at: datetime | None = None

    @property
    def began_at(self) -> datetime:
        return self.yeses[0].element.at


def alerts(rule: TrendRule, chart: Chart) -> list[OracleAlert]:
    """Oldest first."""
    each = [_stretches(question, chart) for question in _questions(rule, chart)]
    episodes: list[list[_Stretch]] = []
    for stretch in each[0] if len(each) == 1 else _united(chain.from_iterable(each)):
        ended_at = episodes[-1][-1].ended_at if episodes else None
        if ended_at is not None and stretch.began_at - ended_at <= QUIET:
            episodes[-1].append(stretch)
        else:
            episodes.append([stretch])
    return [_said(rule, chart, episode) for episode in episodes]


def _questions(rule: TrendRule, chart: Chart) -> list[_Question]:
    """In the order in which their conditions are written."""
    personal = chart.patient.thresholds.get(rule.id)
    statistic = _statistic(rule)
    parameter = rule.direction if isinstance(rule, ChangeRule) else None
    groups: dict[str, list[tuple[Signal, Condition]]] = {}
    for condition in in_force(rule.conditions, personal, parameter=parameter):
        signal = signal_called(condition.signal, condition.unit) or signal_called(condition.signal)
        assert signal is not None, "the reader refuses unknown signals"
        condition = replace(condition, value=whole(statistic, condition.value))
        groups.setdefault(signal.group, []).append((signal, condition))
    questions = []
    for number, group in enumerate(groups.values()):
        elements = elements_of(chart, [signal for signal, _ in group], rule.of)
        question = _Question(
            rule=rule,
            number=number,
            statistic=statistic,
            conditions=tuple(condition for _, condition in group),
            below_by=whole(statistic, rule.below_by),
            elements=elements,
        )
        questions.append(question)
    return questions


def _statistic(rule: TrendRule) -> str:
    match rule:
        case RollingRule():
            return rule.statistic
        case ChangeRule():
            return "rise" if rule.direction == "rises_by" else "fall"
        case CountRule():
            return "value"


def _stretches(question: _Question, chart: Chart) -> list[_Stretch]:
    """Oldest first; only the last may have no end."""
    found: list[_Stretch] = []
    for index, element in enumerate(question.elements):
        if element.day <= chart.unjudged:
            continue
        answer = _answer(question, index)
        is_open = bool(found) and found[-1].ended_at is None
        if answer == "yes":
            if not is_open:
                found.append(_Stretch())
            found[-1].yeses.append(_Yes(question=question, index=index))
        elif answer == "good" and is_open:
            found[-1].ended_at = element.at
    return found


def _answer(question: _Question, index: int) -> Answer | None:
    """None: it cannot be answered, which is neither yes nor good."""
    match question.rule:
        case CountRule():
            return _count(question, question.rule, index)
        case RollingRule():
            return _roll(question, _window(question, question.rule.over, index), question.rule.min_readings)
        case ChangeRule():
            return _roll(question, _window(question, question.rule.within, index))


def _window(question: _Question, reach: Reach, index: int) -> list[int]:
    """The elements up to this one, and no further back than `reach`, by their place in the row."""
    elements, newest = question.elements, question.elements[index]
    if reach.hours is not None:
        since = newest.at - timedelta(hours=reach.hours)
        first = bisect_right(elements, since, hi=index, key=lambda element: element.at)
        return list(range(first, index + 1))
    assert reach.days is not None
    before = newest.day - timedelta(days=reach.days)
    first = bisect_right(elements, before, hi=index, key=lambda element: element.day)
    return list(range(first, index + 1))


def _roll(question: _Question, window: list[int], needed: int = 1) -> Answer | None:
    """What the figures of the window answer."""
    statistic, elements = question.statistic, question.elements
    pairs = [(before, after) for before, after in pairwise(window) if after == before + 1]
    if len(pairs if statistic == "arv" else window) < max(needed, FEWEST.get(statistic, 1)):
        return None
    found = {}
    for signal in {condition.signal for condition in question.conditions}:
        values = [elements[place].values[signal] for place in window]
        steps = [elements[after].values[signal] - elements[before].values[signal] for before, after in pairs]
        found[signal] = figure(statistic, values, steps)
    if any(c.is_met(found[c.signal]) for c in question.conditions):
        return "yes"
    is_good = all(c.is_good(found[c.signal], question.below_by) for c in question.conditions)
    return "good" if is_good else "between"


def _count(question: _Question, rule: CountRule, index: int) -> Answer | None:
    """Enough of them say yes, however few they are; less than enough say no only where there are as many as the rule names."""
    last = _last(question, rule, index)
    met, not_good = [], []
    for element in (question.elements[place] for place in last):
        said = [(condition, Fraction(element.values[condition.signal], MILLION)) for condition in question.conditions]
        if any(condition.is_met(value) for condition, value in said):
            met.append(element.day)
        if not all(condition.is_good(value, question.below_by) for condition, value in said):
            not_good.append(element.day)
    if len(met) >= rule.needed and len(set(met)) >= rule.on_days:
        return "yes"
    if len(last) < rule.fewest:
        return None
    return "between" if len(not_good) >= rule.needed and len(set(not_good)) >= rule.on_days else "good"


def _last(question: _Question, rule: CountRule, index: int) -> list[int]:
    """Those of the last few elements that are in view."""
    return _window(question, rule.within, index)[-rule.of_last :]


def _united(stretches: Iterable[_Stretch]) -> list[_Stretch]:
    """Those of different questions that overlap or touch are one: the rule holds from the first beginning to the last end."""
    found: list[_Stretch] = []
    for stretch in sorted(stretches, key=lambda one: one.began_at):
        last = found[-1] if found else None
        if last is None or (last.ended_at is not None and last.ended_at < stretch.began_at):
            found.append(stretch)
            continue
        is_open = last.ended_at is None or stretch.ended_at is None
        ends = [end for end in (last.ended_at, stretch.ended_at) if end is not None]
        found[-1] = _Stretch(yeses=last.yeses + stretch.yeses, ended_at=None if is_open else max(ends))
    return found


def _newest(stretch: _Stretch) -> _Yes:
    """Of two at one instant the later in the row; of two questions' the first question's."""
    return max(stretch.yeses, key=lambda yes: (yes.element.at, -yes.question.number, yes.index))


def _grounds(yes: _Yes) -> tuple[str, ...]:
    question = yes.question
    match question.rule:
        case CountRule():
            window = _last(question, question.rule, yes.index)
        case RollingRule():
            window = _window(question, question.rule.over, yes.index)
        case ChangeRule():
            window = _window(question, question.rule.within, yes.index)
    readings: list[Placed] = sorted(reading for place in window for reading in question.elements[place].readings)
    return tuple(name for _, name in readings[-GROUNDS_KEPT:])


def _said(rule: TrendRule, chart: Chart, episode: list[_Stretch]) -> OracleAlert:
    personal = chart.patient.thresholds.get(rule.id)
    first, newest, ended_at = episode[0].yeses[0].element, _newest(episode[-1]), episode[-1].ended_at
    began_at = episode[-1].began_at
    return OracleAlert(
        rule_id=rule.id,
        rule_version=rule.version,
        threshold_version=0 if personal is None else personal.version,
        priority=rule.priority,
        state="active" if ended_at is None else "resolved",
        first_day=first.day,
        last_day=newest.element.day,
        started_at=first.at,
        opened_at=first.at,
        deliver_at=chart.days.eight_o_clock(began_at) if rule.of == "days" else began_at,
        resolved_at=ended_at,
        evidence_at=newest.element.at,
        reading_ids=_grounds(newest),
        tells=rule.tell,
        fresh_until=chart.days.close(newest.element.day + timedelta(days=FRESH_DAYS)),
    )
