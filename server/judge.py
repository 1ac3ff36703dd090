"""Takes patients who are due, judges them by the rules, and writes episodes and pushes in one transaction.

Any number of judges may run, on any number of machines: a patient's advisory lock and locked due rows give each due row to one
of them, and a judge that dies leaves everything as it was for another. What is true of the readings is decided by the rules,
what changes by `reconcile`, who is told is queued by `push.queueing`; here is only that all of it is written together, once.
"""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID, uuid5

import structlog

from server.push.queueing import Teller
from server.push.settling import settle
from server.rules import engine
from server.rules.episodes import (
    RAISED,
    Change,
    Episode,
    Finding,
    Transition,
    is_more_urgent,
    reconcile,
    urgency_of,
    view_from,
)
from server.rules.load import load_watchdog
from server.rules.rule import RuleSet
from server.rules.windows import PatientHistory
from server.store import judging as store
from server.store.judging import Taken
from server.store.postgres import Bell, Connection, Pool, in_transaction
from server.store.pushes import NAMESPACE
from server.store.rule_book import RuleBook
from vitals.errors import UnavailableError

log = structlog.get_logger()

POSTPONED_S: Final = 300.0
"""A patient whose judging breaks is tried again after five minutes; the others do not wait."""

PATIENTS_AT_ONCE: Final = 50
POLL_S: Final = 1.0
BACKOFF_S: Final = 2.0


class Judge:
    """Judges whoever is due, until told to stop: by the rules in force, or, to try something out, by those that are given."""

    def __init__(self, pool: Pool, rules: RuleSet | None = None) -> None:
        self._pool = pool
        self._given = rules
        self._book = RuleBook()

    def run(self, stop: threading.Event, bell: Bell) -> None:
        """Judge until `stop` is set; `bell` only shortens the wait."""
        while not stop.is_set():
            try:
                if not self.judge_due() and not stop.is_set():
                    bell.wait(POLL_S)
            except UnavailableError as e:
                log.warning("database_unavailable", reason=str(e), retry_in_s=BACKOFF_S)
                stop.wait(BACKOFF_S)

    def judge_due(self) -> int:
        """Judge everybody who is due now and whom no other judge has; how many those were."""
        patients = in_transaction(self._pool, lambda conn: store.due_patients(conn, PATIENTS_AT_ONCE))
        return sum(self._judge_or_postpone(patient_id) for patient_id in patients)

    def judge_patient(self, patient_id: int) -> bool:
        """Judge one patient, in one transaction; False if nothing is due or another judge has it."""
        return in_transaction(self._pool, lambda conn: judge_in(conn, patient_id, self._rules(conn)))

    def _rules(self, conn: Connection) -> RuleSet:
        return self._book.read(conn) if self._given is None else self._given

    def _judge_or_postpone(self, patient_id: int) -> bool:
        try:
            return self.judge_patient(patient_id)
        except UnavailableError:
            raise
        except Exception:
            log.exception("judging_broken", patient_id=patient_id, retry_in_s=POSTPONED_S)
        in_transaction(self._pool, lambda conn: store.postpone(conn, patient_id, POSTPONED_S))
        return False


@dataclass(frozen=True, slots=True, kw_only=True)
class _Case:
    """One patient's judging as it is being written."""

    conn: Connection
    patient_id: int
    taken: Taken
    stored: Mapping[UUID, Episode]
    teller: Teller


def judge_in(conn: Connection, patient_id: int, rules: RuleSet) -> bool:
    """Judge one patient inside the caller's transaction: take what is due, judge, write, set the next timer.

    The house's watchdog is judged by its own rule instead of `rules`.
    """
    taken = store.take_due(conn, patient_id)
    if taken is None:
        return False
    if taken.is_watchdog:
        rules = load_watchdog()
    stored = store.episodes_of(conn, patient_id)
    history = history_in_view(conn, patient_id, rules, stored=stored, since=taken.since)
    judgement = engine.judge(history, rules, now=taken.now)
    transitions = reconcile(
        stored,
        judgement.findings,
        now=taken.now,
        since=taken.since,
        threshold_versions=judgement.threshold_versions,
        rule_versions={rule.id: rule.version for rule in rules.rules},
    )
    teller = Teller(conn=conn, patient_id=patient_id, rules=rules, now=taken.now)
    by_id = {each.episode_id: each for each in stored}
    _write(_Case(conn=conn, patient_id=patient_id, taken=taken, stored=by_id, teller=teller), transitions)
    timers = (judgement.next_due_at, _settle(teller, stored, transitions), teller.remind())
    store.finish(conn, patient_id, taken, min((at for at in timers if at is not None), default=None))
    log.info("judged", patient_id=patient_id, due=len(taken.due_ids), changes=len(transitions), quiet=taken.quiet)
    return True


