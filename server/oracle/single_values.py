"""Alerts of a rule about single values: every sitting with such a reading is an event of its own, and each has its end."""

from bisect import bisect_right
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from server.oracle.chart import SITTING_GAP, Chart
from server.oracle.marks import Inflation
from server.oracle.rules import ValueRule
from server.oracle.shapes import OracleAlert
from server.oracle.written import Condition, in_force

PROMPT: Final = timedelta(minutes=30)
STALE: Final = timedelta(hours=24)
LOWER: Final = {"high": "medium", "medium": "low", "low": "information", "information": "information"}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Judged:
    """The rule for one patient; instants in order at which a reading was below, and at which any usable one was taken."""

    rule: ValueRule
    chart: Chart
    conditions: tuple[Condition, ...]
    threshold_version: int
    below: list[datetime]
    taken: list[datetime]


def alerts(rule: ValueRule, chart: Chart) -> list[OracleAlert]:
    """Oldest first."""
    personal = chart.patient.thresholds.get(rule.id)
    conditions = in_force(rule.conditions, personal)
    quality = chart.quality
    judged = _Judged(
        rule=rule,
        chart=chart,
        conditions=conditions,
        threshold_version=0 if personal is None else personal.version,
        below=[o.at for o in chart.inflations if quality[o.name] == "accepted" and not _is_high(o, conditions)],
        taken=[o.at for o in chart.inflations if quality[o.name] in ("accepted", "suspect")],
    )
    events = _events(judged)
    following = [*events[1:], None]
    return [_said(judged, event, after) for event, after in zip(events, following, strict=False)]


def _events(judged: _Judged) -> list[list[Inflation]]:
    chart, rule = judged.chart, judged.rule
    hits = [
        one
        for one in chart.inflations
        if chart.quality[one.name] in rule.qualities
        and _is_high(one, judged.conditions)
        and chart.days.day(one.at) > chart.unjudged
        and _is_late(judged, one) == rule.is_about_late
    ]
    events: list[list[Inflation]] = []
    for hit in hits:
        if events and _is_one_sitting(chart, events[-1][-1], hit):
            events[-1].append(hit)
        else:
            events.append([hit])
    return events


def _is_high(one: Inflation, conditions: tuple[Condition, ...]) -> bool:
    if one.systolic is None or one.diastolic is None:
        return False
    return any(c.is_met(one.diastolic if c.signal == "diastolic" else one.systolic) for c in conditions)


def _is_late(judged: _Judged, one: Inflation) -> bool:
    """More than a day old when it came, or more than half an hour and a reading below was taken before it came."""
    delay = one.received - one.at
    below = _first_after(judged.below, one.at)
    return delay > STALE or (delay > PROMPT and below is not None and below <= one.received)


def _is_one_sitting(chart: Chart, one: Inflation, other: Inflation) -> bool:
    if one.name in chart.place and other.name in chart.place:
        return chart.place[one.name] == chart.place[other.name]
    return other.at - one.at <= SITTING_GAP


def _first_after(instants: list[datetime], at: datetime) -> datetime | None:
    index = bisect_right(instants, at)
    return instants[index] if index < len(instants) else None


def _end(judged: _Judged, newest: Inflation) -> datetime | None:
    """When it ends by what was measured or by the clock, if that is known."""
    rule = judged.rule
    if rule.ends_by == "person":
        return None
    after = _first_after(judged.below if rule.ends_by == "reading_below" else judged.taken, newest.at)
    ends = [] if after is None else [after + timedelta(hours=rule.visible_hours)]
    if rule.at_most_hours is not None:
        ends.append(newest.at + timedelta(hours=rule.at_most_hours))
    return min(ends, default=None)


def _said(judged: _Judged, event: list[Inflation], following: list[Inflation] | None) -> OracleAlert:
    rule, chart, newest = judged.rule, judged.chart, event[-1]
    end = _end(judged, newest)
    is_overtaken = following is not None and rule.ends_by != "person" and (end is None or following[0].at < end)
    if is_overtaken:
        assert following is not None
        end = following[0].at
    is_over = end is not None and end <= chart.now
    below = _first_after(judged.below, newest.at)
    has_below = below is not None and not (is_overtaken and end is not None and below > end)
    doctor = tuple(who for who in rule.tell if who == "doctor")
    day = chart.days.day(event[0].at)
    return OracleAlert(
        rule_id=rule.id,
        rule_version=rule.version,
        threshold_version=judged.threshold_version,
        priority=LOWER[rule.priority] if has_below else rule.priority,
        state="resolved" if is_over else "active",
        first_day=day,
        last_day=day,
        started_at=event[0].at,
        opened_at=event[0].at,
        deliver_at=event[0].at,
        resolved_at=end if is_over else None,
        evidence_at=newest.at,
        reading_ids=tuple(one.name for one in event),
        tells=doctor if has_below else rule.tell,
        tells_late=() if is_overtaken else doctor,
        fresh_until=None if rule.is_about_late else newest.at + STALE,
        has_reading_below=has_below,
    )
