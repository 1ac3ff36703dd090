"""Decisions, readings, silences, time and senders in any order, on a real PostgreSQL: nothing is lost, doubled or half undone."""

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
    rule,
    run_state_machine_as_test,
)
from wards import MINUTE, Ward, add_user, ask, let_pass

from server.clock import now
from server.judge import Judge
from server.people import decisions, silences
from server.people.decisions import Decision, Resolution
from server.people.errors import DecisionConflictError
from server.people.rule_texts import texts_of
from server.people.silences import Silencer
from server.push.channels import Outcome, Sent
from server.push.dispatch import Dispatcher
from server.rules.load import load_catalog
from server.store.postgres import Pool, transaction
from server.store.pushes import Leased

RULES = load_catalog()
TEXTS = texts_of(RULES)

# Everything of an alert that a decision may change, and everything of its messages but the clock's own.
STANDING = (
    "select episode_id, to_jsonb(e) - 'version' from episode e where patient_id = %(patient_id)s order by episode_id"
)
MESSAGES = "select push_id, state, why, due_at, kind from push where patient_id = %(patient_id)s order by push_id"
ACTS = ("acknowledge", "snooze", "resolve", "untrue", "rate", "note")
_numbers = count(1)


class Counting:
    """A way out that counts how often it was given each message."""

    at_once = 100

    def __init__(self, name: str, given: dict[UUID, int]) -> None:
        self.name, self._given = name, given

    def send(self, message: Leased) -> Outcome:
        self._given[message.push_id] = self._given.get(message.push_id, 0) + 1
        return Sent()


