"""Everything that can happen to an alert's messages, in any order, on a real PostgreSQL against a plain list in memory.

The list says who must have been told what. Nobody is missed, nobody is told twice under one key, and after an acknowledgement
nothing that repeats is sent but what was on its way.
"""

from dataclasses import dataclass, field
from datetime import timedelta
from itertools import count
from typing import Any
from uuid import UUID

from households import enrol
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from server.clock import now
from server.people.decisions import UNTRUE, Decision, Resolution, acknowledge, resolve
from server.push.channels import Failed, Outcome, Sent, Unreachable
from server.push.dispatch import ATTEMPTS_MAX, Dispatcher
from server.push.inbox import Inbox
from server.push.queueing import Teller
from server.rules.episodes import Finding, Verdict
from server.rules.load import load_catalog
from server.store import judging as store
from server.store import pushes
from server.store.postgres import Pool, transaction
from server.store.pushes import Leased

LEASE_MIN = 10
"""A lease in the test, in minutes: far more than the test takes, far less than the steps lie apart."""

DAY_MIN = 24 * 60
WEEK_MIN = 7 * DAY_MIN
_numbers = count(1)


@dataclass(slots=True, kw_only=True)
class Message:
    """One message as it must be. Times in minutes of the machine's own clock."""

    who: str
    channel: str
    step: int
    kind: str
    due: float
    state: str = "pending"
    leased_until: float = -1.0
    retry_at: float = -1.0
    attempts: int = 0
    held: int = 0  # by a sender that was killed, or that will come back: which lease
    round: int = 0  # how many retractions came before

    @property
    def key(self) -> tuple[str, str, int]:
        return self.who, self.channel, self.step


@dataclass(slots=True, kw_only=True)
class Plain:
    """What should be: a list, a clock, and the state of one alert."""

    clock: float = 0.0
    state: str = "none"
    is_untrue: bool = False
    by_person: bool = False
    rounds: int = 0
    doctor: bool = True
    nurse: bool = True
    messages: list[Message] = field(default_factory=list)

    def put(self, who: str, channel: str, step: int, kind: str, due: float, state: str = "pending") -> None:
        if all(each.key != (who, channel, step) for each in self.messages):
            self.messages.append(
                Message(who=who, channel=channel, step=step, kind=kind, due=due, state=state, round=self.rounds)
            )

    def tell(self, kind: str, step: int, due: float) -> None:
        self.put("doctor", "inbox", step, kind, due, "pending" if self.doctor else "undeliverable")
        if not self.doctor:
            self.put("clinic", "inbox", step, kind, due)
        self.put("system", "webhook", step, kind, due)

    def open(self, due: float) -> None:
        step = max((each.step for each in self.messages), default=-1) + 1
        step = max(step, 0)
        self.put("patient", "inbox", step, "opening", due)
        self.tell("opening", step, due)
        desk = due + 30
        if self.nurse:
            self.put("nurse", "inbox", step + 1, "escalation", due + 30 if self.doctor else due)
            desk = due + 120
        for who, channel in (("clinic", "inbox"), ("system", "webhook")):
            self.put(who, channel, step + 1 + self.nurse, "escalation", desk)

    def is_wanted(self, each: Message) -> bool:
        if each.kind == "retraction":
            return True
        if each.kind == "opening":
            return self.state != "retracted" and not (self.state == "resolved" and self.is_untrue)
        return self.state == "active"

    def cancel(self, *kinds: str) -> None:
        for each in self.messages:
            if each.state == "pending" and each.kind in kinds and each.leased_until <= self.clock:
                each.state = "cancelled"

    def due(self, channel: str) -> list[Message]:
        for each in self.messages:  # what a sender held when it was decided otherwise
            if each.state == "pending" and each.leased_until <= self.clock and not self.is_wanted(each):
                each.state = "cancelled"
        return [
            each
            for each in self.messages
            if (each.state, each.channel) == ("pending", channel)
            and max(each.due, each.leased_until, each.retry_at) <= self.clock
        ]

    def lease(self, each: Message) -> None:
        each.leased_until, each.attempts = self.clock + LEASE_MIN, each.attempts + 1

    def sent(self, each: Message) -> None:
        each.state, each.leased_until, each.retry_at = "sent", -1.0, -1.0

    def is_reachable(self, who: str) -> bool:
        return {"doctor": self.doctor, "nurse": self.nurse, "clinic": self.doctor or self.nurse}.get(who, True)

    def give_up(self, each: Message, state: str) -> None:
        each.state, each.leased_until, each.retry_at = state, -1.0, -1.0
        if each.kind == "retraction":
            return
        later = [
            other
            for other in self.messages
            if other.kind == "escalation" and other.step > each.step and other.state in ("pending", "sent")
        ]
        if self.state == "active" and later:
            step = min(other.step for other in later)
            for other in later:
                if other.step == step and other.state == "pending":
                    other.due = min(other.due, self.clock)
            return
        is_over = self.state == "resolved" and not self.by_person and each.kind == "opening"
        if (self.state == "active" or is_over) and each.who != "clinic":
            self.put("clinic", "inbox", each.step, each.kind, self.clock)


