"""Accounts in the hands of whoever runs the clinic: by the pages in a browser, and by the API."""

from datetime import timedelta

import httpx2
import pytest
from fix_clinic import PASSWORD, Clinic
from playwright.sync_api import BrowserContext, Page, expect

NEW = "a sentence only she would write"


@pytest.fixture
def chief(clinic: Clinic) -> httpx2.Client:
    clinic.add_user("chief", "admin", name="Chief Zhou")
    return clinic.client("chief")


def acts(clinic: Clinic) -> list[tuple[object, object, object]]:
    rows = clinic.rows(
        "select act, actor, subject from audit_entry where starts_with(act, 'account.') order by entry_id"
    )
    return [(row["act"], row["actor"], row["subject"]) for row in rows]


def add(chief: httpx2.Client, login: str, role: str = "nurse", **rest: object) -> httpx2.Response:
    body = {"login": login, "display_name": login.title(), "role": role, "language": "en", **rest}
    return chief.post("/api/v1/users", json=body)


def choose(clinic: Clinic, link: str, password: str = NEW) -> int:
    with httpx2.Client() as somebody:
        return somebody.post(link, data={"new": password, "again": password}).status_code


def may_sign_in(clinic: Clinic, login: str, password: str) -> bool:
    return clinic.client().post("/api/v1/login", json={"login": login, "password": password}).status_code == 200


@pytest.mark.chromium
def test_an_account_is_added_and_its_owner_chooses_the_password(
    clinic: Clinic, chief: httpx2.Client, context: BrowserContext
) -> None:
    client, _ = clinic.browser_client("chief")
    context.add_cookies([{"name": "homevigil", "value": str(client.cookies["homevigil"]), "url": clinic.url}])
    page = context.new_page()
    page.goto(f"{clinic.url}/?lang=en")
    expect(page.get_by_role("heading", name="Accounts", exact=True, level=1)).to_be_visible()
    page.get_by_text("Add an account").click()
    page.get_by_label("Name to sign in with").fill("wang")
    page.get_by_label("Name that others see").fill("Wang Min")
    page.locator("#role").select_option("nurse")
    page.locator("#language").select_option("en")
    page.get_by_role("button", name="Add, and make the link").click()
    link = page.get_by_role("textbox", name="The link for Wang Min").input_value()
    expect(page.get_by_text("sees 0 patients")).to_be_visible()

    assert context.browser is not None
    hers = context.browser.new_context()
    nurse = hers.new_page()
    nurse.goto(link)
    expect(nurse.get_by_text("Wang Min, you sign in here as wang.")).to_be_visible()
    nurse.get_by_label("New password", exact=True).fill(NEW)
    nurse.get_by_label("New password, again").fill(NEW)
    nurse.get_by_role("button", name="Save and sign in").click()
    expect(nurse.get_by_role("heading", name="0 of 0 patients need attention")).to_be_visible()

    page.reload()
    page.goto(f"{clinic.url}/admin/users")
    page.get_by_role("link", name="Wang Min").click()
    press(page, "Sign out everywhere", "Signed out everywhere.")
    nurse.reload()
    expect(nurse).to_have_url(f"{clinic.url}/login")
    press(page, "Close the account", "The account is closed.")
    assert not may_sign_in(clinic, "wang", NEW)
    press(page, "Open the account again", "The account is open again")
    assert may_sign_in(clinic, "wang", NEW)
    hers.close()


def press(page: Page, name: str, told: str) -> None:
    page.get_by_role("button", name=name).click()
    expect(page.get_by_role("status")).to_contain_text(told)


