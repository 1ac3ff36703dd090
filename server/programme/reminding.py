"""Which reminder is due to a patient just now, and when to look again. Pure: it queues nothing and sends nothing.

A reminder is decided once for each occasion, whatever the answer, and only near its time: what was missed while nobody looked is
not made good at another hour.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from typing import Final, Literal

from server.rules.occasions import Occasion

Fate = Literal["told", "measured", "taken", "quiet", "enough", "unwanted"]

REMIND, AGAIN = 0, 1
"""Steps of an occasion: it is time; and, where several readings in a row were agreed and fewer came, once more."""

REMIND_WITHIN: Final = timedelta(hours=1)
"""Later than this it is no longer a reminder of that time."""
AGAIN_AFTER: Final = timedelta(minutes=45)
"""A sitting ends ten minutes after its last reading (docs/explanation/safety); whoever began late has had half an hour."""
AGAIN_WITHIN: Final = timedelta(hours=2)
EXPIRES_AFTER: Final = timedelta(hours=2)
"""A message that could not be sent until then is not sent any more."""

LOOK_AGAIN: Final = timedelta(hours=24)
"""At the latest: so a plan is looked at once a day, whatever changed."""

AWAKE_FROM, AWAKE_UNTIL = time(6, 0), time(22, 0)
"""Nobody is woken by a reminder. Engineering choice; by the patient's own wall clock."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What becomes of one step of an occasion."""

    occasion: Occasion
    step: int
    fate: Fate


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What is known at `now`. `readings` by occasion, `answers` too; `decided`: (key, step) of what has been decided already.

    `told_today`: reminders of the patient's day so far; `is_quiet`: the patient has asked for quiet now; `clock`: the wall clock.
    """

    readings: Mapping[str, int]
    answers: Mapping[str, str]
    decided: Collection[tuple[str, int]]
    told_today: int
    at_most: int
    is_wanted: bool
    is_quiet: bool
    clock: time
    now: datetime


def decide(planned: Sequence[Occasion], known: Known) -> list[Decision]:
    """What becomes of the steps that are due, in order of time."""
    made: list[Decision] = []
    told = known.told_today
    for occasion, step in _due(planned, known):
        fate = _fate(occasion, step, known, told)
        if fate is not None:
            made.append(Decision(occasion=occasion, step=step, fate=fate))
            told += fate == "told"
    return made


def look_again_at(planned: Sequence[Occasion], *, now: datetime) -> datetime:
    """When something is due next, as far as it was planned; a day ahead at the latest."""
    ahead = [occasion.at for occasion in planned if occasion.at > now]
    again = [occasion.at + AGAIN_AFTER for occasion in planned if occasion.readings > 1]
    return min([*ahead, *(at for at in again if at > now), now + LOOK_AGAIN])


def _due(planned: Sequence[Occasion], known: Known) -> list[tuple[Occasion, int]]:
    due = []
    for occasion in planned:
        ago = known.now - occasion.at
        if timedelta() <= ago < REMIND_WITHIN and (occasion.key, REMIND) not in known.decided:
            due.append((occasion, REMIND))
        if occasion.readings > 1 and AGAIN_AFTER <= ago < AGAIN_WITHIN and (occasion.key, AGAIN) not in known.decided:
            due.append((occasion, AGAIN))
    return due


def _fate(occasion: Occasion, step: int, known: Known, told: int) -> Fate | None:
    """None: there is nothing to say and nothing to keep (nobody began, so nobody is asked to go on)."""
    readings = known.readings.get(occasion.key, 0)
    if step == AGAIN and readings == 0:
        return None
    if occasion.kind == "medicine" and known.answers.get(occasion.key) == "done":
        return "taken"
    if readings >= (occasion.readings if step == AGAIN else 1):
        return "measured"
    if not known.is_wanted:
        return "unwanted"
    if known.is_quiet or not AWAKE_FROM <= known.clock < AWAKE_UNTIL:
        return "quiet"
    return "told" if told < known.at_most else "enough"
