"""The figures of a programme: is pressure controlled, is what was agreed kept, are alerts answered, are values real. Pure.

What each figure means is written beside it (`definitions.yaml`), because a share without its denominator is none. What is missing
is counted, never left out.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from server.people.follow_ups import SPOKEN_WITH
from server.programme.shapes import Alerts, Control, DaysOfData, Digits, Figures, FollowUps, Month, Share
from server.rules.clinical_days import DAY_START, Calendar
from server.rules.keeping import WINDOW, readings_at, to_us_of
from server.rules.occasions import Agreed, occasions
from server.rules.plans import MEASURED_KINDS, Plan
from server.rules.windows import UnheardSpan, ZoneSpan, to_us
from server.store.programme import Ground, Readings, Task, ToldAlert

Int64s = NDArray[np.int64]
Float64s = NDArray[np.float64]
Bools = NDArray[np.bool_]

ENROLLED_DAYS: Final = 90
"""Control is asked of those who have been in the programme for so long (clinical 1.9)."""
BLOCK_DAYS, BLOCK_READINGS, FALLBACK_DAYS = 7, 12, 3
"""The last seven days with a reading: twelve readings after the first day, or at least three days (clinical 1.9)."""
LOOKED_BACK_DAYS: Final = 30
"""A block that ended earlier says nothing of today. Engineering choice."""
HOME_LINE, DOCUMENT_LINE = (135.0, 85.0), (140.0, 90.0)
"""mmHg. At home 135/85 is what 140/90 is in the office (AHA/ACC 2025, table 7); the source documents say 140/90."""

PUBLISHED_STAFF_ALERTS: Final = 0.10
"""A patient-day: 3 646 by staff over 174 patients of 207 days (JMIR Med Inform 2025;13:e66066)."""
CRITICAL_WITHIN: Final = timedelta(minutes=10)

DIGITS_READINGS_MIN: Final = 30
ZERO_OR_FIVE: Final = 0.2
CHI_SQUARE_1, CHI_SQUARE_9 = 10.83, 27.88
"""One in a thousand by chance, for one and for nine degrees of freedom."""

RPM_DAYS: Final = 30
RPM_LESS, RPM_MORE = range(2, 16), range(16, 31)
"""Days with data of thirty: CPT 99445 asks for 2 to 15, 99454 for 16 to 30 (US, 2026)."""


def count(ground: Ground, *, begin: datetime, end: datetime) -> Figures:
    """The figures from `begin` to before `end`; the trend goes back as far as the ground does, twelve months at most."""
    people = _People(ground, begin, end)
    measured, known, unknown = people.adherence(begin, end)
    return Figures(
        begin=begin,
        end=end,
        patients=len(ground.enrolled_on),
        control=people.control(end),
        adherence=Share(part=measured, whole=known),
        unknown_occasions=unknown,
        alerts=_alerts(ground.alerts, begin, end, people.patient_days(begin, end)),
        follow_ups=_follow_ups(ground.tasks, begin, end),
        digits=_digits(people, begin, end),
        days_of_data=people.days_of_data(end),
        months=tuple(_months(ground, people, begin, end)),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Planned:
    """The times of one patient's plan for one kind, ascending, and which of them were measured, or could not be heard."""

    at_us: Int64s
    is_kept: Bools
    is_unheard: Bools