class Escalation(RuleBasedStateMachine):
    """One alert; `pool` and the patient are real."""

    pool: Pool

    def __init__(self) -> None:
        super().__init__()
        self.plain = Plain()
        self.held: list[Leased] = []
        self.told_after: list[str] = []

    @initialize(doctor=st.booleans(), nurse=st.booleans())
    def move_in(self, doctor: bool, nurse: bool) -> None:
        number = next(_numbers)
        self.episode_id = UUID(int=number)
        with transaction(self.pool) as conn:
            conn.execute("delete from push")  # what an earlier example has left would be sent by this one's senders
            conn.execute("update webhook set active = false")
            self.users = {
                who: conn.execute(
                    """insert into app_user (login, display_name, role, password_hash, active)
                       values (%s, '', 'doctor', '', %s) returning user_id""",
                    (f"{who}-{number}", is_active),
                ).fetchone()[0]  # type: ignore[index]
                for who, is_active in (("doctor", doctor), ("nurse", nurse))
            }
            self.patient_id = enrol(
                conn, enrolled_on=(now() - timedelta(days=9)).date(), doctor_id=self.users["doctor"]
            ).patient_id
            conn.execute("insert into panel values (%s, %s)", (self.users["nurse"], self.patient_id))
            self.webhook_id = pushes.add_webhook(conn, url="https://clinic.example/", secret="")
        self.plain.doctor, self.plain.nurse = doctor, nurse

    # What the judge does.

    @precondition(lambda self: self.plain.state == "none")
    @rule(quiet=st.booleans())
    def open(self, quiet: bool) -> None:
        with transaction(self.pool) as conn:
            store.open_episode(conn, self.episode_id, self.patient_id, finding())
            self._tell_opening(conn, quiet, is_again=False)
        self.plain.state = "active"

    @precondition(lambda self: self.plain.state in ("resolved", "retracted"))
    @rule(quiet=st.booleans())
    def reopen(self, quiet: bool) -> None:
        with transaction(self.pool) as conn:
            store.reopen_episode(conn, self.episode_id, finding())
            self._tell_opening(conn, quiet, is_again=True)
        self.plain.state, self.plain.is_untrue, self.plain.by_person = "active", False, False

    def _tell_opening(self, conn: Any, quiet: bool, *, is_again: bool) -> None:
        wait_min = 8 * 60 if quiet else 0
        at = now() + timedelta(minutes=wait_min)
        self._teller(conn).tell_opening(self.episode_id, finding(), ("patient", "doctor"), at=at, is_again=is_again)
        self.plain.open(self.plain.clock + wait_min)

    @precondition(lambda self: self.plain.state in ("active", "acknowledged", "resolved"))
    @rule()
    def retract(self) -> None:
        plain = self.plain
        with transaction(self.pool) as conn:
            store.retract_episode(conn, self.episode_id)
            self._teller(conn).tell_retraction(self.episode_id, "bp-critical", {"en": "", "zh": ""})
        plain.state = "retracted"
        plain.cancel("opening", "reminder", "escalation")
        told = {
            (each.who, each.channel)
            for each in plain.messages
            if each.who != "patient" and each.kind != "retraction" and each.round == plain.rounds
            if each.state == "sent" or (each.state == "pending" and each.leased_until > plain.clock)
        }
        step = min(min((each.step for each in plain.messages), default=0) - 1, -1)
        for who, channel in told:
            plain.put(who, channel, step, "retraction", plain.clock)
        plain.rounds += bool(told)
        for each in plain.messages:
            if each.who == "patient" and each.state == "sent":
                each.state = "withdrawn"

    @precondition(lambda self: self.plain.state in ("active", "acknowledged"))
    @rule()
    def be_over(self) -> None:
        with transaction(self.pool) as conn:
            store.resolve_without_finding(conn, self.episode_id, "readings")
            store.cancel_repeats(conn, self.episode_id)
        self.plain.state = "resolved"
        self.plain.cancel("reminder", "escalation")

    @precondition(lambda self: self.plain.state == "active")
    @rule()
    def remind(self) -> None:
        """Whatever of it is a week old by now is repeated."""
        plain = self.plain
        with transaction(self.pool) as conn:
            self._teller(conn).remind()
        counted = [each for each in plain.messages if each.state in ("pending", "sent", "dead", "undeliverable")]
        told = [each for each in counted if each.who != "patient" and each.kind != "retraction"]
        is_waiting = any(each.state == "pending" and each.who != "patient" for each in counted)
        if told and not is_waiting and max(self.told_at(each) for each in told) + WEEK_MIN <= plain.clock:
            plain.tell("reminder", max(each.step for each in counted) + 1, plain.clock)

    def told_at(self, each: Message) -> float:
        return self.sent_at.get(each.key, each.due) if each.state == "sent" else each.due

    @property
    def sent_at(self) -> dict[tuple[str, str, int], float]:
        return self.__dict__.setdefault("_sent_at", {})

    # What people do.

    @precondition(lambda self: self.plain.state == "active")
    @rule()
    def acknowledge(self) -> None:
        acknowledge(self.pool, self._decision())
        self.plain.state = "acknowledged"
        self.plain.cancel("reminder", "escalation")

    @precondition(lambda self: self.plain.state in ("active", "acknowledged"))
    @rule(resolution=st.sampled_from([Resolution.REACHED, Resolution.FALSE_READING]))
    def resolve(self, resolution: Resolution) -> None:
        resolve(self.pool, self._decision(), resolution=resolution)
        self.plain.state, self.plain.is_untrue, self.plain.by_person = "resolved", resolution in UNTRUE, True
        self.plain.cancel(*(("opening",) if resolution in UNTRUE else ()), "reminder", "escalation")

    @rule(who=st.sampled_from(["doctor", "nurse"]), is_active=st.booleans())
    def close_or_open_an_account(self, who: str, is_active: bool) -> None:
        with transaction(self.pool) as conn:
            conn.execute("update app_user set active = %s where user_id = %s", (is_active, self.users[who]))
        setattr(self.plain, who, is_active)

    # What senders do.

    @rule()
    def send_inboxes(self) -> None:
        due = self.plain.due("inbox")
        assert Dispatcher(self.pool, Inbox()).send_due() == len(due)
        lost = []
        for each in due:
            self.plain.lease(each)
            if self.plain.is_reachable(each.who):
                self._sent(each)
            else:
                lost.append(each)
        for each in sorted(lost, key=lambda each: each.step):
            self.plain.give_up(each, "undeliverable")

    @rule(answer=st.sampled_from([Sent(), Failed(error="HTTP 503", after_s=60), Unreachable(error="inside")]))
    def call_the_system(self, answer: Outcome) -> None:
        due = self.plain.due("webhook")
        heard: list[Leased] = []

        class System:
            name = "webhook"
            at_once = 1

            def send(self, message: Leased) -> Outcome:
                heard.append(message)
                return answer

        assert Dispatcher(self.pool, System()).send_due() == min(len(due), 1)
        for message in heard:
            each = self._of(message)
            assert each in due
            self.plain.lease(each)
            is_hopeless = each.attempts >= ATTEMPTS_MAX or self.plain.clock - each.due >= DAY_MIN
            match answer:
                case Sent():
                    self._sent(each)
                case Failed() if not is_hopeless:
                    each.leased_until, each.retry_at = -1.0, self.plain.clock + 1
                case _:
                    self.plain.give_up(each, "dead" if isinstance(answer, Failed) else "undeliverable")

    @rule(channel=st.sampled_from(["inbox", "webhook"]))
    def die_while_sending(self, channel: str) -> None:
        due = self.plain.due(channel)
        with transaction(self.pool) as conn:
            taken = pushes.take(conn, channel=channel, limit=100, lease_s=LEASE_MIN * 60.0)
        assert sorted(self._of(each).key for each in taken) == sorted(each.key for each in due)
        for each in due:
            self.plain.lease(each)
        self.held += taken

    @precondition(lambda self: self.held)
    @rule(which=st.integers(min_value=0))
    def come_back_and_note_what_was_sent(self, which: int) -> None:
        """The sender was not dead, only slow: the message has arrived, whatever was decided meanwhile."""
        message = self.held.pop(which % len(self.held))
        with transaction(self.pool) as conn:
            pushes.mark_sent(conn, [message.push_id])
        each = self._of(message)
        if each.state in ("pending", "cancelled", "dead"):
            self._sent(each, was_leased=True)

    @precondition(lambda self: self.held)
    @rule(which=st.integers(min_value=0))
    def come_back_and_note_a_failure(self, which: int) -> None:
        message = self.held.pop(which % len(self.held))
        with transaction(self.pool) as conn:
            pushes.retry(conn, message, after_s=60, error="late")
        each = self._of(message)
        if each.state == "pending" and each.attempts == message.attempts:
            each.leased_until, each.retry_at = -1.0, self.plain.clock + 1

    @rule(minutes=st.sampled_from([1, 10, 30, 120, 8 * 60, DAY_MIN, WEEK_MIN]))
    def let_pass(self, minutes: int) -> None:
        with transaction(self.pool) as conn:
            conn.execute(
                """update push set due_at = due_at - %(span)s, retry_at = retry_at - %(span)s,
                                   lease_until = lease_until - %(span)s, created_at = created_at - %(span)s,
                                   sent_at = sent_at - %(span)s""",
                {"span": timedelta(minutes=minutes)},
            )
        self.plain.clock += minutes

    # What must hold.

    @invariant()
    def every_message_is_as_it_must_be(self) -> None:
        if not hasattr(self, "users"):
            return
        names = {f"user:{user_id}": who for who, user_id in self.users.items()} | {
            f"clinic:{self.webhook_id}": "system"
        }
        with transaction(self.pool) as conn:
            found = conn.execute(
                "select recipient, channel, step, kind, state from push where episode_id = %s", (self.episode_id,)
            ).fetchall()
        there = sorted((names.get(who, who), *rest) for who, *rest in found)
        assert there == sorted((*each.key, each.kind, each.state) for each in self.plain.messages)

    @invariant()
    def nothing_that_repeats_is_sent_after_somebody_has_it(self) -> None:
        assert self.told_after == []

    @invariant()
    def somebody_is_always_told_or_about_to_be(self) -> None:
        if self.plain.state == "active":
            live = [each for each in self.plain.messages if each.state in ("pending", "sent")]
            reached = [each for each in live if each.who not in ("patient", "system") and each.kind != "retraction"]
            assert reached or not (self.plain.doctor or self.plain.nurse) or self._nobody_was_there()

    def _nobody_was_there(self) -> bool:
        """Each of them was tried while the account was closed, up to the desk itself."""
        desk = [each for each in self.plain.messages if each.who == "clinic"]
        return bool(desk) and all(each.state in ("undeliverable", "cancelled") for each in desk)

    def _sent(self, each: Message, *, was_leased: bool = False) -> None:
        if not was_leased and not self.plain.is_wanted(each):
            self.told_after.append(f"{each.key} in {self.plain.state}")
        self.plain.sent(each)
        self.sent_at[each.key] = self.plain.clock

    def _of(self, message: Leased) -> Message:
        names = {f"user:{user_id}": who for who, user_id in self.users.items()} | {
            f"clinic:{self.webhook_id}": "system"
        }
        key = (names.get(message.recipient, message.recipient), message.channel, message.step)
        return next(each for each in self.plain.messages if each.key == key)

    def _decision(self) -> Decision:
        """By somebody who is on the panel, whatever became of the doctor's account."""
        with transaction(self.pool) as conn:
            row = conn.execute("select version from episode where episode_id = %s", (self.episode_id,)).fetchone()
        assert row is not None
        return Decision(episode_id=self.episode_id, version=row[0], user_id=self.users["doctor"], now=now())

    def _teller(self, conn: Any) -> Teller:
        row = conn.execute("select now()").fetchone()
        return Teller(conn=conn, patient_id=self.patient_id, rules=load_catalog(), now=row[0])


def finding() -> Finding:
    at = now()
    return Finding(
        rule_id="bp-critical",
        rule_version=1,
        threshold_version=0,
        state="active",
        priority="medium",
        first_day=at.date(),
        last_day=at.date(),
        started_at=at,
        opened_at=at,
        deliver_at=at,
        resolved_at=None,
        verdict=Verdict(numbers={}, sentence={"en": "It is so.", "zh": "如此。"}),
    )


def test_nobody_is_missed_and_nobody_is_told_twice_whatever_happens_in_whatever_order(pool: Pool) -> None:
    class OnThisDatabase(Escalation):
        pass

    OnThisDatabase.pool = pool
    run_state_machine_as_test(OnThisDatabase, settings=settings(max_examples=60, stateful_step_count=30, deadline=None))
