"""The page of a patient's rules: what judges them, with which numbers, and what a doctor decides, in both languages."""

import httpx2
import pytest
from fix_clinic import Clinic, words_of

THREE_DAYS = "bp-above-140-90-3-days"
GUIDELINE = "bp-at-130-80-3-days"


@pytest.fixture
def signed_in(clinic: Clinic, doctor_id: int) -> tuple[httpx2.Client, str]:
    return clinic.browser_client("doctor")


def looked(browser: httpx2.Client, patient_id: int, lang: str = "en") -> str:
    return " ".join(words_of(browser.get(f"/p/{patient_id}/rules?lang={lang}").text).split())


def decide(
    signed_in: tuple[httpx2.Client, str], patient_id: int, rule_id: str = THREE_DAYS, **form: object
) -> httpx2.Response:
    browser, csrf_token = signed_in
    said = {"csrf_token": csrf_token, "if_match": "0", "watch": "as_the_rule_says", "reason": "frail"}
    return browser.post(f"/p/{patient_id}/rules/{rule_id}?lang=en", data=said | form)


def test_it_says_which_rules_judge_the_patient(
    clinic: Clinic, doctor_id: int, signed_in: tuple[httpx2.Client, str]
) -> None:
    patient_id = clinic.add_patient("王秀英", doctor_id)
    english, chinese = (looked(signed_in[0], patient_id, lang) for lang in ("en", "zh"))
    assert (
        "Blood pressure above 140/90 on 3 measured days in a row Judges this patient · systolic pressure 140" in english
    )
    assert "Blood pressure at or above 130/80 on 3 measured days in a row Does not judge this patient" in english
    assert "连续 3 个测量日血压高于 140/90 用于该患者 · 收缩压 140" in chinese
    assert f'href="/p/{patient_id}/rules"' in signed_in[0].get(f"/p/{patient_id}").text


def test_a_doctor_sets_own_numbers_with_a_reason(
    clinic: Clinic, doctor_id: int, signed_in: tuple[httpx2.Client, str]
) -> None:
    patient_id, _ = clinic.high_patient("王秀英", doctor_id)
    done = decide(signed_in, patient_id, name=["systolic", "diastolic"], number=["160", ""])
    assert (done.status_code, done.headers["Location"]) == (303, f"/p/{patient_id}/rules#{THREE_DAYS}")
    said = looked(signed_in[0], patient_id)
    assert "systolic pressure 160 (the rule's: 140) · diastolic pressure 90" in said
    assert ": frail" in said
    row = clinic.rows("select parameters, set_by from patient_threshold where patient_id = %s", patient_id)
    assert row == [{"parameters": {"systolic": 160}, "set_by": "doctor"}]


@pytest.mark.parametrize(
    ("form", "status", "says"),
    [
        ({"name": ["systolic"], "number": ["1000"]}, 422, "these numbers do not fit the rule"),
        ({"name": ["systolic"], "number": ["high"]}, 422, "these numbers do not fit the rule"),
        ({"name": ["systolic", "diastolic"], "number": ["150"]}, 422, "these numbers do not fit the rule"),
        ({"name": ["weight"], "number": ["80"]}, 422, "these numbers do not fit the rule"),
        ({"name": ["systolic"], "number": ["150"], "reason": " "}, 422, "say why this patient needs other numbers"),
        ({"name": ["systolic"], "number": ["150"], "if_match": "3"}, 412, "somebody else has decided"),
        ({}, 412, "it is so already"),
    ],
)
def test_what_cannot_be_set_is_said_and_nothing_is_changed(
    clinic: Clinic,
    doctor_id: int,
    signed_in: tuple[httpx2.Client, str],
    form: dict[str, object],
    status: int,
    says: str,
) -> None:
    patient_id = clinic.add_patient("王秀英", doctor_id)
    answer = decide(signed_in, patient_id, **form)
    assert answer.status_code == status
    assert says in words_of(answer.text)
    assert clinic.rows("select * from patient_threshold") == []


def test_what_is_proposed_is_chosen_with_one_button(
    clinic: Clinic, doctor_id: int, signed_in: tuple[httpx2.Client, str]
) -> None:
    patient_id = clinic.add_patient("王秀英", doctor_id, conditions=("E11.9",))
    browser, csrf_token = signed_in
    assert "Usually chosen for such a patient" in looked(browser, patient_id)
    done = browser.post(f"/p/{patient_id}/rules/presets", data={"csrf_token": csrf_token})
    assert done.status_code == 303
    said = looked(browser, patient_id)
    assert "Usually chosen for such a patient" not in said
    assert "130/80 on 3 measured days in a row Judges this patient" in said
    assert "preset: diabetes" in said


def test_a_nurse_sees_and_does_not_decide(clinic: Clinic, doctor_id: int) -> None:
    patient_id = clinic.add_patient("王秀英", doctor_id, conditions=("E11.9",))
    clinic.put_on_panel(clinic.add_user("nurse", "nurse"), patient_id)
    nurse = clinic.browser_client("nurse")
    assert "Decide" not in looked(nurse[0], patient_id)
    assert decide(nurse, patient_id, name=["systolic"], number=["150"]).status_code == 403
    assert nurse[0].post(f"/p/{patient_id}/rules/presets", data={"csrf_token": nurse[1]}).status_code == 403
    assert clinic.rows("select * from patient_threshold") == []


def test_a_stranger_sees_nothing_and_a_forged_form_does_nothing(clinic: Clinic, doctor_id: int) -> None:
    patient_id = clinic.add_patient("王秀英", doctor_id)
    clinic.add_user("stranger")
    stranger = clinic.browser_client("stranger")
    assert stranger[0].get(f"/p/{patient_id}/rules").status_code == 404
    assert decide(stranger, patient_id, name=["systolic"], number=["150"]).status_code == 404
    forged = decide(clinic.browser_client("doctor"), patient_id, name=["systolic"], number=["150"], csrf_token="x")
    assert forged.status_code == 403
    assert clinic.rows("select * from patient_threshold") == []
