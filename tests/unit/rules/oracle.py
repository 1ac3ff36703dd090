"""The same rules a second time: slow, plain, with dates, dicts and fractions, written from the clinical definition.

Shares nothing with the engine but the words. Where the engine walks arrays once, this asks each question from the beginning.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from statistics import median
from typing import Any
from zoneinfo import ZoneInfo

THREE_HOURS = timedelta(hours=3)
TEN_MINUTES = timedelta(minutes=10)


@dataclass(kw_only=True)
class Told:
    """One blood-pressure or glucose reading as it was stored."""

    name: str
    at: datetime
    received: datetime
    systolic: Fraction | None
    diastolic: Fraction | None
    absolute: str  # accepted, rejected, invalid
    time: str  # certain, suspect, orphan


@dataclass(kw_only=True)
class Patient:
    readings: list[Told]
    zones: list[tuple[datetime, str]]
    enrolled: date

    def zone_at(self, instant: datetime, now: datetime) -> ZoneInfo:
        known = [(start, zone) for start, zone in sorted(self.zones) if start <= now] or [sorted(self.zones)[0]]
        name = known[0][1]
        for start, zone in known:
            if start <= instant:
                name = zone
        return ZoneInfo(name)

    def day(self, instant: datetime, now: datetime) -> date:
        wall = instant.astimezone(self.zone_at(instant, now)).replace(tzinfo=None)
        return (wall - THREE_HOURS).date()

    def close(self, day: date, now: datetime) -> datetime:
        """The first instant with a later clinical day: found by looking, second by second at the end."""
        late = datetime(day.year, day.month, day.day, tzinfo=UTC) - timedelta(hours=12)
        while self.day(late, now) <= day:
            late += timedelta(minutes=30)
        early = late - timedelta(minutes=30)
        while late - early > timedelta(seconds=1):
            middle = early + timedelta(seconds=int((late - early).total_seconds()) // 2)
            early, late = (early, middle) if self.day(middle, now) > day else (middle, late)
        return late

    def is_closed(self, day: date, now: datetime) -> bool:
        return day < self.day(now, now) or self.close(day, now) <= now

    def eight_o_clock(self, close: datetime, now: datetime) -> datetime:
        zone = self.zone_at(close, now)
        instant = close
        while instant.astimezone(zone).hour < 8:
            instant += timedelta(minutes=15)
        return instant


def usable(patient: Patient) -> list[Told]:
    return sorted((r for r in patient.readings if r.time != "orphan"), key=lambda r: (r.at, r.name))


def qualities(patient: Patient) -> dict[str, str]:
    """The final quality of each usable reading by name."""
    readings = usable(patient)
    certain = [r for r in readings if r.time == "certain"]
    verdict = {r.name: r.absolute for r in readings}
    doubted = []
    for reading in readings:
        if reading.absolute != "accepted":
            continue
        if reading.time == "suspect":
            verdict[reading.name] = "suspect"
        elif is_doubted(reading, certain):
            verdict[reading.name] = "suspect"
            doubted.append(reading)
    for one in doubted:
        for other in doubted:
            apart = other.at - one.at
            if timedelta(seconds=45) <= apart <= timedelta(hours=24) and agree(one, other):
                verdict[one.name] = verdict[other.name] = "accepted"
    return verdict


def is_doubted(reading: Told, certain: list[Told]) -> bool:
    assert reading.systolic is not None
    assert reading.diastolic is not None
    before = certain[: certain.index(reading)]
    if before and reading.at - before[-1].at < timedelta(seconds=45):
        return True
    if not 50 <= reading.systolic <= 260 or reading.diastolic < 30:
        return True
    if not 15 <= reading.systolic - reading.diastolic <= 120:
        return True
    recent = [
        r.systolic
        for r in before
        if r.at >= reading.at - timedelta(days=14) and r.absolute == "accepted" and r.systolic is not None
    ]
    return len(recent) >= 5 and abs(reading.systolic - median(recent)) > 40


def agree(one: Told, other: Told) -> bool:
    pairs = ((one.systolic, other.systolic), (one.diastolic, other.diastolic))
    return all(a is not None and b is not None and abs(a - b) <= 20 for a, b in pairs)


def sittings(patient: Patient) -> list[list[Told]]:
    """Runs of readings of any quality; those with a doubtful time belong to none."""
    runs: list[list[Told]] = []
    for reading in usable(patient):
        if reading.time == "suspect":
            continue
        if runs and reading.at - runs[-1][-1].at <= TEN_MINUTES:
            runs[-1].append(reading)
        else:
            runs.append([reading])
    return runs


def mean(values: list[Fraction]) -> Fraction:
    return sum(values, Fraction(0)) / len(values)


def sitting_value(accepted: list[Told]) -> tuple[Fraction, Fraction]:
    counted = accepted[1:] if len(accepted) >= 3 else accepted
    return (
        mean([r.systolic for r in counted if r.systolic is not None]),
        mean([r.diastolic for r in counted if r.diastolic is not None]),
    )


def day_value(groups: list[list[Told]]) -> tuple[Fraction, Fraction]:
    values = [sitting_value(group) for group in groups]
    return mean([v[0] for v in values]), mean([v[1] for v in values])


def measured_days(patient: Patient, now: datetime) -> dict[date, list[list[Told]]]:
    """Accepted readings by day and sitting, days with none left out."""
    verdict = qualities(patient)
    days: dict[date, list[list[Told]]] = {}
    for run in sittings(patient):
        accepted = [r for r in run if verdict[r.name] == "accepted"]
        if accepted:
            days.setdefault(patient.day(run[0].at, now), []).append(accepted)
    return dict(sorted(days.items()))


@dataclass(kw_only=True)
class DaysRule:
    systolic: Fraction = Fraction(140)
    diastolic: Fraction = Fraction(90)
    or_equal: bool = False
    days: int = 3
    span: int = 5
    at_least: int = 1
    below_by: int = 5
    good_days: int = 3

    def is_high(self, value: tuple[Fraction, Fraction]) -> bool:
        if self.or_equal:
            return value[0] >= self.systolic or value[1] >= self.diastolic
        return value[0] > self.systolic or value[1] > self.diastolic

    def is_good(self, value: tuple[Fraction, Fraction]) -> bool:
        return value[0] <= self.systolic - self.below_by and value[1] <= self.diastolic - self.below_by


def days_in_a_row(patient: Patient, rule: DaysRule, now: datetime) -> list[dict[str, Any]]:
    """The episodes as dicts, the pending one included."""
    table = measured_days(patient, now)
    counted = [
        day for day, groups in table.items() if day > patient.enrolled and sum(map(len, groups)) >= rule.at_least
    ]
    episodes: list[dict[str, Any]] = []
    for position, day in enumerate(counted):
        run = counted[max(0, position - rule.days + 1) : position + 1]
        is_run = (
            len(run) == rule.days
            and all(rule.is_high(day_value(table[d])) for d in run)
            and (run[-1] - run[0]).days + 1 <= rule.span
        )
        is_closed = patient.is_closed(day, now)
        current = next((e for e in reversed(episodes) if e["state"] != "pending"), None)
        is_active = current is not None and current["state"] == "active"
        is_new = current is None or (not is_active and (day - current["resolved_on"]).days > 7)
        if not is_closed and len(table[day]) < 2:
            if is_run and is_new:
                episodes.append(opened(patient, rule, table, run, now) | {"state": "pending"})
            continue
        if is_active:
            assert current is not None
            if rule.is_high(day_value(table[day])):
                current["last_day"] = day
            since = [d for d in counted[: position + 1] if d > current["run"][-1]][-rule.good_days :]
            all_good = len(since) == rule.good_days and all(rule.is_good(day_value(table[d])) for d in since)
            if is_closed and all_good:
                current |= {"state": "resolved", "resolved_on": day, "resolved_at": patient.close(day, now)}
        elif is_run and is_new:
            episodes.append(opened(patient, rule, table, run, now) | {"state": "active"})
        elif is_run:
            assert current is not None
            again = opened(patient, rule, table, run, now)
            current |= {key: again[key] for key in ("run", "last_day", "deliver_at", "values")}
            current |= {"state": "active", "resolved_on": None, "resolved_at": None}
    return episodes


def opened(
    patient: Patient, rule: DaysRule, table: dict[date, list[list[Told]]], run: list[date], now: datetime
) -> dict[str, Any]:
    at = became_high_at(rule, table[run[-1]])
    close = patient.close(run[-1], now)
    return {
        "run": run,
        "first_day": run[0],
        "last_day": run[-1],
        "started_at": table[run[0]][0][0].at,
        "opened_at": close if at is None else at,
        "deliver_at": patient.eight_o_clock(close, now) if at is None else at,
        "resolved_on": None,
        "resolved_at": None,
        "values": [day_value(table[d]) for d in run],
    }


def became_high_at(rule: DaysRule, groups: list[list[Told]]) -> datetime | None:
    """The reading of a second or later sitting with which the day was high; none if it takes the close of the day."""
    if len(groups) < 2:
        return None
    for reading in sorted((r for group in groups for r in group), key=lambda r: (r.at, r.name)):
        so_far = [[r for r in group if (r.at, r.name) <= (reading.at, reading.name)] for group in groups]
        so_far = [group for group in so_far if group]
        enough = len(so_far) >= 2 and sum(map(len, so_far)) >= rule.at_least
        if enough and rule.is_high(day_value(so_far)):
            return reading.at
    return None


def critical(patient: Patient, *, wanted: set[str], late: bool, by: str, now: datetime) -> list[dict[str, Any]]:
    """The events of a rule for single values of 180/120 or more; `by`: reading_below, new_reading or person."""
    verdict = qualities(patient)
    readings = usable(patient)

    def is_high(r: Told) -> bool:
        return r.systolic is not None and r.diastolic is not None and (r.systolic >= 180 or r.diastolic >= 120)

    def below_after(r: Told) -> list[datetime]:
        return [o.at for o in readings if o.at > r.at and verdict[o.name] == "accepted" and not is_high(o)]

    def is_late(r: Told) -> bool:
        delay = r.received - r.at
        overtaken = any(at <= r.received for at in below_after(r))
        return delay > timedelta(hours=24) or (delay > timedelta(minutes=30) and overtaken)

    hits = [r for r in readings if verdict[r.name] in wanted and is_high(r) and is_late(r) == late]
    place = {r.name: index for index, run in enumerate(sittings(patient)) for r in run}
    events: list[list[Told]] = []
    for hit in hits:
        previous = events[-1][-1] if events else None
        if previous is None:
            events.append([hit])
        elif previous.name in place and hit.name in place:
            events[-1].append(hit) if place[previous.name] == place[hit.name] else events.append([hit])
        elif hit.at - previous.at <= TEN_MINUTES:
            events[-1].append(hit)
        else:
            events.append([hit])
    return [
        ended(event, events[index + 1] if index + 1 < len(events) else None, below_after, readings, verdict, by, now)
        for index, event in enumerate(events)
    ]


def ended(
    event: list[Told],
    following: list[Told] | None,
    below_after: Any,
    readings: list[Told],
    verdict: dict[str, str],
    by: str,
    now: datetime,
) -> dict[str, Any]:
    newest = event[-1]
    below = min(below_after(newest), default=None)
    ends = []
    if by == "reading_below" and below is not None:
        ends.append(below + timedelta(hours=24))
    if by == "new_reading":
        ends += [o.at for o in readings if o.at > newest.at and verdict[o.name] in ("accepted", "suspect")]
        ends.append(newest.at + timedelta(hours=24))
    if by != "person" and following is not None:
        ends.append(following[0].at)
    end = min(ends, default=None)
    is_over = end is not None and end <= now
    return {
        "state": "resolved" if is_over else "active",
        "opened_at": event[0].at,
        "resolved_at": end if is_over else None,
        "readings": [r.name for r in event],
        "below": below is not None,
    }


def failed_days(patient: Patient, now: datetime) -> list[dict[str, Any]]:
    """Days with three failed blood-pressure measurements."""
    failed = [r for r in usable(patient) if r.absolute == "invalid"]
    days = sorted({patient.day(r.at, now) for r in failed})
    found = []
    for day in days:
        here = [r for r in failed if patient.day(r.at, now) == day]
        if len(here) >= 3:
            close = patient.close(day, now)
            found.append({"day": day, "opened_at": here[2].at, "state": "resolved" if close <= now else "active"})
    return found
