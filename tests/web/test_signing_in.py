"""Signing in without a password: with a passkey in a real browser, by the house's own sign-in over real HTTP; one's account."""

from collections.abc import Iterator, Mapping
from datetime import timedelta

import httpx2
import pytest
from axe_playwright_python.sync_playwright import Axe
from fix_clinic import PASSWORD, Clinic, FrontDoor
from house_sign_in import CLIENT, SECRET, STRANGER, Provider, provider
from playwright.sync_api import BrowserContext, Page, expect

from server import clock
from server.asgi import create_app
from server.people import sessions, users
from server.people.errors import TooManyAttemptsError
from server.people.house import House
from server.people.sessions import ATTEMPTS_WITHIN, PROVED_FOR, WAY_ATTEMPTS, Way
from server.people.users import Keeper
from server.store import people
from server.store.postgres import transaction
from server.web.signing import STATE_COOKIE


@pytest.fixture
def page(context: BrowserContext, clinic: Clinic, doctor_id: int) -> Page:
    page = context.new_page()
    page.goto(f"{clinic.url.replace('127.0.0.1', 'localhost')}/login?lang=en")
    return page


def has_a_key(context: BrowserContext, page: Page) -> None:
    """Chromium's own virtual authenticator, which verifies its user."""
    devtools = context.new_cdp_session(page)
    devtools.send("WebAuthn.enable")
    options = {
        "protocol": "ctap2",
        "transport": "internal",
        "hasResidentKey": True,
        "hasUserVerification": True,
        "isUserVerified": True,
        "automaticPresenceSimulation": True,
    }
    devtools.send("WebAuthn.addVirtualAuthenticator", {"options": options})


def sign_in(page: Page) -> None:
    page.get_by_label("Login").fill("doctor")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in", exact=True).click()
    page.wait_for_url("**/")


def sign_out(page: Page) -> None:
    page.get_by_role("button", name="Menu").click()
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url("**/login")


@pytest.mark.chromium
def test_a_passkey_is_added_used_and_removed(context: BrowserContext, page: Page, clinic: Clinic) -> None:
    has_a_key(context, page)
    sign_in(page)
    page.goto(page.url.rstrip("/") + "/account")
    page.get_by_label("What do you call this device?").fill("ward tablet")
    page.get_by_role("button", name="Add a passkey").click()
    expect(page.get_by_text("The passkey is added.")).to_be_visible()
    expect(page.get_by_role("listitem").filter(has_text="ward tablet")).to_be_visible()
    assert Axe().run(page).response["violations"] == []

    sign_out(page)
    page.get_by_role("button", name="Sign in with a passkey").click()
    page.wait_for_url("**/")
    expect(page.get_by_text("Dr. Lin")).to_be_visible()
    counted = clinic.rows("select name, sign_count > 0 as counts, last_used_at is not null as used from passkey")
    assert counted == [{"name": "ward tablet", "counts": True, "used": True}]

    page.goto(page.url.rstrip("/") + "/account")
    page.get_by_role("button", name="Remove: ward tablet").click()
    expect(page.get_by_text("The passkey is removed.")).to_be_visible()
    sign_out(page)
    page.get_by_role("button", name="Sign in with a passkey").click()
    expect(page.get_by_role("alert")).to_contain_text("That did not work")
    acts = [row["act"] for row in clinic.rows("select act from audit_entry order by entry_id")]
    assert [act for act in acts if act.startswith("passkey") or act == "session.open"].count("passkey.add") == 1
    assert "passkey.remove" in acts


@pytest.mark.chromium
def test_a_copied_passkey_and_an_old_answer_open_nothing(context: BrowserContext, page: Page, clinic: Clinic) -> None:
    has_a_key(context, page)
    sign_in(page)
    page.goto(page.url.rstrip("/") + "/account")
    page.get_by_role("button", name="Add a passkey").click()
    expect(page.get_by_text("The passkey is added.")).to_be_visible()
    sign_out(page)
    sent: list[str] = []
    page.on("request", lambda each: sent.append(each.post_data or "") if each.url.endswith("/login/passkey") else None)
    with clinic.pool.connection() as conn:  # another device has signed with the same key, further on
        conn.execute("update passkey set sign_count = 1000000")
    page.get_by_role("button", name="Sign in with a passkey").click()
    expect(page.get_by_role("alert")).to_contain_text("That did not work")
    again = httpx2.post(
        f"{clinic.url}/login/passkey", content=sent[0], headers={"Content-Type": "application/x-www-form-urlencoded"}
    )

    assert again.status_code == 401


