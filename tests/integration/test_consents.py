"""Consent taken back stops pushes and judging in its own transaction; given again, what was missed is judged."""

import threading
from typing import Any

import psycopg
import pytest
from fix_clinic import Clinic
from wards import Ward, make_ward

from server import clock
from server.judge import Judge
from server.people import consents
from server.people.consents import TEXTS, Saying
from server.people.errors import NotOnPanelError
from server.release import release
from server.rules.load import load_catalog
from server.store import consents as store
from server.store.consents import Purpose
from server.store.postgres import Pool, transaction
from vitals.errors import MalformedError


def ask(pool: Pool, query: str, *values: object) -> list[tuple[Any, ...]]:
    with transaction(pool) as conn:
        cursor = conn.execute(query.encode(), values or None)
        return cursor.fetchall() if cursor.description else []


@pytest.fixture
def ward(pool: Pool) -> Ward:
    with transaction(pool) as conn:
        return make_ward(conn, pool)


def say(ward: Ward, purpose: Purpose, *, given: bool, **more: Any) -> bool:
    saying = Saying(
        patient_id=ward.home.patient_id,
        purpose=purpose,
        is_given=given,
        how="clinic",
        actor="user:1",
        now=clock.now(),
        **more,
    )
    with transaction(ward.pool) as conn:
        return consents.say(conn, saying)


def test_what_waits_to_be_sent_is_cancelled_with_the_consent_and_nothing_new_is_queued(ward: Ward) -> None:
    ward.measure(192, 124)
    assert ("pending",) in ask(ward.pool, "select distinct state from push")

    assert say(ward, Purpose.CARE, given=False)

    assert ask(ward.pool, "select distinct state, why from push") == [("cancelled", "no_consent")]
    assert ask(ward.pool, "select standing from patient where not is_watchdog") == [("paused",)]
    assert not say(ward, Purpose.CARE, given=False), "it is so already"
    assert ask(ward.pool, "select act, subject from audit_entry where act like 'consent.%'") == [
        ("consent.withdraw", "care")
    ]


def test_what_is_measured_meanwhile_is_kept_apart_and_judged_when_it_is_wanted_again(ward: Ward) -> None:
    say(ward, Purpose.CARE, given=False)

    ward.measure(192, 124)

    assert ask(ward.pool, "select count(*) from reading") == [(0,)]
    assert ask(ward.pool, "select distinct reason from quarantine") == [("no_consent",)]
    assert ask(ward.pool, "select count(*) from episode") == [(0,)]

    say(ward, Purpose.CARE, given=True)
    with transaction(ward.pool) as conn:
        outcome = release(conn, meter_id=ward.home.cuff, user_slot=None, by="nurse")
    assert outcome.taken_in >= 1
    Judge(ward.pool, load_catalog()).judge_due()
    assert ask(ward.pool, "select rule_id from episode") == [("bp-critical",)]
    assert ask(ward.pool, "select count(*) from push where state = 'pending'") > [(0,)]


def test_a_patient_who_is_not_watched_is_not_judged_even_if_something_is_due(ward: Ward) -> None:
    ward.measure(120, 80)
    say(ward, Purpose.CARE, given=False)
    ask(
        ward.pool,
        "insert into due (patient_id, due_at, since, reason) values (%s, now(), now(), 'test')",
        ward.home.patient_id,
    )
    assert Judge(ward.pool, load_catalog()).judge_due() == 0
    ask(ward.pool, "update due set due_at = now()")
    Judge(ward.pool, load_catalog()).judge_patient(ward.home.patient_id)
    assert ask(ward.pool, "select count(*) from due where due_at <= now()") > [(0,)], "it waits"


def test_a_judging_that_is_under_way_tells_nobody_after_the_withdrawal(ward: Ward) -> None:
    """The push is written before, and committed while, the consent is taken back: it is cancelled all the same."""
    withdrawn = threading.Event()

    def withdraw() -> None:
        say(ward, Purpose.CARE, given=False)
        withdrawn.set()

    with psycopg.connect(ward.pool.conninfo) as judge:
        judge.execute(
            "insert into push (push_id, patient_id, recipient, channel, step, text, due_at, kind, expires_at)"
            " values (gen_random_uuid(), %s, 'patient', 'inbox', 0, '{}', now(), 'plan', now() + interval '1 hour')",
            [ward.home.patient_id],
        )
        thread = threading.Thread(target=withdraw)
        thread.start()
        with psycopg.connect(ward.pool.conninfo, autocommit=True) as look:
            waiting = "select count(*) from pg_locks where not granted"
            while look.execute(waiting).fetchone() == (0,):
                assert not withdrawn.is_set(), "it did not wait for the push"
        judge.commit()
    thread.join()
    assert ask(ward.pool, "select state, why from push") == [("cancelled", "no_consent")]


