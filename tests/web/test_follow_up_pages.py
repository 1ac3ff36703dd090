"""The pages of follow-ups, plans and figures: what a nurse reads and presses, in both languages, and once in a real browser."""

from datetime import timedelta

import httpx2
import pytest
from fix_clinic import Clinic, words_of
from playwright.sync_api import BrowserContext, expect

from server.people import links
from server.store.postgres import transaction


@pytest.fixture
def signed_in(clinic: Clinic, doctor_id: int) -> tuple[httpx2.Client, str]:
    return clinic.browser_client("doctor")


def looked(browser: httpx2.Client, path: str, lang: str = "en") -> str:
    answer = browser.get(f"{path}{'&' if '?' in path else '?'}lang={lang}")
    assert answer.status_code == 200, answer.text
    return " ".join(words_of(answer.text).split())


def test_the_list_says_whom_to_call_and_why_and_one_press_notes_the_call(
    clinic: Clinic, doctor_id: int, signed_in: tuple[httpx2.Client, str]
) -> None:
    browser, csrf_token = signed_in
    patient_id, _ = clinic.high_patient("王秀英", doctor_id, phone="139 0000 1111")
    page = browser.get("/follow-ups?lang=en").text
    assert 'href="tel:13900001111"' in page
    assert "Blood pressure above 140/90 on 3 measured days in a row: 152/94, 149/92, 155/96" in words_of(page)
    (task,) = clinic.rows("select follow_up_id, version from follow_up where patient_id = %s", patient_id)
    address = f"/follow-ups/{task['follow_up_id']}"
    form = {"csrf_token": csrf_token, "if_match": str(task["version"]), "result": "no_answer"}
    done = browser.post(f"{address}/call?tab=all", data=form)
    assert (done.status_code, done.headers["Location"]) == (303, "/follow-ups?tab=all")
    assert "1 call without an answer" in looked(browser, "/follow-ups?tab=all")
    assert "Nobody is to be called today." in looked(browser, "/follow-ups")
    assert "今天没有需要联系的患者。" in looked(browser, "/follow-ups", "zh")

    late = browser.post(f"{address}/call?lang=en", data=form)
    assert late.status_code == 412
    assert "somebody else has been here" in words_of(late.text)
    reached = form | {
        "if_match": "3",
        "result": "reached",
        "outcome": "advised",
        "note": "will measure again",
        "next_day": "2026-12-24",
    }
    reached["if_match"] = str(clinic.rows("select version from follow_up")[0]["version"])
    assert browser.post(f"{address}/call", data=reached).status_code == 303
    life = looked(browser, address)
    assert "Called · Reached" in life
    assert "will measure again" in life
    assert "It is not settled: open it again" in life


def test_what_makes_no_sense_is_refused_in_words(
    clinic: Clinic, doctor_id: int, signed_in: tuple[httpx2.Client, str]
) -> None:
    browser, csrf_token = signed_in
    clinic.high_patient("王秀英", doctor_id)
    (task,) = clinic.rows("select follow_up_id, version from follow_up")
    address = f"/follow-ups/{task['follow_up_id']}"
    form = {"csrf_token": csrf_token, "if_match": str(task["version"]), "result": "reached"}
    refused = browser.post(f"{address}/call?lang=en", data=form)
    assert refused.status_code == 422
    assert "say how it ended, or a day ahead" in words_of(refused.text)
    assert browser.post(f"{address}/call", data=form | {"csrf_token": "x"}).status_code == 403
    clinic.add_user("stranger")
    stranger, token = clinic.browser_client("stranger")
    assert stranger.get(address).status_code == 404
    assert stranger.post(f"{address}/call", data=form | {"csrf_token": token}).status_code == 404
    assert clinic.rows("select version from follow_up") == [{"version": task["version"]}]


