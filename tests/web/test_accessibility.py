"""axe finds nothing on any page, in either language, on a screen, at 200 % and on a phone; and nothing is cut off."""

from datetime import timedelta

import pytest
from axe_playwright_python.base import AXE_SCRIPT
from fix_clinic import Clinic
from playwright.sync_api import BrowserContext, Page

from server.people import links
from server.store.postgres import transaction

pytestmark = pytest.mark.chromium

MEDICINE = {"kind": "medicine", "name": "氨氯地平", "dose": "5 mg", "at": ["00:00", "08:00"]}
SIZES = {"screen": (1280, 860), "zoomed": (640, 430), "phone": (390, 844)}
"""A browser at 200 % lays a page of 1280 CSS pixels out in 640, two device pixels each."""


@pytest.mark.parametrize("language", ["zh", "en"])
def test_no_page_has_an_axe_violation(clinic: Clinic, doctor_id: int, context: BrowserContext, language: str) -> None:
    paths = _fill(clinic, doctor_id)
    page = context.new_page()
    found = [each for path in ("/login", "/nothing") for each in _complaints(page, clinic, path, language)]
    _carry_cookie(clinic, context)
    found += [each for path in paths for each in _complaints(page, clinic, path, language)]
    for login, theirs in _others(clinic).items():
        _carry_cookie(clinic, context, login)
        found += [each for path in theirs for each in _complaints(page, clinic, path, language)]

    assert found == []


def test_no_page_is_wider_than_a_phone(clinic: Clinic, doctor_id: int, context: BrowserContext) -> None:
    paths = _fill(clinic, doctor_id)
    page = context.new_page()
    page.set_viewport_size({"width": 390, "height": 844})
    widths = {}
    for login, theirs in {"doctor": paths, **_others(clinic)}.items():
        _carry_cookie(clinic, context, login)
        for path in theirs:
            page.goto(clinic.url + path)
            widths[path] = page.evaluate("document.documentElement.scrollWidth")

    assert {path: width for path, width in widths.items() if width > 390} == {}


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
    with transaction(clinic.pool) as conn:
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
        ],
        "auditor": ["/admin/audit", f"/admin/audit?patient={patient['id']}"],
    }


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


def _complaints(page: Page, clinic: Clinic, path: str, language: str) -> list[str]:
    """What axe finds on this page in every size. A page lays itself out by style sheet alone, so it is loaded once."""
    page.goto(f"{clinic.url}{path}{'&' if '?' in path else '?'}lang={language}")
    assert page.locator("html").get_attribute("lang") == {"zh": "zh-CN", "en": "en"}[language]
    found = []
    for size, (width, height) in SIZES.items():
        page.set_viewport_size({"width": width, "height": height})
        assert "120" in page.locator("body").inner_text(), path  # every page says whom to call
        found += [f"{path} {size}: {violation}" for violation in _violations(page)]
    return found


def _violations(page: Page) -> list[str]:
    if not page.evaluate("'axe' in window"):
        page.evaluate(AXE_SCRIPT)
    results = page.evaluate("axe.run({resultTypes: ['violations']})")["violations"]
    return [f"{each['id']}: {[node['target'] for node in each['nodes']]}" for each in results]