def test_reminders_and_other_companies_stop_by_themselves_and_care_goes_on(ward: Ward) -> None:
    for purpose in (Purpose.REMINDERS, Purpose.CHANNELS):
        with transaction(ward.pool) as conn:
            assert store.allows(conn, ward.home.patient_id, purpose)
        say(ward, purpose, given=False)
        with transaction(ward.pool) as conn:
            assert not store.allows(conn, ward.home.patient_id, purpose)
    ask(
        ward.pool,
        "insert into push (push_id, patient_id, recipient, channel, step, text, due_at, kind, expires_at)"
        " values (gen_random_uuid(), %s, 'patient', 'inbox', 0, '{}', now(), 'plan', now() + interval '1 hour')",
        ward.home.patient_id,
    )
    ward.measure(192, 124)
    assert ask(ward.pool, "select kind, state from push where recipient = 'patient' order by kind") == [
        ("opening", "pending"),
        ("plan", "cancelled"),
    ]


def test_what_was_said_stays_and_cannot_be_changed(ward: Ward) -> None:
    say(ward, Purpose.RESEARCH, given=True)
    say(ward, Purpose.RESEARCH, given=False)
    with transaction(ward.pool) as conn:
        said = [(word.purpose, word.is_given) for word in store.history(conn, ward.home.patient_id)]
    assert said == [("care", True), ("reminders", True), ("channels", True), ("research", True), ("research", False)]
    with pytest.raises(psycopg.errors.RestrictViolation):
        ask(ward.pool, "update consent set is_given = true")
    with pytest.raises(MalformedError):
        say(ward, Purpose.RESEARCH, given=True, said_at=clock.now().replace(year=2100))
    assert all({"en", "zh"} == set(words) for words in TEXTS.values())


def test_a_patient_says_so_by_the_link_and_nobody_else_does(clinic: Clinic) -> None:
    patient_id, token = clinic_patient(clinic)
    consents.say_by_link(clinic.pool, token, Purpose.RESEARCH, is_given=True, now=clock.now())
    with transaction(clinic.pool) as conn:
        assert store.history(conn, patient_id)[-1].recorded_by == f"patient:{patient_id}"
    with pytest.raises(NotOnPanelError):
        consents.say_by_link(clinic.pool, "no-such-link", Purpose.CARE, is_given=False, now=clock.now())


def test_the_own_page_says_what_was_agreed_and_takes_it_back_in_both_languages(clinic: Clinic) -> None:
    patient_id, token = clinic_patient(clinic)
    client = clinic.client()
    page = client.get(f"/me/{token}")
    assert page.status_code == 200, page.text
    assert TEXTS[Purpose.CARE]["zh"] in page.text
    assert page.text.count("已于") == 3
    answer = client.post(f"/me/{token}/consent", data={"purpose": "care", "said": "no"})
    assert answer.status_code == 303, answer.text
    assert "撤回" in client.get(f"/me/{token}").text
    with transaction(clinic.pool) as conn:
        assert store.lock(conn, patient_id) == "paused"
    client.post(f"/me/{token}/consent", data={"purpose": "care", "said": "yes"})
    with transaction(clinic.pool) as conn:
        assert store.lock(conn, patient_id) == "active"
    assert client.post("/me/nobody/consent", data={"purpose": "care", "said": "no"}).status_code == 404


def clinic_patient(clinic: Clinic) -> tuple[int, str]:
    from datetime import timedelta

    from server.people import links

    patient_id = clinic.add_patient("Ottilie", clinic.add_user("lin"))
    with transaction(clinic.pool) as conn:
        return patient_id, links.issue_patient_link(conn, patient_id, now=clock.now(), valid_for=timedelta(days=1))
