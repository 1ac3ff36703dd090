"""The clock of an urgent alert: ten minutes after the server has the reading, a clinician's decision must be on record.

It starts with the alert, in the judge's own transaction; that the time is over is found by a due row, so that no process that is
killed can forget it. What follows is said once: a row, an entry in the record of deeds, an alarm of the house.
"""

from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from server.rules.episodes import Finding, is_more_urgent
from server.rules.rule import RuleSet, SingleValueRule
from server.rules.urgency import is_urgent
from server.store import audit, telling
from server.store.alarms import AlarmKind, raise_alarm
from server.store.postgres import Connection
from server.store.telling import OpenEpisode

ANSWER_WITHIN: Final = timedelta(minutes=10)
"""From the server's receipt of the reading to a clinician's recorded decision (clinical 0, finding 10, and 1.5)."""


def is_running_for(rules: RuleSet, rule_id: str, priority: str) -> bool:
    """Is an alert of this rule, at this priority, one for the clock? Not once a later reading has made it less urgent."""
    if rule_id not in rules:
        return priority == "high"
    rule = rules.by_id(rule_id)
    return is_urgent(rule) and not is_more_urgent(rule.priority, than=priority)


def is_news(finding: Finding, *, now: datetime) -> bool:
    """Is it still true, and not found too late?"""
    return finding.state == "active" and (finding.fresh_until is None or now <= finding.fresh_until)


def start(
    conn: Connection, patient_id: int, episode_id: UUID, finding: Finding, rules: RuleSet, *, now: datetime
) -> datetime | None:
    """Starts the clock of what has just become true and is news; returns when it ends, None if it is not one for the clock."""
    if not is_news(finding, now=now) or not is_running_for(rules, finding.rule_id, finding.priority):
        return None
    known_at = min(_known_at(conn, patient_id, finding, rules) or now, now)
    answer_by = known_at + ANSWER_WITHIN
    telling.start_clock(conn, patient_id, episode_id, known_at=known_at, answer_by=answer_by)
    return answer_by


def start_again(conn: Connection, patient_id: int, episode_id: UUID, *, now: datetime) -> datetime:
    """Starts the clock of an alert anew: what was decided about it was decided about less."""
    telling.start_clock(conn, patient_id, episode_id, known_at=now, answer_by=now + ANSWER_WITHIN)
    return now + ANSWER_WITHIN


def is_over(rules: RuleSet, episode: OpenEpisode, *, now: datetime) -> bool:
    """Has the time passed without a decision about what is still urgent?"""
    return (
        episode.answer_by is not None
        and episode.answered_at is None
        and episode.answer_by <= now
        and is_running_for(rules, episode.rule_id, episode.priority)
    )


def note_breach(conn: Connection, patient_id: int, episode: OpenEpisode, *, now: datetime) -> bool:
    """Notes that nobody has decided in time; False if that was noted before."""
    assert episode.known_at is not None
    assert episode.answer_by is not None
    if not telling.note_breach(
        conn, patient_id, episode.episode_id, known_at=episode.known_at, answer_by=episode.answer_by, now=now
    ):
        return False
    audit.note(
        conn,
        actor="server:judge",
        act="alert.not_answered",
        at=now,
        patient_id=patient_id,
        subject=str(episode.episode_id),
        detail={"known_at": episode.known_at.isoformat(), "answer_by": episode.answer_by.isoformat()},
    )
    detail = f"no decision by {episode.answer_by:%H:%M:%S} UTC"
    raise_alarm(conn, AlarmKind.NOT_ANSWERED, subject=f"patient:{patient_id}", detail=detail)
    return True


def _known_at(conn: Connection, patient_id: int, finding: Finding, rules: RuleSet) -> datetime | None:
    """A single value is known with its first reading, a condition on several with the last that made it true."""
    reading_ids = [str(each) for each in finding.verdict.numbers.get("reading_ids", ())]
    if not reading_ids:
        return None
    until = max(finding.newest_at or finding.opened_at, finding.opened_at)
    found = telling.known_at(conn, patient_id, reading_ids, since=finding.started_at, until=until)
    if found is None:
        return None
    return found[0] if isinstance(rules.by_id(finding.rule_id), SingleValueRule) else found[1]