def test_every_deed_is_on_record_and_a_link_opens_once(clinic: Clinic, chief: httpx2.Client) -> None:
    made = add(chief, "wang").json()
    user_id, link = made["user_id"], made["link"]
    assert link.startswith(f"{clinic.url}/welcome/")
    assert add(chief, "wang").status_code == 409
    assert choose(clinic, link, "short") == 409
    assert choose(clinic, link) == 303
    assert choose(clinic, link) == 404
    assert may_sign_in(clinic, "wang", NEW)

    anew = chief.post(f"/api/v1/users/{user_id}/reset").json()["link"]
    newer = chief.post(f"/api/v1/users/{user_id}/reset").json()["link"]
    assert not may_sign_in(clinic, "wang", NEW)
    assert choose(clinic, anew) == 404
    clinic.clock.ahead = timedelta(hours=73)
    assert choose(clinic, newer) == 404
    clinic.clock.ahead = timedelta()
    assert chief.post(f"/api/v1/users/{user_id}/close").status_code == 204
    assert choose(clinic, newer) == 404
    assert chief.post(f"/api/v1/users/{user_id}/close").status_code == 409
    assert chief.post(f"/api/v1/users/{user_id}/reset").status_code == 409
    assert chief.post(f"/api/v1/users/{user_id}/reopen").status_code == 204

    who, whom = "user:1", f"user:{user_id}"
    done = ("account.add", "account.accept", "account.reset", "account.reset", "account.close", "account.reopen")
    assert acts(clinic) == [
        (act, whom if act == "account.accept" else who, "" if act == "account.accept" else whom) for act in done
    ]


def test_an_admin_stays_and_nobody_closes_the_own_account(clinic: Clinic, chief: httpx2.Client) -> None:
    me = chief.get("/api/v1/users").json()["users"][0]["user_id"]
    for deed in ("close", "reset"):
        answer = chief.post(f"/api/v1/users/{me}/{deed}")
        assert (answer.status_code, "your own" in answer.json()["detail"]) == (409, True)

    second = clinic.add_user("second", "admin")
    other = clinic.client("second")
    assert chief.post(f"/api/v1/users/{second}/close").status_code == 204
    assert other.get("/api/v1/users").status_code == 401
    assert [row["active"] for row in clinic.rows("select active from app_user order by user_id")] == [True, False]


def test_a_patients_account_is_bound_to_one_patient_and_keeps_no_name(clinic: Clinic, chief: httpx2.Client) -> None:
    patient_id = clinic.add_patient("Zhao Min", None)
    browser, csrf_token = clinic.browser_client("chief")
    form = {"csrf_token": csrf_token, "login": "zhao", "display_name": "Zhao Min", "role": "patient", "language": "en"}
    assert browser.post("/admin/users", data=form | {"number": "999"}).status_code == 409
    page = browser.post("/admin/users", data=form | {"number": str(patient_id)})
    assert page.status_code == 200
    assert clinic.rows("select display_name, patient_id from app_user join patient_account using (user_id)") == [
        {"display_name": f"Patient {patient_id}", "patient_id": patient_id}
    ]
    again = add(chief, "zhao-2", "patient", patient_id=patient_id)
    assert (again.status_code, again.json()["detail"]) == (422, "this patient has an account already")
    assert add(chief, "zhao-3", "patient").status_code == 422
    assert add(chief, "nurse-2", "nurse", patient_id=patient_id).status_code == 422


def test_accounts_come_in_pages_by_login_and_say_how_they_are_opened(clinic: Clinic, chief: httpx2.Client) -> None:
    doctor_id = clinic.add_user("doctor", name="Dr. Lin")
    clinic.add_patient("Zhao Min", doctor_id)
    clinic.client("doctor")
    clinic.rows(
        "insert into passkey (passkey_id, user_id, public_key, sign_count, name, added_at)"
        " values ('\\x0a', %s, '\\x', 0, 'ward tablet', now())",
        doctor_id,
    )
    first = chief.get("/api/v1/users", params={"limit": 1}).json()
    second = chief.get("/api/v1/users", params={"limit": 1, "cursor": first["next"]}).json()
    assert [each["login"] for each in first["users"] + second["users"]] == ["chief", "doctor"]
    assert second["next"] is None
    (doctor,) = second["users"]
    assert (doctor["patients"], doctor["sessions"], doctor["passkeys"]) == (1, 1, 1)
    assert [each["login"] for each in chief.get("/api/v1/users", params={"q": "lin"}).json()["users"]] == ["doctor"]
    ways = chief.get(f"/api/v1/users/{doctor_id}").json()
    assert [each["name"] for each in ways["passkeys"]] == ["ward tablet"]
    assert "token" not in str(ways["open_sessions"])
    assert chief.delete(f"/api/v1/users/{doctor_id}/passkeys/0a").status_code == 204
    assert chief.delete(f"/api/v1/users/{doctor_id}/passkeys/0a").status_code == 404
    assert chief.get("/api/v1/users/999").status_code == 404
    assert chief.get("/api/v1/users", params={"cursor": "%"}).status_code == 422
    assert PASSWORD not in str(ways)


