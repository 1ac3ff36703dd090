"""axe finds nothing on any page of the app, in either language, at 200 %, on a screen and on a phone; and nothing is cut off."""

from collections.abc import Iterator, Sequence
from datetime import timedelta
from itertools import islice

import pytest
from axe_playwright_python.base import AXE_SCRIPT
from fastapi.routing import APIRoute
from fix_clinic import Clinic, FrontDoor
from playwright.sync_api import BrowserContext, Page
from starlette.routing import Match
from waiting_readings import home_of

from server.asgi import ROUTERS, create_app
from server.people import links
from server.push import contact_book
from server.push.contact_book import Deed
from server.store.postgres import transaction
from server.trust.claim_key import ClaimKey
from server.trust.office import ClaimOffice

pytestmark = pytest.mark.chromium

MEDICINE = {"kind": "medicine", "name": "氨氯地平", "dose": "5 mg", "at": ["00:00", "08:00"]}
ZOOMED = (640, 430)
"""A browser at 200 % lays a page of 1280 CSS pixels out in 640, two device pixels each."""
NARROW = (360, 780)
SIZES = {"en": {"zoomed": ZOOMED, "screen": (1280, 860)}, "zh": {"zoomed": ZOOMED, "phone": NARROW}}
"""In which axe looks at the pages of each language; how wide they are on a phone is measured in both."""

NO_PAGES = frozenset(
    {
        "/asyncapi.json",
        "/metrics",
        "/login/house",  # lead elsewhere
        "/login/house/back",
        "/worklist/rows",  # parts of pages, and what pages ask by themselves
        "/worklist/row/{patient_id}",
        "/worklist/stream",
        "/worklist/news",
        "/fleet/news",
        "/me/{token}/app.webmanifest",
        "/push-worker.js",
        "/report/{about}/{patient_id}/pdf",
        "/p/{patient_id}/privacy/record",  # files
    }
)
"""Addresses that answer no whole page."""

TABS = 2
"""So many pages are looked at at once: as many as there are processors, for axe is all arithmetic."""


@pytest.mark.timeout(420)
@pytest.mark.parametrize("language", ["zh", "en"])
def test_no_page_has_an_axe_violation_or_is_wider_than_a_phone(
    clinic: Clinic, front_door: FrontDoor, doctor_id: int, context: BrowserContext, language: str
) -> None:
    """A new page? Its address goes into `_fill`, or `_others`; what is no page, into `NO_PAGES`."""
    _open_claim_office(clinic, front_door)
    paths = _fill(clinic, doctor_id)
    seen = {"": ["/login", "/nothing", *_of_nobody(clinic)], "doctor": paths, **_others(clinic)}
    assert _pages() - {_route_of(path) for theirs in seen.values() for path in theirs} == set()

    tabs = [context.new_page() for _ in range(TABS)]
    found = []
    for login, theirs in seen.items():
        if login:
            _carry_cookie(clinic, context, login)
        for some in _in_turn(theirs, len(tabs)):
            found += _complaints(tabs, clinic, some, language)

    assert not found, "\n".join(found)


def _pages() -> set[str]:
    """Every address that answers a whole page, as its route says it."""
    routes = [each for router in ROUTERS for each in router.routes if isinstance(each, APIRoute)]
    return {each.path for each in routes if "GET" in each.methods and not each.include_in_schema} - NO_PAGES


def _route_of(path: str) -> str:
    """The route that answers this address."""
    scope = {"type": "http", "method": "GET", "path": path.partition("?")[0]}
    for router in ROUTERS:
        for route in router.routes:
            if isinstance(route, APIRoute) and route.matches(scope)[0] is Match.FULL:
                return route.path
    return ""


def _in_turn(paths: Sequence[str], n: int) -> Iterator[list[str]]:
    rest = iter(paths)
    while some := list(islice(rest, n)):
        yield some


def _open_claim_office(clinic: Clinic, front_door: FrontDoor) -> None:
    """The app with all that it can have."""
    key = ClaimKey(secret=bytes(32), pin="0" * 64)
    office = ClaimOffice(key=key, host="clinic.example", port=8443, reserved=())
    front_door.app = create_app(clinic.pool, now=clinic.clock, secure_cookies=False, claim_office=office)


