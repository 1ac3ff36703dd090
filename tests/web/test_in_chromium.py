"""The pages in a real browser: signing in, deciding from a row, news that moves nothing, and nobody else's host."""

import re
from datetime import timedelta

import pytest
from fix_chromium import SignIn
from fix_clinic import PASSWORD, Clinic
from playwright.sync_api import BrowserContext, Page, expect

from server.people import links
from server.store.postgres import transaction

pytestmark = pytest.mark.chromium


@pytest.mark.parametrize(
    ("language", "heading", "button", "told"),
    [
        ("en", "1 of 2 patients need attention", "Acknowledge", "You have acknowledged it."),
        ("zh", "2 位患者中有 1 位需要关注", "确认", "您已确认。"),
    ],
)
def test_acknowledging_changes_the_row_and_the_record(
    clinic: Clinic, doctor_id: int, sign_in: SignIn, language: str, heading: str, button: str, told: str
) -> None:
    patient_id, episode_id = clinic.high_patient("王秀英", doctor_id)
    clinic.add_patient("李强", doctor_id)
    page = sign_in(language=language)
    row = page.locator(f"#patient-{patient_id}")
    expect(page.get_by_role("heading", level=1)).to_have_text(heading)
    expect(row).to_contain_text("152/94")

    row.get_by_role("button", name=button).click()

    expect(row.get_by_role("status")).to_have_text(told)
    expect(row.locator(".reason")).to_have_attribute("data-state", "acknowledged")
    expect(row).to_contain_text("Dr. Lin")
    assert page.url == f"{clinic.url}/"  # in place, without a new page
    assert clinic.rows("select state, acknowledged_by, version from episode") == [
        {"state": "acknowledged", "acknowledged_by": doctor_id, "version": 2}
    ]
    page.goto(f"{clinic.url}/?tab=in_hand")
    expect(page.locator(f"#patient-{patient_id} [data-episode='{episode_id}']")).to_be_visible()


def test_resolving_takes_an_outcome_and_a_note(clinic: Clinic, doctor_id: int, sign_in: SignIn) -> None:
    patient_id, episode_id = clinic.high_patient("王秀英", doctor_id)
    page = sign_in()
    row = page.locator(f"#patient-{patient_id}")

    row.get_by_label("Outcome: 王秀英").click()
    row.get_by_label("Note (optional)").fill("took the tablet late")
    row.get_by_role("button", name="Medication changed").click()

    expect(row.get_by_role("status")).to_have_text("Resolved: Medication changed.")
    expect(row.locator(".reason")).to_have_attribute("data-state", "resolved")  # it keeps its place
    row.get_by_role("button", name="Yes").click()
    expect(row.get_by_role("status")).to_have_text("Thank you: that is counted for this rule.")
    assert clinic.rows("select state, resolution, is_useful from episode") == [
        {"state": "resolved", "resolution": "medication_changed", "is_useful": True}
    ]
    page.goto(f"{clinic.url}/a/{episode_id}")
    happened = page.get_by_role("region", name="What happened")
    expect(happened).to_contain_text("Resolved · Dr. Lin · Medication changed took the tablet late")


def test_of_two_browsers_the_second_is_told_and_nothing_is_changed(
    clinic: Clinic, doctor_id: int, sign_in: SignIn, context: BrowserContext
) -> None:
    patient_id, _ = clinic.high_patient("王秀英", doctor_id)
    clinic.put_on_panel(clinic.add_user("nurse", "nurse", name="Wang Min"), patient_id)
    doctors = sign_in()
    row = doctors.locator(f"#patient-{patient_id}")
    row.hover()  # so that it stays as it was read
    assert context.browser is not None
    nurses_context = context.browser.new_context()
    nurses = sign_in("nurse", page=nurses_context.new_page())
    nurses.locator(f"#patient-{patient_id}").get_by_role("button", name="Acknowledge").click()
    expect(nurses.get_by_text("You have acknowledged it.")).to_be_visible()

    row.get_by_role("button", name="Acknowledge").click()

    told = row.get_by_role("status")
    expect(told).to_contain_text(re.compile(r"Nothing was changed: Wang Min decided .* It is now: Acknowledged\."))
    expect(row.get_by_role("button", name="Acknowledge")).to_have_count(0)  # the row is as it is now
    assert clinic.rows("select version from episode") == [{"version": 2}]
    nurses_context.close()


