"""The fleet page: every state in plain words, in both languages, on a screen and on a phone; an event is seen and gone."""

import re

import pytest
from axe_playwright_python.sync_playwright import Axe
from fix_clinic import Clinic, words_of
from fleet_clinic import add_home, alarm, fill, say, unheard
from playwright.sync_api import BrowserContext, Page, expect

from server.store.alarms import AlarmKind
from server.watch.gateways import GatewayState
from server.watch.house import WELL, HouseState, Part
from server.watch.sight import EVENTS
from server.watch.silence import MeterState, PatientState
from server.web import alarm_words, fleet_words
from server.web.words import Words

SIZES = {"screen": (1280, 860), "zoomed": (640, 430), "phone": (390, 844)}
TABLES = (
    (fleet_words.HOUSE, HouseState),
    (fleet_words.GATEWAYS, GatewayState),
    (fleet_words.METERS, MeterState),
    (fleet_words.PATIENTS, PatientState),
    (alarm_words.ALARMS, AlarmKind),
)


def test_every_state_has_words_and_whatever_needs_somebody_says_what_to_do() -> None:
    for wordings, states in TABLES:
        assert set(wordings) == set(states)
        for state, told in wordings.items():
            is_explained_elsewhere = "See " in told.meaning or "see " in told.meaning
            assert told.gravity == "information" or told.advice or is_explained_elsewhere, state
    assert set(fleet_words.PARTS) == set(Part)
    assert {state for state, told in fleet_words.HOUSE.items() if told.gravity == "information"} == WELL
    assert all(alarm_words.ALARMS[kind].advice for kind in EVENTS)


@pytest.mark.parametrize("language", ["zh", "en"])
def test_no_two_states_of_one_kind_are_called_the_same(language: str) -> None:
    words = Words(language=language)  # type: ignore[arg-type]
    for wordings, _ in TABLES[1:]:
        names = [words.say(told.name) for told in wordings.values()]
        assert len(set(names)) == len(names)


@pytest.mark.unbalanced
@pytest.mark.parametrize(
    ("language", "said"),
    [
        (
            "en",
            [
                "Not heard",
                "last heard: 3 hours ago",
                "Bluetooth does not work",
                "Waiting for the time",
                "Account does not balance",
                "41 ≠ 30 + 8 + 2",
                "40 = 30 + 8 + 2",
                "Battery low",
                "Battery 12 %",
                "Readings wait for binding",
                "Read in another home",
                "gw-0002: Not heard",
                "3 of 6 gateways need attention",
                "Never ran",
            ],
        ),
        ("zh", ["失去联系", "最近联系：3小时前", "蓝牙故障", "等待校时", "账目不平", "电量低", "读数等待绑定", "沉默"]),
    ],
)
def test_what_is_wrong_is_said_in_words_and_the_gravest_first(
    clinic: Clinic, doctor_id: int, language: str, said: list[str]
) -> None:
    fill(clinic, doctor_id)
    client, _ = clinic.browser_client("doctor")

    page = client.get(f"/fleet?lang={language}").text

    words = re.sub(r"\s+", " ", words_of(page))
    assert [each for each in said if each not in words] == []
    gateways = re.findall(r'class="subject id">(gw-\d+)<', page)
    assert gateways == ["gw-0004", "gw-0002", "gw-0005", "gw-0001", "gw-0003", "gw-0006"]
    for forbidden in ("<style", " style=", "http://", "onclick"):
        assert forbidden not in page


def test_a_long_list_says_how_much_of_it_is_shown(clinic: Clinic) -> None:
    clinic.add_user("admin", "admin")
    clinic.rows(
        "insert into gateway (gateway_id, zone, last_heard_at)"
        " select 'box-' || n, 'Asia/Shanghai', now() from generate_series(1, 230) n"
    )
    clinic.rows("update gateway set last_heard_at = now() - interval '1 hour' where gateway_id = 'box-99'")
    client, _ = clinic.browser_client("admin")

    page = client.get("/fleet?lang=en").text

    shown = re.findall(r'class="subject id">(box-\d+)<', page)
    assert (len(shown), shown[0]) == (200, "box-99")
    assert "The first 200 of 230 are shown" in page
    assert "1 of 230 gateways need attention" in page