class _People:
    """The ground by patient, with what is computed of it once: where each patient's readings lie, their days, what was kept."""

    def __init__(self, ground: Ground, begin: datetime, now: datetime) -> None:
        self._ground = ground
        self._begin = begin
        self._now = now
        readings = ground.readings
        ids = np.array(sorted(ground.enrolled_on), np.int64)
        begins = np.searchsorted(readings.patient_id, ids, side="left").tolist()
        ends = np.searchsorted(readings.patient_id, ids, side="right").tolist()
        self.rows = {int(i): slice(b, e) for i, b, e in zip(ids.tolist(), begins, ends, strict=True)}
        self._enrolled = np.array([day.toordinal() for day in ground.enrolled_on.values()], np.int64)
        self._zones = [spans[-1].zone if (spans := ground.zones.get(each)) else "UTC" for each in ground.enrolled_on]
        self._dates, days = _days(readings, self.rows, ground.zones, now)
        is_pressure = readings.kind == MEASURED_KINDS.index("blood_pressure")
        is_pressure &= ~np.isnan(readings.systolic_mmhg + readings.diastolic_mmhg)
        self._pressures = {
            patient_id: (
                readings.measured_at_us[rows][is_pressure[rows]],
                days[rows][is_pressure[rows]],
                readings.systolic_mmhg[rows][is_pressure[rows]],
                readings.diastolic_mmhg[rows][is_pressure[rows]],
            )
            for patient_id, rows in self.rows.items()
        }
        self._planned = [each for patient_id in ground.plans for each in self._plan_of(patient_id)]

    def pressures(self, patient_id: int, begin: datetime, end: datetime) -> tuple[Int64s, Float64s, Float64s]:
        """Clinical days, systolic and diastolic values from `begin` to before `end`."""
        at_us, days, systolic, diastolic = self._pressures[patient_id]
        part = slice(*np.searchsorted(at_us, (to_us(begin), to_us(end))).tolist())
        return days[part], systolic[part], diastolic[part]

    def control(self, end: datetime) -> Control:
        enrolled = known = by_fallback = home = document = 0
        is_long_enrolled = self._enrolled <= self._today(end) - ENROLLED_DAYS
        for patient_id, is_counted in zip(self._ground.enrolled_on, is_long_enrolled.tolist(), strict=True):
            if not is_counted:
                continue
            enrolled += 1
            mean = _block_mean(*self.pressures(patient_id, end - timedelta(days=LOOKED_BACK_DAYS), end))
            if mean is None:
                continue
            systolic, diastolic, is_fallback = mean
            known += 1
            by_fallback += is_fallback
            home += systolic < HOME_LINE[0] and diastolic < HOME_LINE[1]
            document += systolic < DOCUMENT_LINE[0] and diastolic < DOCUMENT_LINE[1]
        return Control(
            enrolled=enrolled,
            known=known,
            by_fallback=by_fallback,
            below_home_line=home,
            below_document_line=document,
        )

    def adherence(self, begin: datetime, end: datetime) -> tuple[int, int, int]:
        """(occasions measured, occasions of which something is known, occasions of which nothing is)."""
        bounds = (to_us(begin), to_us(min(end, self._now - WINDOW)))
        measured = planned = unknown = 0
        for each in self._planned:
            part = slice(*np.searchsorted(each.at_us, bounds).tolist())
            planned += max(0, part.stop - part.start)
            measured += int(np.count_nonzero(each.is_kept[part]))
            unknown += int(np.count_nonzero(each.is_unheard[part]))
        return measured, planned - unknown, unknown

    def patient_days(self, begin: datetime, end: datetime) -> int:
        """Days of enrolment in the time."""
        return int(np.maximum(0, self._today(end) - np.maximum(self._today(begin), self._enrolled)).sum())

    def _today(self, at: datetime) -> Int64s:
        """Which day it is then for each patient, by the clocks where the patient lives now; as ordinals."""
        days = {zone: at.astimezone(ZoneInfo(zone)).toordinal() for zone in set(self._zones)}
        return np.array([days[zone] for zone in self._zones], np.int64)

    def days_of_data(self, end: datetime) -> DaysOfData:
        less = more = none = 0
        bounds = (to_us(end - timedelta(days=RPM_DAYS)), to_us(end))
        for rows in self.rows.values():
            part = slice(*np.searchsorted(self._ground.readings.measured_at_us[rows], bounds).tolist())
            days = len(np.unique(self._dates[rows][part]))
            less += days in RPM_LESS
            more += days >= RPM_MORE.start
            none += days < RPM_LESS.start
        return DaysOfData(less=less, more=more, none=none)

    def _plan_of(self, patient_id: int) -> Iterable[_Planned]:
        """What was planned for a patient over the whole time, by kind, and how it was kept."""
        rows, readings = self.rows[patient_id], self._ground.readings
        silent = self._ground.unheard.get(patient_id, ())
        spans = self._ground.zones.get(patient_id, ())
        for kind, at_us in _planned_us(self._ground.plans[patient_id], spans, self._begin, self._now):
            measured_us = readings.measured_at_us[rows][readings.kind[rows] == MEASURED_KINDS.index(kind)]
            is_kept = readings_at(at_us, measured_us, window_us=to_us_of(WINDOW)) > 0
            yield _Planned(at_us=at_us, is_kept=is_kept, is_unheard=~is_kept & _within(at_us, silent))