def test_news_is_announced_and_moves_no_row(clinic: Clinic, doctor_id: int, sign_in: SignIn) -> None:
    clinic.high_patient("王秀英", doctor_id)
    page = sign_in()
    rows = page.locator(".row")
    place = rows.first.bounding_box()
    expect(rows).to_have_count(1)

    rows.first.hover()

    clinic.critical_patient("李强", doctor_id)

    bar = page.locator(".news")
    expect(bar).to_have_text("1 new – show")
    expect(rows).to_have_count(1)
    assert rows.first.bounding_box() == place
    bar.click()
    expect(rows).to_have_count(2)
    expect(rows.first).to_contain_text("李强")  # the graver one comes first


def test_ones_own_decision_is_no_news_and_anothers_is_shown_in_its_row(
    clinic: Clinic, doctor_id: int, sign_in: SignIn
) -> None:
    """A row that changes is shown anew where it stands, but not while somebody is at it or at one below it."""
    above_id, above_alert = clinic.critical_patient("李强", doctor_id)
    below_id, _ = clinic.high_patient("王秀英", doctor_id)
    page = sign_in()
    above, below = page.locator(f"#patient-{above_id}"), page.locator(f"#patient-{below_id}")
    below.get_by_role("button", name="Acknowledge").click()
    expect(below.get_by_role("status")).to_be_visible()
    place = below.bounding_box()

    program = clinic.client("doctor")
    program.post(f"/api/v1/alerts/{above_alert}/acknowledge", headers={"If-Match": '"1"'}).raise_for_status()

    expect(above.locator(".stale-note")).to_be_visible()
    expect(above.locator(".reason")).to_have_attribute("data-state", "active")
    assert below.bounding_box() == place
    expect(page.locator(".news")).to_have_count(0)
    page.evaluate("document.activeElement.blur()")
    page.mouse.move(5, 5)
    expect(above.locator(".reason")).to_have_attribute("data-state", "acknowledged")


def test_who_leaves_the_panel_leaves_the_open_page(clinic: Clinic, doctor_id: int, sign_in: SignIn) -> None:
    patient_id, _ = clinic.high_patient("王秀英", doctor_id)
    page = sign_in()
    row = page.locator(f"#patient-{patient_id}")
    expect(row).to_contain_text("152/94")
    page.mouse.move(5, 5)

    clinic.rows("update patient set doctor_id = null where patient_id = %s returning 1", patient_id)

    expect(row).to_have_text("No longer on your panel.")


def test_a_page_left_open_leads_to_signing_in_when_its_session_ends(
    clinic: Clinic, doctor_id: int, sign_in: SignIn
) -> None:
    page = sign_in()
    clinic.clock.ahead = timedelta(hours=1)

    page.wait_for_url(f"{clinic.url}/login")


def test_a_database_that_is_away_costs_neither_the_list_nor_the_news(
    clinic: Clinic, doctor_id: int, sign_in: SignIn
) -> None:
    patient_id, _ = clinic.high_patient("王秀英", doctor_id)
    page = sign_in()
    row = page.locator(f"#patient-{patient_id}")
    clinic.pool.close()

    row.get_by_role("button", name="Acknowledge").click()

    expect(row.get_by_role("alert")).to_contain_text("The service does not answer at the moment.")
    expect(row).to_contain_text("152/94")
    expect(page.locator("#news")).to_have_count(1)