def test_a_plan_is_agreed_by_one_form_and_shown_on_the_patients_own_page(
    clinic: Clinic, doctor_id: int, signed_in: tuple[httpx2.Client, str]
) -> None:
    browser, csrf_token = signed_in
    patient_id = clinic.add_patient("王秀英", doctor_id, conditions=("I10",))
    address = f"/p/{patient_id}/plan"
    assert "Nothing is agreed" in looked(browser, address)
    assert 'value="07:30 19:30"' in browser.get(f"{address}?template=pressure-adjustment").text
    form = {
        "csrf_token": csrf_token,
        "if_match": "0",
        "rows": "3",
        "what_0": "measure:blood_pressure",
        "at_0": "07:30, 19:30",
        "day_0": ["1", "4"],
        "readings_0": "2",
        "what_1": "medicine",
        "at_1": "00:00",
        "name_1": "氨氯地平",
        "dose_1": "5 mg",
        "day_1": ["1", "2", "3", "4", "5", "6", "7"],
        "what_2": "",
        "call_every_days": "14",
        "reminders_a_day": "4",
        "reason": "agreed at the visit",
    }
    for wrong, says in (
        ({"at_0": "half past seven"}, "write times as 07:30"),
        ({"reason": " "}, "say why, in a few words"),
    ):
        refused = browser.post(f"{address}?lang=en", data=form | wrong)
        assert refused.status_code == 422
        assert says in words_of(refused.text)
    assert browser.post(address, data=form).status_code == 303
    said = looked(browser, address)
    assert "Measure blood pressure, Mon, Thu, 07:30, 19:30, 2 readings each time" in said
    assert "Take a medicine: 氨氯地平 5 mg, every day, 00:00" in said
    assert "counts as silent after 8" in said
    assert "服药：氨氯地平 5 mg，每天，00:00" in looked(browser, address, "zh")
    assert browser.post(address, data=form).status_code == 412

    clinic.clock.ahead = timedelta(days=1)
    with transaction(clinic.pool) as conn:
        token = links.issue_patient_link(conn, patient_id, now=clinic.clock(), valid_for=timedelta(days=2))
    own = clinic.client()
    page = own.get(f"/me/{token}?lang=zh").text
    assert "我今天的计划" in page
    assert "氨氯地平 5 mg" in page
    (key,) = {each.split('"')[0] for each in page.split('name="occasion" value="')[1:]}
    assert own.post(f"/me/{token}/taken", data={"occasion": key, "said": "not_done"}).status_code == 303
    assert "已记下，谢谢" in own.get(f"/me/{token}?lang=zh").text


def test_the_figures_are_shown_with_what_they_mean(
    clinic: Clinic, doctor_id: int, signed_in: tuple[httpx2.Client, str]
) -> None:
    clinic.high_patient("王秀英", doctor_id)
    english, chinese = (looked(signed_in[0], "/programme", lang) for lang in ("en", "zh"))
    assert "Alerts to staff for each patient and day 0.011 1 in 90 patient-days published elsewhere: 0.10" in english
    assert "血压达标（家庭血压低于 135/85）" in chinese
    assert "失联的患者 1" in chinese
    clinic.add_user("admin", "admin")
    admin, _ = clinic.browser_client("admin")
    assert "Too few patients: no figures of the house are shown." in looked(admin, "/programme")
    assert "王秀英" not in admin.get("/programme").text


@pytest.mark.chromium
def test_a_nurse_works_through_the_list_by_keyboard_in_a_browser(
    clinic: Clinic, doctor_id: int, context: BrowserContext
) -> None:
    for name in ("王秀英", "李强"):
        clinic.high_patient(name, doctor_id, phone="139 0000 1111")
    client, _ = clinic.browser_client("doctor")
    context.add_cookies([{"name": "homevigil", "value": str(client.cookies["homevigil"]), "url": clinic.url}])
    page = context.new_page()
    page.goto(f"{clinic.url}/follow-ups?lang=en")
    page.keyboard.press("j")
    page.keyboard.press("j")
    second = page.locator(".follow-up").nth(1)
    expect(second).to_be_focused()
    second.locator("summary", has_text="Reached…").click()
    second.get_by_label("What was said (optional)").fill("feels well")
    second.get_by_role("button", name="Settled").click()
    expect(page.locator(".follow-up")).to_have_count(1)
    page.get_by_role("button", name="No answer: ").click()
    expect(page.get_by_text("Nobody is to be called today.")).to_be_visible()
