"""When a plan's day and wall time come, as instants: by the patient's own clock, over changes of summer time and moves. Pure.

An occasion is known by what is planned and by its local date and time, so that the same one is met once, whatever the zone did
and however often the plan was written anew. A wall time that a day skips (02:30 when the clock goes to summer) is met an hour
later by the new clock; one that a day has twice is met the first time; one that a move skips is met at the move.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import Final, Literal
from zoneinfo import ZoneInfo

from server.rules.plans import Block, Measure, Medicine, Plan
from server.rules.windows import ZoneSpan

Kind = Literal["measure", "medicine"]

_DAY: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Occasion:
    """Once that something was to be done. `of` and `slot`: what is to be measured; `readings`: how often in a row."""

    key: str
    kind: Kind
    of: str
    slot: str | None
    day: date
    clock: str
    at: datetime
    readings: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreed:
    """A plan, and from when on it was the one agreed."""

    since: datetime
    plan: Plan


def occasions(
    versions: Sequence[Agreed], spans: Sequence[ZoneSpan], *, begin: datetime, end: datetime
) -> list[Occasion]:
    """Those from `begin` to before `end`, in order of time, by the plan that was agreed at each. `versions`: in order of time."""
    ordered = tuple(sorted((span.valid_from, span.zone) for span in spans))
    found: dict[str, Occasion] = {}
    ends = [*(version.since for version in versions[1:]), end]
    for version, until in zip(versions, ends, strict=True):
        for occasion in _of_plan(version.plan, ordered, max(begin, version.since), min(end, until)):
            found.setdefault(occasion.key, occasion)
    return sorted(found.values(), key=lambda each: (each.at, each.key))


def _of_plan(plan: Plan, spans: "_Spans", begin: datetime, end: datetime) -> Iterator[Occasion]:
    if begin >= end:
        return
    merged: dict[str, Occasion] = {}
    for item in plan.items:
        for day, clock in _walls(item, begin.date() - _DAY, end.date() + _DAY):
            at = instant_of(spans, day, clock)
            if not begin <= at < end:
                continue
            occasion = _occasion(item, day, clock, at)
            before = merged.get(occasion.key)
            if before is None or before.readings < occasion.readings:
                merged[occasion.key] = occasion
    yield from merged.values()


def _walls(item: Measure | Block | Medicine, first: date, last: date) -> Iterator[tuple[date, str]]:
    """The days and wall times of an item from `first` to `last`."""
    if isinstance(item, Block):
        days: Iterable[date] = (item.before - timedelta(days=back) for back in range(item.days, 0, -1))
        yield from ((day, clock) for day in days if first <= day <= last for clock in item.at)
        return
    day = first
    while day <= last:
        if day.isoweekday() in item.weekdays:
            yield from ((day, clock) for clock in item.at)
        day += _DAY


def _occasion(item: Measure | Block | Medicine, day: date, clock: str, at: datetime) -> Occasion:
    kind: Kind = "medicine" if isinstance(item, Medicine) else "measure"
    of = "" if isinstance(item, Medicine) else item.of
    slot = item.slot if isinstance(item, Measure) else None
    readings = 0 if isinstance(item, Medicine) else item.readings
    key = ":".join((kind, of, slot or "", day.isoformat(), clock))
    return Occasion(key=key, kind=kind, of=of, slot=slot, day=day, clock=clock, at=at, readings=readings)


_Spans = tuple[tuple[datetime, str], ...]


@lru_cache(maxsize=1 << 17)
def instant_of(spans: _Spans, day: date, clock: str) -> datetime:
    """When that wall clock of that date comes first, for zones in force from each `(valid_from, zone)` on, in order of time.

    A clinic's patients ask for the same times of the same days again and again.
    """
    assert spans, "a patient has a zone"
    wall = datetime.combine(day, time.fromisoformat(clock))
    for index, (since, zone) in enumerate(spans):
        at = wall.replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)
        until = spans[index + 1][0] if index + 1 < len(spans) else None
        if until is None or at < until:
            return at if index == 0 else max(at, since)
    raise AssertionError("the last span has no end")