def test_everything_works_without_scripts(clinic: Clinic, doctor_id: int, context: BrowserContext) -> None:
    patient_id, episode_id = clinic.high_patient("王秀英", doctor_id)
    assert context.browser is not None
    plain = context.browser.new_context(java_script_enabled=False)
    page = plain.new_page()
    page.goto(f"{clinic.url}/login?lang=en&next=/p/{patient_id}")
    page.get_by_label("Login").fill("doctor")
    page.get_by_label("Password").fill(PASSWORD)
    page.locator("main button.primary").click()

    page.get_by_role("button", name="Acknowledge").click()

    page.wait_for_url(f"{clinic.url}/a/{episode_id}?told=acknowledged")
    expect(page.locator(".state-word")).to_have_text("Acknowledged")
    plain.close()


def test_an_alert_leads_to_exactly_the_readings_it_rests_on(clinic: Clinic, doctor_id: int, sign_in: SignIn) -> None:
    patient_id, _ = clinic.high_patient("王秀英", doctor_id)
    page = sign_in()

    page.locator(f"#patient-{patient_id} .sentence a").click()

    evidence = page.get_by_role("region", name="Readings that the rule judged").locator("tbody tr")
    expect(evidence.locator(".value")).to_have_text(["152/94", "152/94", "149/92", "149/92", "155/96", "155/96"])
    expect(page.locator("code")).to_have_text("bp-above-140-90-3-days")
    expect(page.get_by_text("AHA/ACC 2025")).to_be_visible()
    page.locator(".facts a").first.click()
    expect(page.get_by_role("heading", level=1)).to_have_text("王秀英")


@pytest.mark.parametrize(
    ("language", "more", "other", "says"),
    [
        ("en", "Look into or correct: 155/96", "王建国", "Moved to 王建国: somebody else measured"),
        ("zh", "查看或更正：155/96", "王建国", "移至王建国：由他人测量"),
    ],
)
def test_a_reading_is_moved_to_its_patient_by_keyboard_alone(
    clinic: Clinic, doctor_id: int, sign_in: SignIn, language: str, more: str, other: str, says: str
) -> None:
    patient_id, _ = clinic.high_patient("王秀英", doctor_id)
    other_id = clinic.add_patient(other, doctor_id)
    page = sign_in(language=language)
    page.goto(f"{clinic.url}/p/{patient_id}")
    page.get_by_role("link", name=more).first.focus()
    page.keyboard.press("Enter")
    form = page.locator("form[action$='/reassign']")
    form.locator("select").first.focus()

    for key in ("ArrowDown", "Tab", "ArrowDown", "Tab", "Tab", "Enter"):
        page.keyboard.press(key)

    expect(page.locator(".told")).to_contain_text(says)
    expect(page.get_by_role("heading", level=1)).to_have_class("struck")
    owners = clinic.rows("select patient_id from reading_elsewhere")
    assert owners == [{"patient_id": other_id}]


def test_the_language_can_be_switched_and_stays(clinic: Clinic, doctor_id: int, sign_in: SignIn) -> None:
    page = sign_in(language="en")

    page.get_by_role("button", name="Menu").click()
    page.get_by_role("link", name="中文").click()

    expect(page.get_by_role("link", name="工作列表")).to_be_visible()
    page.goto(f"{clinic.url}/inbox")
    expect(page.get_by_role("heading", level=1)).to_have_text("收件箱")
    assert page.locator("html").get_attribute("lang") == "zh-CN"


def test_the_inbox_counts_what_is_unread_until_it_is_marked(clinic: Clinic, doctor_id: int, sign_in: SignIn) -> None:
    clinic.high_patient("王秀英", doctor_id)
    clinic.deliver()
    page = sign_in()
    expect(page.locator(".unread")).to_have_text("1 unread")

    page.goto(f"{clinic.url}/inbox")
    page.get_by_role("button", name="Mark these as read").click()

    expect(page.locator(".unread")).to_have_count(0)
    expect(page.locator(".message")).to_have_count(1)


def test_signing_out_ends_at_the_form(clinic: Clinic, doctor_id: int, sign_in: SignIn) -> None:
    page = sign_in()

    page.get_by_role("button", name="Menu").click()
    page.get_by_role("button", name="Sign out").click()

    page.wait_for_url(f"{clinic.url}/login")
    page.goto(f"{clinic.url}/")
    page.wait_for_url(f"{clinic.url}/login")