def test_a_name_from_a_gateway_cannot_become_markup(clinic: Clinic, doctor_id: int) -> None:
    home = add_home(clinic, "王秀英", doctor_id, 1)
    say(clinic, home, version="<script>alert(1)</script>", radio={"wrong": "<b>no</b>"})
    alarm(clinic, AlarmKind.FLOOD, home.gateway_id, "<script>alert(1)</script>")
    client, _ = clinic.browser_client("doctor")

    page = client.get("/fleet").text

    assert "<script>alert" not in page
    assert "<b>no" not in page


@pytest.mark.chromium
@pytest.mark.unbalanced
@pytest.mark.parametrize("language", ["zh", "en"])
def test_the_page_has_no_axe_violation_and_is_no_wider_than_its_screen(
    clinic: Clinic, doctor_id: int, context: BrowserContext, language: str
) -> None:
    fill(clinic, doctor_id)
    page = signed_in(clinic, context)
    found = {}
    for size, (width, height) in SIZES.items():
        page.set_viewport_size({"width": width, "height": height})
        page.goto(f"{clinic.url}/fleet?lang={language}")
        page.locator("summary").first.click()
        found[size] = [each["id"] for each in Axe().run(page).response["violations"]]
        assert page.evaluate("document.documentElement.scrollWidth") <= width, size

    assert found == {size: [] for size in SIZES}


@pytest.mark.chromium
@pytest.mark.parametrize(("language", "button"), [("zh", "已查看"), ("en", "Seen")])
def test_an_event_is_seen_by_a_press_and_a_state_cannot_be(
    clinic: Clinic, doctor_id: int, context: BrowserContext, language: str, button: str
) -> None:
    home = add_home(clinic, "王秀英", doctor_id, 1)
    alarm(clinic, AlarmKind.FLOOD, home.gateway_id)
    alarm(clinic, AlarmKind.GATEWAY_UNHEARD, home.gateway_id)
    page = signed_in(clinic, context)
    page.goto(f"{clinic.url}/?lang={language}")
    page.get_by_role("navigation").get_by_role("link", name={"zh": "设备", "en": "Fleet"}[language]).click()

    page.get_by_role("button", name=button).click()

    expect(page.get_by_role("button", name=button)).to_have_count(0)
    assert clinic.rows("select kind, cleared_by from alarm order by alarm_id") == [
        {"kind": "flood", "cleared_by": "doctor"},
        {"kind": "gateway_unheard", "cleared_by": None},
    ]


@pytest.mark.chromium
def test_an_open_page_announces_a_change_and_moves_nothing(
    clinic: Clinic, doctor_id: int, context: BrowserContext
) -> None:
    home = add_home(clinic, "王秀英", doctor_id, 1)
    context.clock.install()
    page = signed_in(clinic, context)
    page.goto(f"{clinic.url}/fleet?lang=en")
    unheard(clinic, home, 20)

    page.clock.fast_forward("30")
    expect(page.locator("a.news")).to_have_text("Something has changed – show")
    expect(page.locator("main")).not_to_contain_text("Not heard")
    page.locator("a.news").click()
    expect(page.locator("main")).to_contain_text("Not heard")


def signed_in(clinic: Clinic, context: BrowserContext, login: str = "doctor") -> Page:
    client, _ = clinic.browser_client(login)
    context.add_cookies([{"name": "homevigil", "value": str(client.cookies["homevigil"]), "url": clinic.url}])
    page = context.new_page()
    page.on("pageerror", lambda error: pytest.fail(f"script error: {error}"))
    return page
