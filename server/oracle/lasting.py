"""Alerts of rules about what a worn sensor says for long: it begins and ends with as long on one side, and a gap ends nothing."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from server.oracle.chart import Chart
from server.oracle.figures import MILLION, whole
from server.oracle.glucose_rules import LastingRule
from server.oracle.shapes import OracleAlert
from server.oracle.sugars import Sugar, sugars
from server.oracle.written import Condition, in_force

FRESH: Final = timedelta(hours=24)
GROUNDS_KEPT: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class _Run:
    """Readings with one answer, none of them far from the one before. `decided_by`: the first judged one that makes it last."""

    is_beyond: bool
    readings: list[Sugar]
    decided_by: Sugar | None


@dataclass(slots=True, kw_only=True)
class _Episode:
    opened_by: Sugar
    beyond: list[Sugar]
    ended_by: Sugar | None = None


def alerts(rule: LastingRule, chart: Chart) -> list[OracleAlert]:
    """Oldest first."""
    found: list[_Episode] = []
    for run in _runs(rule, chart):
        is_open = bool(found) and found[-1].ended_by is None
        if run.is_beyond and is_open:
            found[-1].beyond += run.readings
        elif run.is_beyond and run.decided_by is not None:
            found.append(_Episode(opened_by=run.decided_by, beyond=list(run.readings)))
        elif is_open and run.decided_by is not None:
            found[-1].ended_by = run.decided_by
    return [_said(rule, chart, episode) for episode in found]


def _runs(rule: LastingRule, chart: Chart) -> Iterator[_Run]:
    (condition,) = in_force((rule.condition,), chart.patient.thresholds.get(rule.id), parameter="value")
    readings: list[Sugar] = []
    is_beyond = False
    for sugar in sugars(chart, rule.condition.signal, rule.condition.unit):
        answer = _is_beyond(condition, sugar)
        joins = bool(readings) and answer == is_beyond
        if joins and sugar.at - readings[-1].at <= timedelta(minutes=rule.gap_minutes):
            readings.append(sugar)
            continue
        if readings:
            yield _run(rule, chart, is_beyond, readings)
        readings, is_beyond = [sugar], answer
    if readings:
        yield _run(rule, chart, is_beyond, readings)


def _run(rule: LastingRule, chart: Chart, is_beyond: bool, readings: list[Sugar]) -> _Run:
    lasts = (one for one in readings if one.at - readings[0].at >= timedelta(minutes=rule.minutes))
    decided_by = next((one for one in lasts if one.day > chart.unjudged), None)
    return _Run(is_beyond=is_beyond, readings=readings, decided_by=decided_by)


def _is_beyond(condition: Condition, sugar: Sugar) -> bool:
    if sugar.millionths is None:
        return sugar.is_hi == (condition.comparison in ("above", "at_least"))
    limit = whole("value", condition.value) * MILLION
    match condition.comparison:
        case "above":
            return sugar.millionths > limit
        case "at_least":
            return sugar.millionths >= limit
        case "below":
            return sugar.millionths < limit
    return sugar.millionths <= limit


def _said(rule: LastingRule, chart: Chart, episode: _Episode) -> OracleAlert:
    personal = chart.patient.thresholds.get(rule.id)
    first, newest, ended_by = episode.beyond[0], episode.beyond[-1], episode.ended_by
    return OracleAlert(
        rule_id=rule.id,
        rule_version=rule.version,
        threshold_version=0 if personal is None else personal.version,
        priority=rule.priority,
        state="active" if ended_by is None else "resolved",
        first_day=first.day,
        last_day=max(first.day, newest.day),
        started_at=first.at,
        opened_at=episode.opened_by.at,
        deliver_at=episode.opened_by.at,
        resolved_at=None if ended_by is None else ended_by.at,
        evidence_at=newest.at,
        reading_ids=tuple(one.name for one in episode.beyond[-GROUNDS_KEPT:]),
        tells=rule.tell,
        fresh_until=newest.at + FRESH,
    )
