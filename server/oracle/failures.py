"""Alerts of a rule about failed measurements: several of one kind in a clinical day mean the meter, not the patient."""

from datetime import date

from server.oracle.chart import Chart
from server.oracle.marks import by_itself, has_possible_value
from server.oracle.rules import FailureRule
from server.oracle.shapes import OracleAlert, OracleReading


def alerts(rule: FailureRule, chart: Chart) -> list[OracleAlert]:
    """Oldest first."""
    days: dict[tuple[date, str], list[OracleReading]] = {}
    for reading in sorted(chart.patient.readings, key=lambda r: (r.measured_at, r.name)):
        if reading.time_quality != "orphan" and _has_failed(reading):
            days.setdefault((chart.days.day(reading.measured_at), reading.kind), []).append(reading)
    found = [
        _said(rule, chart, day, failed)
        for (day, _), failed in days.items()
        if day > chart.unjudged and len(failed) >= rule.count
    ]
    return sorted(found, key=lambda alert: (alert.first_day, alert.started_at))


def _has_failed(reading: OracleReading) -> bool:
    """Invalid; but a control solution, or an oximeter that shows what it can do, gave a number: so the meter works."""
    return by_itself(reading) == "invalid" and not has_possible_value(reading)


def _said(rule: FailureRule, chart: Chart, day: date, failed: list[OracleReading]) -> OracleAlert:
    close, own = chart.days.close(day), chart.patient.thresholds.get(rule.id)
    opened_at = failed[rule.count - 1].measured_at
    is_over = close <= chart.now
    return OracleAlert(
        rule_id=rule.id,
        rule_version=rule.version,
        threshold_version=0 if own is None else own.version,
        priority=rule.priority,
        state="resolved" if is_over else "active",
        first_day=day,
        last_day=day,
        started_at=failed[0].measured_at,
        opened_at=opened_at,
        deliver_at=opened_at,
        resolved_at=close if is_over else None,
        evidence_at=failed[-1].measured_at,
        reading_ids=tuple(reading.name for reading in failed),
        tells=rule.tell,
        fresh_until=close,
    )