@lru_cache(maxsize=256)
def _planned_of(
    items: str, spans: tuple[ZoneSpan, ...], begin: datetime, end: datetime
) -> tuple[tuple[str, Int64s], ...]:
    """The planned instants of each kind by one plan; whoever has the same plan in the same place shares them."""
    found: dict[str, list[int]] = {}
    plan = Plan.model_validate_json(items)
    for each in occasions([Agreed(since=begin, plan=plan)], spans, begin=begin, end=end):
        found.setdefault(each.of, []).append(to_us(each.at))
    return tuple((kind, np.array(at, np.int64)) for kind, at in sorted(found.items()))


def _planned_us(
    versions: Sequence[Agreed], spans: tuple[ZoneSpan, ...], begin: datetime, end: datetime
) -> Iterable[tuple[str, Int64s]]:
    """The planned instants of each kind, by the plan in force at each."""
    if not spans:
        return
    found: dict[str, list[Int64s]] = {}
    ends = [*(version.since for version in versions[1:]), end]
    for version, until in zip(versions, ends, strict=True):
        bounds = (to_us(max(begin, version.since)), to_us(min(end, until)))
        for kind, at_us in _planned_of(version.plan.model_dump_json(), spans, begin, end):
            found.setdefault(kind, []).append(at_us[slice(*np.searchsorted(at_us, bounds).tolist())])
    yield from ((kind, np.concatenate(parts)) for kind, parts in sorted(found.items()))


def _block_mean(days: Int64s, systolic: Float64s, diastolic: Float64s) -> tuple[float, float, bool] | None:
    """(systolic, diastolic, whether by the fall-back) of the last block; None where there are too few readings for either."""
    if not len(days):
        return None
    first = int(days[-1]) - BLOCK_DAYS + 1
    block = days >= first
    after = days > first
    if int(after.sum()) >= BLOCK_READINGS:
        return float(systolic[after].mean()), float(diastolic[after].mean()), False
    if len(np.unique(days[block])) >= FALLBACK_DAYS:
        return float(systolic[block].mean()), float(diastolic[block].mean()), True
    return None


def _alerts(alerts: Iterable[ToldAlert], begin: datetime, end: datetime, patient_days: int) -> Alerts:
    opened = [each for each in alerts if begin <= each.opened_at < end]
    staff = [each for each in opened if each.told_at is not None]
    waited = sorted(
        max(0.0, (each.acknowledged_at - each.told_at).total_seconds())
        for each in staff
        if each.acknowledged_at is not None and each.told_at is not None
    )
    critical = [each for each in staff if each.answer_by is not None]
    rated = [each for each in staff if each.is_useful is not None]
    return Alerts(
        all=len(opened),
        staff=len(staff),
        patient_days=patient_days,
        acknowledged=len(waited),
        median_s=float(np.median(waited)) if waited else None,
        p90_s=float(np.quantile(waited, 0.9)) if waited else None,
        critical=Share(part=sum(_is_in_time(each) for each in critical), whole=len(critical)),
        useful=Share(part=sum(each.is_useful is True for each in rated), whole=len(rated)),
        unrated=len(staff) - len(rated),
    )


def _is_in_time(alert: ToldAlert) -> bool:
    return alert.answered_at is not None and alert.answer_by is not None and alert.answered_at <= alert.answer_by


