"""The next in line is told when nobody acknowledges, at once when somebody cannot be told; a decision ends it as it is made."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import psycopg
import pytest
from households import enrol
from hypothesis import given
from hypothesis import strategies as st
from wards import MINUTE, Receiver, Ward, add_user, ask, make_ward

from server.clock import now
from server.intake import Intake
from server.judge import Judge
from server.people.decisions import UNTRUE, Resolution, acknowledge, resolve
from server.push.channels import Failed, Gone, Outcome
from server.push.dispatch import ATTEMPTS_MAX, Dispatcher
from server.push.inbox import Inbox
from server.push.ladder import LADDERS
from server.push.queueing import Teller
from server.rules.episodes import Finding, Verdict
from server.rules.load import load_catalog
from server.store import judging as store
from server.store import worklist_decisions
from server.store.alarms import open_alarms
from server.store.postgres import Connection, Pool, transaction
from server.store.pushes import Leased, add_webhook, switch_webhook


@pytest.fixture
def ward(pool: Pool) -> Ward:
    with transaction(pool) as conn:
        return make_ward(conn, pool)


OPENING = [
    ("clinic's", 0, "opening", "pending"),
    ("patient", 0, "opening", "pending"),
    ("doctor's", 0, "opening", "pending"),
]
LADDER = [
    ("nurse's", 1, "escalation", "pending"),
    ("clinic", 2, "escalation", "pending"),
    ("clinic's", 2, "escalation", "pending"),
]


def test_the_steps_are_queued_with_the_opening_each_with_its_time(ward: Ward) -> None:
    ward.measure(192, 124)
    assert ward.pushes() == OPENING + LADDER
    waits = ask(
        ward.pool,
        """select step, extract(epoch from due_at - (select max(due_at) from push where step = 0))::int
           from push where step > 0 order by step, recipient""",
    )
    assert waits == [(1, 1800), (2, 7200), (2, 7200)]


def test_who_is_not_acknowledged_is_told_further_up_whoever_was_restarted_meanwhile(ward: Ward) -> None:
    ward.measure(192, 124)
    ward.send()
    assert ward.told() == [("clinic's", 0), ("patient", 0), ("doctor's", 0)]
    ward.let_pass(29 * MINUTE)
    ward.send()
    assert len(ward.told()) == 3
    ward.let_pass(2 * MINUTE)
    ward.send()
    assert ward.told()[3:] == [("nurse's", 1)]
    ward.let_pass(90 * MINUTE)
    ward.send()
    assert ward.told()[4:] == [("clinic", 2), ("clinic's", 2)]
    ((text,),) = ask(ward.pool, "select text from push where recipient = 'clinic'")
    assert text["en"]["title"].startswith("Nobody has acknowledged: ")


def test_a_webhook_is_told_that_it_is_an_escalation(ward: Ward) -> None:
    from server.push.webhook import body_of

    ward.measure(192, 124)
    ward.let_pass(3 * 60 * MINUTE)
    receiver = Receiver()
    ward.send(receiver)
    kinds = [body_of(message).split('"type": "')[1].split('"')[0] for message in receiver.heard]
    assert kinds == ["alert.opened", "alert.escalated"]


def test_a_trend_is_told_to_nobody_else(ward: Ward) -> None:
    high = [
        ward.home.pressure(now().replace(microsecond=0) - timedelta(days=days, hours=1), 152, 94) for days in (4, 3, 2)
    ]
    ward.take(*high, seq=1)
    assert {kind for _, _, kind, _ in ward.pushes()} == {"opening"}


def test_acknowledging_ends_it_in_its_own_transaction(ward: Ward) -> None:
    ward.measure(192, 124)
    ward.send()
    acknowledge(ward.pool, ward.decision())
    assert [row[3] for row in ward.pushes()[3:]] == ["cancelled"] * 3
    ward.let_pass(timedelta(days=1))
    ward.send()
    assert len(ward.told()) == 3


def test_an_acknowledgement_that_is_rolled_back_ends_nothing(ward: Ward) -> None:
    ward.measure(192, 124)
    decision = ward.decision()
    with suppress(ZeroDivisionError), transaction(ward.pool) as conn:
        worklist_decisions.acknowledge(conn, decision.episode_id, user_id=decision.user_id, now=decision.now)
        assert len(worklist_decisions.cancel_repeated_pushes(conn, decision.episode_id)) == 3
        raise ZeroDivisionError
    assert ward.pushes() == OPENING + LADDER


@pytest.mark.parametrize("resolution", list(Resolution))
def test_resolving_ends_it_and_untrue_readings_end_the_opening_too(ward: Ward, resolution: Resolution) -> None:
    ward.measure(192, 124)
    resolve(ward.pool, ward.decision(), resolution=resolution)
    opening = "cancelled" if resolution in UNTRUE else "pending"
    assert [row[3] for row in ward.pushes()] == [opening] * 3 + ["cancelled"] * 3


def test_the_database_and_the_people_agree_what_is_untrue(pool: Pool) -> None:
    for resolution in Resolution:
        ((is_wanted,),) = ask(pool, "select push_is_wanted('opening', 'resolved', %(why)s)", why=resolution.value)
        assert is_wanted == (resolution not in UNTRUE)
    assert ask(
        pool, "select push_is_wanted('opening', 'resolved', null), push_is_wanted('retraction', 'retracted', '')"
    ) == [(True, True)]


def lease(ward: Ward, step: int) -> None:
    """Somebody is sending this step just now."""
    ask(
        ward.pool,
        "update push set lease_until = now() + interval '30 s', attempts = 1, due_at = now() where step = %(step)s",
        step=step,
    )


def test_a_step_that_is_just_being_sent_is_noted_as_sent(ward: Ward) -> None:
    ward.measure(192, 124)
    ward.send()

    class AcknowledgedMeanwhile(Inbox):
        def send(self, message: Leased) -> Outcome:
            acknowledge(ward.pool, ward.decision())
            return super().send(message)

    ward.let_pass(30 * MINUTE)
    assert Dispatcher(ward.pool, AcknowledgedMeanwhile()).send_due() == 1
    assert ward.pushes("sent")[3:] == [("nurse's", 1, "escalation", "sent")], "she has been told, and so it says"
    assert [row[3] for row in ward.pushes()[4:]] == ["cancelled"] * 2


def test_a_step_that_failed_while_it_was_acknowledged_is_not_tried_again(ward: Ward) -> None:
    ward.measure(192, 124)
    ward.send()
    ward.let_pass(120 * MINUTE)

    class AcknowledgedMeanwhile(Receiver):
        def send(self, message: Leased) -> Outcome:
            acknowledge(ward.pool, ward.decision())
            return Failed(error="HTTP 503", after_s=0)

    assert Dispatcher(ward.pool, AcknowledgedMeanwhile()).send_due() == 1
    ward.send()
    assert len(ward.told()) == 3
    assert ward.pushes("pending") == []


def test_what_a_dead_sender_held_is_not_sent_after_the_acknowledgement(ward: Ward) -> None:
    ward.measure(192, 124)
    ward.send()
    lease(ward, 1)  # and then its sender was killed
    acknowledge(ward.pool, ward.decision())
    ward.let_pass(MINUTE)
    ward.send()
    assert ward.pushes("pending", "sent") == [(who, step, kind, "sent") for who, step, kind, _ in OPENING]


def test_nothing_is_leased_while_somebody_is_deciding(ward: Ward) -> None:
    ward.measure(192, 124)
    ward.send()
    ward.let_pass(30 * MINUTE)
    decision = ward.decision()
    sender = Dispatcher(ward.pool, Inbox())
    with transaction(ward.pool) as conn:
        worklist_decisions.lock_alert(conn, decision.episode_id, user_id=decision.user_id)
        assert sender.send_due() == 0, "it waits for the decision"
    assert sender.send_due() == 1, "which was none"


def test_a_message_that_is_given_up_brings_the_next_step_at_once(ward: Ward) -> None:
    ward.measure(192, 124)
    receiver = Receiver(*[Failed(error="HTTP 500", after_s=0)] * ATTEMPTS_MAX)
    ward.send(receiver)
    assert ward.pushes("dead") == [("clinic's", 0, "opening", "dead")]
    assert ("nurse's", 1) in ward.told()
    assert ward.pushes("pending") == LADDER[1:], "the step after it keeps its time"
    with transaction(ward.pool) as conn:
        (alarm,) = open_alarms(conn)
    assert (alarm.kind, alarm.detail) == ("push_dead", "webhook: dead: HTTP 500")
    assert alarm.subject == str(receiver.heard[0].push_id)


def test_a_receiver_that_is_gone_brings_the_next_step_at_once(ward: Ward) -> None:
    ward.measure(192, 124)
    ward.send(Receiver(Gone(error="410")))
    assert ("nurse's", 1) in ward.told()


def test_giving_up_the_alarm_and_the_next_step_are_one_transaction(ward: Ward) -> None:
    ward.measure(192, 124)
    ask(
        ward.pool,
        """create function refuse() returns trigger language plpgsql as $$ begin raise 'no'; end $$;
           create trigger refuse before insert on alarm for each row execute function refuse()""",
    )
    with pytest.raises(psycopg.errors.RaiseException):
        Dispatcher(ward.pool, Receiver(Gone(error="410"))).send_due()
    assert ward.pushes() == OPENING + LADDER
    assert ask(ward.pool, "select active from webhook") == [(True,)]
    ask(ward.pool, "drop trigger refuse on alarm")
    ward.let_pass(MINUTE)
    ward.send(Receiver(Gone(error="410")))
    assert ("nurse's", 1) in ward.told()


def test_24_a_doctor_whose_account_was_closed_meanwhile_is_undeliverable_and_the_next_is_told_at_once(
    ward: Ward,
) -> None:
    ward.measure(192, 124)
    ask(ward.pool, "update app_user set active = false where user_id = %(doctor)s", doctor=ward.doctor_id)
    ward.send()
    assert ward.pushes("undeliverable") == [("doctor's", 0, "opening", "undeliverable")]
    assert ("nurse's", 1) in ward.told()
    with transaction(ward.pool) as conn:
        assert [alarm.kind for alarm in open_alarms(conn)] == ["push_dead"]


def test_24_without_a_doctor_the_desk_and_the_backup_are_told_at_once_and_it_shows(ward: Ward) -> None:
    ask(ward.pool, "update patient set doctor_id = null")
    ward.measure(192, 124)
    assert ward.pushes("undeliverable") == [("doctor", 0, "opening", "undeliverable")]
    ward.send()
    assert set(ward.told()) == {("clinic", 0), ("clinic's", 0), ("patient", 0), ("nurse's", 1)}
    with transaction(ward.pool) as conn:
        (alarm,) = open_alarms(conn)
    assert (alarm.kind, alarm.subject) == (
        "push_dead",
        str(ask(ward.pool, "select push_id from push where state = 'undeliverable'")[0][0]),
    )


def test_24_a_trend_that_cannot_be_told_to_the_doctor_goes_to_the_desk(ward: Ward) -> None:
    high = [
        ward.home.pressure(now().replace(microsecond=0) - timedelta(days=days, hours=1), 152, 94) for days in (4, 3, 2)
    ]
    ward.take(*high, seq=1)
    ask(ward.pool, "update app_user set active = false where user_id = %(doctor)s", doctor=ward.doctor_id)
    ward.let_pass(timedelta(hours=20))  # it may be night there
    ward.send()
    assert ("clinic", 0) in ward.told()
    ((text,), (sentence,)) = (
        ask(ward.pool, "select text from push where recipient = 'clinic'")[0],
        ask(ward.pool, "select sentence from episode")[0],
    )
    assert text["zh"]["title"].startswith("未能送达")
    assert text["zh"]["body"] == sentence["zh"]


def test_24_where_nobody_can_be_told_at_all_every_message_says_so_and_the_house_is_alarmed(ward: Ward) -> None:
    ask(ward.pool, "update app_user set active = false")
    ask(ward.pool, "update webhook set active = false")
    ward.measure(192, 124)
    ward.send()
    assert ward.told() == [("patient", 0)]
    assert {who for who, *_ in ward.pushes("undeliverable")} == {"doctor's", "clinic"}
    assert ward.pushes("pending") == []
    with transaction(ward.pool) as conn:
        assert len(open_alarms(conn)) == 3


def test_a_retraction_is_told_to_each_who_has_been_told_and_to_nobody_else(ward: Ward) -> None:
    ward.measure(192, 124)
    ward.send()
    ward.let_pass(30 * MINUTE)
    ward.send()
    retract(ward)
    ward.send()
    assert set(ward.told()) - {("patient", 0)} == {
        ("doctor's", 0),
        ("nurse's", 1),
        ("clinic's", 0),
        ("doctor's", -1),
        ("nurse's", -1),
        ("clinic's", -1),
    }
    assert ("clinic", 2, "escalation", "cancelled") in ward.pushes()


def test_whoever_was_not_told_does_not_hear_of_the_retraction(ward: Ward) -> None:
    ward.measure(192, 124)
    Dispatcher(ward.pool, Inbox()).send_due()
    retract(ward)
    ward.send()
    assert {(who, step) for who, step in ward.told() if step < 0} == {("doctor's", -1)}


def retract(ward: Ward) -> None:
    """As the judge does when the readings no longer say it."""
    with transaction(ward.pool) as conn:
        store.episodes_of(conn, ward.home.patient_id)
        store.retract_episode(conn, ward.episode_id)
        teller(conn, ward).tell_retraction(ward.episode_id, "bp-critical", {"en": "It was so.", "zh": "曾如此。"})


def teller(conn: Connection, ward: Ward) -> Teller:
    return Teller(conn=conn, patient_id=ward.home.patient_id, rules=load_catalog(), now=now())


def test_what_is_true_again_has_its_steps_again(ward: Ward) -> None:
    ward.measure(192, 124, ago=9 * MINUTE)
    acknowledge(ward.pool, ward.decision())
    resolve(ward.pool, replace(ward.decision(), now=now() - 5 * MINUTE), resolution=Resolution.REACHED)
    ward.send()
    ward.measure(195, 125, seq=2)
    again = [(who, step, kind) for who, step, kind, _ in ward.pushes("pending")]
    assert again == [(who, step + 3, kind) for who, step, kind, _ in OPENING + LADDER]


def test_a_later_reading_below_takes_back_the_steps_ahead_and_leaves_what_is_due(ward: Ward) -> None:
    ward.measure(192, 124, ago=3 * MINUTE)
    ward.send()
    ward.let_pass(45 * MINUTE)
    ward.measure(128, 82, seq=2)
    assert ask(ward.pool, "select state, priority from episode") == [("active", "low")]
    assert ward.pushes("pending") == [("nurse's", 1, "escalation", "pending")]
    assert {row[0] for row in ward.pushes("cancelled")} == {"clinic", "clinic's"}


def test_seeded_history_queues_no_step(ward: Ward) -> None:
    reading = ward.home.pressure(now().replace(microsecond=0) - MINUTE, 192, 124)
    Intake(ward.pool).take(ward.home.envelope(reading), topic_gateway=ward.home.gateway_id, quiet=True)
    Judge(ward.pool, load_catalog()).judge_due()
    assert ward.pushes() == []


FINDING = Finding(
    rule_id="bp-critical",
    rule_version=1,
    threshold_version=0,
    state="active",
    priority="medium",
    first_day=now().date(),
    last_day=now().date(),
    started_at=now(),
    opened_at=now(),
    deliver_at=now(),
    resolved_at=None,
    verdict=Verdict(numbers={}, sentence={"en": "It is so.", "zh": "如此。"}),
)


def test_in_quiet_hours_the_steps_count_from_the_morning(ward: Ward) -> None:
    morning = now() + timedelta(hours=7)
    with transaction(ward.pool) as conn:
        store.open_episode(conn, UUID(int=7), ward.home.patient_id, FINDING)
        teller(conn, ward).tell_opening(UUID(int=7), FINDING, ["doctor"], at=morning, is_again=False)
    found = ask(
        ward.pool, "select step, min(due_at) - %(morning)s from push group by step order by step", morning=morning
    )
    assert found == [(0, timedelta(0)), (1, 30 * MINUTE), (2, 120 * MINUTE)]


def test_an_alert_that_becomes_urgent_has_the_steps_of_its_new_priority_from_then_on(ward: Ward) -> None:
    with transaction(ward.pool) as conn:
        store.open_episode(conn, UUID(int=7), ward.home.patient_id, FINDING)
        teller(conn, ward).tell_opening(UUID(int=7), FINDING, ["doctor"], at=now(), is_again=False)
        urgent = replace(FINDING, priority="high")
        teller(conn, ward).tell_priority(UUID(int=7), urgent, before="medium")
    assert ward.pushes("cancelled") == [(who, step, kind, "cancelled") for who, step, kind, _ in LADDER]
    waits = ask(
        ward.pool, "select step, min(due_at) <= now() + interval '6 min' from push where step > 2 group by step"
    )
    assert sorted(waits) == [(3, True), (4, True)]


@given(
    doctor=st.sampled_from([None, True, False]),
    others=st.lists(st.booleans(), max_size=3),
    systems=st.lists(st.booleans(), max_size=2),
    priority=st.sampled_from(sorted(LADDERS)),
    tell=st.sampled_from([("doctor",), ("patient", "doctor"), ("patient",)]),
    is_over=st.booleans(),
)
def test_there_is_no_alert_of_which_nobody_is_to_be_told(
    migrated_pool: Pool,
    doctor: bool | None,
    others: Sequence[bool],
    systems: Sequence[bool],
    priority: str,
    tell: Sequence[Any],
    is_over: bool,
) -> None:
    """Whoever is there or not: a clinician, the desk, or the patient of a rule that is for the patient alone."""
    with migrated_pool.connection() as conn:
        doctor_id = None if doctor is None else add_user(conn, "lin", active=doctor)
        home = enrol(conn, enrolled_on=(now() - timedelta(days=90)).date(), doctor_id=doctor_id)
        for number, is_active in enumerate(others):
            user_id = add_user(conn, f"nurse-{number}", "nurse", active=is_active)
            conn.execute("insert into panel (user_id, patient_id) values (%s, %s)", (user_id, home.patient_id))
        for is_active in systems:
            webhook_id = add_webhook(conn, url="https://a.example/", secret="whsec_AAAA")
            switch_webhook(conn, webhook_id, is_on=is_active)
        finding = replace(FINDING, priority=priority, state="resolved" if is_over else "active")
        store.open_episode(conn, UUID(int=7), home.patient_id, finding)
        speaker = Teller(conn=conn, patient_id=home.patient_id, rules=load_catalog(), now=now())
        at = now()
        speaker.tell_opening(UUID(int=7), finding, tell, at=at, is_again=False)
        found = conn.execute("select recipient, due_at from push where state = 'pending' order by due_at").fetchall()
        conn.rollback()
    at_once = {recipient for recipient, due_at in found if due_at <= at}
    assert at_once
    if "doctor" in tell:
        assert at_once & {f"user:{doctor_id}", "clinic"}, "a person, not only a machine"
        if not doctor and any(others) and LADDERS[priority] and not is_over:
            assert any(who.startswith("user:") for who in at_once), "and a person by name where there is one"


@pytest.fixture(scope="module")
def migrated_pool(postgres: Any, migrated_template: str) -> Any:
    """A database for the examples of a property, each of which is rolled back."""
    from server.store.postgres import open_pool

    url = postgres.create_database("nobody_is_told", template=migrated_template)
    with open_pool(url) as pool:
        yield pool
    postgres.drop_database("nobody_is_told")