def test_the_own_page_is_large_enough_and_reads_itself_aloud(
    clinic: Clinic, doctor_id: int, context: BrowserContext
) -> None:
    patient_id, _ = clinic.critical_patient("李强", doctor_id)
    clinic.deliver()
    with transaction(clinic.pool) as conn:
        token = links.issue_patient_link(conn, patient_id, now=clinic.clock(), valid_for=timedelta(days=1))
    page = context.new_page()
    page.set_viewport_size({"width": 390, "height": 844})
    page.add_init_script("window.spoken = []; window.speechSynthesis.speak = (each) => window.spoken.push(each);")
    page.goto(f"{clinic.url}/me/{token}")

    page.get_by_role("button", name="朗读").click()

    spoken = page.evaluate("[window.spoken[0].lang, window.spoken[0].text]")
    assert spoken[0] == "zh-CN"
    assert "高压 188，低压 112" in spoken[1]
    assert "拨打 120" in spoken[1]
    assert _pixels(page, ".value") >= 64
    assert _pixels(page, "body") >= 24  # 18 pt
    for target in page.locator("a:visible, button:visible").all():
        box = target.bounding_box()
        assert box is not None
        assert box["height"] >= 48, target.inner_text()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    expect(page.get_by_role("link", name="拨打 120")).to_have_attribute("href", "tel:120")


def test_no_page_asks_another_host_for_anything(
    clinic: Clinic, doctor_id: int, sign_in: SignIn, context: BrowserContext
) -> None:
    patient_id, episode_id = clinic.critical_patient("李强", doctor_id)
    clinic.deliver()
    with transaction(clinic.pool) as conn:
        token = links.issue_patient_link(conn, patient_id, now=clinic.clock(), valid_for=timedelta(days=1))
    asked: list[str] = []
    context.on("request", lambda request: asked.append(request.url))
    complaints: list[str] = []
    context.on("console", lambda message: complaints.append(message.text))

    page = sign_in()
    for path in ("/", "/?tab=all", f"/p/{patient_id}", f"/a/{episode_id}", "/inbox", f"/me/{token}", "/nothing"):
        page.goto(clinic.url + path)

    assert {url for url in asked if not url.startswith(clinic.url + "/")} == set()
    assert any(url.endswith("/static/clinic.css") for url in asked)
    assert [each for each in complaints if "Content Security Policy" in each] == []


def _pixels(page: Page, selector: str) -> float:
    size = page.locator(selector).first.evaluate("element => getComputedStyle(element).fontSize")
    return float(str(size).removesuffix("px"))


@pytest.mark.parametrize(
    ("language", "cancel", "begun", "told"),
    [
        ("en", "Cancel", "0 of 60 patients", "Cancelled. Nothing has been counted."),
        ("zh", "取消", "共 60 位患者，已完成 0 位", "已取消，未作统计。"),
    ],
)
def test_a_back_test_says_how_far_it_is_and_can_be_cancelled(
    clinic: Clinic, doctor_id: int, sign_in: SignIn, language: str, cancel: str, begun: str, told: str
) -> None:
    for number in range(60):
        clinic.add_patient(f"P{number}", doctor_id)
    page = sign_in(language=language)
    tried = f"{clinic.url}/rules/backtest?rule=bp-above-140-90-3-days&days=30"
    with transaction(clinic.pool) as conn:
        conn.execute("lock table reading in access exclusive mode")  # nobody can be judged for as long
        page.goto(tried, wait_until="commit")
        expect(page.get_by_role("progressbar")).to_have_attribute("max", "60")
        expect(page.locator(".step:visible")).to_have_text(begun)
        page.get_by_role("link", name=cancel).click(no_wait_after=True)
        expect(page.get_by_role("status")).to_have_text(told)
        expect(page.get_by_role("progressbar")).to_have_count(0)
        expect(page.locator("select[name=rule]")).to_have_value("bp-above-140-90-3-days")
    page.goto(tried)
    expect(page.locator("#cost")).to_be_visible()
    expect(page.get_by_role("progressbar")).to_have_count(0)  # the bar is out of sight