def test_an_open_menu_and_a_refusal_have_no_axe_violation(
    clinic: Clinic, doctor_id: int, context: BrowserContext
) -> None:
    _, episode_id = clinic.high_patient("王秀英", doctor_id)
    _carry_cookie(clinic, context)
    page = context.new_page()
    page.goto(f"{clinic.url}/?lang=en")
    for name in ("Snooze: 王秀英", "Outcome: 王秀英"):
        page.get_by_label(name).click()
        assert _violations(page) == []
    page.keyboard.press("Escape")
    program = clinic.client("doctor")
    program.post(f"/api/v1/alerts/{episode_id}/acknowledge", headers={"If-Match": '"1"'}).raise_for_status()
    page.get_by_role("button", name="Acknowledge").click()
    page.locator(".told").wait_for()

    assert _violations(page) == []


def _fill(clinic: Clinic, doctor_id: int) -> list[str]:
    """Somebody with everything that a page can show; the pages that show it."""
    patient_id, episode_id = clinic.high_patient("王秀英", doctor_id, sex="female", conditions=("I10",), phone="139")
    now = clinic.clock()
    clinic.add_glucose(patient_id, now - timedelta(hours=30), 7.4, "fasting")
    clinic.add_pressure(patient_id, now - timedelta(hours=3), 190, 110, quality="rejected", reasons=["body_movement"])
    clinic.add_pressure(patient_id, now - timedelta(hours=2), None, None, quality="invalid", reasons=["value_special"])
    add_sensor(clinic, patient_id)
    clinic.judge(patient_id)
    critical_id, _ = clinic.critical_patient("李强", doctor_id)
    calm_id = clinic.add_patient("赵敏", doctor_id)
    (first, *_, last) = clinic.rows(
        "select reading_id from reading where patient_id = %s order by measured_at", patient_id
    )
    plan = {"items": [{"kind": "measure", "of": "blood_pressure", "at": ["07:30"]}, MEDICINE], "call_every_days": 14}
    agreed = clinic.client("doctor").put(
        f"/api/v1/patients/{patient_id}/plan",
        json={"plan": plan, "reason": "agreed"},
        headers={"If-Match": '"0"'},
    )
    agreed.raise_for_status()
    (task, *_) = clinic.rows("select follow_up_id from follow_up order by 1")
    strike(clinic, patient_id, last["reading_id"], "void", reason="trial")
    strike(clinic, patient_id, first["reading_id"], "reassign", reason="wrong_person", to_patient_id=calm_id)
    clinic.deliver()
    home = home_of(clinic, 1, patient_id, calm_id)
    home.measures(30, 20, slot=2)
    home.measures(10, meter_id="F0:00:00:10:AA:02")
    home_of(clinic, 2).measures(5, meter_id="F0:00:00:10:AA:03")
    (put_by,) = clinic.rows("select min(quarantine_id) as n from quarantine")
    aside = {"quarantine_ids": [put_by["n"]], "reason": "trial"}
    clinic.client("doctor").post("/api/v1/quarantine/set-aside", json=aside).raise_for_status()
    with transaction(clinic.pool) as conn:
        deed = Deed(actor="cli:it", now=now)
        contact_book.add_channel(conn, deed, name="Browsers", url="webpush://it@clinic.example")
        contact_book.add_channel(conn, deed, name="Post", url="mailto://robot:pw@clinic.example?to={to}")
        tokens = [
            links.issue_patient_link(conn, each, now=now, valid_for=timedelta(days=1))
            for each in (patient_id, critical_id, calm_id)
        ]
    return [
        "/",
        "/?tab=in_hand",
        "/?tab=problems",
        "/?tab=all",
        "/rules/backtest?rule=bp-above-140-90-3-days&n_systolic=145",
        f"/p/{patient_id}",
        f"/p/{patient_id}?days=365",
        f"/report/bp/{patient_id}",
        f"/report/glucose/{patient_id}",
        f"/p/{patient_id}/rules",
        f"/p/{calm_id}",
        f"/p/{patient_id}/r/{last['reading_id']}",
        f"/p/{calm_id}/r/{first['reading_id']}",
        f"/a/{episode_id}",
        "/?tab=snoozed",
        "/silences",
        "/follow-ups",
        f"/follow-ups/{task['follow_up_id']}",
        f"/p/{patient_id}/plan",
        f"/p/{patient_id}/privacy",
        f"/p/{patient_id}/contacts",
        "/erasures",
        "/programme",
        "/inbox",
        "/rules",
        "/account",
        "/break-glass",
        "/fleet",
        "/quarantine",
        "/quarantine?tab=set_aside",
        *(f"/me/{token}" for token in tokens),
        f"/me/{tokens[0]}/report",
    ]