def test_a_screen_left_open_gets_no_passkey_without_the_password(clinic: Clinic, doctor_id: int) -> None:
    browser, csrf_token = clinic.browser_client("doctor")

    def ask(present: str = "") -> httpx2.Response:
        return browser.post("/account/passkeys/ask", data={"csrf_token": csrf_token, "present": present})

    assert ask().status_code == 200, "who has just signed in is not asked twice"
    assert 'id="passkey-present"' not in browser.get("/account").text
    clinic.clock.ahead = PROVED_FOR
    assert 'id="passkey-present"' in browser.get("/account").text
    refused, wrong = ask(), ask("wrong")
    assert [(each.status_code, each.headers["Content-Type"]) for each in (refused, wrong)] == [
        (409, "text/plain; charset=utf-8")
    ] * 2
    assert "password" in refused.text
    assert ask(PASSWORD).status_code == 200
    assert ask().status_code == 200, "for ten minutes again"
    for _ in range(5):
        ask("wrong")
    assert "Wait a quarter of an hour" in ask(PASSWORD).text


def test_nonsense_is_no_answer_of_a_browser(clinic: Clinic, doctor_id: int) -> None:
    with httpx2.Client(base_url=clinic.url) as client:
        for answer in ("", "null", "[]", "{}", '{"response": {"clientDataJSON": "e30"}, "rawId": 7}', "x" * 9000):
            assert client.post("/login/passkey", data={"answer": answer}).status_code in (401, 422), answer
        assert client.post("/login/passkey/ask", headers={"Sec-Fetch-Site": "cross-site"}).status_code == 403


def test_the_password_is_changed_by_whoever_knows_it_and_everybody_else_is_signed_out(
    clinic: Clinic, doctor_id: int
) -> None:
    here, csrf_token = clinic.browser_client("doctor")
    elsewhere, _ = clinic.browser_client("doctor")

    def change(present: str, new: str, again: str) -> int:
        form = {"csrf_token": csrf_token, "present": present, "new": new, "again": again}
        return here.post("/account/password", data=form).status_code

    assert change("wrong", "another long password", "another long password") == 409
    assert change(PASSWORD, "short", "short") == 409
    assert change(PASSWORD, "another long password", "another one") == 409
    assert elsewhere.get("/account").status_code == 200
    assert change(PASSWORD, "another long password", "another long password") == 200
    assert here.get("/account").status_code == 200
    assert elsewhere.get("/account", follow_redirects=False).status_code == 303
    login = {"login": "doctor", "password": "another long password"}
    assert clinic.client().post("/api/v1/login", json=login).status_code == 200
    assert here.post("/account/password", data={"present": "x", "new": "y" * 9, "again": "y" * 9}).status_code == 403


@pytest.fixture
def house(clinic: Clinic, front_door: FrontDoor) -> Iterator[Provider]:
    with provider() as made:
        front_door.app = create_app(
            clinic.pool,
            now=clinic.clock,
            secure_cookies=False,
            public_url=clinic.url,
            house=House(issuer=made.url, client_id=CLIENT, client_secret=SECRET),
        )
        clinic.add_user("dr-lin")
        yield made


def by_house(clinic: Clinic, browser: httpx2.Client | None = None) -> httpx2.Response:
    """A browser that goes there and comes back."""
    if browser is not None:
        return browser.get("/login/house?next=/fleet", follow_redirects=True)
    with httpx2.Client(base_url=clinic.url) as browser:
        return browser.get("/login/house?next=/fleet", follow_redirects=True)


def expect_of_house(clinic: Clinic, login: str, name: str) -> None:
    """As an admin enters it on the account's page."""
    with transaction(clinic.pool) as conn:
        (user_id,) = [each.user_id for each in people.list_users(conn) if each.login == login]
        users.expect_of_house(conn, Keeper(actor="cli:it", now=clinic.clock()), user_id, name)


def test_a_name_over_there_that_is_a_login_here_opens_nothing_by_itself(clinic: Clinic, house: Provider) -> None:
    clinic.add_user("root", "admin")
    for number, login in enumerate(("dr-lin", "root")):
        house.who = {"sub": f"chosen-{number}", "preferred_username": login}
        assert by_house(clinic).status_code == 401, login
    assert clinic.rows("select from house_identity") == []


