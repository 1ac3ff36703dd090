"""What the oracle's tests of glucose have in common: a worn sensor in March 2026, mg/dL, and one rule in a line of YAML."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from itertools import count
from typing import Any

from unit.oracle.trend_cases import END_OF_MARCH, ENROLLED

from server.oracle.alerts import alerts_of
from server.oracle.rules import rules_of
from server.oracle.shapes import OracleAlert, OraclePatient, OracleReading, OracleThreshold

MINUTE = timedelta(minutes=1)
_NUMBERS = count()


def worn(when: datetime, mg_dl: object, **more: Any) -> OracleReading:
    """One value of a sensor, or HI or LO."""
    facts: dict[str, Any] = {"name": f"{next(_NUMBERS):09}", "measured_at": when, "received_at": when}
    if mg_dl in ("HI", "LO"):
        facts |= {"is_censored": True, "is_hi": mg_dl == "HI"}
    else:
        value = Fraction(str(mg_dl))
        facts |= {"glucose_mg_dl": value, "glucose_mmol_l": value / 18}
    return OracleReading(**{"kind": "sensor_glucose"} | facts | more)


def row(
    start: datetime, values: Iterable[object], *, every: timedelta = 5 * MINUTE, **more: Any
) -> list[OracleReading]:
    """One value after another."""
    return [worn(start + place * every, value, **more) for place, value in enumerate(values)]


def text_of(when: str, resolve: str = "below_by: 0") -> str:
    return f"""
rules:
  - id: sugar
    version: 2
    when: {{{when}}}
    resolve: {{{resolve}}}
    priority: medium
    tell: [doctor]
"""


def judged(
    when: str,
    readings: list[OracleReading],
    *,
    resolve: str = "below_by: 0",
    now: datetime = END_OF_MARCH,
    own: object = None,
    **more: Any,
) -> list[OracleAlert]:
    """The alerts at `now` of somebody with these readings; `own`: a number of their own, of version 5."""
    patient = OraclePatient(
        readings=tuple(readings),
        zones=((datetime(2020, 1, 1, tzinfo=UTC), "UTC"),),
        enrolled_on=ENROLLED,
        thresholds={} if own is None else {"sugar": OracleThreshold(version=5, parameters={"value": own})},
    )
    return list(alerts_of(replace(patient, **more), rules_of(text_of(when, resolve)), now=now))