def _others(clinic: Clinic) -> dict[str, list[str]]:
    """Whoever else works here, and what they see."""
    doctor = clinic.rows("select user_id from app_user where login = 'doctor'")[0]["user_id"]
    clinic.add_user("chief", "admin")
    clinic.add_user("auditor", "auditor")
    (patient,) = clinic.rows("select min(patient_id) as id from patient")
    return {
        "chief": [
            "/admin/channels",
            "/account/contacts",
            "/admin/users",
            f"/admin/users/{doctor}",
            "/admin/panels",
            f"/admin/panels?user={doctor}",
            f"/admin/panels?patient={patient['id']}",
            "/erasures",
            "/fleet",
            "/fleet/claim",
            "/quarantine",
        ],
        "auditor": ["/admin/audit", f"/admin/audit?patient={patient['id']}"],
    }


def _of_nobody(clinic: Clinic) -> list[str]:
    """What somebody sees who is not signed in yet."""
    clinic.add_user("keeper", "admin")
    made = clinic.client("keeper").post(
        "/api/v1/users", json={"login": "new", "display_name": "New", "role": "nurse", "language": "en"}
    )
    made.raise_for_status()
    return [made.json()["link"].removeprefix(clinic.url)]


def add_sensor(clinic: Clinic, patient_id: int) -> None:
    """A worn sensor, dense enough for a profile."""
    clinic.rows("select reading_make_room(now() - interval '15 days')")
    clinic.rows(
        """insert into reading (patient_id, kind, measured_at, reading_id, gateway_id, meter_id, glucose_mmol_l, glucose_mg_dl,
                                quality, time_quality, zone, received_at, decoder)
           select %s, 'sensor_glucose', now() - n * interval '15 minutes', gen_random_uuid(), 'gw-1', 'sensor', 3.0 + n %% 9,
                  18.0182 * (3.0 + n %% 9), 'accepted', 'corrected', 'Asia/Shanghai', now(), 'test'
           from generate_series(0, 1343) n returning 1""",
        patient_id,
    )


def strike(clinic: Clinic, patient_id: int, reading_id: object, action: str, **body: object) -> None:
    """A clinician says that it is not this patient's, or nobody's."""
    address = f"/api/v1/patients/{patient_id}/readings/{reading_id}/{action}"
    clinic.client("doctor").post(address, headers={"If-Match": '"1"'}, json=body).raise_for_status()


def _carry_cookie(clinic: Clinic, context: BrowserContext, login: str = "doctor") -> None:
    client, _ = clinic.browser_client(login)
    context.add_cookies([{"name": "homevigil", "value": str(client.cookies["homevigil"]), "url": clinic.url}])


def _complaints(tabs: Sequence[Page], clinic: Clinic, paths: Sequence[str], language: str) -> list[str]:
    """What axe finds on these pages, one in each tab. A page lays itself out by style sheet alone, so it is loaded once."""
    shown = list(zip(tabs, paths, strict=False))
    for page, path in shown:
        page.goto(f"{clinic.url}{path}{'&' if '?' in path else '?'}lang={language}")
        assert page.locator("html").get_attribute("lang") == {"zh": "zh-CN", "en": "en"}[language]
        assert "120" in page.locator("body").inner_text(), path  # every page says whom to call
    found = []
    for size, (width, height) in SIZES[language].items():
        for page, _ in shown:
            page.set_viewport_size({"width": width, "height": height})
            _begin(page)
        found += [f"{path} {size}: {each}" for page, path in shown for each in _outcome(page)]
    for page, path in shown:
        page.set_viewport_size({"width": NARROW[0], "height": NARROW[1]})
        if (wide := page.evaluate("document.documentElement.scrollWidth")) > NARROW[0]:
            found.append(f"{path} is {wide} pixels wide on a phone of {NARROW[0]}: {page.evaluate(BEYOND, NARROW[0])}")
    return found


BEYOND = """edge => [...document.querySelectorAll('body *')]
    .filter(e => e.getBoundingClientRect().right > edge + 1 && !e.closest('.wide, nav'))
    .slice(0, 3).map(e => `${e.tagName}.${e.className} ${e.textContent.trim().slice(0, 40)}`)"""


def _violations(page: Page) -> list[str]:
    _begin(page)
    return _outcome(page)


def _begin(page: Page) -> None:
    """Has axe look, without waiting for what it finds."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(AXE_SCRIPT)
    page.evaluate("() => { window.looked = axe.run({resultTypes: ['violations']}) }")


def _outcome(page: Page) -> list[str]:
    results = page.evaluate("looked.then(each => each.violations.map(({id, nodes}) => [id, nodes.map(n => n.target)]))")
    return [f"{name}: {targets}" for name, targets in results]
