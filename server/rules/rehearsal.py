"""A patient's life played through the real judge: readings arrive, timers ring, episodes open and close.

For scenario files and tests. The same `judge` and `reconcile` as in the clinic, with a list for a database; what it adds is
only the bookkeeping that the store does there. It reads no clock: time is the next arrival or the next timer.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final
from uuid import UUID, uuid5

from server.rules.clinical_days import Calendar
from server.rules.engine import judge, looks_at_absence
from server.rules.episodes import RAISED, Audience, Change, Episode, Finding, Judgement, Transition, reconcile
from server.rules.rule import RuleSet
from server.rules.windows import PatientHistory, Row, window_of

_NAMESPACE: Final = UUID("0c2f4d8e-37b1-5c56-8f3c-7f0f6f3b9a10")


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """A reading comes to the judge at `at`."""

    at: datetime
    row: Row


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """Somebody gets a push at `at`; `change` is what it was for."""

    who: Audience
    at: datetime
    change: Change


@dataclass(slots=True, kw_only=True)
class Played:
    """An episode as the store would hold it, with who was told."""

    episode: Episode
    finding: Finding
    told: list[Told] = field(default_factory=list)
    is_untold: bool = False
    is_patient_untold: bool = True


class Rehearsal:
    """Plays arrivals for one patient. `patient` brings everything but the readings; each answer is known from its instant on."""

    def __init__(self, patient: PatientHistory, rules: RuleSet) -> None:
        self._patient = patient
        self._rules = rules
        self._rows: list[Row] = []
        self.played: list[Played] = []
        self.pending: tuple[Finding, ...] = ()
        self.judged = 0

    def run(self, arrivals: Iterable[Arrival], until: datetime) -> None:
        """Judge at every arrival and answer up to `until`, at every timer in between, and at `until`."""
        waiting = [a for a in arrivals if a.at <= until]
        ahead = {a.at for a in waiting} | {each.at for each in self._patient.symptoms if each.at <= until}
        ahead |= {at for at in self._first_close() if at <= until}
        timer: datetime | None = None
        while ahead or (timer is not None and timer < until):
            now = min(ahead if timer is None else ahead | {timer})
            self._rows += [a.row for a in waiting if a.at == now]
            ahead.discard(now)
            timer = self.judge_at(now).next_due_at
        self.judge_at(until)

    def _first_close(self) -> Iterable[datetime]:
        """That of the day of enrolment: from then on somebody may be missed of whom nothing ever came."""
        if looks_at_absence(self._rules):
            calendar = Calendar(self._patient.zones, self._patient.zones[-1].valid_from)
            yield calendar.close_of(self._patient.enrolled_on.toordinal())

    def judge_at(self, now: datetime) -> Judgement:
        """Judge what has come so far, and write what changes."""
        answered = tuple(each for each in self._patient.symptoms if each.at <= now)
        history = replace(self._patient, window=window_of(self._rows), symptoms=answered)
        judgement = judge(history, self._rules, now=now)
        self.judged += 1
        for played in self.played:
            doctor_told = _doctor_told(played, now)
            played.episode = replace(
                played.episode,
                doctor_told=doctor_told,
                is_untold=played.is_untold,
                is_patient_untold=played.is_patient_untold,
            )
        changes = reconcile(
            (played.episode for played in self.played),
            judgement.findings,
            now=now,
            threshold_versions=judgement.threshold_versions,
        )
        for change in changes:
            self._write(change, now)
        self.pending = tuple(finding for finding in judgement.findings if finding.state == "pending")
        return judgement

    def _write(self, transition: Transition, now: datetime) -> None:
        if transition.change is Change.OPEN:
            assert transition.finding is not None
            minted = uuid5(_NAMESPACE, f"{self._patient.patient_id} {len(self.played)}")
            played = Played(episode=episode_of(transition.finding, minted), finding=transition.finding)
            self.played.append(played)
        else:
            played = next(p for p in self.played if p.episode.episode_id == transition.episode_id)
            played.episode = _changed(played.episode, transition, now)
            played.finding = transition.finding or played.finding
        if transition.change in (Change.OPEN, Change.REOPEN) or transition.tell:
            played.is_untold = not transition.tell and transition.reason.endswith("_late")
        if "patient" in transition.tell:
            played.is_patient_untold = False
        if transition.change is Change.RETRACT:
            played.told = [told for told in played.told if told.at <= now]
        at = transition.tell_at or now
        played.told += [Told(who=who, at=at, change=transition.change) for who in transition.tell]


def episode_of(finding: Finding, episode_id: UUID) -> Episode:
    """The episode that a writer stores for an OPEN."""
    assert finding.state != "pending"
    return Episode(
        episode_id=episode_id,
        rule_id=finding.rule_id,
        rule_version=finding.rule_version,
        threshold_version=finding.threshold_version,
        state=finding.state,
        priority=finding.priority,
        first_day=finding.first_day,
        last_day=finding.last_day,
        started_at=finding.started_at,
        opened_at=finding.opened_at,
        resolved_at=finding.resolved_at,
        closed_by_person=False,
        doctor_told=False,
        numbers=finding.verdict.numbers,
    )


def _changed(episode: Episode, transition: Transition, now: datetime) -> Episode:
    finding = transition.finding
    if finding is None:
        if transition.change is Change.RETRACT:
            return replace(episode, state="retracted", resolved_at=None)
        return replace(episode, state="resolved", resolved_at=now)
    fresh = episode_of(finding, episode.episode_id)
    if transition.change is Change.UPDATE and transition.reason != RAISED:
        return replace(fresh, state=episode.state, doctor_told=episode.doctor_told)
    return replace(fresh, doctor_told=episode.doctor_told)


def _doctor_told(played: Played, now: datetime) -> bool:
    return any(told.who == "doctor" and told.at <= now and told.change is not Change.RETRACT for told in played.told)
