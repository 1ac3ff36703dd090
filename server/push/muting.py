"""What keeps a message from being told now: a silence, a more urgent alert that speaks for it, quiet hours. It queues nothing.

Whatever is urgent passes quiet hours; what is taken back, or was not decided in time, passes everything.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from server.push.quiet import QuietHours, next_allowed
from server.rules.episodes import is_more_urgent
from server.rules.inhibition import speaks_for
from server.rules.rule import RuleSet
from server.rules.urgency import is_urgent as is_urgent_rule
from server.store import silences, telling
from server.store.postgres import Connection
from server.store.telling import OpenEpisode

Why = Literal["silenced", "inhibited"]


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """Of which alert a message speaks, and how urgent that is. `is_late`: it was found too late to be urgent news."""

    rule_id: str
    priority: str
    is_late: bool = False


def is_urgent(rules: RuleSet, about: About) -> bool:
    """Of the highest priority, or of a rule that may come to it; but not what was found too late to hurry (clinical 1.5)."""
    if about.is_late:
        return False
    return about.priority == "high" or (about.rule_id in rules and is_urgent_rule(rules.by_id(about.rule_id)))


def why_muted(
    conn: Connection, patient_id: int, rules: RuleSet, about: About, *, is_to_patient: bool, now: datetime
) -> Why | None:
    """Why nobody of that audience is told of it now; None if they are."""
    if not is_to_patient:
        silent = silences.in_force(conn, patient_id, now=now)
        if about.rule_id in silent or (None in silent and not is_urgent(rules, about)):
            return "silenced"
    open_ones = telling.open_episodes(conn, patient_id)
    greater = greater_of(open_ones, rules, about)
    if greater is not None and (greater.told_patient if is_to_patient else greater.told_clinic):
        return "inhibited"
    return None


def greater_of(open_ones: Sequence[OpenEpisode], rules: RuleSet, about: About) -> OpenEpisode | None:
    """The most urgent of the open alerts that speak for this one; None if none does."""
    if about.rule_id not in rules:
        return None
    lesser = rules.by_id(about.rule_id)
    found = [
        each
        for each in open_ones
        if each.rule_id in rules
        and is_more_urgent(each.priority, than=about.priority)
        and speaks_for(rules.by_id(each.rule_id), lesser)
    ]
    return max(found, key=lambda each: (each.priority == "high", each.priority == "medium"), default=None)


def allowed_from(conn: Connection, patient_id: int, recipient: str, at: datetime) -> datetime:
    """`at`, or the end of the quiet hours of whoever is to be told; the desk and the clinic's systems have none."""
    subjects = _subjects(patient_id, recipient)
    hours = telling.quiet_hours_of(conn, subjects) if subjects else None
    if hours is None:
        return at
    quiet = QuietHours(begins_at=hours[0], ends_at=hours[1])
    return next_allowed(at, quiet, telling.zone_of(conn, patient_id, at))


def _subjects(patient_id: int, recipient: str) -> tuple[str, ...]:
    if recipient == "patient":
        return (f"patient:{patient_id}", "patients")
    return (recipient, "clinicians") if recipient.startswith("user:") else ()