def test_who_becomes_an_auditor_sees_no_patient_and_signs_in_anew(clinic: Clinic, chief: httpx2.Client) -> None:
    doctor_id = clinic.add_user("doctor", name="Dr. Lin")
    own = clinic.add_patient("Zhao Min", doctor_id)
    other = clinic.add_patient("Qian Wei", None)
    clinic.put_on_panel(doctor_id, other)
    doctor = clinic.client("doctor")
    assert doctor.get("/api/v1/alerts").status_code == 200

    nurse = chief.post(f"/api/v1/users/{doctor_id}/role", json={"role": "nurse"})
    assert (nurse.status_code, nurse.json()["patients"]) == (200, 0)
    assert doctor.get("/api/v1/alerts").status_code == 401
    assert seen(clinic, doctor_id) == [(own, False), (other, False)]
    assert chief.post(f"/api/v1/users/{doctor_id}/role", json={"role": "nurse"}).status_code == 409

    auditor = chief.post(f"/api/v1/users/{doctor_id}/role", json={"role": "auditor"})
    assert (auditor.status_code, auditor.json()["patients"]) == (200, 2)
    assert seen(clinic, doctor_id) == []
    assert clinic.rows(
        "select act, patient_id from panel_change where from_user = %s order by patient_id", doctor_id
    ) == [
        {"act": "removed", "patient_id": own},
        {"act": "removed", "patient_id": other},
    ]
    assert chief.get("/api/v1/panels/changes").status_code == 200
    assert clinic.client("doctor").get("/api/v1/audit").status_code == 200


def seen(clinic: Clinic, user_id: int) -> list[tuple[object, object]]:
    rows = clinic.rows(
        "select p.patient_id, p.doctor_id is not distinct from m.user_id as is_own"
        " from panel_regular m join patient p using (patient_id) where m.user_id = %s order by 1",
        user_id,
    )
    return [(row["patient_id"], row["is_own"]) for row in rows]


def test_a_role_is_never_ones_own_to_change_and_no_patient_becomes_staff(clinic: Clinic, chief: httpx2.Client) -> None:
    me = chief.get("/api/v1/users").json()["users"][0]["user_id"]
    patient_id = clinic.add_patient("Zhao Min", None)
    zhao = clinic.add_user("zhao", "patient", name=f"Patient {patient_id}", patient_id=patient_id)
    nurse_id = clinic.add_user("nurse", "nurse")
    statuses = [
        chief.post(f"/api/v1/users/{me}/role", json={"role": "doctor"}).status_code,
        chief.post(f"/api/v1/users/{zhao}/role", json={"role": "nurse"}).status_code,
        chief.post(f"/api/v1/users/{nurse_id}/role", json={"role": "patient"}).status_code,
        chief.post(f"/api/v1/users/{zhao}/name", json={"display_name": "Zhao Min"}).status_code,
        chief.post("/api/v1/users/999/role", json={"role": "nurse"}).status_code,
    ]
    assert statuses == [409, 422, 422, 422, 404]
    assert not acts(clinic)


@pytest.mark.chromium
def test_a_name_and_a_role_are_changed_on_the_page(clinic: Clinic, context: BrowserContext) -> None:
    clinic.add_user("chief", "admin", name="Chief Zhou")
    clinic.add_user("wang", "nurse", name="Wang Min")
    client, _ = clinic.browser_client("chief")
    context.add_cookies([{"name": "homevigil", "value": str(client.cookies["homevigil"]), "url": clinic.url}])
    page = context.new_page()
    page.goto(f"{clinic.url}/admin/users?lang=en")
    page.get_by_role("link", name="Wang Min").click()
    page.get_by_role("textbox", name="Name that others see").fill("Wang Minhua")
    press(page, "Save the name", "The account has another name.")
    page.get_by_role("combobox", name="Role").select_option("auditor")
    press(page, "Give this role", "The account has another role.")
    expect(page.get_by_role("heading", name="Wang Minhua", level=1)).to_be_visible()
    expect(page.get_by_role("list").filter(has_text="Auditor").first).to_be_visible()
    assert [act for act, _, _ in acts(clinic)] == ["account.rename", "account.role"]
