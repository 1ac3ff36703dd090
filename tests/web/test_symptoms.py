"""The patient's own page asks for symptoms while a critical alert is open; an answer is kept, judged at once, and bounded."""

from datetime import timedelta
from typing import Any

import pytest
from fix_clinic import Clinic

from server.people import links
from server.people.rule_texts import texts_of
from server.people.symptoms import ANSWERS_A_DAY, SymptomCode
from server.rules.load import load_catalog
from server.store.postgres import transaction
from server.web.words import SYMPTOMS

ASKS = {"Do you have any of these now?"}


@pytest.fixture
def patient_id(clinic: Clinic, doctor_id: int) -> int:
    return clinic.critical_patient("李强", doctor_id)[0]


@pytest.fixture
def token(clinic: Clinic, patient_id: int) -> str:
    with transaction(clinic.pool) as conn:
        return links.issue_patient_link(conn, patient_id, now=clinic.clock(), valid_for=timedelta(days=1))


def answers(clinic: Clinic) -> list[tuple[Any, ...]]:
    with clinic.pool.connection() as conn:
        return conn.execute("select patient_id, symptoms, said_by from symptom_answer order by answer_id").fetchall()


def waiting(clinic: Clinic) -> int:
    with clinic.pool.connection() as conn:
        row = conn.execute("select count(*) from due where reason = 'symptoms'").fetchone()
        assert row is not None
        return int(row[0])


def page_of(clinic: Clinic, token: str) -> str:
    return clinic.client().get(f"/me/{token}?lang=en").text


def test_the_page_asks_and_keeps_what_is_said(clinic: Clinic, patient_id: int, token: str) -> None:
    assert "Do you have any of these now?" in page_of(clinic, token)
    answer = clinic.client().post(f"/me/{token}/symptoms", data={"answer": "no"}, follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (303, f"/me/{token}")
    page = page_of(clinic, token)
    assert "you said no. If that changes, say so." in page
    assert "Do you have any of these now?" in page, "it may change"
    clinic.client().post(f"/me/{token}/symptoms", data={"answer": "yes"})
    page = page_of(clinic, token)
    assert "you said yes. Your clinic is being told." in page
    assert "Do you have any of these now?" not in page
    assert answers(clinic) == [(patient_id, [], None), (patient_id, ["some"], None)]
    assert waiting(clinic) == 2


def test_the_api_takes_the_symptoms_by_name(clinic: Clinic, patient_id: int, token: str) -> None:
    url = f"/api/v1/own/{token}/symptoms"
    said = {"symptoms": ["vomiting", "chest_pain"]}
    assert clinic.client().post(url, json=said).status_code == 204
    assert answers(clinic) == [(patient_id, ["chest_pain", "vomiting"], None)]
    for wrong in ({"symptoms": ["tired"]}, {}, {"symptoms": "vomiting"}, {"symptoms": [], "more": 1}):
        assert clinic.client().post(url, json=wrong).status_code == 422
    assert len(answers(clinic)) == 1


def test_nobody_is_asked_where_there_is_no_critical_alert(clinic: Clinic, doctor_id: int) -> None:
    well = clinic.add_patient("王秀英", doctor_id)
    with transaction(clinic.pool) as conn:
        token = links.issue_patient_link(conn, well, now=clinic.clock(), valid_for=timedelta(days=1))
    assert "Do you have any of these now?" not in page_of(clinic, token)
    refused = clinic.client().post(f"/api/v1/own/{token}/symptoms", json={"symptoms": []})
    assert (refused.status_code, refused.json()["detail"]) == (409, "the question is not open")
    assert (
        clinic.client().post(f"/me/{token}/symptoms", data={"answer": "yes"}, follow_redirects=False).status_code == 303
    )
    assert answers(clinic) == []


def test_a_link_that_is_none_says_nothing(clinic: Clinic, token: str) -> None:
    assert clinic.client().post("/api/v1/own/nothing/symptoms", json={"symptoms": []}).status_code == 404
    assert clinic.client().post("/me/nothing/symptoms", data={"answer": "no"}).status_code == 404


def test_another_sites_page_answers_for_nobody(clinic: Clinic, token: str) -> None:
    forged = clinic.client().post(
        f"/me/{token}/symptoms", data={"answer": "yes"}, headers={"Sec-Fetch-Site": "cross-site"}
    )
    assert forged.status_code == 403
    assert answers(clinic) == []


def test_whoever_found_the_link_fills_no_table(clinic: Clinic, patient_id: int, token: str) -> None:
    with clinic.pool.connection() as conn:
        conn.execute(
            "insert into symptom_answer (patient_id, answered_at, symptoms) select %s, now(), '{}' from generate_series(1, %s)",
            (patient_id, ANSWERS_A_DAY - 1),
        )
    url = f"/api/v1/own/{token}/symptoms"
    assert [clinic.client().post(url, json={"symptoms": []}).status_code for _ in range(2)] == [204, 409]


def test_what_was_said_stays(clinic: Clinic, token: str) -> None:
    clinic.client().post(f"/me/{token}/symptoms", data={"answer": "yes"})
    with clinic.pool.connection() as conn, pytest.raises(Exception, match="append-only"):
        conn.execute("update symptom_answer set symptoms = '{}'")


def test_the_codes_are_those_that_the_page_names() -> None:
    assert [code.replace("_", " ") for code in SymptomCode if code is not SymptomCode.SOME] == list(SYMPTOMS)


def test_a_rule_that_confirms_is_a_rule_that_asks() -> None:
    assert [rule_id for rule_id, text in texts_of(load_catalog()).items() if text.asks_symptoms] == ["bp-critical"]
