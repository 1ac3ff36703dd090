"""FHIR's ways to say an instant and to ask for a time: `ge2026-11-20`, `lt2026-11-21T08:00:00+08:00`.

A date that is asked for is that whole day, in UTC.
"""

import re
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from typing import Final

from server.store.fhir import Span
from vitals.errors import MalformedError

_ASKED: Final = re.compile(r"(eq|ge|gt|le|lt|sa|eb)?(\d{4}-\d\d-\d\d(?:T.+)?)")
EARLIEST, LATEST = datetime(1900, 1, 1, tzinfo=UTC), datetime(2999, 1, 1, tzinfo=UTC)


def instant(at: datetime) -> str:
    """In milliseconds: FHIR's instants have no more."""
    return at.isoformat(timespec="milliseconds")


def span(asked: Iterable[str]) -> Span:
    """What all of `asked` leave: from `since` on, before `until`. Raises `MalformedError` (`date`)."""
    since, until = EARLIEST, LATEST
    for each in asked:
        found = _ASKED.fullmatch(each)
        if found is None:
            raise MalformedError("date", "give a date or an instant, after one of eq, ge, gt, le, lt, sa, eb or none")
        begin, end = _bounds(found[2])
        prefix = found[1] or "eq"
        if prefix in ("eq", "ge"):
            since = max(since, begin)
        if prefix in ("gt", "sa"):
            since = max(since, end)
        if prefix in ("eq", "le"):
            until = min(until, end)
        if prefix in ("lt", "eb"):
            until = min(until, begin)
    return Span(since=since, until=until)


def _bounds(text: str) -> tuple[datetime, datetime]:
    """The begin of what is named, and the first instant after it."""
    try:
        if "T" not in text:
            begin = datetime.combine(date.fromisoformat(text), datetime.min.time(), tzinfo=UTC)
            return begin, begin + timedelta(days=1)
        at = datetime.fromisoformat(text)
        if at.tzinfo is None:
            raise MalformedError("date", "an instant has an offset, such as Z or +08:00")
        at = at.astimezone(UTC)
        return at, at + timedelta(milliseconds=1 if at.microsecond else 1000)
    except (ValueError, OverflowError) as e:
        raise MalformedError("date", "there is no such day or instant") from e
