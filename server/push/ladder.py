"""Who is told next, and when, if nobody acknowledges: the one table of it. Pure; it queues nothing and sends nothing.

Patient and doctor are told at once and are no rung of it. Times count from when the doctor is told, so that an alert that waits
for the morning does not wake the next in the night.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal

Whom = Literal["backup", "desk"]
"""`backup`: the others who see the patient. `desk`: the clinic's own inbox and its own systems."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rung:
    """Tell these, unless somebody has acknowledged by then."""

    whom: Whom
    after: timedelta


LADDERS: Final[Mapping[str, tuple[Rung, ...]]] = {
    # A clinician decides within 10 minutes (clinical 1.5: second contact when a red alert is not acknowledged in 3 minutes, then
    # the supervisor). Another 3 minutes for the second contact leave the desk 4 to find somebody.
    "high": (
        Rung(whom="backup", after=timedelta(minutes=3)),
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """One step of an alert's ladder, with its instant."""

    whom: Whom
    due_at: datetime


def steps(priority: str, *, told_at: datetime, is_doctor_reachable: bool, has_backup: bool) -> tuple[Due, ...]:
    """The steps of an alert of which the doctor is told at `told_at`, earliest first.

    Nobody is waited for in vain: without a backup the desk is told at the backup's time, and with a doctor who cannot be reached
    the backup is told at once (the desk then stands in for the doctor from the beginning).
    """
    ladder = LADDERS[priority]
    if not has_backup:
        ladder = tuple(
            Rung(whom=rung.whom, after=ladder[at].after)
            for at, rung in enumerate(rung for rung in ladder if rung.whom != "backup")
        )
    return tuple(
        Due(
            whom=rung.whom,
            due_at=told_at if rung.whom == "backup" and not is_doctor_reachable else told_at + rung.after,
        )
        for rung in ladder
    )
