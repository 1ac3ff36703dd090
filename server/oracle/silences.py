"""Alerts of rules about silence: between each day with a reading and the next, the days without are counted one by one."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import pairwise
from typing import Any, Final

from server.oracle.absence_rules import SilenceRule
from server.oracle.attendance import Sign, closed_days, is_deaf, signs
from server.oracle.chart import Chart
from server.oracle.shapes import OracleAlert

QUIET: Final = timedelta(days=7)
FRESH_DAYS: Final = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class _Silence:
    """`quiet`: the days without a reading, as many as the rule needs or more; `deaf`: those that may have had one.

    `before`: the newest reading before; None: there was none since enrolment. `ended_by`: None: nobody has measured since.
    """

    before: Sign | None
    quiet: list[date]
    deaf: list[date]
    opened_on: date
    opened_at: datetime
    ended_by: Sign | None

    @property
    def ended_at(self) -> datetime | None:
        return None if self.ended_by is None else max(self.ended_by.at, self.opened_at)


def alerts(rule: SilenceRule, chart: Chart) -> list[OracleAlert]:
    """Oldest first."""
    episodes: list[list[_Silence]] = []
    for silence in _silences(rule, chart):
        if silence.ended_by is not None and silence.ended_by.day <= chart.unjudged:
            continue
        ended_at = episodes[-1][-1].ended_at if episodes else None
        if ended_at is not None and silence.opened_at - ended_at <= QUIET:
            episodes[-1].append(silence)
        else:
            episodes.append([silence])
    return [_said(rule, chart, episode) for episode in episodes]


def _silences(rule: SilenceRule, chart: Chart) -> list[_Silence]:
    by_day: dict[date, list[Sign]] = {}
    for sign in signs(chart):
        by_day.setdefault(sign.day, []).append(sign)
    days = list(by_day.values())
    is_whole = chart.patient.last_counted_before is None
    found = [_silence(rule, chart, None, days[0][0] if days else None)] if is_whole else []
    found += [_silence(rule, chart, day[-1], following[0]) for day, following in pairwise(days)]
    if days:
        found.append(_silence(rule, chart, days[-1][-1], None))
    return [silence for silence in found if silence is not None]


def _silence(rule: SilenceRule, chart: Chart, before: Sign | None, ended_by: Sign | None) -> _Silence | None:
    """None: it is not long enough."""
    enrolled_on = chart.patient.enrolled_on
    after = enrolled_on if before is None else max(before.day, enrolled_on)
    quiet: list[date] = []
    deaf: list[date] = []
    for day in closed_days(chart, after, None if ended_by is None else ended_by.day):
        (deaf if is_deaf(chart, day, rule.unknown_after_hours) else quiet).append(day)
    needed = _needed(rule, chart)
    if len(quiet) < needed:
        return None
    return _Silence(
        before=before,
        quiet=quiet,
        deaf=deaf,
        opened_on=quiet[needed - 1],
        opened_at=chart.days.close(quiet[needed - 1]),
        ended_by=ended_by,
    )


def _needed(rule: SilenceRule, chart: Chart) -> int:
    """The patient's own number of days, or the rule's."""
    personal = chart.patient.thresholds.get(rule.id)
    days: Any = rule.days if personal is None else personal.parameters.get("days", rule.days)
    return int(days)


def _said(rule: SilenceRule, chart: Chart, episode: list[_Silence]) -> OracleAlert:
    """That it goes on is no news: what a person closed stays closed. Nothing that was measured is named."""
    personal = chart.patient.thresholds.get(rule.id)
    first, last = episode[0], episode[-1]
    return OracleAlert(
        rule_id=rule.id,
        rule_version=rule.version,
        threshold_version=0 if personal is None else personal.version,
        priority=rule.priority,
        state="active" if last.ended_at is None else "resolved",
        first_day=first.quiet[0],
        last_day=last.opened_on,
        started_at=first.opened_at,
        opened_at=first.opened_at,
        deliver_at=chart.days.eight_o_clock(last.opened_at),
        resolved_at=last.ended_at,
        evidence_at=last.opened_at,
        reading_ids=(),
        tells=rule.tell,
        fresh_until=chart.days.close(last.opened_on + timedelta(days=FRESH_DAYS)),
        counts={
            "days": len(last.quiet),
            "needed_days": _needed(rule, chart),
            "unknown_days": len(last.deaf),
            "since": None if last.before is None else last.before.at,
        },
    )
