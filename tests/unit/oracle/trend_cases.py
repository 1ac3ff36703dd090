"""What the tests of trends have in common: somebody's readings of March 2026, one rule in a line of YAML, and its alerts."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from itertools import count
from typing import Any
from zoneinfo import ZoneInfo

from server.oracle.alerts import alerts_of
from server.oracle.rules import rules_of
from server.oracle.shapes import OracleAlert, OraclePatient, OracleReading, OracleThreshold

ENROLLED = date(2026, 2, 1)
SECOND = timedelta(seconds=1)
END_OF_MARCH = datetime(2026, 3, 31, 23, tzinfo=UTC)
_NUMBERS = count()

MEAN = "kind: rolling, statistic: mean, over: {days: 3}, min_readings: 2, any_of: [{signal: glucose, at_least: 10, unit: mmol/L}]"
"""Of two readings or more in three days."""

EITHER = (
    "kind: rolling, statistic: mean, over: {days: 1}, min_readings: 1, any_of:"
    " [{signal: systolic, at_least: 145, unit: mmHg}, {signal: diastolic, at_least: 90, unit: mmHg}]"
)


def at(day: int, clock: str = "07:30", *, month: int = 3, zone: str = "UTC") -> datetime:
    """An instant by the wall clock of `zone`."""
    return datetime.fromisoformat(f"2026-{month:02}-{day:02} {clock}").replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)


def pressure(when: datetime, systolic: object, diastolic: object = 80, **more: Any) -> OracleReading:
    return _reading(when, systolic_mmhg=Fraction(str(systolic)), diastolic_mmhg=Fraction(str(diastolic)), **more)


def glucose(when: datetime, mmol_l: object, **more: Any) -> OracleReading:
    value = None if mmol_l is None else Fraction(str(mmol_l))
    return _reading(when, kind="glucose", glucose_mmol_l=value, **more)


def glucoses(*values: object, first: int = 1) -> list[OracleReading]:
    """One a day at 07:30."""
    return [glucose(at(first + offset), value) for offset, value in enumerate(values)]


def _reading(when: datetime, **more: Any) -> OracleReading:
    """Named in the order in which a test makes them, unless it says otherwise."""
    facts: dict[str, Any] = {"name": f"{next(_NUMBERS):09}", "measured_at": when, "received_at": when}
    return OracleReading(**facts | more)


def rolling(statistic: str, condition: str, *, over: str = "days: 9", needed: int = 1) -> str:
    return (
        f"kind: rolling, statistic: {statistic}, over: {{{over}}}, min_readings: {needed},"
        f" any_of: [{{signal: glucose, {condition}}}]"
    )


def counted(condition: str, *, needed: int = 2, of_last: int = 3, within: str = "days: 90") -> str:
    return (
        f"kind: count_of_last, needed: {needed}, of_last: {of_last}, within: {{{within}}},"
        f" any_of: [{{signal: glucose, {condition}, unit: mmol/L}}]"
    )


def change(words: str, within: str = "days: 3") -> str:
    return f"kind: change, within: {{{within}}}, signal: glucose, {words}, unit: mmol/L"


def text_of(when: str, *, below_by: object = 0) -> str:
    return f"""
rules:
  - id: trend
    version: 2
    when: {{{when}}}
    resolve: {{below_by: {below_by}}}
    priority: medium
    tell: [patient, doctor]
"""


def judged(
    when: str,
    readings: list[OracleReading],
    *,
    below_by: object = 0,
    now: datetime = END_OF_MARCH,
    zone: str = "UTC",
    own: dict[str, object] | None = None,
    **more: Any,
) -> list[OracleAlert]:
    """The alerts at `now` of somebody with these readings; `own`: personal thresholds, of version 5."""
    patient = OraclePatient(
        readings=tuple(readings),
        zones=((datetime(2020, 1, 1, tzinfo=UTC), zone),),
        enrolled_on=ENROLLED,
        thresholds={} if own is None else {"trend": OracleThreshold(version=5, parameters=own)},
    )
    patient = replace(patient, **more)
    return list(alerts_of(patient, rules_of(text_of(when, below_by=below_by)), now=now))


def opened(*args: Any, **more: Any) -> list[datetime]:
    """When each alert opened: for tests of whether, and when, the answer is yes."""
    return [alert.opened_at for alert in judged(*args, **more)]
