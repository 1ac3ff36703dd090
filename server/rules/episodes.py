"""The life of an alert: what the readings say now (`Finding`) against what is stored (`Episode`).

`reconcile` is pure: same findings, same stored episodes, same `now`, same transitions. An episode's identity survives late
data, corrections and restarts.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Any, Final, Literal, get_args
from uuid import UUID

FindingState = Literal["pending", "active", "resolved"]
EpisodeState = Literal["active", "acknowledged", "snoozed", "resolved", "retracted"]
Priority = Literal["information", "low", "medium", "high"]
"""The more urgent the later: `is_more_urgent` compares them."""
Audience = Literal["patient", "doctor"]
Language = Literal["en", "zh"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The numbers judged and the thresholds they were judged by: enough to explain itself in one plain sentence."""

    numbers: Mapping[str, Any]  # JSON-ready: days with their values and grades, thresholds, units, reading ids
    sentence: Mapping[Language, str]


UNSAID: Final = Verdict(numbers={}, sentence={})
"""Of a finding that is counted and shown to nobody."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One episode as the readings in view tell it at `now`, whatever order they came in.

    `started_at` is the first instant judged, `opened_at` the instant at which the condition became true (a reading's time or
    the close of a day), `deliver_at` the earliest instant at which people may be told (08:00 local after a day's close).
    `tell` gets the push if it is opened up to `fresh_until`, `tell_late` if it is found later or is over already: an old
    finding is a note. `newest_at` is its newest evidence: what a clinician closed stays closed until there is newer. `raised_at`
    is the instant at which it became more urgent than it had been (a repeat confirmed it, or none came).
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
    tell: tuple[Audience, ...] = ()
    tell_late: tuple[Audience, ...] = ()
    fresh_until: datetime | None = None
    newest_at: datetime | None = None
    raised_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What a judging found, and when time alone may change it (the close of a day, the end of a quiet spell).

    `threshold_versions`: by which version each rule was judged, also those that found nothing.
    """

    findings: tuple[Finding, ...]
    next_due_at: datetime | None
    threshold_versions: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Episode:
    """An episode as it is stored. `closed_by_person`: a clinician closed it; that holds until a new elevated day.

    `is_untold`: it was found too late to be news, and nobody has been told since. `is_patient_untold`: the patient never
    heard of it. `numbers` is the stored verdict; without it a change of the numbers alone is not noticed.
    """

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
    is_untold: bool = False
    is_patient_untold: bool = False
    numbers: Mapping[str, Any] | None = None


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

    `reason` RAISED: an UPDATE that makes it more urgent, so that whoever acknowledged it before has not acknowledged this.
    `episode_id` is `None` for OPEN: the writer mints it. An episode that is over when it is first found opens in
    `finding.state` resolved. `finding` is `None` for RETRACT, and for the RESOLVE of an episode whose thresholds a person
    has changed (reason `threshold_changed`), or whose rule a person has ended (`rule_withdrawn`) or replaced (`rule_changed`).
    """

    change: Change
    episode_id: UUID | None
    finding: Finding | None
    tell: tuple[Audience, ...] = ()
    tell_at: datetime | None = None
    reason: str = ""


RAISED: Final = "raised"
"""Why the doctor is told once more of an episode that goes on."""

QUIET_DAYS: Final = 7
"""A firing within seven days of the end reopens the same episode; after that it is a new one (clinical definition)."""

_PROMOTION: Final = timedelta(days=3)
"""A reading can promote one of up to three days before it (a weight; a blood pressure one of a day before), or stand between two
that promoted each other: what it may change begins so much earlier than itself."""

_OPEN_STATES: Final = frozenset({"active", "acknowledged", "snoozed"})
_URGENCY: Final = {priority: rank for rank, priority in enumerate(get_args(Priority))}


def urgency_of(priority: str) -> int:
    """The higher, the more urgent."""
    return _URGENCY[priority]


def is_more_urgent(priority: str, than: str) -> bool:
    """Is `priority` above the priority `than`?"""
    return _URGENCY[priority] > _URGENCY[than]


def view_from(stored: Iterable[Episode], since: datetime) -> datetime:
    """From where the readings must be seen whole to judge what may have changed at `since`.

    The earliest of `since` (less the reach of a promotion) and the first instant of any episode that is not settled. The
    history is judged from `engine.look_back_days(rules)` before it (`PatientHistory.judged_from`), and loaded from
    `engine.reach_days(rules)` before that.
    """
    starts = [e.started_at for e in stored if e.state != "retracted" and not _is_settled(e, since)]
    return min([since - _PROMOTION, *starts])


def reconcile(
    stored: Iterable[Episode],
    findings: Iterable[Finding],
    *,
    now: datetime,
    since: datetime | None = None,
    threshold_versions: Mapping[str, int] | None = None,
    rule_versions: Mapping[str, int] | None = None,
) -> tuple[Transition, ...]:
    """The changes that make `stored` (all of one patient's episodes) say what `findings` say.

    `since` is the earliest instant whose judging may have changed: an episode that ended seven quiet days before it is
    settled and is left alone, because the readings in view may not reach back to it. Without it nothing is settled.
    `threshold_versions` are those of the judgement, `rule_versions` those of the rules that judged. Afterwards every finding
    that is not pending is one stored episode, and every other episode of the same thresholds is retracted; only what a person
    closed stays as it is. Episodes of a rule that is not among the judgement's `threshold_versions`, or that judged in another
    version, end: nobody judges by it any more.
    """
    versions = threshold_versions or {}
    by_rule: dict[str, tuple[list[Episode], list[Finding]]] = defaultdict(lambda: ([], []))
    for episode in stored:
        by_rule[episode.rule_id][0].append(episode)
    for finding in findings:
        if finding.state != "pending":
            by_rule[finding.rule_id][1].append(finding)
    withdrawn = {rule_id for rule_id in by_rule if threshold_versions is not None and rule_id not in threshold_versions}
    return tuple(
        transition
        for rule_id in sorted(by_rule)
        for transition in (
            _end(by_rule[rule_id][0], "rule_withdrawn")
            if rule_id in withdrawn
            else _reconcile_versions(
                *by_rule[rule_id],
                now=now,
                since=since,
                version=versions.get(rule_id),
                rule_version=(rule_versions or {}).get(rule_id),
            )
        )
    )


def _reconcile_versions(
    stored: list[Episode],
    findings: list[Finding],
    *,
    now: datetime,
    since: datetime | None,
    version: int | None,
    rule_version: int | None,
) -> list[Transition]:
    """What another version of the rule judged ends; what the present one finds is compared with its own alone."""
    replaced = [e for e in stored if rule_version is not None and e.rule_version != rule_version]
    judged = [e for e in stored if e not in replaced]
    return _end(replaced, "rule_changed") + _reconcile_rule(judged, findings, now=now, since=since, version=version)


def _end(stored: Iterable[Episode], reason: str) -> list[Transition]:
    """What is open ends, though no reading ended it: it is not judged any more."""
    return [
        Transition(change=Change.RESOLVE, episode_id=e.episode_id, finding=None, reason=reason)
        for e in stored
        if e.state in _OPEN_STATES
    ]


def _reconcile_rule(
    stored: list[Episode], findings: list[Finding], *, now: datetime, since: datetime | None, version: int | None
) -> list[Transition]:
    found = sorted(findings, key=lambda f: (f.first_day, f.started_at))
    if version is None:
        version = max((f.threshold_version for f in found), default=None)
    judged = [e for e in stored if version is None or e.threshold_version == version]
    changes = _end((e for e in stored if e not in judged), "threshold_changed")
    live = sorted((e for e in judged if e.state != "retracted"), key=lambda e: (e.first_day, e.started_at))
    settled = [e for e in live if since is not None and _is_settled(e, since)]
    matches = _match(live, found)
    kept = [*matches.values(), *settled, *(e for e in live if _is_closed_by_person(e))]
    changes += [_retract(episode, found) for episode in live if episode not in kept]
    retracted = [e for e in judged if e.state == "retracted"]
    for index, finding in enumerate(found):
        episode = matches.get(index)
        if finding.state == "resolved" and any(e is episode or (not episode and _overlap(e, finding)) for e in settled):
            continue  # an old episode, seen through a view that may have cut it short
        if episode is not None and _is_closed_since(episode, finding, live):
            continue
        changes += _begin(retracted, finding, now) if episode is None else _update(episode, finding, now)
    return changes


def _match(live: Sequence[Episode], found: Sequence[Finding]) -> dict[int, Episode]:
    """Which stored episode each finding is: the one that began at the same instant, else the earliest that overlaps."""
    free = list(live)
    matches: dict[int, Episode] = {}
    for is_same in (lambda e, f: e.started_at == f.started_at, _overlap):
        for index, finding in enumerate(found):
            episode = next((e for e in free if index not in matches and is_same(e, finding)), None)
            if episode is not None:
                matches[index] = episode
                free.remove(episode)
    return matches


def _update(episode: Episode, finding: Finding, now: datetime) -> list[Transition]:
    if _is_closed_by_person(episode):
        return [_tell(Change.REOPEN, episode, finding, now, "new_evidence")] if _is_newer(episode, finding) else []
    if episode.state == "resolved" and finding.state == "active":
        return [_tell(Change.REOPEN, episode, finding, now, "true_again")]
    if episode.state != "resolved" and finding.state == "resolved":
        return [Transition(change=Change.RESOLVE, episode_id=episode.episode_id, finding=finding, reason="readings")]
    if episode.is_untold and episode.state in ("active", "resolved"):
        news = _tell(Change.UPDATE, episode, finding, now, "news_after_all")
        if news.tell:
            return [news]
    if _says_the_same(episode, finding):
        return []
    if _is_raised(episode, finding, now):
        raised = Transition(
            change=Change.UPDATE,
            episode_id=episode.episode_id,
            finding=finding,
            tell=tuple(who for who in finding.tell if who == "doctor" or episode.is_patient_untold),
            tell_at=max(finding.deliver_at, now),
            reason=RAISED,
        )
        return [raised]
    return [Transition(change=Change.UPDATE, episode_id=episode.episode_id, finding=finding, reason="readings")]


def _is_raised(episode: Episode, finding: Finding, now: datetime) -> bool:
    """Is it more urgent than people know? What is no longer news becomes more urgent without a word."""
    return (
        episode.state in _OPEN_STATES
        and _is_fresh(finding, now)
        and is_more_urgent(finding.priority, than=episode.priority)
    )


def _begin(retracted: list[Episode], finding: Finding, now: datetime) -> list[Transition]:
    """Open the finding as an episode: a retracted one of the same days comes back, else a new one begins."""
    candidates = [e for e in retracted if _overlap(e, finding)]
    again = min(candidates, key=lambda e: (e.started_at != finding.started_at, e.started_at), default=None)
    if again is None:
        return [_tell(Change.OPEN, None, finding, now, "found")]
    retracted.remove(again)
    return [_tell(Change.REOPEN, again, finding, now, "true_again")]


def _tell(change: Change, episode: Episode | None, finding: Finding, now: datetime, reason: str) -> Transition:
    is_fresh = _is_fresh(finding, now)
    tell = finding.tell if is_fresh else finding.tell_late
    return Transition(
        change=change,
        episode_id=None if episode is None else episode.episode_id,
        finding=finding,
        tell=tell,
        tell_at=max(finding.deliver_at, now) if tell else None,
        reason=reason if is_fresh else f"{reason}_late",
    )


def _is_fresh(finding: Finding, now: datetime) -> bool:
    return finding.state == "active" and (finding.fresh_until is None or now <= finding.fresh_until)


def _retract(episode: Episode, found: Sequence[Finding]) -> Transition:
    """What is no longer true. A merge keeps the earlier episode and takes the later back, without a word to anybody."""
    merged = any(_overlap(episode, finding) for finding in found)
    return Transition(
        change=Change.RETRACT,
        episode_id=episode.episode_id,
        finding=None,
        tell=("doctor",) if episode.doctor_told and not merged else (),
        reason="merged" if merged else "no_longer_true",
    )


def _overlap(episode: Episode, finding: Finding) -> bool:
    return episode.first_day <= finding.last_day and finding.first_day <= episode.last_day


def _is_closed_by_person(episode: Episode) -> bool:
    return episode.state == "resolved" and episode.closed_by_person


def _is_closed_since(episode: Episode, finding: Finding, live: Iterable[Episode]) -> bool:
    """Has a person closed it, and later days of the same finding as an episode of their own, and is there nothing newer?"""
    return _is_closed_by_person(episode) and any(
        _is_closed_by_person(e) and e.last_day > episode.last_day and _overlap(e, finding) and not _is_newer(e, finding)
        for e in live
    )


def _is_newer(episode: Episode, finding: Finding) -> bool:
    if finding.state != "active":
        return False
    after = (
        finding.newest_at is not None and episode.resolved_at is not None and finding.newest_at > episode.resolved_at
    )
    return after or finding.last_day > episode.last_day


def _is_settled(episode: Episode, since: datetime) -> bool:
    quiet = timedelta(days=QUIET_DAYS + 1) + _PROMOTION
    return episode.state == "resolved" and episode.resolved_at is not None and episode.resolved_at + quiet < since


def _says_the_same(episode: Episode, finding: Finding) -> bool:
    names = ("rule_version", "priority", "first_day", "last_day", "started_at", "opened_at", "resolved_at")
    return all(getattr(episode, name) == getattr(finding, name) for name in names) and (
        episode.numbers is None or episode.numbers == finding.verdict.numbers
    )
