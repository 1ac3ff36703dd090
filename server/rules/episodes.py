"""The life of an alert: what the readings say now (`Finding`) against what is stored (`Episode`).

`reconcile` is pure: same findings, same stored episodes, same `now`, same transitions. An episode's identity survives late
data, corrections and restarts.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import Any, Literal
from uuid import UUID

FindingState = Literal["pending", "active", "resolved"]
EpisodeState = Literal["active", "acknowledged", "snoozed", "resolved", "retracted"]
Audience = Literal["patient", "doctor"]
Language = Literal["en", "zh"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The numbers judged and the thresholds they were judged by: enough to explain itself in one plain sentence."""

    numbers: Mapping[str, Any]  # JSON-ready: days with their values and grades, thresholds, units, reading ids
    sentence: Mapping[Language, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One episode as the readings in view tell it at `now`, whatever order they came in.

    `started_at` is the first instant judged, `opened_at` the instant at which the condition became true (a reading's time or
    the close of a day), `deliver_at` the earliest instant at which people may be told (08:00 local after a day's close).
    """

    rule_id: str
    rule_version: int
    threshold_version: int
    state: FindingState
    priority: str
    first_day: date
    last_day: date
    started_at: datetime
    opened_at: datetime
    deliver_at: datetime
    resolved_at: datetime | None
    verdict: Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What a judging found, and when time alone may change it (the close of a day, the end of a quiet spell)."""

    findings: tuple[Finding, ...]
    next_due_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Episode:
    """An episode as it is stored. `closed_by_person`: a clinician closed it; that holds until a new elevated day."""

    episode_id: UUID
    rule_id: str
    rule_version: int
    threshold_version: int
    state: EpisodeState
    priority: str
    first_day: date
    last_day: date
    started_at: datetime
    opened_at: datetime
    resolved_at: datetime | None
    closed_by_person: bool
    doctor_told: bool


class Change(StrEnum):
    """What a judging does to an episode."""

    OPEN = "open"
    UPDATE = "update"
    RESOLVE = "resolve"
    RETRACT = "retract"
    REOPEN = "reopen"


@dataclass(frozen=True, slots=True, kw_only=True)
class Transition:
    """One change to write. `tell` lists who gets a push for it at `tell_at`; empty means nobody.

    `episode_id` is `None` for OPEN: the writer mints it. `finding` is `None` only for RETRACT.
    """

    change: Change
    episode_id: UUID | None
    finding: Finding | None
    tell: tuple[Audience, ...] = ()
    tell_at: datetime | None = None
    reason: str = ""
