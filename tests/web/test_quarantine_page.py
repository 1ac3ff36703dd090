"""The quarantine inbox as it is read and pressed, in both languages, in a real Chromium on a screen and on a phone."""

import re

import pytest
from fix_clinic import Clinic, words_of
from playwright.sync_api import BrowserContext, expect
from waiting_readings import NEW, home_of

from server.intake import Intake
from server.quarantine import Reason
from server.store.quarantine_inbox import SET_ASIDE_AS
from server.web.quarantine_words import REASONS, SET_ASIDE


def test_every_reason_to_set_aside_has_words_and_a_place_in_the_database() -> None:
    assert set(SET_ASIDE) == set(Reason) == set(SET_ASIDE_AS)
    assert all(told.advice for told in REASONS.values())


def test_the_page_says_what_waits_why_and_what_to_do_and_a_press_settles_it(clinic: Clinic, doctor_id: int) -> None:
    patient_id = clinic.add_patient("王秀英", doctor_id)
    home = home_of(clinic, 1, patient_id)
    home.measures(30, 20, slot=2, systolic=161)
    home.measures(10, slot=255)
    browser, csrf_token = clinic.browser_client("doctor")
    page = browser.get("/quarantine?lang=en").text
    said = " ".join(words_of(page).split())
    for each in (
        "Meter of nobody",
        NEW,
        "user 2",
        "guest",
        "Blood pressure 161/94 mmHg",
        "gateway gw-home-1",
        "What to do:",
    ):
        assert each in said
    for each in ("<style", " style=", "onclick"):
        assert each not in page
    chinese = " ".join(words_of(browser.get("/quarantine?lang=zh").text).split())
    assert "设备无主" in chinese
    assert "血压 161/94 mmHg" in chinese
    ids = [int(each) for each in re.findall(r'name="quarantine_ids" value="(\d+)"', page)]
    form = {"csrf_token": csrf_token, "gateway_id": home.gateway_id, "meter_id": NEW, "user_slot": "2"}

    without = browser.post("/quarantine/bind?lang=en", data=form)
    bound = browser.post("/quarantine/bind", data=form | {"patient_id": str(patient_id)})
    again = browser.post("/quarantine/assign?lang=en", data=form | {"patient_id": "987654", "quarantine_ids": ids})
    aside = browser.post("/quarantine/set-aside", data=form | {"reason": "not_a_patient", "quarantine_ids": [max(ids)]})

    assert (without.status_code, again.status_code) == (422, 404)
    assert "choose a patient" in words_of(without.text)
    assert "Nothing was changed" in words_of(again.text)
    assert (bound.status_code, bound.headers["Location"]) == (303, "/quarantine?told=taken&n=2&stay=0")
    assert "2 taken in; 0 stay here." in browser.get(bound.headers["Location"] + "&lang=en").text
    assert aside.headers["Location"] == "/quarantine?told=aside&n=1"
    assert "measured by somebody who is no patient" in words_of(browser.get("/quarantine?tab=set_aside&lang=en").text)
    assert clinic.rows("select count(*)::int as n from reading") == [{"n": 2}]
    assert browser.post("/quarantine/release", data={"quarantine_ids": ids}).status_code == 403, "without its token"


def test_a_name_that_a_gateway_sends_cannot_become_markup(clinic: Clinic) -> None:
    clinic.add_user("chief", "admin")
    Intake(clinic.pool).take(b"<script>alert(1)</script>", topic_gateway="<b>gw</b>")
    browser, _ = clinic.browser_client("chief")

    page = browser.get("/quarantine").text

    assert "<script>alert" not in page
    assert "<b>gw" not in page


@pytest.mark.chromium
def test_a_nurse_gives_a_meter_to_its_patient_in_a_browser(
    clinic: Clinic, doctor_id: int, context: BrowserContext
) -> None:
    she, he = clinic.add_patient("王秀英", doctor_id), clinic.add_patient("李强", doctor_id)
    neighbour = clinic.add_patient("赵敏", clinic.add_user("wu"))
    home_of(clinic, 1, she, he).measures(*range(10, 80, 2), slot=1)
    home_of(clinic, 2, he, neighbour).measures(5, meter_id="F0:00:00:10:AA:02")
    Intake(clinic.pool).take(b"no envelope", topic_gateway="gw-home-1")
    client, _ = clinic.browser_client("doctor")
    context.add_cookies([{"name": "homevigil", "value": str(client.cookies["homevigil"]), "url": clinic.url}])
    page = context.new_page()
    page.set_viewport_size({"width": 360, "height": 780})
    page.goto(f"{clinic.url}/quarantine?lang=en")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    card = page.locator("section", has_text="user 1")
    card.get_by_label("Whose is it?").select_option(label="王秀英")
    card.get_by_role("button", name="This user of the meter is theirs").click()

    expect(page.get_by_role("status")).to_have_text("35 taken in; 0 stay here.")
    expect(page.get_by_text("user 1")).to_have_count(0)
