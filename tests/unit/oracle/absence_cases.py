"""What the oracle's tests of absence have in common: somebody enrolled on 1 March 2026, days with a reading, and one rule."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

from unit.oracle.trend_cases import at, pressure

from server.oracle.alerts import alerts_of
from server.oracle.rules import rules_of
from server.oracle.shapes import OracleAlert, OraclePatient, OracleReading, OracleThreshold

ENROLLED = date(2026, 3, 1)
END_OF_MARCH = at(31, "23:00")


def text_of(when: str, resolve: str = "by: measuring") -> str:
    return f"""
rules:
  - id: absence
    version: 2
    when: {{{when}}}
    resolve: {{{resolve}}}
    priority: information
    tell: [patient]
"""


def measured(*days: int, clock: str = "07:30", **more: Any) -> list[OracleReading]:
    """One pressure on each of these days of March, named after it."""
    return [pressure(at(day, clock), 120, name=f"{day:02}", **more) for day in days]


def judged(
    text: str,
    readings: Iterable[OracleReading],
    *,
    now: datetime = END_OF_MARCH,
    own: dict[str, int] | None = None,
    **more: Any,
) -> list[OracleAlert]:
    """The alerts at `now`; `own`: numbers of the patient's own, of version 5."""
    patient = OraclePatient(
        readings=tuple(readings),
        zones=((datetime(2020, 1, 1, tzinfo=UTC), "UTC"),),
        enrolled_on=ENROLLED,
        thresholds={} if own is None else {"absence": OracleThreshold(version=5, parameters=own)},
    )
    return list(alerts_of(replace(patient, **more), rules_of(text), now=now))


def span(first: datetime, hours: float | None) -> tuple[datetime, datetime | None]:
    """Nothing could be heard from then on, for so long; None: still not."""
    return first, None if hours is None else first + timedelta(hours=hours)
