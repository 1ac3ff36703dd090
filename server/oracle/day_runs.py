"""Alerts of a rule about measured days in a row: each day is asked from the beginning whether the last few of them hold."""

from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Final

from server.oracle.chart import Chart, Pressure, Sittings, day_value
from server.oracle.rules import DaysRule
from server.oracle.shapes import OracleAlert, OracleClose, State
from server.oracle.written import Condition, in_force

QUIET_DAYS: Final = 7
"""What fires again within seven days of its end is the same alert; after that it is a new one."""

FRESH_DAYS: Final = 7
"""Of a finding whose newest day is older nobody is told."""


@dataclass(slots=True, kw_only=True)
class _Alert:
    """An alert while days are added to it. `ended_on`: the day from which quiet days count. `is_good_again`: a person closed
    it, and by now the readings would have."""

    run: list[date]
    first_day: date
    last_day: date
    started_at: datetime
    opened_at: datetime
    deliver_at: datetime
    state: State
    ended_on: date | None = None
    resolved_at: datetime | None = None
    is_good_again: bool = False


@dataclass(slots=True, kw_only=True)
class _Judged:
    """The rule for one patient. `closes` are those that still hold; a new elevated day voids one."""

    rule: DaysRule
    chart: Chart
    conditions: tuple[Condition, ...]
    counted: list[date]
    closes: list[OracleClose]
    alerts: list[_Alert] = field(default_factory=list)
    values: dict[date, Pressure] = field(default_factory=dict)

    def value(self, day: date) -> Pressure:
        if day not in self.values:
            self.values[day] = day_value(self.chart.measured[day])
        return self.values[day]

    def is_high(self, value: Pressure) -> bool:
        return any(c.is_met(value[c.signal == "diastolic"]) for c in self.conditions)

    def is_good(self, value: Pressure) -> bool:
        return all(c.is_good(value[c.signal == "diastolic"], self.rule.below_by) for c in self.conditions)


def alerts(rule: DaysRule, chart: Chart) -> list[OracleAlert]:
    """Oldest first; a pending one comes last."""
    personal = chart.patient.thresholds.get(rule.id)
    judged = _Judged(
        rule=rule,
        chart=chart,
        conditions=in_force(rule.conditions, personal),
        counted=[
            day
            for day, groups in chart.measured.items()
            if day > max(chart.patient.enrolled_on, chart.unjudged) and sum(map(len, groups)) >= rule.min_readings
        ],
        closes=[close for close in chart.patient.closes if close.rule_id == rule.id],
    )
    for position, day in enumerate(judged.counted):
        _add_day(judged, position, day)
    for alert in judged.alerts:
        _close_by_person(judged, alert, None)
    return [_said(judged, alert, 0 if personal is None else personal.version) for alert in judged.alerts]


def _add_day(judged: _Judged, position: int, day: date) -> None:
    rule, chart = judged.rule, judged.chart
    run = judged.counted[max(0, position - rule.days + 1) : position + 1]
    is_high = judged.is_high(judged.value(day))
    is_run = (
        len(run) == rule.days
        and all(judged.is_high(judged.value(d)) for d in run)
        and (run[-1] - run[0]).days + 1 <= rule.span
    )
    is_closed = chart.days.is_closed(day)
    current = next((alert for alert in reversed(judged.alerts) if alert.state != "pending"), None)
    if current is not None:
        _close_by_person(judged, current, day)
    is_new = current is None or (current.ended_on is not None and (day - current.ended_on).days > QUIET_DAYS)
    if not is_closed and len(chart.measured[day]) < 2:
        if is_run and is_new:
            judged.alerts.append(_opened(judged, run, "pending"))
    elif current is not None and current.state == "active":
        _go_on(judged, current, position, day)
    elif is_run and is_new:
        judged.alerts.append(_opened(judged, run, "active"))
    elif current is not None and current.state == "closed" and not is_new and not current.is_good_again:
        if is_high:
            current.state, current.last_day, current.ended_on, current.resolved_at = "active", day, None, None
        current.is_good_again = is_closed and _is_good_again(judged, current, position)
    elif is_run:
        assert current is not None
        again = _opened(judged, run, "active")
        current.run, current.last_day, current.deliver_at = again.run, again.last_day, again.deliver_at
        current.state, current.ended_on, current.resolved_at = "active", None, None


