"""Alerts of rules about measuring as agreed: at the close of every day the last few are counted anew."""

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Final, Literal

from server.oracle.absence_rules import ScheduleRule
from server.oracle.attendance import ONE_DAY, Sign, closed_days, is_deaf, signs
from server.oracle.chart import Chart
from server.oracle.shapes import OracleAlert

QUIET: Final = timedelta(days=7)
FRESH_DAYS: Final = 7
GROUNDS_KEPT: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class _Judged:
    """The rule for one patient. `by_day`: all that was measured; `needed`: the patient's own number of days, or the rule's."""

    rule: ScheduleRule
    chart: Chart
    needed: int
    by_day: dict[date, list[Sign]]

    def window(self, day: date) -> list[date]:
        return [day - before * ONE_DAY for before in reversed(range(self.rule.of_days))]

    def agreed(self, day: date) -> list[Sign]:
        """What was measured on a day of the kind that was agreed."""
        return [sign for sign in self.by_day.get(day, ()) if sign.kind == self.rule.of]

    def measured(self, day: date) -> int:
        return sum(len(self.agreed(each)) >= self.rule.readings_per_day for each in self.window(day))

    def unknown(self, day: date) -> int:
        """Days with nothing at all, of which nobody can say whether there was something."""
        silent = [each for each in self.window(day) if each not in self.by_day]
        return sum(is_deaf(self.chart, each, self.rule.unknown_after_hours) for each in silent)


@dataclass(slots=True, kw_only=True)
class _Stretch:
    """While less was measured than agreed: the days that say so, and the day that ended it."""

    yeses: list[date]
    ended_on: date | None = None


def alerts(rule: ScheduleRule, chart: Chart) -> list[OracleAlert]:
    """Oldest first."""
    judged = _judged(rule, chart)
    episodes: list[list[_Stretch]] = []
    for stretch in _stretches(judged):
        ended_on = episodes[-1][-1].ended_on if episodes else None
        if ended_on is not None and chart.days.close(stretch.yeses[0]) - chart.days.close(ended_on) <= QUIET:
            episodes[-1].append(stretch)
        else:
            episodes.append([stretch])
    return [_said(judged, episode) for episode in episodes]


def _judged(rule: ScheduleRule, chart: Chart) -> _Judged:
    personal = chart.patient.thresholds.get(rule.id)
    needed: Any = (
        rule.measured_days if personal is None else personal.parameters.get("measured_days", rule.measured_days)
    )
    by_day: dict[date, list[Sign]] = {}
    for sign in signs(chart):
        by_day.setdefault(sign.day, []).append(sign)
    return _Judged(rule=rule, chart=chart, needed=int(needed), by_day=by_day)


def _stretches(judged: _Judged) -> list[_Stretch]:
    """Oldest first; only the last may have no end. A window lies after the day of enrolment as a whole."""
    found: list[_Stretch] = []
    chart = judged.chart
    enough = chart.patient.enrolled_on + (judged.rule.of_days - 1) * ONE_DAY
    for day in closed_days(chart, max(enough, chart.unjudged), None):
        answer = _answer(judged, day)
        is_open = bool(found) and found[-1].ended_on is None
        if answer == "yes":
            if not is_open:
                found.append(_Stretch(yeses=[]))
            found[-1].yeses.append(day)
        elif answer == "good" and is_open:
            found[-1].ended_on = day
    return found


def _answer(judged: _Judged, day: date) -> Literal["yes", "good"] | None:
    """None: the days of which nobody can say decide."""
    measured = judged.measured(day)
    if measured >= judged.needed:
        return "good"
    return "yes" if measured + judged.unknown(day) < judged.needed else None


def _said(judged: _Judged, episode: list[_Stretch]) -> OracleAlert:
    """That it goes on is no news: what a person closed stays closed."""
    rule, chart = judged.rule, judged.chart
    personal = chart.patient.thresholds.get(rule.id)
    first, newest, ended_on = episode[0].yeses[0], episode[-1].yeses[-1], episode[-1].ended_on
    opened_at, again_at = chart.days.close(first), chart.days.close(episode[-1].yeses[0])
    grounds = sorted((sign.at, sign.name or "") for day in judged.window(newest) for sign in judged.agreed(day))
    return OracleAlert(
        rule_id=rule.id,
        rule_version=rule.version,
        threshold_version=0 if personal is None else personal.version,
        priority=rule.priority,
        state="active" if ended_on is None else "resolved",
        first_day=first,
        last_day=episode[-1].yeses[0],
        started_at=opened_at,
        opened_at=opened_at,
        deliver_at=chart.days.eight_o_clock(again_at),
        resolved_at=None if ended_on is None else chart.days.close(ended_on),
        evidence_at=again_at,
        reading_ids=tuple(name for _, name in grounds[-GROUNDS_KEPT:]),
        tells=rule.tell,
        fresh_until=chart.days.close(newest + timedelta(days=FRESH_DAYS)),
        counts={
            "of": rule.of,
            "measured_days": judged.measured(newest),
            "needed_days": judged.needed,
            "of_days": rule.of_days,
            "unknown_days": judged.unknown(newest),
            "at": chart.days.close(newest),
        },
    )
