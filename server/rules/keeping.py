"""How a plan was kept: which occasions were measured, in a row and in all, and the points for it. Pure.

It sees when was measured and never what: no value comes in here, so none can earn or cost a point. A reward for values invites
invented ones. What could not be heard (a silent gateway) is unknown, and is held against nobody.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final

import numpy as np
from numpy.typing import NDArray

from server.rules.occasions import Occasion
from server.rules.windows import UnheardSpan, to_us

WINDOW: Final = timedelta(hours=3)
"""So far from its time an occasion counts as measured: a morning stays one, and no evening. Engineering choice."""

POINTS_MEASURED, POINTS_ANSWERED = 10, 5
"""For each occasion that was measured, and for each question that was answered, whatever the answer. Engineering choice."""

Instants = NDArray[np.int64]
"""Microseconds since 1970 UTC, ascending."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """How a plan was kept over a time. `share` is of the occasions of which something is known; None where there are none.

    `whole`: measured as often in a row as was agreed. `streak_days`: planned days in a row, up to the last that is over, on which
    something that was planned was measured.
    """

    planned: int
    measured: int
    whole: int
    unknown: int
    streak_days: int
    longest_days: int
    answers: int
    points: int

    @property
    def share(self) -> float | None:
        known = self.planned - self.unknown
        return self.measured / known if known else None


def readings_at(planned_us: Instants, measured_us: Instants, *, window_us: int) -> NDArray[np.int64]:
    """How many readings belong to each planned instant: each to the nearest one, if that is not farther than the window."""
    counts = np.zeros(len(planned_us), np.int64)
    if not len(planned_us) or not len(measured_us):
        return counts
    middles = (planned_us[1:] + planned_us[:-1]) // 2
    nearest = np.searchsorted(middles, measured_us, side="left")
    is_near = np.abs(measured_us - planned_us[nearest]) <= window_us
    np.add.at(counts, nearest[is_near], 1)
    return counts


def count_readings(planned: Sequence[Occasion], measured_us: Mapping[str, Instants]) -> dict[str, int]:
    """How many readings belong to each occasion, by its key; `measured_us` by kind."""
    found: dict[str, int] = {}
    for kind in {each.of for each in planned if each.kind == "measure"}:
        theirs = [each for each in planned if each.kind == "measure" and each.of == kind]
        at_us = np.array([to_us(each.at) for each in theirs], np.int64)
        counts = readings_at(at_us, measured_us.get(kind, _NONE), window_us=to_us_of(WINDOW))
        found |= {each.key: int(count) for each, count in zip(theirs, counts, strict=True)}
    return found


def kept(
    planned: Sequence[Occasion],
    measured_us: Mapping[str, Instants],
    *,
    unheard: Sequence[UnheardSpan],
    answers: int,
    now: datetime,
) -> Kept:
    """How the planned occasions were kept. One that is not measured is judged only when its window is over."""
    counts = count_readings(planned, measured_us)
    over = [each for each in planned if each.kind == "measure" and (counts[each.key] or each.at + WINDOW <= now)]
    measured = [each for each in over if counts[each.key]]
    missed = [each for each in over if not counts[each.key]]
    unknown = [each for each in missed if _is_unheard(each, unheard)]
    good, bad = {each.day for each in measured}, {each.day for each in missed} - {each.day for each in unknown}
    streak, longest = _streaks(good, bad)
    return Kept(
        planned=len(over),
        measured=len(measured),
        whole=sum(counts[each.key] >= each.readings for each in measured),
        unknown=len(unknown),
        streak_days=streak,
        longest_days=longest,
        answers=answers,
        points=POINTS_MEASURED * len(measured) + POINTS_ANSWERED * answers,
    )


def to_us_of(span: timedelta) -> int:
    return span // timedelta(microseconds=1)


_NONE: Final = np.zeros(0, np.int64)


def _is_unheard(occasion: Occasion, unheard: Sequence[UnheardSpan]) -> bool:
    """Nothing could be heard at its time."""
    return any(span.began <= occasion.at and (span.ended is None or occasion.at < span.ended) for span in unheard)


def _streaks(good: Collection[date], bad: Collection[date]) -> tuple[int, int]:
    """(the newest, the longest) run of days on which something was measured; only a day that was missed as a whole ends one."""
    run = longest = 0
    for day in sorted({*good, *bad}):
        run = run + 1 if day in good else 0
        longest = max(longest, run)
    return run, longest