def history_in_view(
    conn: Connection, patient_id: int, rules: RuleSet, *, stored: Sequence[Episode], since: datetime
) -> PatientHistory:
    """What judging by `rules` what may have changed from `since` on needs of a patient with these episodes, and no more.

    How far back that is depends on the rules that speak of this patient, not on those that somebody else has chosen.
    """
    thresholds = store.thresholds_of(conn, patient_id)
    speaking = engine.speaking_of(thresholds, rules)
    judged_from = view_from(stored, since) - timedelta(days=engine.look_back_days(speaking))
    return store.history_of(
        conn,
        patient_id,
        since=judged_from - timedelta(days=engine.reach_days(speaking)),
        judged_from=judged_from,
        thresholds=thresholds,
        asks_absence=engine.looks_at_absence(speaking),
    )


def _settle(teller: Teller, stored: Sequence[Episode], transitions: Sequence[Transition]) -> datetime | None:
    """Nobody without an open alert has anything that sleeps, is muted or awaits an answer."""
    is_open = any(each.state in ("active", "acknowledged", "snoozed") for each in stored)
    return settle(teller) if is_open or transitions else None


def _write(case: _Case, transitions: Sequence[Transition]) -> None:
    """Write every change, then queue who is told: of the most urgent first, which may speak for the others."""
    retracted = [each.episode_id for each in transitions if each.change is Change.RETRACT and each.episode_id]
    sentences = store.sentences_of(case.conn, retracted) if retracted else {}
    written = [(each, each.episode_id or episode_id_of(case, _finding(each))) for each in transitions]
    for transition, episode_id in written:
        _write_state(case, transition, episode_id)
    if case.taken.quiet:
        return
    for transition, episode_id in sorted(written, key=lambda each: _urgency(each[0]), reverse=True):
        _tell(case, transition, episode_id, sentences.get(episode_id, {}))


def _urgency(transition: Transition) -> int:
    return -1 if transition.finding is None else urgency_of(transition.finding.priority)


def _write_state(case: _Case, transition: Transition, episode_id: UUID) -> None:
    before = case.stored[episode_id].state if episode_id in case.stored else None
    after: str
    match transition.change:
        case Change.OPEN:
            after = _finding(transition).state
            store.open_episode(case.conn, episode_id, case.patient_id, _finding(transition))
        case Change.REOPEN:
            after = _finding(transition).state
            store.reopen_episode(case.conn, episode_id, _finding(transition))
        case Change.RETRACT:
            after = "retracted"
            store.retract_episode(case.conn, episode_id)
        case Change.RESOLVE:
            after = "resolved"
            if transition.finding is None:
                store.resolve_without_finding(case.conn, episode_id, transition.reason)
            else:
                store.update_episode(case.conn, episode_id, transition.finding, after)
            store.cancel_repeats(case.conn, episode_id)
        case Change.UPDATE if transition.reason == RAISED:
            after = "active"
            store.reopen_episode(case.conn, episode_id, _finding(transition))
        case Change.UPDATE:
            assert before is not None
            store.update_episode(case.conn, episode_id, _finding(transition), before)
            return
    reason = "seeded" if case.taken.quiet else transition.reason
    store.note_transition(case.conn, episode_id, before, after, reason)


def _tell(case: _Case, transition: Transition, episode_id: UUID, sentence: Mapping[str, str]) -> None:
    """Queue what each audience of the change is to hear, and cancel what nobody is to hear any more."""
    match transition.change:
        case Change.UPDATE if transition.reason == RAISED:
            if transition.tell:
                at = transition.tell_at or case.taken.now
                case.teller.tell_raised(episode_id, _finding(transition), transition.tell, at=at)
        case Change.OPEN | Change.REOPEN | Change.UPDATE if transition.tell:
            at = transition.tell_at or case.taken.now
            is_again = transition.change is Change.REOPEN
            case.teller.tell_opening(episode_id, _finding(transition), transition.tell, at=at, is_again=is_again)
        case Change.UPDATE if case.stored[episode_id].state == "active":
            before = case.stored[episode_id].priority
            if not is_more_urgent(_finding(transition).priority, than=before):  # else it is raised, or no longer news
                case.teller.tell_priority(episode_id, _finding(transition), before=before)
        case Change.RETRACT if transition.tell:
            case.teller.tell_retraction(episode_id, case.stored[episode_id].rule_id, sentence)


def episode_id_of(case: _Case, finding: Finding) -> UUID:
    """The id of an episode that opens: derived from what makes it this episode, and from the judging that opens it.

    The facts alone are not enough: late readings can move an episode's start and leave its first facts to another one.
    """
    facts = (finding.rule_id, finding.threshold_version, finding.first_day, finding.started_at, finding.opened_at)
    return uuid5(NAMESPACE, "|".join(map(str, ("episode", case.patient_id, case.taken.now.isoformat(), *facts))))


def _finding(transition: Transition) -> Finding:
    assert transition.finding is not None, transition
    return transition.finding
