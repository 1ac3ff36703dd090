"""Queues what people are told when an alert opens, changes or is taken back: in the judge's own transaction, so that it is
written with the alert or not at all.

Who is next if nobody acknowledges is `ladder`'s, the words are those of `texts`; nothing is sent here.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import structlog

from server.people import follow_ups
from server.push import ladder, texts
from server.push.dead_letters import alarm
from server.push.texts import Step, Text
from server.rules.episodes import Audience, Finding
from server.rules.rule import RuleSet
from server.store import judging as store
from server.store.judging import Push
from server.store.postgres import Connection
from server.store.pushes import DESK, push_id_of

log = structlog.get_logger()

REMIND_AFTER: Final = timedelta(days=7)
"""The doctor hears again of an alert that nobody has acknowledged (architecture: pushes of an episode)."""

NO_DOCTOR: Final = "doctor"
"""The recipient of what a patient's own doctor should have been told, where there is no doctor."""

Recipient = tuple[str, str]
"""`(recipient, channel)` of a message."""


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
        step = self._step_up(episode_id)
        if "patient" in tell:
            said = texts.to_patient(self.rules, finding.rule_id)
            self._queue(episode_id, [("patient", "inbox")], said, kind="opening", step=step, at=at)
        if "doctor" in tell:
            is_again = is_again and step > Step.OPENING
            said = texts.to_doctor(self.rules, finding.rule_id, finding.verdict.sentence, again=is_again)
            self._tell_doctor(episode_id, said, kind="opening", step=step, at=at)
            follow_ups.open_for_alert(
                self.conn, patient_id=self.patient_id, episode_id=episode_id, due_at=at, now=self.now
            )
            if finding.state == "active":
                self._escalate(episode_id, finding, step=step + 1, told_at=at)

    def tell_priority(self, episode_id: UUID, finding: Finding, *, before: str) -> None:
        """The alert has become more or less urgent: the steps still to come are those of its priority now.

        Steps that are due already stay; a doctor who was never to hear of the alert is no reason to tell the next.
        """
        if ladder.LADDERS[before] == ladder.LADDERS[finding.priority] or not store.told_doctor(self.conn, episode_id):
            return
        store.cancel_steps_ahead(self.conn, episode_id)
        told_at = max(finding.deliver_at, self.now)
        self._escalate(episode_id, finding, step=self._step_up(episode_id), told_at=told_at)

    def tell_raised(self, episode_id: UUID, finding: Finding, *, at: datetime) -> None:
        """The alert is more urgent than the doctor was told: told again at `at`, and the steps of its priority from then on."""
        if not store.told_doctor(self.conn, episode_id):
            return
        store.cancel_steps_ahead(self.conn, episode_id)
        step = self._step_up(episode_id)
        said = texts.raised(self.rules, finding.rule_id, finding.verdict.sentence)
        self._tell_doctor(episode_id, said, kind="opening", step=step, at=at)
        self._escalate(episode_id, finding, step=step + 1, told_at=at)

    def tell_retraction(self, episode_id: UUID, rule_id: str, sentence: Mapping[str, str]) -> None:
        """It no longer holds: whoever has really been told hears of it. The patient's message is withdrawn instead."""
        steps = store.steps_of(self.conn, episode_id)
        step = Step.RETRACTION if steps is None else min(steps[0] - 1, Step.RETRACTION)
        said = texts.retraction(self.rules, rule_id, sentence)
        self._queue(episode_id, store.told_of(self.conn, episode_id), said, kind="retraction", step=step, at=self.now)
        follow_ups.withdraw(self.conn, episode_id, now=self.now)

    def remind(self) -> datetime | None:
        """Tell the doctor again what nobody has acknowledged for a week; returns when to look for that the next time."""
        next_at: datetime | None = None
        for alert in store.unacknowledged(self.conn, self.patient_id):
            at = alert.told_at + REMIND_AFTER
            if at <= self.now:
                at = self.now + REMIND_AFTER
                if not alert.is_waiting:
                    said = texts.reminder(self.rules, alert.rule_id, alert.sentence)
                    step = alert.last_step + 1
                    self._tell_doctor(alert.episode_id, said, kind="reminder", step=step, at=self.now)
            next_at = at if next_at is None else min(next_at, at)
        return next_at

    def _tell_doctor(self, episode_id: UUID, said: Text, *, kind: str, step: int, at: datetime) -> None:
        """Tell the patient's own doctor and the clinic's systems; without a doctor who can be told, the clinic's desk."""
        doctor = store.doctor_of(self.conn, self.patient_id)
        if doctor.is_reachable:
            self._queue(episode_id, [(f"user:{doctor.user_id}", "inbox")], said, kind=kind, step=step, at=at)
        else:
            recipient = NO_DOCTOR if doctor.user_id is None else f"user:{doctor.user_id}"
            self._note_undeliverable(episode_id, recipient, said, kind=kind, step=step, at=at)
            self._queue(episode_id, [(DESK, "inbox")], said, kind=kind, step=step, at=at)
        self._queue(episode_id, self._systems(), said, kind=kind, step=step, at=at)

    def _escalate(self, episode_id: UUID, finding: Finding, *, step: int, told_at: datetime) -> None:
        backup = store.backup_of(self.conn, self.patient_id)
        steps = ladder.steps(
            finding.priority,
            told_at=told_at,
            is_doctor_reachable=store.doctor_of(self.conn, self.patient_id).is_reachable,
            has_backup=bool(backup),
        )
        said = texts.escalation(self.rules, finding.rule_id, finding.verdict.sentence)
        for number, due in enumerate(steps, start=step):
            inboxes = [f"user:{user_id}" for user_id in backup] if due.whom == "backup" else [DESK]
            recipients = [(each, "inbox") for each in inboxes] + (self._systems() if due.whom == "desk" else [])
            self._queue(episode_id, recipients, said, kind="escalation", step=number, at=due.due_at)

    def _systems(self) -> list[Recipient]:
        return [(f"{DESK}:{webhook_id}", "webhook") for webhook_id in store.active_webhooks(self.conn)]

    def _note_undeliverable(
        self, episode_id: UUID, recipient: str, said: Text, *, kind: str, step: int, at: datetime
    ) -> None:
        row = self._push(episode_id, (recipient, "inbox"), said, kind=kind, step=step, at=at, state="undeliverable")
        store.insert_pushes(self.conn, [row])
        alarm(
            self.conn,
            push_id=str(row.push_id),
            channel="inbox",
            end="undeliverable",
            error=f"patient {self.patient_id} has no doctor who can log in",
        )

    def _queue(
        self, episode_id: UUID, recipients: Iterable[Recipient], said: Text, *, kind: str, step: int, at: datetime
    ) -> None:
        rows = [self._push(episode_id, each, said, kind=kind, step=step, at=at) for each in recipients]
        store.insert_pushes(self.conn, rows)

    def _push(self, episode_id: UUID, recipient: Recipient, said: Text, **rest: Any) -> Push:
        whom, channel = recipient
        return Push(
            push_id=push_id_of(episode_id, whom, channel, rest["step"]),
            episode_id=episode_id,
            patient_id=self.patient_id,
            recipient=whom,
            channel=channel,
            kind=rest["kind"],
            step=rest["step"],
            text=said if channel == "inbox" else texts.to_webhook(),
            due_at=rest["at"],
            state=rest.get("state", "pending"),
        )

    def _step_up(self, episode_id: UUID) -> int:
        steps = store.steps_of(self.conn, episode_id)
        return Step.OPENING if steps is None else max(steps[1] + 1, Step.OPENING)