def _follow_ups(tasks: Iterable[Task], begin: datetime, end: datetime) -> FollowUps:
    opened = [each for each in tasks if begin <= each.opened_at < end]
    took = [(each.closed_at - each.opened_at) / timedelta(days=1) for each in opened if each.closed_at is not None]
    return FollowUps(
        opened=len(opened),
        closed=len(took),
        spoken=sum(each.outcome in SPOKEN_WITH for each in opened),
        median_days=float(np.median(took)) if took else None,
    )


def _digits(people: _People, begin: datetime, end: datetime) -> Digits:
    total, flagged = np.zeros(10, np.int64), list[int]()
    for patient_id in people.rows:
        _, systolic, diastolic = people.pressures(patient_id, begin, end)
        counts = np.bincount(np.rint(np.concatenate((systolic, diastolic))).astype(np.int64) % 10, minlength=10)
        total += counts
        if is_rounded(counts):
            flagged.append(patient_id)
    values = int(total.sum())
    chi_square = float(((total - values / 10) ** 2 / (values / 10)).sum()) if values >= DIGITS_READINGS_MIN else None
    return Digits(
        values=values,
        zero_or_five=float(total[[0, 5]].sum() / values) if values else None,
        chi_square=chi_square,
        is_unlikely=chi_square is not None and chi_square > CHI_SQUARE_9,
        flagged=tuple(flagged),
    )


def is_rounded(counts: NDArray[np.int64]) -> bool:
    """Are more of these last digits 0 or 5 than chance gives, one time in a thousand?"""
    values = int(counts.sum())
    if values < DIGITS_READINGS_MIN:
        return False
    found, expected = int(counts[[0, 5]].sum()), ZERO_OR_FIVE * values
    chi_square = (found - expected) ** 2 * (1 / expected + 1 / (values - expected))
    return found > expected and chi_square > CHI_SQUARE_1


def _months(ground: Ground, people: _People, begin: datetime, end: datetime) -> Iterable[Month]:
    months = max(1, min(12, (end - begin).days // 30))
    told_us = np.array([to_us(each.opened_at) for each in ground.alerts if each.told_at is not None], np.int64)
    for back in range(months - 1, -1, -1):
        until = end - timedelta(days=30 * back)
        since = until - timedelta(days=30)
        control = people.control(until)
        measured, known, _ = people.adherence(since, until)
        days = people.patient_days(since, until)
        staff = int(np.count_nonzero((told_us >= to_us(since)) & (told_us < to_us(until))))
        yield Month(
            until=until,
            controlled=control.below_home_line / control.known if control.known else None,
            adherence=measured / known if known else None,
            staff_alerts=staff / days if days else None,
        )


def _days(
    readings: Readings, rows: Mapping[int, slice], zones: Mapping[int, tuple[ZoneSpan, ...]], now: datetime
) -> tuple[Int64s, Int64s]:
    """The civil date and the clinical day of each reading, as ordinals: patients who have lived by the same clocks at once."""
    walls = np.zeros(len(readings.patient_id), np.int64)
    alike: dict[tuple[str, ...] | tuple[ZoneSpan, ...], list[int]] = {}
    for patient_id in rows:
        spans = zones.get(patient_id, ())
        alike.setdefault((spans[0].zone,) if len(spans) == 1 else spans, []).append(patient_id)
    for key, patients in alike.items():
        if key and len(walls):
            where = np.concatenate([np.arange(rows[each].start, rows[each].stop) for each in patients])
            walls[where] = Calendar(zones[patients[0]], now).walls_of(readings.measured_at_us[where])
    day_us, start_us = to_us_of(timedelta(days=1)), to_us_of(timedelta(hours=DAY_START.hour))
    return (walls + start_us) // day_us, walls // day_us


def _within(at_us: Int64s, spans: Sequence[UnheardSpan]) -> Bools:
    found = np.zeros(len(at_us), np.bool_)
    for span in spans:
        found |= (at_us >= to_us(span.began)) & (at_us < (to_us(span.ended) if span.ended else np.iinfo(np.int64).max))
    return found
