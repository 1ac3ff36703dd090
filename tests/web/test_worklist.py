"""The worklist as a doctor works through it: order, tabs, filters, hidden names, decisions and their undoing, keys, the clock."""

from datetime import date, timedelta
from uuid import UUID

import httpx2
import pytest
from fix_clinic import PASSWORD, Clinic, local_at, words_of
from playwright.sync_api import BrowserContext, expect

from server import clock
from server.store.worklist import Alert
from server.store.worklist_rows import Member
from server.web.deciding import snoozed_until
from server.web.masking import mask_name
from server.web.worklist_order import Case, Change, filters_of, place

NOW = clock.now()


@pytest.fixture
def browser(clinic: Clinic, doctor_id: int) -> httpx2.Client:
    return clinic.browser_client("doctor")[0]


def test_severity_then_waiting_then_worsening_makes_the_order() -> None:
    urgent = _case(1, priority="high", waits=timedelta(minutes=3))
    long = _case(2, waits=timedelta(hours=30))
    worse = _case(3, waits=timedelta(hours=5, minutes=10), change=_change(150, 138))
    worst = _case(4, waits=timedelta(hours=5, minutes=5), change=_change(160, 138))
    better = _case(5, waits=timedelta(hours=5, minutes=50), change=_change(140, 155))
    taken = _case(6, priority="high", state="acknowledged", waits=timedelta(days=9))
    calm = Case(member=_member(7), alerts=())

    ordered = sorted([calm, taken, better, worse, long, worst, urgent], key=lambda case: place(case, NOW))

    assert [case.member.patient_id for case in ordered] == [1, 2, 4, 3, 5, 6, 7]


def test_a_filter_that_is_none_of_ours_filters_nothing() -> None:
    assert not filters_of(doctor="x", priority="green", q="  ").is_on
    assert filters_of(doctor="7", priority="high", q=" 王 ").parts() == {"doctor": "7", "priority": "high", "q": "王"}


def test_names_are_hidden_behind_as_many_stars_whatever_their_length() -> None:
    assert [mask_name(name) for name in ("李强", "欧阳秀英", "Wang Min", " 李强")] == ["李**", "欧**", "W**", "李**"]


@pytest.mark.parametrize(
    ("hour", "is_urgent", "hours"), [(14, False, 18), (1, False, 7), (5, False, 27), (5, True, 24)]
)
def test_tomorrow_morning_is_that_of_the_patients_clock(hour: int, is_urgent: bool, hours: int) -> None:
    now = local_at(1, hour)

    assert snoozed_until("morning", now, "Asia/Shanghai", is_urgent=is_urgent) - now == timedelta(hours=hours)


def test_filters_stand_in_the_address_and_hold_in_every_tab(
    clinic: Clinic, doctor_id: int, browser: httpx2.Client
) -> None:
    other = clinic.add_user("other", name="Dr. Zhao")
    clinic.high_patient("王秀英", doctor_id, conditions=("I10",))
    mine, _ = clinic.high_patient("李强", other, conditions=("E11.9",))
    clinic.put_on_panel(doctor_id, mine)

    by_doctor = browser.get(f"/?lang=en&doctor={other}").text
    by_condition = browser.get("/?lang=en&condition=I10").text
    by_name = browser.get("/?lang=en&tab=all&q=李").text
    by_severity = browser.get("/?lang=en&priority=high").text

    assert "王秀英" not in words_of(by_doctor)
    assert "李强" in words_of(by_doctor)
    assert "李强" not in words_of(by_condition)
    assert f"/?tab=all&amp;doctor={other}" in by_doctor
    assert "王秀英" not in words_of(by_name)
    assert "Nobody is here with these filters." in by_severity
    assert "2 of 2 patients need attention" in by_severity  # how many there are is not filtered away


