"""Alerts of a rule about single values: every sitting with such a reading is an event of its own, and each has its end."""

from bisect import bisect_right
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from server.oracle.chart import SITTING_GAP, Chart
from server.oracle.rules import ValueRule
from server.oracle.shapes import OracleAlert
from server.oracle.takings import Taken, takings
from server.oracle.written import Condition, in_force

PROMPT: Final = timedelta(minutes=30)
STALE: Final = timedelta(hours=24)
REPEATED: Final = timedelta(seconds=45)
"""What is measured sooner than that after the first is no second look at the patient."""

LOWER: Final = {"high": "medium", "medium": "low", "low": "information", "information": "information"}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Judged:
    """The rule for one patient; instants in order at which a reading was below, and at which any usable one was taken.

    `below` is the good side: above it for a rule about low values.
    """

    rule: ValueRule
    chart: Chart
    conditions: tuple[Condition, ...]
    readings: list[Taken]
    threshold_version: int
    below: list[datetime]
    taken: list[datetime]


def alerts(rule: ValueRule, chart: Chart) -> list[OracleAlert]:
    """Oldest first."""
    personal = chart.patient.thresholds.get(rule.id)
    conditions = tuple(replace(c, value=round(c.value, 6)) for c in in_force(rule.conditions, personal))
    readings = takings(chart, conditions)
    judged = _Judged(
        rule=rule,
        chart=chart,
        conditions=conditions,
        readings=readings,
        threshold_version=0 if personal is None else personal.version,
        below=[o.at for o in readings if o.quality == "accepted" and o.says_it_all and not _is_met(o, conditions)],
        taken=[o.at for o in readings if o.quality in ("accepted", "suspect")],
    )
    events = _events(judged)
    following = [*events[1:], None]
    return [_said(judged, event, after) for event, after in zip(events, following, strict=False)]


def _events(judged: _Judged) -> list[list[Taken]]:
    chart, rule = judged.chart, judged.rule
    hits = [
        one
        for one in judged.readings
        if one.quality in rule.qualities
        and _is_met(one, judged.conditions)
        and _is_late(judged, one) == rule.is_about_late
    ]
    events: list[list[Taken]] = []
    for hit in hits:
        if events and _is_one_sitting(events[-1][-1], hit):
            events[-1].append(hit)
        else:
            events.append([hit])
    return [event for event in events if chart.days.day(event[0].at) > chart.unjudged]


def _is_met(one: Taken, conditions: tuple[Condition, ...]) -> bool:
    return any(one.meets(condition) for condition in conditions)


def _is_late(judged: _Judged, one: Taken) -> bool:
    """More than a day old when it came, or more than half an hour and a reading below was taken before it came."""
    delay = one.received - one.at
    below = _first_after(judged.below, one.at)
    return delay > STALE or (delay > PROMPT and below is not None and below <= one.received)


def _is_one_sitting(one: Taken, other: Taken) -> bool:
    if one.sitting is not None and other.sitting is not None:
        return one.sitting == other.sitting
    return other.at - one.at <= SITTING_GAP


def _first_after(instants: list[datetime], at: datetime) -> datetime | None:
    index = bisect_right(instants, at)
    return instants[index] if index < len(instants) else None


def _end(judged: _Judged, newest: Taken) -> datetime | None:
    """When it ends by what was measured or by the clock, if that is known."""
    rule = judged.rule
    if rule.ends_by == "person":
        return None
    after = _first_after(judged.below if rule.ends_by == "reading_below" else judged.taken, newest.at)
    ends = [] if after is None else [after + timedelta(hours=rule.visible_hours)]
    if rule.at_most_hours is not None:
        ends.append(newest.at + timedelta(hours=rule.at_most_hours))
    return min(ends, default=None)


def _said(judged: _Judged, event: list[Taken], following: list[Taken] | None) -> OracleAlert:
    rule, chart, newest = judged.rule, judged.chart, event[-1]
    end = _end(judged, newest)
    is_overtaken = following is not None and rule.ends_by != "person" and (end is None or following[0].at < end)
    if is_overtaken:
        assert following is not None
        end = following[0].at
    is_over = end is not None and end <= chart.now
    below = _first_after(judged.below, newest.at)
    has_below = below is not None and not (is_overtaken and end is not None and below > end)
    confirming = _confirming(event)
    raised_at = None if has_below else _raised_at(judged, event, end)
    doctor = tuple(who for who in rule.tell if who == "doctor")
    day = chart.days.day(event[0].at)
    return OracleAlert(
        rule_id=rule.id,
        rule_version=rule.version,
        threshold_version=judged.threshold_version,
        priority=_priority(rule, has_below=has_below, is_raised=raised_at is not None),
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
        confirmed_at=None if confirming is None or rule.confirm is None else confirming.at,
        raised_at=raised_at,
    )


def _priority(rule: ValueRule, *, has_below: bool, is_raised: bool) -> str:
    if has_below:
        return LOWER[rule.priority]
    return rule.confirm.priority if is_raised and rule.confirm is not None else rule.priority


def _confirming(event: list[Taken]) -> Taken | None:
    """The first repeat of the event's first reading."""
    return next((one for one in event[1:] if one.at >= event[0].at + REPEATED), None)


def _raised_at(judged: _Judged, event: list[Taken], end: datetime | None) -> datetime | None:
    """When it became more urgent: a repeat was known, the patient said there are symptoms, or nobody had repeated it in time.

    Not after it was over: who is told then is told of something else.
    """
    confirm, first = judged.rule.confirm, event[0]
    if confirm is None:
        return None
    known = [first.received + confirm.within]
    repeat = _confirming(event)
    if repeat is not None:
        known.append(max(repeat.received, first.received))
    for at, has_symptoms in judged.chart.patient.symptoms:
        if has_symptoms and first.at <= at <= event[-1].at + STALE:
            known.append(max(at, first.received))
    raised_at = min(known)
    return raised_at if raised_at <= judged.chart.now and (end is None or raised_at <= end) else None
