"""The answer of a trend's conditions at one element: yes, between or good, or none at all; each time from the beginning.

A rule whose conditions are about different kinds of reading is several questions, each with elements of its own. What the
answers come to over time is not here.
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from fractions import Fraction
from itertools import pairwise
from typing import Literal

from server.oracle.chart import Chart
from server.oracle.elements import Element, Placed, elements_of
from server.oracle.figures import FEWEST, MILLION, figure, whole
from server.oracle.signals import Signal, signal_called
from server.oracle.trend_rules import ChangeRule, CountRule, Reach, RollingRule, TrendRule
from server.oracle.written import Condition

Answer = Literal["yes", "between", "good"]
"""`between`: not true any more, but not far enough from it to end what was true before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """Conditions on one group of signals, and the elements that answer them.

    `number`: its place among the rule's questions, in the order in which their conditions are written.
    """

    rule: TrendRule
    number: int
    statistic: str
    conditions: tuple[Condition, ...]
    below_by: Fraction
    elements: list[Element]


def questions(rule: TrendRule, chart: Chart, conditions: Sequence[Condition]) -> list[Question]:
    """What `rule` asks with these `conditions`, its own or the patient's, in the order in which they are written."""
    statistic = _statistic(rule)
    groups: dict[str, list[tuple[Signal, Condition]]] = {}
    for condition in conditions:
        signal = signal_called(condition.signal, condition.unit) or signal_called(condition.signal)
        assert signal is not None, "the reader refuses unknown signals"
        condition = replace(condition, value=whole(statistic, condition.value))
        groups.setdefault(signal.group, []).append((signal, condition))
    found = []
    for number, group in enumerate(groups.values()):
        elements = elements_of(chart, [signal for signal, _ in group], rule.of)
        question = Question(
            rule=rule,
            number=number,
            statistic=statistic,
            conditions=tuple(condition for _, condition in group),
            below_by=whole(statistic, rule.below_by),
            elements=elements,
        )
        found.append(question)
    return found


def answer(question: Question, index: int) -> Answer | None:
    """None: it cannot be answered, which is neither yes nor good."""
    match question.rule:
        case CountRule():
            return _count(question, question.rule, index)
        case RollingRule():
            return _roll(question, _window(question, question.rule.over, index), question.rule.min_readings)
        case ChangeRule():
            return _roll(question, _window(question, question.rule.within, index))


def grounds(question: Question, index: int) -> list[Placed]:
    """The readings that an answer is given of, in order."""
    match question.rule:
        case CountRule():
            window = _last(question, question.rule, index)
        case RollingRule():
            window = _window(question, question.rule.over, index)
        case ChangeRule():
            window = _window(question, question.rule.within, index)
    return sorted(reading for place in window for reading in question.elements[place].readings)


def _statistic(rule: TrendRule) -> str:
    match rule:
        case RollingRule():
            return rule.statistic
        case ChangeRule():
            return "rise" if rule.direction == "rises_by" else "fall"
        case CountRule():
            return "value"


def _window(question: Question, reach: Reach, index: int) -> list[int]:
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


def _roll(question: Question, window: list[int], needed: int = 1) -> Answer | None:
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


def _count(question: Question, rule: CountRule, index: int) -> Answer | None:
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


def _last(question: Question, rule: CountRule, index: int) -> list[int]:
    """Those of the last few elements that are in view."""
    return _window(question, rule.within, index)[-rule.of_last :]
