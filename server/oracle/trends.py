"""Alerts of rules about trends: at every element the question is put anew, from the beginning, to the window that ends there.

A rule whose conditions are about different kinds of reading is several questions, each put to elements of its own; it holds
while one of them does.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import chain
from typing import Final

from server.oracle.answers import Question, answer, grounds, questions
from server.oracle.chart import Chart
from server.oracle.elements import Element
from server.oracle.shapes import OracleAlert
from server.oracle.trend_rules import ChangeRule, TrendRule
from server.oracle.written import in_force

QUIET: Final = timedelta(days=7)
"""What begins again within it is the same alert going on."""

FRESH_DAYS: Final = 7
"""Of a finding whose newest day is older nobody is told."""

GROUNDS_KEPT: Final = 100
"""The newest readings that are named as an alert's grounds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Yes:
    question: Question
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
    parameter = rule.direction if isinstance(rule, ChangeRule) else None
    conditions = in_force(rule.conditions, chart.patient.thresholds.get(rule.id), parameter=parameter)
    each = [_stretches(question, chart) for question in questions(rule, chart, conditions)]
    episodes: list[list[_Stretch]] = []
    for stretch in each[0] if len(each) == 1 else _united(chain.from_iterable(each)):
        ended_at = episodes[-1][-1].ended_at if episodes else None
        if ended_at is not None and stretch.began_at - ended_at <= QUIET:
            episodes[-1].append(stretch)
        else:
            episodes.append([stretch])
    return [_said(rule, chart, episode) for episode in episodes]


def _stretches(question: Question, chart: Chart) -> list[_Stretch]:
    """Oldest first; only the last may have no end."""
    found: list[_Stretch] = []
    for index, element in enumerate(question.elements):
        if element.day <= chart.unjudged:
            continue
        said = answer(question, index)
        is_open = bool(found) and found[-1].ended_at is None
        if said == "yes":
            if not is_open:
                found.append(_Stretch())
            found[-1].yeses.append(_Yes(question=question, index=index))
        elif said == "good" and is_open:
            found[-1].ended_at = element.at
    return found


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
        reading_ids=tuple(name for _, name in grounds(newest.question, newest.index)[-GROUNDS_KEPT:]),
        tells=rule.tell,
        fresh_until=chart.days.close(newest.element.day + timedelta(days=FRESH_DAYS)),
    )
