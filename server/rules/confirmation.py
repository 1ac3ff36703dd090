"""When a critical event is more than one reading: a repeat confirms it, the patient has symptoms, or nobody repeats it.

Pure arithmetic on instants. It asks what the house knew when, so that any order of arrival ends in the same answer: a repeat
counts from its receipt, and the time to repeat from the receipt of the first reading.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from server.rules.conditions import Confirm
from server.rules.pressure_marks import SPACING_US
from server.rules.windows import Symptom

APART: Final = timedelta(microseconds=SPACING_US)
"""A repeat closer than 45 s to the first reading says what that one said (clinical 1.1, 1.5)."""

SYMPTOMS_REACH: Final = timedelta(hours=24)
"""A yes to the symptoms belongs to the event up to a day after its newest reading: as long as the event is news."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirmation:
    """`confirmed_at`: when the repeat was measured. `has_symptoms`: the patient has said so, within the event's reach.

    `raises_at`: the first instant at which one of the three makes the event more urgent; it may lie ahead.
    """

    confirmed_at: datetime | None
    has_symptoms: bool
    raises_at: datetime


def confirmation_of(
    confirm: Confirm,
    *,
    measured_at: Sequence[datetime],
    received_at: Sequence[datetime],
    symptoms: Iterable[Symptom],
) -> Confirmation:
    """What is known of an event whose readings, at least one, were measured and received at these instants, in order."""
    first, known_at = measured_at[0], received_at[0]
    repeats = zip(measured_at[1:], received_at[1:], strict=True)
    repeat = next(((at, received) for at, received in repeats if at - first >= APART), None)
    reach = measured_at[-1] + SYMPTOMS_REACH
    yeses = [each.at for each in symptoms if each.has_symptoms and first <= each.at <= reach]
    candidates = [known_at + timedelta(minutes=confirm.within_minutes), *(max(at, known_at) for at in yeses)]
    if repeat is not None:
        candidates.append(max(repeat[1], known_at))
    return Confirmation(
        confirmed_at=None if repeat is None else repeat[0], has_symptoms=bool(yeses), raises_at=min(candidates)
    )