def _go_on(judged: _Judged, current: _Alert, position: int, day: date) -> None:
    """One more day of an active alert: it lasts, or it is the last of enough good ones."""
    if judged.is_high(judged.value(day)):
        current.last_day = day
    if judged.chart.days.is_closed(day) and _is_good_again(judged, current, position):
        current.state, current.ended_on, current.resolved_at = "resolved", day, judged.chart.days.close(day)


def _is_good_again(judged: _Judged, current: _Alert, position: int) -> bool:
    """Are the last few measured days after the run all good?"""
    since = [d for d in judged.counted[: position + 1] if d > current.run[-1]][-judged.rule.good_days :]
    return len(since) == judged.rule.good_days and all(judged.is_good(judged.value(d)) for d in since)


def _close_by_person(judged: _Judged, current: _Alert, day: date | None) -> None:
    """What a person closed is over from then on, unless it has a day that the person did not see (`day`: what comes next)."""
    for close in list(judged.closes):
        closed_on = judged.chart.days.day(close.closed_at)
        is_theirs = close.first_day <= current.last_day and current.first_day <= close.last_day
        is_yet_to_come = day is not None and (day < closed_on or day <= close.last_day)
        if current.state != "active" or not is_theirs or is_yet_to_come:
            continue
        judged.closes.remove(close)
        if current.last_day <= close.last_day:
            current.state, current.ended_on, current.resolved_at = "closed", closed_on, close.closed_at


def _opened(judged: _Judged, run: list[date], state: State) -> _Alert:
    days, measured = judged.chart.days, judged.chart.measured
    at = _became_high_at(judged, measured[run[-1]])
    close = days.close(run[-1])
    return _Alert(
        run=run,
        first_day=run[0],
        last_day=run[-1],
        started_at=measured[run[0]][0][0].at,
        opened_at=close if at is None else at,
        deliver_at=days.eight_o_clock(close) if at is None else at,
        state=state,
    )


def _became_high_at(judged: _Judged, groups: Sittings) -> datetime | None:
    """The reading of a second or later sitting with which the day was high; none if it takes the close of the day."""
    if len(groups) < 2:
        return None
    for reading in sorted((one for group in groups for one in group), key=lambda one: (one.at, one.name)):
        so_far = [[one for one in group if (one.at, one.name) <= (reading.at, reading.name)] for group in groups]
        so_far = [group for group in so_far if group]
        enough = len(so_far) >= 2 and sum(map(len, so_far)) >= judged.rule.min_readings
        if enough and judged.is_high(day_value(so_far)):
            return reading.at
    return None


def _said(judged: _Judged, alert: _Alert, threshold_version: int) -> OracleAlert:
    rule, days, measured = judged.rule, judged.chart.days, judged.chart.measured
    return OracleAlert(
        rule_id=rule.id,
        rule_version=rule.version,
        threshold_version=threshold_version,
        priority=rule.priority,
        state=alert.state,
        first_day=alert.first_day,
        last_day=alert.last_day,
        started_at=alert.started_at,
        opened_at=alert.opened_at,
        deliver_at=alert.deliver_at,
        resolved_at=alert.resolved_at,
        evidence_at=days.close(alert.last_day - timedelta(days=1)),
        reading_ids=tuple(
            one.name
            for day in alert.run
            for one in sorted((o for group in measured[day] for o in group), key=lambda o: (o.at, o.name))
        ),
        tells=rule.tell,
        fresh_until=days.close(alert.last_day + timedelta(days=FRESH_DAYS)),
        values=tuple(judged.value(day) for day in alert.run),
    )
