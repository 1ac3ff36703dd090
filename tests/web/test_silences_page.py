"""Silences on their page: made with a reason and an end, seen beside what sleeps, ended before their time."""

import httpx2
import pytest
from fix_clinic import Clinic, words_of
from playwright.sync_api import BrowserContext, expect

RULE = "bp-above-140-90-3-days"


@pytest.mark.chromium
def test_a_patients_alerts_are_silenced_and_told_again(clinic: Clinic, doctor_id: int, context: BrowserContext) -> None:
    patient_id, _ = clinic.high_patient("王秀英", doctor_id)
    client, _ = clinic.browser_client("doctor")
    context.add_cookies([{"name": "homevigil", "value": str(client.cookies["homevigil"]), "url": clinic.url}])
    page = context.new_page()
    page.goto(f"{clinic.url}/p/{patient_id}?lang=en")
    page.get_by_role("link", name="Silence alerts").click()
    expect(page.get_by_label("Patient", exact=True)).to_have_value(str(patient_id))
    page.get_by_label("Which alerts").select_option(RULE)
    page.get_by_label("For how long").select_option("week")
    page.get_by_label("Why").fill("in hospital until Friday")
    page.get_by_role("button", name="Silence", exact=True).click()
    expect(page.get_by_role("status")).to_contain_text("Silenced.")

    page.goto(f"{clinic.url}/?tab=snoozed")
    silent = page.get_by_role("region", name="Patients whose alerts are silent")
    expect(silent.get_by_role("listitem")).to_contain_text("in hospital until Friday · Dr. Lin")
    silent.get_by_role("button", name="End now: 王秀英").click()
    expect(page.get_by_text("Nothing is silent: every alert is told.")).to_be_visible()
    assert clinic.rows("select rule_id, ended_at is not null as ended from silence") == [
        {"rule_id": RULE, "ended": True}
    ]


def test_what_has_no_reason_or_is_too_long_or_anothers_is_not_silenced(clinic: Clinic, doctor_id: int) -> None:
    patient_id, _ = clinic.high_patient("王秀英", doctor_id)
    stranger = clinic.add_patient("Stranger", clinic.add_user("other"))
    browser, csrf_token = clinic.browser_client("doctor")

    def post(**form: object) -> httpx2.Response:
        body = {"csrf_token": csrf_token, "patient": patient_id, "reason": "away", "lasting": "week"} | form
        return browser.post("/silences?lang=en", data={key: str(value) for key, value in body.items()})

    assert "Nothing was silenced" in words_of(post(reason=" ").text)
    refused = post(rule="bp-critical", reason="away till Friday")
    assert refused.status_code == 409
    assert "away till Friday" in refused.text  # what was typed stays
    assert post(patient=stranger).status_code == 404
    assert post(lasting="for_ever").status_code == 422
    assert clinic.rows("select from silence") == []

    assert post().status_code == 303
    (made,) = clinic.rows("select silence_id from silence")
    end = f"/silences/{made['silence_id']}/end"
    assert browser.post(end, data={"csrf_token": csrf_token, "if_match": "1"}).status_code == 303
    again = browser.post(f"{end}?lang=en", data={"csrf_token": csrf_token, "if_match": "1"})
    assert (again.status_code, "has ended already" in again.text) == (409, True)
    theirs, their_token = clinic.browser_client("other")
    assert theirs.post(end, data={"csrf_token": their_token, "if_match": "2"}).status_code == 404
    assert "王秀英" not in theirs.get("/silences").text


@pytest.mark.chromium
def test_a_row_of_the_worklist_says_that_it_is_silent_until_when_and_by_whom(
    clinic: Clinic, doctor_id: int, context: BrowserContext
) -> None:
    patient_id, _ = clinic.high_patient("王秀英", doctor_id)
    other_id, _ = clinic.high_patient("赵敏", doctor_id)
    client, csrf_token = clinic.browser_client("doctor")
    form = {"csrf_token": csrf_token, "patient": str(patient_id), "reason": "away", "lasting": "day", "rule": RULE}
    assert client.post("/silences", data=form).status_code == 303
    context.add_cookies([{"name": "homevigil", "value": str(client.cookies["homevigil"]), "url": clinic.url}])
    page = context.new_page()
    page.set_viewport_size({"width": 360, "height": 780})
    page.goto(f"{clinic.url}/?lang=en")

    mark = page.locator(f"#patient-{patient_id}").get_by_role("link", name="Silent until")
    mark.focus()

    expect(mark).to_contain_text("By Dr. Lin.")
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    expect(page.locator(f"#patient-{other_id}").get_by_role("link", name="Silent until")).to_have_count(0)
    mark.click()
    expect(page.get_by_label("Patient", exact=True)).to_have_value(str(patient_id))
