"""Presets over HTTP: proposed by conditions and age, applied by a doctor, and never over what was decided by hand."""

from typing import Any

import httpx2
import pytest
from fix_clinic import Clinic
from vaults import rename

from server.store.postgres import transaction

THREE_DAYS = "bp-above-140-90-3-days"
GUIDELINE = "bp-at-130-80-3-days"


@pytest.fixture
def doctor(clinic: Clinic, doctor_id: int) -> httpx2.Client:
    return clinic.client("doctor")


def told(clinic: Clinic, patient_id: int, *codes: str, birth_date: str | None = None) -> None:
    """What presets look at is written in the patient's record."""
    clinic.rows("update patient set conditions = %s where patient_id = %s returning 1", list(codes), patient_id)
    with transaction(clinic.pool) as conn:
        rename(conn, patient_id, birth_date=birth_date)


def looked(client: httpx2.Client, patient_id: int) -> dict[str, dict[str, Any]]:
    answer = client.get(f"/api/v1/patients/{patient_id}/presets")
    assert answer.status_code == 200, answer.text
    return {each["rule_id"]: each for each in answer.json()["proposals"]}


def applied(client: httpx2.Client, patient_id: int) -> list[dict[str, Any]]:
    answer = client.post(f"/api/v1/patients/{patient_id}/presets")
    assert answer.status_code == 200, answer.text
    return list(answer.json()["thresholds"])


def test_a_patient_without_conditions_has_no_proposals(clinic: Clinic, doctor_id: int, doctor: httpx2.Client) -> None:
    assert looked(doctor, clinic.add_patient("王秀英", doctor_id)) == {}


def test_a_doctor_applies_what_is_proposed_once(clinic: Clinic, doctor_id: int, doctor: httpx2.Client) -> None:
    patient_id, _ = clinic.high_patient("王秀英", doctor_id)
    told(clinic, patient_id, "E11.9")
    before = looked(doctor, patient_id)
    assert {name: before[GUIDELINE][name] for name in ("is_watched", "because", "is_so")} == {
        "is_watched": True,
        "because": "diabetes",
        "is_so": False,
    }
    assert not before[THREE_DAYS]["is_watched"]
    assert len(clinic.judge(patient_id)) == 1

    set_now = applied(doctor, patient_id)

    assert {each["rule_id"]: each["reason"] for each in set_now}[GUIDELINE] == "preset: diabetes"
    assert {each["set_by"] for each in set_now} == {"doctor"}
    clinic.judge(patient_id)
    rows = clinic.rows("select rule_id, state from episode where patient_id = %s order by rule_id", patient_id)
    assert [(row["rule_id"], row["state"]) for row in rows] == [(THREE_DAYS, "resolved"), (GUIDELINE, "active")]
    assert all(each["is_so"] for each in looked(doctor, patient_id).values())
    assert applied(doctor, patient_id) == []


def test_what_was_decided_by_hand_stays(clinic: Clinic, doctor_id: int, doctor: httpx2.Client) -> None:
    patient_id = clinic.add_patient("王秀英", doctor_id)
    told(clinic, patient_id, "E11.9", birth_date="1930-02-28")
    doctor.put(
        f"/api/v1/patients/{patient_id}/thresholds/{THREE_DAYS}",
        headers={"If-Match": '"0"'},
        json={"parameters": {"systolic": 160.0}, "is_watched": True, "reason": "falls"},
    ).raise_for_status()
    found = looked(doctor, patient_id)[THREE_DAYS]
    assert (found["is_watched"], found["is_by_hand"]) == (False, True)
    assert THREE_DAYS not in {each["rule_id"] for each in applied(doctor, patient_id)}


def test_age_counts_from_the_birthday(clinic: Clinic, doctor_id: int, doctor: httpx2.Client) -> None:
    patient_id = clinic.add_patient("王秀英", doctor_id)
    told(clinic, patient_id, birth_date="1900-01-01")
    assert looked(doctor, patient_id)["bp-at-145-85-3-days"]["because"] == "age-80"
    told(clinic, patient_id, birth_date="2000-01-01")
    assert looked(doctor, patient_id) == {}


def test_only_a_doctor_who_has_the_patient_says_yes(clinic: Clinic, doctor_id: int, doctor: httpx2.Client) -> None:
    stranger_id = clinic.add_patient("李强", None)
    assert doctor.post(f"/api/v1/patients/{stranger_id}/presets").status_code == 404
    assert doctor.get(f"/api/v1/patients/{stranger_id}/presets").status_code == 404
    patient_id = clinic.add_patient("王秀英", doctor_id)
    clinic.put_on_panel(clinic.add_user("nurse", "nurse"), patient_id)
    assert clinic.client("nurse").post(f"/api/v1/patients/{patient_id}/presets").status_code == 403
