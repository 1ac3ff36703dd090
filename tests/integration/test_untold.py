"""A patient whom no way reaches: the clinic sees it and calls; nobody believes that somebody has read what nobody can open."""

import re
import threading
from datetime import timedelta
from html import unescape

import httpx2
import pytest
from fix_clinic import Clinic
from wards import Ward, ask, make_ward

from server.clock import now
from server.people import links
from server.push.dispatch import Dispatcher
from server.push.inbox import Inbox
from server.store.alarms import open_alarms
from server.store.consents import Purpose, Word
from server.store.consents import add as say_consent
from server.store.postgres import Pool, transaction
from server.watch.recompute import recompute_one
from vitals.reading import BloodPressure


@pytest.fixture
def ward(pool: Pool) -> Ward:
    with transaction(pool) as conn:
        made = make_ward(conn, pool)
        links.revoke_patient_links(conn, made.home.patient_id, now=now())
    return made


def to_patient(ward: Ward) -> list[tuple[object, ...]]:
    return ask(ward.pool, "select channel, state, why from push where recipient = 'patient' order by channel")


def tasks(ward: Ward) -> list[tuple[object, ...]]:
    return ask(ward.pool, "select state, origin from follow_up")


def differences(ward: Ward) -> object:
    return recompute_one(ward.pool, ward.home.patient_id, patience_s=0.0, stop=threading.Event()).differences


def say(pool: Pool, patient_id: int, purpose: Purpose, *, is_given: bool) -> None:
    word = Word(purpose=purpose, is_given=is_given, text_version=None, how="paper", said_at=now(), recorded_by="cli:it")
    with transaction(pool) as conn:
        say_consent(conn, patient_id, word)


def test_24_a_patient_whom_no_way_reaches_is_called_and_the_ladder_is_not_hurried(ward: Ward) -> None:
    ward.measure(192, 124)
    ladder = ask(ward.pool, "select step, due_at, state from push where kind = 'escalation' order by step, recipient")
    ward.send()
    assert to_patient(ward) == [("inbox", "undeliverable", None)]
    assert {who for who, step in ward.told()} == {"clinic's", "doctor's"}, (
        "those who were told anyway, and nobody sooner"
    )
    assert ladder == ask(
        ward.pool, "select step, due_at, state from push where kind = 'escalation' order by step, recipient"
    )
    assert tasks(ward) == [("open", "alert")]
    with transaction(ward.pool) as conn:
        assert [alarm.kind for alarm in open_alarms(conn)] == ["push_dead"]
    assert not differences(ward), "the night agrees: it was queued, and what became of it is seen"


def test_24_a_patient_who_agreed_to_no_messages_is_sent_none_and_nobody_is_alarmed(ward: Ward) -> None:
    say(ward.pool, ward.home.patient_id, Purpose.CHANNELS, is_given=False)
    ward.measure(192, 124)
    ward.send()
    assert to_patient(ward) == [("inbox", "cancelled", "no_consent")]
    with transaction(ward.pool) as conn:
        assert open_alarms(conn) == ()
    assert not differences(ward)


def test_what_only_the_patient_was_to_hear_goes_to_the_desk(ward: Ward) -> None:
    loose = BloodPressure(
        systolic_mmhg=192, diastolic_mmhg=124, mean_mmhg=110, pulse_bpm=72, unit_sent="mmHg", status=0b10
    )
    at = now().replace(microsecond=0) - timedelta(minutes=1)
    ward.take(ward.home.pressure(at, 192, 124, measurement=loose), seq=1)
    ward.send()
    assert to_patient(ward) == [("inbox", "undeliverable", None)]
    assert [who for who, _ in ward.told()] == ["clinic"]
    assert tasks(ward) == [("open", "alert")]


def test_the_pages_say_that_the_patient_could_not_be_told_until_a_message_arrives(
    clinic: Clinic, doctor_id: int
) -> None:
    patient_id, episode_id = clinic.critical_patient("王秀英", doctor_id)
    with transaction(clinic.pool) as conn:
        links.revoke_patient_links(conn, patient_id, now=clinic.clock())
    doctor, _ = clinic.browser_client("doctor")
    Dispatcher(clinic.pool, Inbox()).send_due()
    for address in (f"/p/{patient_id}", f"/a/{episode_id}"):
        assert "the patient could not be told: call." in notices(doctor, address)
        assert "未能告知患者，请打电话" in notices(doctor, f"{address}?lang=zh")
        notices(doctor, f"{address}?lang=en")
    clinic.rows(
        "update push set state = 'cancelled', why = 'no_consent' where state = 'undeliverable' and patient_id = %s",
        patient_id,
    )
    assert "for want of consent" in notices(doctor, f"/p/{patient_id}")
    clinic.rows(
        "update push set state = 'sent', sent_at = now() where recipient = 'patient' and patient_id = %s", patient_id
    )
    assert "the patient" not in notices(doctor, f"/p/{patient_id}")


def notices(doctor: httpx2.Client, address: str) -> str:
    """What stands there as said to whoever opens the page."""
    answer = doctor.get(address)
    assert answer.status_code == 200, answer.text
    return unescape(" ".join(re.findall(r'<p class="told[^>]*>(.*?)</p>', answer.text, re.S)))