def test_who_comes_under_the_name_that_an_admin_has_noted_is_the_account_once_and_for_three_days(
    clinic: Clinic, house: Provider
) -> None:
    clinic.add_user("root", "admin")
    other_id = clinic.add_user("other")
    admin, csrf_token = clinic.browser_client("root")
    lin_id = clinic.rows("select user_id from app_user where login = 'dr-lin'")[0]["user_id"]
    root_id = clinic.rows("select user_id from app_user where login = 'root'")[0]["user_id"]

    def note(user_id: object, name: str) -> int:
        form = {"csrf_token": csrf_token, "name": name}
        return admin.post(f"/admin/users/{user_id}/house", data=form).status_code

    assert note(lin_id, "lin.min") == 303
    assert "lin.min" in admin.get(f"/admin/users/{lin_id}").text
    assert [note(other_id, "lin.min"), note(root_id, "boss"), note(987654, "x")] == [409, 409, 404]
    house.who = {"sub": "0815", "preferred_username": "lin.min"}
    clinic.clock.ahead = timedelta(hours=73)
    assert by_house(clinic).status_code == 401, "too late"
    clinic.clock.ahead = timedelta()
    assert by_house(clinic).status_code == 200
    house.who = {"sub": "4711", "preferred_username": "lin.min"}
    assert by_house(clinic).status_code == 401, "the name was good once"

    house.who = {"sub": "0815", "preferred_username": "lin.min"}
    assert admin.post(f"/admin/users/{lin_id}/reset", data={"csrf_token": csrf_token}).status_code == 200
    assert by_house(clinic).status_code == 401, "a reset ends it, with the passkeys and the sessions"
    assert clinic.rows("select from user_session where user_id = %s", lin_id) == []


def test_who_is_signed_in_ties_the_own_account_with_the_password_given_again(clinic: Clinic, house: Provider) -> None:
    house.who = {"sub": "0815", "preferred_username": "whoever"}
    browser, csrf_token = clinic.browser_client("dr-lin")
    another, _ = clinic.browser_client("dr-lin")
    clinic.rows("update user_session set proved_at = proved_at - interval '10 minutes'")

    def tie(present: str) -> httpx2.Response:
        return browser.post("/account/house", data={"csrf_token": csrf_token, "present": present})

    assert [tie("").status_code, tie("wrong").status_code] == [409, 409]
    there = httpx2.get(tie(PASSWORD).headers["Location"]).headers["Location"]
    leaving = next(each.value for each in browser.cookies.jar if each.name == STATE_COOKIE)
    another.cookies.set(STATE_COOKIE, str(leaving))
    assert another.get(there).status_code == 401, "the session that comes back is another than the one that left"
    assert clinic.rows("select from house_identity") == []

    back = browser.get(httpx2.get(tie("").headers["Location"]).headers["Location"])
    assert (back.status_code, back.headers["Location"]) == (303, "/account")
    assert "too, since" in browser.get("/account?lang=en").text
    assert by_house(clinic).status_code == 200
    house.who = {"sub": "4711", "preferred_username": "whoever"}
    assert by_house(clinic).status_code == 401


def test_who_signs_in_at_the_house_is_the_account_that_was_noted(clinic: Clinic, house: Provider) -> None:
    expect_of_house(clinic, "dr-lin", "dr-lin")
    assert "/login/house" in clinic.client().get("/login").text

    first = by_house(clinic)
    house.who = {"sub": "0815", "preferred_username": "renamed"}
    later = by_house(clinic)

    assert [(answer.status_code, answer.url.path) for answer in (first, later)] == [(200, "/fleet")] * 2
    acts = clinic.rows("select act, detail ->> 'by' as by from audit_entry where act in ('house.bind', 'session.open')")
    assert [(each["act"], each["by"]) for each in acts] == [
        ("house.bind", None),
        ("session.open", "house"),
        ("session.open", "house"),
    ]


def test_a_login_given_to_somebody_else_over_there_opens_nothing(clinic: Clinic, house: Provider) -> None:
    expect_of_house(clinic, "dr-lin", "dr-lin")
    assert by_house(clinic).status_code == 200
    house.who = {"sub": "4711", "preferred_username": "dr-lin"}

    assert by_house(clinic).status_code == 401


def test_nobody_gets_an_account_by_it(clinic: Clinic, house: Provider) -> None:
    for who in ({"sub": "1", "preferred_username": "nobody"}, {"sub": "1"}, {"sub": "1", "preferred_username": 7}):
        house.who = who
        assert by_house(clinic).status_code == 401
    expect_of_house(clinic, "dr-lin", "dr-lin")
    with clinic.pool.connection() as conn:
        conn.execute("update app_user set active = false where login = 'dr-lin'")
    house.who = {"sub": "0815", "preferred_username": "dr-lin"}
    assert by_house(clinic).status_code == 401


