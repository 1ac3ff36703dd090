"""What every judging of a patient looks after besides the readings: what sleeps, what is muted, and the clock of ten minutes.

Each is asked of the rows alone, so that whichever process judges next finishes what another had begun.
"""

from collections.abc import Sequence
from datetime import datetime

from server.push import answer_clock
from server.push.muting import About, greater_of, is_urgent, why_muted
from server.push.queueing import Teller
from server.rules.rule import RuleSet
from server.rules.worsening import is_worse
from server.store import judging as store
from server.store import silences, telling
from server.store.postgres import Connection
from server.store.telling import OpenEpisode


def settle(teller: Teller) -> datetime | None:
    """Wake, mute, tell after all, and look at the clock; returns when time alone will ask for it the next time."""
    _wake(teller)
    _inhibit(teller)
    _tell_after_all(teller)
    _look_at_the_clock(teller)
    return _next_at(teller)


def _wake(teller: Teller) -> None:
    for episode in _open(teller):
        if episode.state != "snoozed" or episode.snoozed_until is None or episode.seen is None:
            continue
        worse = _has_worsened(teller.rules, episode)
        if worse or episode.snoozed_until <= teller.now:
            telling.wake(teller.conn, episode.episode_id)
            reason = "worse" if worse else "snooze_over"
            store.note_transition(teller.conn, episode.episode_id, "snoozed", "active", reason)
            teller.tell_awake(episode, is_worse=worse)


def _has_worsened(rules: RuleSet, episode: OpenEpisode) -> bool:
    """An urgent alert is never put to sleep for good: it wakes on a worse value whether that was asked for or not."""
    assert episode.seen is not None
    urgent = is_urgent(rules, About(rule_id=episode.rule_id, priority=episode.priority))
    is_asked = episode.snoozed_or_worse or urgent
    return is_asked and is_worse(episode.seen, priority=episode.priority, numbers=episode.numbers, is_urgent=urgent)


def _inhibit(teller: Teller) -> None:
    """Which alert speaks for which; what was still to be told of the lesser is not."""
    episodes = _open(teller)
    for episode in episodes:
        about = About(rule_id=episode.rule_id, priority=episode.priority)
        greater = greater_of(episodes, teller.rules, about)
        by = None if greater is None or not greater.told_clinic else greater.episode_id
        if by == episode.inhibited_by:
            continue
        telling.inhibit(teller.conn, episode.episode_id, by)
        if by is not None and greater is not None and episode.state == "active":
            telling.mute_pending(teller.conn, episode.episode_id, with_patient=greater.told_patient)


def _tell_after_all(teller: Teller) -> None:
    for episode in _open(teller):
        if episode.state != "active" or not (episode.is_clinic_muted or episode.is_patient_muted):
            continue
        about = About(rule_id=episode.rule_id, priority=episode.priority)
        is_to_patient = not episode.is_clinic_muted
        if _why(teller.conn, teller, about, is_to_patient=is_to_patient) is None:
            teller.tell_after_all(episode)


def _why(conn: Connection, teller: Teller, about: About, *, is_to_patient: bool) -> str | None:
    return why_muted(conn, teller.patient_id, teller.rules, about, is_to_patient=is_to_patient, now=teller.now)


def _look_at_the_clock(teller: Teller) -> None:
    for episode in _open(teller):
        if answer_clock.is_over(teller.rules, episode, now=teller.now) and answer_clock.note_breach(
            teller.conn, teller.patient_id, episode, now=teller.now
        ):
            store.note_transition(teller.conn, episode.episode_id, episode.state, episode.state, "not_answered")
            teller.tell_breach(episode)


def _next_at(teller: Teller) -> datetime | None:
    """The rows that were written with each say it, too; this way a timer that got lost is set again by any judging."""
    episodes = _open(teller)
    instants = [
        *(each.snoozed_until for each in episodes if each.state == "snoozed"),
        *(each.answer_by for each in episodes if each.answered_at is None),
        *silences.in_force(teller.conn, teller.patient_id, now=teller.now).values(),
    ]
    return min((at for at in instants if at is not None and at > teller.now), default=None)


def _open(teller: Teller) -> Sequence[OpenEpisode]:
    return telling.open_episodes(teller.conn, teller.patient_id)
