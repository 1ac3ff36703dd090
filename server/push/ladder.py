"""Who is told next, and when, if nobody acknowledges: the product's own table, and what a clinic may put in its place. Pure.

Patient and doctor are told at once and are no rung of it. Times count from when the doctor is told, so that an alert that waits
for the morning does not wake the next in the night. It queues nothing and sends nothing.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any, Final

from vitals.errors import MalformedError

_WHOM: Final = re.compile(r"doctor|backup|supervisor|desk|user:[1-9][0-9]{0,17}")
"""`doctor`: the patient's own, once more. `backup`: the others who see the patient. `supervisor`: whom the clinic names. `desk`:
the clinic's own inbox and its own systems. `user:<id>`: somebody by name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rung:
    """Tell these, unless somebody has acknowledged by then."""

    whom: str
    after: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Ladders:
    """By priority. `version` 0 is the product's own."""

    rungs: Mapping[str, tuple[Rung, ...]]
    supervisor: int | None = None
    version: int = field(default=0)


LADDERS: Final[Mapping[str, tuple[Rung, ...]]] = {
    # A clinician decides within 10 minutes (clinical 1.5: second contact when a red alert is not acknowledged in 3 minutes, then
    # the supervisor). Another 3 minutes for the second contact leave supervisor and desk 4 to find somebody.
    "high": (
        Rung(whom="backup", after=timedelta(minutes=3)),
        Rung(whom="supervisor", after=timedelta(minutes=6)),
        Rung(whom="desk", after=timedelta(minutes=6)),
    ),
    # Reliability 4: backup doctor after 30 minutes, the clinic's phone after 2 hours.
    "medium": (
        Rung(whom="backup", after=timedelta(minutes=30)),
        Rung(whom="desk", after=timedelta(hours=2)),
    ),
    # A trend of days waits for office hours; the doctor is reminded every week (architecture: pushes of an episode).
    "low": (),
    "information": (),
}

OURS: Final = Ladders(rungs=LADDERS)

SECOND_CONTACT_MAX: Final = timedelta(minutes=3)
LAST_RESORT_MAX: Final = timedelta(minutes=6)
"""No clinic's ladder of high priority is slower than ours: it is what ten minutes leave room for (clinical 1.5)."""

MEDIUM_LAST_RESORT_MAX: Final = timedelta(hours=24)
AFTER_MAX: Final = timedelta(days=7)
RUNGS_MAX: Final = 8

BEFORE_THE_END: Final = timedelta(minutes=1)
"""However late an alert became urgent, whoever is last is told a minute before the ten are over, not after them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """One step of an alert's ladder, with its instant."""

    whom: str
    due_at: datetime


def steps(
    rungs: Sequence[Rung],
    *,
    told_at: datetime,
    is_doctor_reachable: bool,
    has_backup: bool,
    has_supervisor: bool = False,
    answer_by: datetime | None = None,
) -> tuple[Due, ...]:
    """The steps of an alert of which the doctor is told at `told_at`, earliest first.

    Nobody is waited for in vain: without a backup the desk is told at the backup's time, and with a doctor who cannot be reached
    the backup is told at once (the desk then stands in for the doctor from the beginning). A supervisor who cannot be told leaves
    the step to the desk, unless the desk has been told by then. No step is later than a minute before `answer_by`, unless the
    doctor is told later than that.
    """
    climbed = list(rungs) if has_supervisor else _by_the_desk(rungs)
    if not has_backup:
        times = [rung.after for rung in climbed]
        climbed = [rung for rung in climbed if rung.whom != "backup"]
        climbed = [Rung(whom=rung.whom, after=after) for rung, after in zip(climbed, times, strict=False)]
    at_latest = None if answer_by is None else max(told_at, answer_by - BEFORE_THE_END)
    return tuple(
        Due(whom=rung.whom, due_at=_at(rung, told_at, at_latest, is_at_once=_is_at_once(rung, is_doctor_reachable)))
        for rung in climbed
    )