def test_an_answer_of_the_house_that_is_not_quite_right_opens_nothing(clinic: Clinic, house: Provider) -> None:
    expect_of_house(clinic, "dr-lin", "dr-lin")
    past = int((clock.now() - timedelta(hours=1)).timestamp())
    for instead in (
        {"iss": "https://elsewhere.example"},
        {"aud": "another"},
        {"aud": ["another"]},
        {"aud": [CLIENT, "another"], "azp": "another"},
        {"nonce": "another"},
        {"nonce": None},
        {"exp": past},
        {"exp": None},
        {"sub": None},
        {"sub": ""},
    ):
        house.instead = instead
        assert by_house(clinic).status_code == 401, instead
    house.instead, house.key = {}, STRANGER
    assert by_house(clinic).status_code == 401
    assert clinic.rows("select from house_identity") == []


def ask_in_vain(clinic: Clinic, way: Way, times: int, address: str = "127.0.0.1") -> None:
    for _ in range(times):
        sessions.admit_way(clinic.pool, way, address=address, now=clinic.clock())


def test_each_way_in_waits_after_many_requests_that_led_nowhere_and_the_others_do_not(
    clinic: Clinic, house: Provider, doctor_id: int
) -> None:
    token = {
        "grant_type": "client_credentials",
        "scope": "system/*.rs",
        "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        "client_assertion": "x",
    }
    with httpx2.Client(base_url=clinic.url) as client:
        doors = {
            "passkey": (
                lambda: client.post("/login/passkey/ask"),
                lambda: client.post("/login/passkey", data={"answer": "{}"}),
            ),
            "house": (lambda: client.get("/login/house"), lambda: client.get("/login/house/back?state=x")),
            "program": (lambda: client.post("/fhir/auth/token", data=token),),
        }
        first: Mapping[Way, int] = {"passkey": 200, "house": 303, "program": 401}
        for way, status in first.items():
            ask_in_vain(clinic, way, WAY_ATTEMPTS - 1)
            assert doors[way][0]().status_code == status, way
            assert [ask().status_code for ask in doors[way]] == [429] * len(doors[way]), way
        assert int(doors["program"][0]().headers["Retry-After"]) <= ATTEMPTS_WITHIN.total_seconds()
        assert "Wait a quarter of an hour" in client.get("/login/house?lang=en").text
        login = {"login": "doctor", "password": PASSWORD}
        assert client.post("/api/v1/login", json=login).status_code == 200, "the password is another way in"
        sessions.admit_way(clinic.pool, "passkey", address="192.0.2.7", now=clinic.clock())

        clinic.clock.ahead = ATTEMPTS_WITHIN + timedelta(seconds=1)
        for way, status in first.items():
            assert doors[way][0]().status_code == status, way
    barred = clinic.rows("select detail ->> 'by' as by from audit_entry where act = 'session.bar' order by entry_id")
    assert [each["by"] for each in barred] == ["passkey", "house", "program"], "once each, however often it is asked"


def test_who_comes_in_is_not_counted_and_a_household_of_ipv6_is_one_address(clinic: Clinic, house: Provider) -> None:
    expect_of_house(clinic, "dr-lin", "dr-lin")
    ask_in_vain(clinic, "house", WAY_ATTEMPTS - 2)
    assert [by_house(clinic).status_code for _ in range(3)] == [200] * 3

    for number in range(WAY_ATTEMPTS):
        ask_in_vain(clinic, "house", 1, f"2001:db8::{number:x}")
    with pytest.raises(TooManyAttemptsError):
        ask_in_vain(clinic, "house", 1, "2001:db8::ffff")


def test_who_did_not_leave_from_here_does_not_come_back(clinic: Clinic, house: Provider) -> None:
    expect_of_house(clinic, "dr-lin", "dr-lin")
    with httpx2.Client(base_url=clinic.url) as victim, httpx2.Client(base_url=clinic.url) as attacker:
        there = httpx2.get(attacker.get("/login/house").headers["Location"]).headers["Location"]

        assert victim.get(there).status_code == 401
        assert attacker.get(there).status_code == 303
        assert attacker.get(there).status_code == 401


def test_a_house_that_does_not_answer_leaves_the_password(clinic: Clinic, front_door: FrontDoor) -> None:
    nobody = House(issuer="http://127.0.0.1:9", client_id=CLIENT, client_secret=SECRET)
    front_door.app = create_app(
        clinic.pool, now=clinic.clock, secure_cookies=False, public_url=clinic.url, house=nobody
    )

    answer = clinic.client().get("/login/house")

    assert answer.status_code == 503
    assert 'name="password"' in answer.text