class Life(RuleBasedStateMachine):
    """One patient with a doctor and a nurse; `pool` is real."""

    pool: Pool

    @initialize()
    def move_in(self) -> None:
        number = next(_numbers)
        with transaction(self.pool) as conn:
            conn.execute("delete from due")  # what an earlier example has left would be judged and sent by this one's
            conn.execute("update push set state = 'cancelled' where state = 'pending'")
            conn.execute("update episode set state = 'retracted'")
            doctor_id, nurse_id = add_user(conn, f"lin-{number}"), add_user(conn, f"wang-{number}", "nurse")
            home = enrol(conn, enrolled_on=(now() - timedelta(days=90)).date(), doctor_id=doctor_id)
            conn.execute("insert into panel (user_id, patient_id) values (%s, %s)", (nurse_id, home.patient_id))
        self.ward = Ward(pool=self.pool, home=home, doctor_id=doctor_id, nurse_id=nurse_id)
        self.seq = 1
        self.given: dict[UUID, int] = {}
        self.versions: dict[UUID, int] = {}

    # -- the patient and the house ---------------------------------------------------------------------------------------

    @rule(mmol_l=st.sampled_from([2.5, 3.2, 3.5, 5.5]))
    def prick(self, mmol_l: float) -> None:
        self.ward.take(self.ward.home.glucose(self._just_now(), mmol_l * 18.0182), seq=self._next())
        self._judge()

    @rule(systolic=st.sampled_from([150, 185, 199]))
    def inflate(self, systolic: int) -> None:
        self.ward.take(self.ward.home.pressure(self._just_now(), systolic, 95), seq=self._next())
        self._judge()

    @rule(span=st.sampled_from([1, 3, 5, 11, 60, 25 * 60]))
    def let_pass(self, span: int) -> None:
        let_pass(self.ward, span * MINUTE)
        self._judge()

    @rule()
    def send(self) -> None:
        for name in ("inbox", "webhook"):
            while Dispatcher(self.pool, Counting(name, self.given)).send_due():
                continue

    # -- people ----------------------------------------------------------------------------------------------------------

    @rule(act=st.sampled_from(ACTS), which=st.integers(0, 5), undoes=st.booleans())
    def decide(self, act: str, which: int, undoes: bool) -> None:
        episodes = self._all()
        if not episodes:
            return
        episode_id, version = episodes[which % len(episodes)]
        before = self._everything()
        asked = Decision(episode_id=episode_id, version=version, user_id=self.ward.doctor_id, now=now())
        try:
            self._do(act, asked)
        except DecisionConflictError:
            assert self._everything() == before
            return
        if undoes:
            decisions.undo(
                self.pool, Decision(episode_id=episode_id, version=version + 1, user_id=asked.user_id, now=now())
            )
            assert self._everything() == before
        self._judge()

    def _do(self, act: str, asked: Decision) -> None:
        match act:
            case "acknowledge":
                decisions.acknowledge(self.pool, asked)
            case "snooze":
                decisions.snooze(self.pool, asked, until=asked.now + timedelta(hours=2))
            case "resolve":
                decisions.resolve(self.pool, asked, resolution=Resolution.REACHED)
            case "untrue":
                decisions.resolve(self.pool, asked, resolution=Resolution.FALSE_READING, note="the cuff was loose")
            case "rate":
                decisions.rate(self.pool, asked, is_useful=True)
            case _:
                decisions.note(self.pool, asked, "a word")

    @rule(rule_id=st.sampled_from([None, "glucose-low-3-9", "bp-critical"]))
    def silence(self, rule_id: str | None) -> None:
        who = Silencer(user_id=self.ward.doctor_id, role="doctor", now=now())
        silences.add(
            self.pool,
            who,
            self.ward.home.patient_id,
            rule_id=rule_id,
            until=who.now + timedelta(minutes=30),
            reason="known",
            rules=TEXTS,
        )
        self._judge()

    # -- what must hold --------------------------------------------------------------------------------------------------

    @invariant()
    def a_version_never_falls(self) -> None:
        for episode_id, version in self._all():
            assert version >= self.versions.get(episode_id, 0)
            self.versions[episode_id] = version

    @invariant()
    def nobody_is_told_twice(self) -> None:
        assert all(times == 1 for times in self._given().values())

    @invariant()
    def of_what_waits_for_a_clinician_one_is_told_or_it_says_why_not(self) -> None:
        """The newest message of each active alert to a clinician: on its way, sent, or muted with its reason."""
        lost = self._ask(
            """select e.rule_id, s.state, s.why from episode e join lateral (
                   select state, why from push where episode_id = e.episode_id and recipient <> 'patient' and channel = 'inbox'
                     and kind in ('opening', 'reminder') order by step desc, created_at desc limit 1) s on true
               where e.patient_id = %(patient_id)s and e.state = 'active' and s.state not in ('pending', 'sent')
                 and coalesce(s.why, '') not in ('silenced', 'inhibited')"""
        )
        assert lost == []

    @invariant()
    def what_is_muted_is_muted_by_something_that_is_there(self) -> None:
        """Once a judge has looked, nothing is silent after its silence, or spoken for by what is closed."""
        assert (
            self._ask(
                """select e.rule_id from episode e join episode g on g.episode_id = e.inhibited_by
               where g.state in ('resolved', 'retracted') and e.state in ('active', 'acknowledged', 'snoozed')
                 and e.patient_id = %(patient_id)s"""
            )
            == []
        )

    @invariant()
    def nobody_is_bothered_with_what_somebody_has(self) -> None:
        assert (
            self._ask(
                """select s.kind from push s join episode e using (episode_id)
               where s.state = 'pending' and s.kind in ('reminder', 'escalation') and e.state <> 'active'"""
            )
            == []
        )

    @invariant()
    def nothing_sleeps_beyond_its_time(self) -> None:
        assert (
            self._ask("select 1 from episode where state = 'snoozed' and snoozed_until < now() - interval '1 minute'")
            == []
        )

    @invariant()
    def an_urgent_alert_that_nobody_decided_about_is_on_record(self) -> None:
        """Active, red and past its time: there is a breach."""
        assert (
            self._ask(
                """select e.rule_id from episode e where e.state in ('active', 'acknowledged') and e.priority = 'high'
                 and e.answered_at is null and e.answer_by < now() - interval '1 minute'
                 and not exists (select from sla_breach b where b.episode_id = e.episode_id)"""
            )
            == []
        )

    # -- by the way ------------------------------------------------------------------------------------------------------

    def _judge(self) -> None:
        while Judge(self.pool, RULES).judge_due():
            continue

    def _everything(self) -> tuple[list[Any], list[Any]]:
        return self._ask(STANDING), self._ask(MESSAGES)

    def _just_now(self) -> Any:
        return now().replace(microsecond=0) - timedelta(seconds=2)

    def _next(self) -> int:
        self.seq += 1
        return self.seq

    def _all(self) -> list[tuple[UUID, int]]:
        return self._ask(
            "select episode_id, version from episode where patient_id = %(patient_id)s order by opened_at, rule_id"
        )

    def _given(self) -> dict[UUID, int]:
        return self.given if hasattr(self, "ward") else {}

    def _ask(self, query: str) -> list[Any]:
        return ask(self.pool, query, patient_id=self.ward.home.patient_id) if hasattr(self, "ward") else []


def test_whatever_people_and_readings_do_in_whatever_order(pool: Pool) -> None:
    class OnThisDatabase(Life):
        pass

    OnThisDatabase.pool = pool
    run_state_machine_as_test(OnThisDatabase, settings=settings(max_examples=15, stateful_step_count=15, deadline=None))