def _by_the_desk(rungs: Sequence[Rung]) -> list[Rung]:
    """The ladder of a clinic whose supervisor is not there, has left, or does not see the patient."""
    desk_at = min((rung.after for rung in rungs if rung.whom == "desk"), default=AFTER_MAX + timedelta(days=1))
    climbed: list[Rung] = []
    for rung in rungs:
        if rung.whom != "supervisor":
            climbed.append(rung)
        elif rung.after < desk_at:
            climbed.append(Rung(whom="desk", after=rung.after))
            desk_at = rung.after
    return climbed


def _is_at_once(rung: Rung, is_doctor_reachable: bool) -> bool:
    return rung.whom == "backup" and not is_doctor_reachable


def _at(rung: Rung, told_at: datetime, at_latest: datetime | None, *, is_at_once: bool) -> datetime:
    at = told_at if is_at_once else told_at + rung.after
    return at if at_latest is None else min(at, at_latest)


def read(version: int, kept: Mapping[str, Sequence[Mapping[str, Any]]], supervisor: int | None) -> Ladders:
    """Ladders as they were kept; a priority that is not among them has the product's own."""
    own = {
        priority: tuple(Rung(whom=each["whom"], after=timedelta(seconds=each["after_s"])) for each in rungs)
        for priority, rungs in kept.items()
    }
    return Ladders(rungs={**LADDERS, **own}, supervisor=supervisor, version=version)


def kept(rungs: Mapping[str, Sequence[Rung]]) -> dict[str, list[dict[str, Any]]]:
    """As they are kept: JSON."""
    return {
        priority: [{"whom": rung.whom, "after_s": round(rung.after.total_seconds())} for rung in each]
        for priority, each in rungs.items()
    }


def check(rungs: Mapping[str, Sequence[Rung]], supervisor: int | None) -> None:
    """Raises `MalformedError` for ladders that cannot be, and for urgent ones that are slower than ten minutes allow."""
    for priority, each in rungs.items():
        if priority not in LADDERS:
            raise _wrong(priority, f"a priority is one of {', '.join(LADDERS)}")
        _check_rungs(priority, each, supervisor)
    if "high" in rungs:
        _check_in_time(rungs["high"])
    if "medium" in rungs and not _reaches_last_resort(rungs["medium"], MEDIUM_LAST_RESORT_MAX):
        raise _wrong("medium", "the desk or the supervisor must be told within 24 hours")


def _check_rungs(priority: str, rungs: Sequence[Rung], supervisor: int | None) -> None:
    if len(rungs) > RUNGS_MAX:
        raise _wrong(priority, f"a ladder has at most {RUNGS_MAX} steps")
    for rung in rungs:
        if not _WHOM.fullmatch(rung.whom):
            raise _wrong(priority, "whom is doctor, backup, supervisor, desk or user:<number>")
        if not timedelta() < rung.after <= AFTER_MAX:
            raise _wrong(priority, "a step is more than 0 seconds and at most 7 days after the doctor is told")
        if rung.whom == "supervisor" and supervisor is None:
            raise _wrong(priority, "name the supervisor, or leave that step out")
    if any(one.after > other.after for one, other in pairwise(rungs)):
        raise _wrong(priority, "the steps must stand in the order of their times")


def _check_in_time(rungs: Sequence[Rung]) -> None:
    second = [rung for rung in rungs if rung.whom != "doctor" and rung.after <= SECOND_CONTACT_MAX]
    if not second:
        raise _wrong("high", "somebody beside the patient's own doctor must be told within 3 minutes")
    if not _reaches_last_resort(rungs, LAST_RESORT_MAX):
        raise _wrong("high", "the desk or the supervisor must be told within 6 minutes, so that 4 are left to decide")


def _reaches_last_resort(rungs: Sequence[Rung], within: timedelta) -> bool:
    return any(rung.whom in ("desk", "supervisor") and rung.after <= within for rung in rungs)


def _wrong(priority: str, why: str) -> MalformedError:
    return MalformedError("ladder", f"{priority[:20]}: {why}")
