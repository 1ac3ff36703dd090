"""Who cares for whom, in the hands of whoever runs the clinic: by number, with a reason, with a history."""

from collections import Counter

import httpx2
import pytest
from fix_clinic import Clinic, words_of
from playwright.sync_api import BrowserContext, expect

from server.people import panels
from server.store.postgres import transaction

WHY = "Dr. Lin retires"


@pytest.mark.chromium
def test_patients_are_moved_one_by_one_and_all_at_once(clinic: Clinic, doctor_id: int, context: BrowserContext) -> None:
    successor = clinic.add_user("mei", name="Dr. Mei")
    first, second = (clinic.add_patient(name, doctor_id) for name in ("Zhao Min", "Li Qiang"))
    alone = clinic.add_patient("Sun Li", None)
    clinic.add_user("chief", "admin", name="Chief Zhou")
    client, _ = clinic.browser_client("chief")
    context.add_cookies([{"name": "homevigil", "value": str(client.cookies["homevigil"]), "url": clinic.url}])
    page = context.new_page()
    page.goto(f"{clinic.url}/admin/panels?lang=en")
    unkept = page.get_by_role("region", name="Nobody sees them")
    expect(unkept.get_by_role("listitem")).to_have_text(str(alone))
    for name in ("Zhao Min", "Li Qiang", "Sun Li"):
        expect(page.get_by_text(name)).to_have_count(0)

    unkept.get_by_role("link").click()
    put = page.get_by_role("region", name="On one more panel")
    put.get_by_label("To whom").select_option(str(successor))
    put.get_by_label("Why").fill("nobody had her")
    put.get_by_role("button").click()
    expect(page.get_by_role("status")).to_contain_text("Done.")
    history = page.get_by_role("region", name="How it came to be")
    expect(history.get_by_role("listitem")).to_contain_text("added: Dr. Mei nobody had her · Chief Zhou")

    page.goto(f"{clinic.url}/admin/panels?user={doctor_id}")
    everybody = page.get_by_role("region", name="Give everybody over")
    everybody.get_by_label("To whom").select_option(str(successor))
    everybody.get_by_label("Why").fill(WHY)
    everybody.get_by_role("button", name="Give 2 patients over").click()
    numbers = page.get_by_role("region", name="Patients").get_by_role("listitem")
    expect(numbers).to_have_text([f"{first} own doctor", f"{second} own doctor", str(alone)])

    mine, theirs = (clinic.client(login).get("/fhir/Patient").json().get("entry", []) for login in ("doctor", "mei"))
    assert (len(mine), len(theirs)) == (0, 3)
    with transaction(clinic.pool) as conn:
        kept = Counter((each.act, each.reason) for each in panels.history(conn, limit=9))
    assert kept == {("added", "nobody had her"): 1, ("transferred", WHY): 2}
    assert clinic.rows("select distinct reason from panel_change") == [{"reason": ""}], "sealed"


@pytest.fixture
def chief(clinic: Clinic) -> tuple[httpx2.Client, str]:
    clinic.add_user("chief", "admin")
    return clinic.browser_client("chief")


def test_a_change_without_a_reason_or_sense_changes_nothing_and_says_so(
    clinic: Clinic, doctor_id: int, chief: tuple[httpx2.Client, str]
) -> None:
    browser, csrf_token = chief
    nurse = clinic.add_user("nurse", "nurse")
    patient_id = clinic.add_patient("Zhao Min", doctor_id)

    def said(path: str = "/admin/panels", **form: object) -> tuple[int, str]:
        body = {"csrf_token": csrf_token, "patient": patient_id, "reason": WHY} | form
        answer = browser.post(f"{path}?lang=en", data={key: str(value) for key, value in body.items()})
        assert "Zhao" not in answer.text
        return answer.status_code, words_of(answer.text)

    for form, why in (
        ({"act": "added", "to_user": nurse, "reason": " "}, "say why"),
        ({"act": "doctor_set", "to_user": nurse}, "say why"),
        ({"act": "removed", "from_user": nurse}, "Nothing was changed"),
        ({"act": "added", "to_user": nurse, "patient": 999}, "There is no patient with this number"),
        ({"path": "/admin/panels/all", "user": doctor_id, "to_user": nurse}, "say why"),
        ({"path": "/admin/panels/all", "user": nurse, "to_user": doctor_id}, "Nothing was changed"),
    ):
        status, text = said(**form)  # type: ignore[arg-type]
        assert (status, why in text) == (409, True), form
    assert said(act="added", to_user=nurse, csrf_token="x")[0] == 403
    assert browser.get("/admin/panels?user=999").status_code == 404
    assert clinic.rows("select from panel_change") == []
    assert clinic.rows("select doctor_id from patient where patient_id = %s", patient_id) == [{"doctor_id": doctor_id}]
