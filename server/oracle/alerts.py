"""The one question that the oracle answers: which alerts does this patient have at `now`, by these rules?"""

from collections.abc import Sequence
from datetime import datetime

from server.oracle import combined, day_runs, failures, lasting, ranges, schedules, silences, single_values, trends
from server.oracle.absence_rules import ScheduleRule, SilenceRule
from server.oracle.chart import Chart, chart_of
from server.oracle.combined_rules import CombinedRule
from server.oracle.glucose_rules import LastingRule, RangeRule
from server.oracle.rules import DaysRule, FailureRule, OracleRule, ValueRule
from server.oracle.shapes import OracleAlert, OraclePatient


def alerts_of(patient: OraclePatient, rules: Sequence[OracleRule], *, now: datetime) -> tuple[OracleAlert, ...]:
    """Every alert in view, by rule and then by time, pending ones included. Order of readings does not matter."""
    assert now.tzinfo is not None, "now must be aware"
    chart = chart_of(patient, now)
    return tuple(alert for rule in rules if _is_watched(rule, patient) for alert in _alerts(rule, chart))


def _is_watched(rule: OracleRule, patient: OraclePatient) -> bool:
    own = patient.thresholds.get(rule.id)
    return rule.is_for_everyone if own is None or own.is_watched is None else own.is_watched


def _alerts(rule: OracleRule, chart: Chart) -> list[OracleAlert]:
    match rule:
        case DaysRule():
            return day_runs.alerts(rule, chart)
        case ValueRule():
            return single_values.alerts(rule, chart)
        case FailureRule():
            return failures.alerts(rule, chart)
        case RangeRule():
            return ranges.alerts(rule, chart)
        case LastingRule():
            return lasting.alerts(rule, chart)
        case CombinedRule():
            return combined.alerts(rule, chart)
        case SilenceRule():
            return silences.alerts(rule, chart)
        case ScheduleRule():
            return schedules.alerts(rule, chart)
        case _:
            return trends.alerts(rule, chart)