def test_a_long_list_comes_in_parts_and_misses_nobody(clinic: Clinic, doctor_id: int, browser: httpx2.Client) -> None:
    for number in range(45):
        clinic.add_patient(f"P{number:02d}", doctor_id)

    first = browser.get("/?tab=all&lang=en").text
    second = browser.get("/worklist/rows?tab=all&begin=20").text
    third = browser.get("/worklist/rows?tab=all&begin=40").text
    without_scripts = browser.get("/?tab=all&shown=60").text

    names = [f"P{number:02d}" for number in range(45)]
    assert [name for name in names if name in words_of(first)] == names[:20]
    assert [name for name in names if name in words_of(second)] == names[20:40]
    assert [name for name in names if name in words_of(third)] == names[40:]
    assert [name for name in names if name in words_of(without_scripts)] == names
    assert "25 more patients" in first


def test_a_silence_shows_its_days_and_the_last_readings(clinic: Clinic, doctor_id: int, browser: httpx2.Client) -> None:
    _, episode_id = clinic.high_patient("王秀英", doctor_id)
    clinic.rows(
        """update episode set verdict = '{"days": 8, "needed_days": 7, "unknown_days": 1, "reading_ids": [],
                                          "since": "2026-03-02T23:30:00+00:00"}' returning 1"""
    )

    page = words_of(browser.get(f"/a/{episode_id}?lang=en").text)

    assert "8 whole days without a reading" in page
    assert "the last reading before it: Mar 3 07:30" in page
    assert "on 1 day besides the home could not be heard" in page
    assert "the home was last heard: never" in page
    assert "155/96" in page
    assert "No reading is named." not in page


@pytest.mark.chromium
@pytest.mark.parametrize(
    ("language", "width", "words"),
    [
        ("en", 1280, ("Acknowledge", "Outcome: 王秀英", "Advised", "Yes", "It was of use.", "Snooze: 李强", "1 hour")),
        ("zh", 390, ("确认", "处理结果：王秀英", "已给出建议", "有用", "已评价：有用。", "暂缓：李强", "1 小时")),
    ],
)
def test_a_doctor_works_through_the_list(
    clinic: Clinic, doctor_id: int, context: BrowserContext, language: str, width: int, words: tuple[str, ...]
) -> None:
    acknowledge, outcome, advised, yes, useful, snooze, hour = words
    _, episode_id = clinic.high_patient("王秀英", doctor_id)
    other_id, _ = clinic.high_patient("李强", doctor_id)
    page = context.new_page()
    page.set_viewport_size({"width": width, "height": 844})
    page.goto(f"{clinic.url}/login?lang={language}")
    page.locator("#login").fill("doctor")
    page.locator("#password").fill(PASSWORD)
    page.locator("main button").first.click()

    page.locator(f"[data-episode='{episode_id}'] .sentence a").click()
    page.wait_for_url(f"{clinic.url}/a/{episode_id}")
    page.get_by_role("button", name=acknowledge).click()
    expect(page.get_by_role("status")).to_be_visible()
    page.get_by_label(outcome).click()
    page.get_by_role("button", name=advised).click()
    page.get_by_role("button", name=yes, exact=True).click()
    expect(page.locator("main")).to_contain_text(useful)

    page.goto(clinic.url)
    row = page.locator(f"#patient-{other_id}")
    row.get_by_label(snooze).click()
    row.get_by_role("button", name=hour).click()
    expect(row.locator(".reason")).to_have_attribute("data-state", "snoozed")
    page.keyboard.press("u")
    expect(row.locator(".reason")).to_have_attribute("data-state", "active")
    assert clinic.rows("select state, resolution, is_useful from episode order by patient_id") == [
        {"state": "resolved", "resolution": "advised", "is_useful": True},
        {"state": "active", "resolution": None, "is_useful": None},
    ]


