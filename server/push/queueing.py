"""Queues what people are told when an alert opens, changes or is taken back: in the judge's own transaction, so that it is
written with the alert or not at all.

Who is next if nobody acknowledges is `ladder`'s, what keeps a message back `muting`'s, the words are those of `texts`; nothing is
sent here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from server.people import follow_ups
from server.push import answer_clock, ladder, muting, texts
from server.push.arrangements import ladders_in_force
from server.push.muting import About
from server.push.queue_rows import Message, note_undeliverable, queue, systems, ways_of
from server.push.texts import Step, Text
from server.rules.episodes import Audience, Finding
from server.rules.rule import RuleSet
from server.store import judging as store
from server.store import telling
from server.store.postgres import Connection
from server.store.pushes import DESK
from server.store.telling import OpenEpisode

REMIND_AFTER: Final = timedelta(days=7)
"""The doctor hears again of an alert that nobody has acknowledged (architecture: pushes of an episode)."""

NO_DOCTOR: Final = "doctor"
"""The recipient of what a patient's own doctor should have been told, where there is no doctor."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Teller:
    """Tells people about one patient's alerts, within the transaction of `conn`, which began at `now`."""

    conn: Connection
    patient_id: int
    rules: RuleSet
    now: datetime

    def tell_opening(
        self, episode_id: UUID, finding: Finding, tell: Sequence[Audience], *, at: datetime, is_again: bool
    ) -> None:
        """The alert holds (`is_again`: once more): tell these at `at`, and the next in line if nobody acknowledges."""
        about, step = self._about(finding), self.step_up(episode_id)
        if "patient" in tell:
            self.tell_patient(episode_id, about, step=step, at=at)
        if "doctor" in tell:
            answer_by = answer_clock.start(self.conn, self.patient_id, episode_id, finding, self.rules, now=self.now)
            is_again = is_again and step > Step.OPENING
            said = texts.to_doctor(self.rules, finding.rule_id, finding.verdict.sentence, again=is_again)
            told_at = self._tell_doctor(episode_id, about, said, kind="opening", step=step, at=at)
            if told_at is None:
                return
            follow_ups.open_for_alert(
                self.conn, patient_id=self.patient_id, episode_id=episode_id, due_at=at, now=self.now
            )
            if finding.state == "active":
                self._escalate(
                    episode_id, about, finding.verdict.sentence, step=step + 1, told_at=told_at, answer_by=answer_by
                )

    def tell_patient(self, episode_id: UUID, about: About, *, step: int, at: datetime) -> None:
        """The rule's own words; if a more urgent alert has told the patient, it is noted that this one did not."""
        why = self._why_muted(about, is_to_patient=True)
        said = texts.to_patient(self.rules, about.rule_id)
        message = self._message(episode_id, about, said, kind="opening", step=step, why=why)
        ways = ways_of(self.conn, self.patient_id, ["patient"], priority=self._weight(about))
        queue(self.conn, self.patient_id, message, ways, at=at)

    def tell_priority(self, episode_id: UUID, finding: Finding, *, before: str) -> None:
        """The alert has become more or less urgent: the steps still to come are those of its priority now.

        Steps that are due already stay; a doctor who was never to hear of the alert is no reason to tell the next.
        """
        ladders = self._ladders()
        if ladders.rungs[before] == ladders.rungs[finding.priority] or not store.told_doctor(self.conn, episode_id):
            return
        store.cancel_steps_ahead(self.conn, episode_id)
        about, sentence = About(rule_id=finding.rule_id, priority=finding.priority), finding.verdict.sentence
        if self._why_muted(about, is_to_patient=False) is None:
            told_at = max(finding.deliver_at, self.now)
            self._escalate(episode_id, about, sentence, step=self.step_up(episode_id), told_at=told_at)

    def tell_raised(self, episode_id: UUID, finding: Finding, tell: Sequence[Audience], *, at: datetime) -> None:
        """The alert is more urgent than the doctor was told: told again at `at`, and the steps of its priority from then on.

        `tell` names the patient too where only a better value, which is no longer theirs, had kept it from them.
        """
        if "patient" in tell:
            self.tell_patient(episode_id, self._about(finding), step=self.step_up(episode_id), at=at)
        if "doctor" not in tell or not store.told_doctor(self.conn, episode_id):
            return
        store.cancel_steps_ahead(self.conn, episode_id)
        about, sentence = About(rule_id=finding.rule_id, priority=finding.priority), finding.verdict.sentence
        said = texts.raised(self.rules, finding.rule_id, sentence)
        self._tell_with_ladder(episode_id, about, sentence, said, at=at, answer_by=self._clock_of(episode_id, about))

    def tell_awake(self, episode: OpenEpisode, *, is_worse: bool) -> None:
        """It has slept: the doctor is told once more, and the next in line if nobody acknowledges."""
        about = About(rule_id=episode.rule_id, priority=episode.priority)
        said = texts.awake(self.rules, episode.rule_id, episode.sentence, is_worse=is_worse)
        answer_by = None
        if is_worse and answer_clock.is_running_for(self.rules, episode.rule_id, episode.priority):
            answer_by = answer_clock.start_again(self.conn, self.patient_id, episode.episode_id, now=self.now)
        self._tell_with_ladder(episode.episode_id, about, episode.sentence, said, at=self.now, answer_by=answer_by)

    def tell_after_all(self, episode: OpenEpisode) -> None:
        """What was muted is no longer: whoever has not been told of what is still open is told now."""
        about, step = About(rule_id=episode.rule_id, priority=episode.priority), self.step_up(episode.episode_id)
        if episode.is_patient_muted and self._why_muted(about, is_to_patient=True) is None:
            self.tell_patient(episode.episode_id, about, step=step, at=self.now)
        if episode.is_clinic_muted:
            said = texts.to_doctor(self.rules, episode.rule_id, episode.sentence)
            self._tell_with_ladder(
                episode.episode_id, about, episode.sentence, said, at=self.now, answer_by=episode.answer_by
            )

    def tell_breach(self, episode: OpenEpisode) -> None:
        """The time is over and nobody has decided: the doctor, the supervisor, the desk and the clinic's systems hear of it."""
        about, step = About(rule_id=episode.rule_id, priority="high"), self.step_up(episode.episode_id)
        said = texts.breach(self.rules, episode.rule_id, episode.sentence)
        doctor = store.doctor_of(self.conn, self.patient_id)
        people = [f"user:{doctor.user_id}"] if doctor.is_reachable else []
        people += [each for each in self._supervisors(self._ladders()) if each not in people]
        message = self._message(episode.episode_id, about, said, kind="breach", step=step)
        ways = ways_of(self.conn, self.patient_id, [*people, DESK], priority="high", kind="breach")
        queue(self.conn, self.patient_id, message, [*ways, *systems(self.conn)], at=self.now)

    def tell_retraction(self, episode_id: UUID, rule_id: str, sentence: Mapping[str, str]) -> None:
        """It no longer holds: whoever has really been told hears of it. The patient's message is withdrawn instead."""
        steps = store.steps_of(self.conn, episode_id)
        step = Step.RETRACTION if steps is None else min(steps[0] - 1, Step.RETRACTION)
        said = texts.retraction(self.rules, rule_id, sentence)
        about = About(rule_id=rule_id, priority="low")
        message = self._message(episode_id, about, said, kind="retraction", step=step)
        queue(self.conn, self.patient_id, message, store.told_of(self.conn, episode_id), at=self.now)
        follow_ups.withdraw(self.conn, episode_id, now=self.now)

    def remind(self) -> datetime | None:
        """Tell the doctor again what nobody has acknowledged for a week; returns when to look for that the next time."""
        next_at: datetime | None = None
        for alert in store.unacknowledged(self.conn, self.patient_id):
            at = alert.told_at + REMIND_AFTER
            if at <= self.now:
                at = self.now + REMIND_AFTER
                if not alert.is_waiting:
                    about = About(rule_id=alert.rule_id, priority=alert.priority)
                    said = texts.reminder(self.rules, alert.rule_id, alert.sentence)
                    step = alert.last_step + 1
                    self._tell_doctor(alert.episode_id, about, said, kind="reminder", step=step, at=self.now)
            next_at = at if next_at is None else min(next_at, at)
        return next_at

    def step_up(self, episode_id: UUID) -> int:
        """The step that follows whatever was queued of the alert."""
        steps = store.steps_of(self.conn, episode_id)
        return Step.OPENING if steps is None else max(steps[1] + 1, Step.OPENING)

    def _about(self, finding: Finding) -> About:
        """What is older than a day when it is found is looked at the same day: nobody is woken, the next in line has time."""
        if answer_clock.is_news(finding, now=self.now):
            return About(rule_id=finding.rule_id, priority=finding.priority)
        priority = "medium" if finding.priority == "high" else finding.priority
        return About(rule_id=finding.rule_id, priority=priority, is_late=True)

    def _tell_with_ladder(
        self,
        episode_id: UUID,
        about: About,
        sentence: Mapping[Any, str],
        said: Text,
        *,
        at: datetime,
        answer_by: datetime | None,
    ) -> None:
        step = self.step_up(episode_id)
        told_at = self._tell_doctor(episode_id, about, said, kind="opening", step=step, at=at)
        if told_at is not None:
            self._escalate(episode_id, about, sentence, step=step + 1, told_at=told_at, answer_by=answer_by)

    def _tell_doctor(
        self, episode_id: UUID, about: About, said: Text, *, kind: str, step: int, at: datetime
    ) -> datetime | None:
        """Tell the patient's own doctor and the clinic's systems; without a doctor who can be told, the clinic's desk.

        Returns when the first of them hears of it; None if it is muted.
        """
        why = self._why_muted(about, is_to_patient=False)
        message = self._message(episode_id, about, said, kind=kind, step=step, why=why)
        doctor = store.doctor_of(self.conn, self.patient_id)
        people = [f"user:{doctor.user_id}"] if doctor.is_reachable else [DESK]
        if not doctor.is_reachable and why is None:
            recipient = NO_DOCTOR if doctor.user_id is None else f"user:{doctor.user_id}"
            note_undeliverable(self.conn, self.patient_id, message, recipient, at=at)
        ways = ways_of(self.conn, self.patient_id, people, priority=self._weight(about), kind=kind)
        told_at = queue(self.conn, self.patient_id, message, ways, at=at)
        queue(self.conn, self.patient_id, message, systems(self.conn), at=at)
        return told_at if why is None else None

    def _escalate(
        self,
        episode_id: UUID,
        about: About,
        sentence: Mapping[Any, str],
        *,
        step: int,
        told_at: datetime,
        answer_by: datetime | None = None,
    ) -> None:
        ladders, backup = self._ladders(), store.backup_of(self.conn, self.patient_id)
        supervisors = self._supervisors(ladders)
        steps = ladder.steps(
            ladders.rungs[about.priority],
            told_at=told_at,
            is_doctor_reachable=store.doctor_of(self.conn, self.patient_id).is_reachable,
            has_backup=bool(backup),
            has_supervisor=bool(supervisors),
            answer_by=answer_by if about.priority == "high" else None,
        )
        said = texts.escalation(self.rules, about.rule_id, sentence)
        for number, due in enumerate(steps, start=step):
            people = self._people(due.whom, backup, supervisors)
            ways = ways_of(self.conn, self.patient_id, people, priority=self._weight(about), kind="escalation")
            recipients = ways + (systems(self.conn) if DESK in people else [])
            message = self._message(episode_id, about, said, kind="escalation", step=number)
            queue(self.conn, self.patient_id, message, recipients, at=due.due_at)

    def _people(self, whom: str, backup: Sequence[int], supervisors: Sequence[str]) -> Sequence[str]:
        """Who a step of the ladder means; whoever is named and cannot see the patient leaves it to the desk."""
        match whom:
            case "desk":
                return [DESK]
            case "backup":
                return [f"user:{user_id}" for user_id in backup]
            case "supervisor":
                return supervisors
            case "doctor":
                doctor = store.doctor_of(self.conn, self.patient_id)
                return [f"user:{doctor.user_id}"] if doctor.is_reachable else [DESK]
            case _:
                return self._who_sees([int(whom.removeprefix("user:"))]) or [DESK]

    def _supervisors(self, ladders: ladder.Ladders) -> list[str]:
        return [] if ladders.supervisor is None else self._who_sees([ladders.supervisor])

    def _who_sees(self, user_ids: Sequence[int]) -> list[str]:
        return [f"user:{user_id}" for user_id in telling.who_sees(self.conn, self.patient_id, user_ids)]

    def _ladders(self) -> ladder.Ladders:
        return ladders_in_force(self.conn)

    def _clock_of(self, episode_id: UUID, about: About) -> datetime | None:
        """When a decision is awaited; a clock that was answered, or stopped because it had become less urgent, starts anew."""
        if not answer_clock.is_running_for(self.rules, about.rule_id, about.priority):
            return None
        open_ones = telling.open_episodes(self.conn, self.patient_id)
        episode = next((each for each in open_ones if each.episode_id == episode_id), None)
        if episode is not None and episode.answered_at is None and (episode.answer_by or self.now) > self.now:
            return episode.answer_by
        return answer_clock.start_again(self.conn, self.patient_id, episode_id, now=self.now)

    def _weight(self, about: About) -> str:
        """By which ways people are told of it: what may come to the highest priority goes there as if it had."""
        return "high" if muting.is_urgent(self.rules, about) else about.priority

    def _why_muted(self, about: About, *, is_to_patient: bool) -> str | None:
        return muting.why_muted(
            self.conn, self.patient_id, self.rules, about, is_to_patient=is_to_patient, now=self.now
        )

    def _message(
        self, episode_id: UUID, about: About, said: Text, *, kind: str, step: int, why: str | None = None
    ) -> Message:
        return Message(
            episode_id=episode_id,
            said=said,
            kind=kind,
            step=step,
            is_urgent=muting.is_urgent(self.rules, about),
            why=why,
        )
