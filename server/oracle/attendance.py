"""The readings that count as measuring, and the days of which nobody can say whether there were any. Knows no rule."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from server.oracle.chart import Chart
from server.oracle.marks import by_itself
from server.oracle.shapes import Kind, OracleReading

ONE_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sign:
    """A counted reading; one from before the view has no `name`, and nobody knows of what `kind` it was."""

    day: date
    at: datetime
    name: str | None
    kind: Kind | None


def signs(chart: Chart) -> list[Sign]:
    """Of any kind, by day and then by time.

    Good by itself is enough: a value that its neighbours speak against was measured all the same.
    """
    found = [
        Sign(day=chart.days.day(reading.measured_at), at=reading.measured_at, name=reading.name, kind=reading.kind)
        for reading in chart.patient.readings
        if _is_counted(reading)
    ]
    before = chart.patient.last_counted_before
    if before is not None:
        found.append(Sign(day=chart.days.day(before), at=before, name=None, kind=None))
    return sorted(found, key=lambda sign: (sign.day, sign.at, sign.name or ""))


def _is_counted(reading: OracleReading) -> bool:
    return reading.time_quality != "orphan" and by_itself(reading) == "accepted"


def closed_days(chart: Chart, after: date, before: date | None) -> list[date]:
    """Those after the one day and before the other; None: all that are closed by now."""
    found = []
    day = after + ONE_DAY
    while chart.days.is_closed(day) and (before is None or day < before):
        found.append(day)
        day += ONE_DAY
    return found


def is_deaf(chart: Chart, day: date, hours: int) -> bool:
    """Could nothing of the patient be heard for more than `hours` of the day?"""
    begins, ends = chart.days.close(day - ONE_DAY), chart.days.close(day)
    spans = ((began, chart.now if ended is None else ended) for began, ended in chart.patient.unheard)
    within = ((max(began, begins), min(ended, ends)) for began, ended in spans)
    return _covered(span for span in within if span[0] < span[1]) > timedelta(hours=hours)


def _covered(spans: Iterable[tuple[datetime, datetime]]) -> timedelta:
    """By any of them; what two of them cover counts once."""
    covered, until = timedelta(0), None
    for began, ended in sorted(spans):
        start = began if until is None else max(began, until)
        if ended > start:
            covered += ended - start
            until = ended
    return covered