@pytest.mark.chromium
def test_names_stay_hidden_on_this_browser_wherever_they_would_be_said(
    clinic: Clinic, doctor_id: int, context: BrowserContext
) -> None:
    patient_id, episode_id = clinic.high_patient("王秀英", doctor_id, phone="13900001234")
    other_id, _ = clinic.critical_patient("李强", doctor_id)
    moved = clinic.add_pressure(patient_id, clock.now() - timedelta(hours=1), 120, 80)
    clinic.client("doctor").post(
        f"/api/v1/patients/{patient_id}/readings/{moved}/reassign",
        json={"reason": "wrong_person", "to_patient_id": other_id},
        headers={"If-Match": '"1"'},
    ).raise_for_status()
    clinic.deliver()
    client, _ = clinic.browser_client("doctor")
    context.add_cookies([{"name": "homevigil", "value": str(client.cookies["homevigil"]), "url": clinic.url}])
    page = context.new_page()
    page.goto(f"{clinic.url}/?lang=zh")

    page.get_by_role("button", name="菜单").click()
    page.get_by_role("button", name="隐藏姓名").click()

    expect(page.locator(f"#patient-{patient_id} h2")).to_have_text("王**")
    of_one = ("", "/plan", "/rules", "/privacy", f"/r/{moved}")
    for path in (
        *("/", "/?tab=all", "/?tab=problems", f"/a/{episode_id}", "/inbox", "/fleet", "/follow-ups", "/silences"),
        *(f"/p/{patient_id}{part}" for part in of_one),
        *(f"/p/{other_id}", f"/p/{other_id}/r/{moved}", f"/report/bp/{patient_id}", f"/report/glucose/{patient_id}"),
        *("/programme", "/quarantine", "/rules/backtest?rule=bp-above-140-90-3-days&n_systolic=145"),
    ):
        answer = page.goto(clinic.url + path)
        assert answer is not None
        assert answer.status == 200, path
        source = page.content()
        assert "秀英" not in source, path
        assert "李强" not in source, path
        assert "13900001234" not in source, path


@pytest.mark.chromium
def test_keys_and_the_clock_of_an_urgent_alert(clinic: Clinic, doctor_id: int, context: BrowserContext) -> None:
    critical_id, _ = clinic.critical_patient("李强", doctor_id)
    clinic.rows("update episode set answer_by = now() + interval '6 minutes', known_at = now() returning 1")
    high_id, _ = clinic.high_patient("王秀英", doctor_id)
    client, _ = clinic.browser_client("doctor")
    context.add_cookies([{"name": "homevigil", "value": str(client.cookies["homevigil"]), "url": clinic.url}])
    page = context.new_page()
    page.goto(f"{clinic.url}/?lang=en")

    first = page.locator(".clocks .clock").inner_text()
    expect(page.locator(".clocks .clock")).not_to_have_text(first)  # it runs
    page.keyboard.press("j")
    page.keyboard.press("j")
    expect(page.locator(f"#patient-{high_id}")).to_be_focused()
    page.keyboard.press("a")
    expect(page.locator(f"#patient-{high_id} .reason")).to_have_attribute("data-state", "acknowledged")
    expect(page.locator(f"#patient-{critical_id} .reason")).to_have_attribute("data-state", "active")
    page.locator("summary", has_text="Filter").click()
    page.get_by_label("Name").fill("a?")  # what is typed is no key
    expect(page.locator("#keys")).to_be_hidden()
    page.get_by_label("Name").blur()
    page.keyboard.press("?")
    expect(page.locator("#keys")).to_be_visible()


def _member(patient_id: int) -> Member:
    return Member(patient_id=patient_id, name=f"P{patient_id}", conditions=(), doctor_id=None, doctor_name=None)


def _change(lately: float, before: float) -> Change:
    return Change(kind="blood_pressure", lately=lately, before=before, is_worse=lately > before)


def _case(
    patient_id: int,
    *,
    waits: timedelta,
    priority: str = "low",
    state: str = "active",
    change: Change | None = None,
) -> Case:
    alert = Alert(
        episode_id=UUID(int=patient_id),
        patient_id=patient_id,
        patient_name="",
        rule_id="bp-above-140-90-3-days",
        rule_version=1,
        threshold_version=0,
        state=state,
        priority=priority,
        first_day=date(2026, 3, 1),
        last_day=date(2026, 3, 3),
        opened_at=NOW - waits,
        judged_at=NOW - waits,
        acknowledged_at=None,
        acknowledged_by=None,
        resolved_at=None,
        resolved_by=None,
        resolution=None,
        verdict={},
        sentence={},
        version=1,
    )
    return Case(member=_member(patient_id), alerts=(alert,), change=change)
