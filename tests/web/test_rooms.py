"""The first line of every page: each role is led to what it may open, and to nothing else."""

import re

import httpx2
import pytest
from fix_clinic import PASSWORD, Clinic
from playwright.sync_api import BrowserContext, expect

from server import clock
from server.people import accounts
from server.store.postgres import transaction
from server.web.rooms import ROOMS

ROLES = ("doctor", "nurse", "admin", "auditor", "patient")


@pytest.fixture
def browsers(clinic: Clinic) -> dict[str, httpx2.Client]:
    """A browser of somebody of each role."""
    patient_id = clinic.add_patient("Zhao Min", clinic.add_user("other"))
    with transaction(clinic.pool) as conn:
        for role in ROLES:
            accounts.add_user(
                conn,
                login=role,
                display_name=f"Some {role}",
                role=role,  # type: ignore[arg-type]
                password=PASSWORD,
                language="en",
                now=clock.now(),
                patient_id=patient_id if role == "patient" else None,
            )
    return {role: clinic.browser_client(role)[0] for role in ROLES}


def test_each_role_is_led_to_what_it_may_open_and_to_nothing_else(browsers: dict[str, httpx2.Client]) -> None:
    for role, browser in browsers.items():
        page = browser.get("/", follow_redirects=True)
        assert page.status_code == 200, role
        line = page.text[: page.text.index("</header>")]
        shown = set(re.findall(r'<a href="(/[a-z/-]*)"', line))
        for room in ROOMS:
            answer = browser.get(room.address, follow_redirects=True)
            may = answer.status_code == 200 and answer.url.path == room.address
            assert (room.address in shown) == may, (role, room.address, answer.status_code)


def test_whoever_is_refused_is_still_led_to_what_is_theirs(browsers: dict[str, httpx2.Client]) -> None:
    refused = browsers["admin"].get("/break-glass")

    assert refused.status_code == 403
    assert "This page is for people in another role" in refused.text
    assert '<a href="/admin/users"' in refused.text
    assert '<a href="/break-glass"' not in refused.text
    assert 'href="/account">Some admin</a>' in refused.text
    assert "Hide names" not in refused.text


@pytest.mark.chromium
def test_on_a_phone_what_is_seldom_needed_is_in_a_menu(clinic: Clinic, doctor_id: int, context: BrowserContext) -> None:
    client, _ = clinic.browser_client("doctor")
    context.add_cookies([{"name": "homevigil", "value": str(client.cookies["homevigil"]), "url": clinic.url}])
    page = context.new_page()
    page.set_viewport_size({"width": 360, "height": 780})
    page.goto(f"{clinic.url}/?lang=en")

    out = page.get_by_role("button", name="Sign out")
    expect(out).to_be_hidden()
    header = page.locator(".top").bounding_box()
    assert header is not None
    assert header["height"] < 90
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    page.get_by_role("button", name="Menu").click()
    expect(page.get_by_role("link", name="中文")).to_be_visible()
    out.click()
    page.wait_for_url("**/login")


@pytest.mark.chromium
def test_on_a_small_screen_each_roles_rooms_fit_into_one_line(
    clinic: Clinic, browsers: dict[str, httpx2.Client], context: BrowserContext
) -> None:
    clinic.rows("update app_user set display_name = 'Alexandra Featherstonehaugh-Li'")
    page = context.new_page()
    for role, client in browsers.items():
        context.add_cookies([{"name": "homevigil", "value": str(client.cookies["homevigil"]), "url": clinic.url}])
        for language in ("en", "zh"):
            for width, highest in ((1280, 60), (1024, 80), (640, 120), (360, 90)):
                page.set_viewport_size({"width": width, "height": 780})
                page.goto(f"{clinic.url}/account?lang={language}")
                header = page.locator(".top").bounding_box()
                assert header is not None
                assert header["height"] < highest, (role, language, width, header)
                assert page.evaluate("document.documentElement.scrollWidth") == width, (role, language, width)
