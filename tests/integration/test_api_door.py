"""What everybody meets at the HTTP door: problems, headers, limits, sessions, CSRF, and nobody's patient but one's own."""

import re
import socket
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import httpx2
import pytest
from fix_clinic import PASSWORD, Clinic

from server.api.shield import BODY_MAX
from server.people.door import CSRF_HEADER
from server.people.sessions import ATTEMPTS, ATTEMPTS_WITHIN, IDLE_FOR, LASTS_FOR

NOBODY = UUID(int=0)


def test_who_is_not_signed_in_gets_a_problem_from_the_api_and_a_form_from_the_pages(clinic: Clinic) -> None:
    stranger = clinic.client()

    api = stranger.get("/api/v1/alerts")
    page = stranger.get("/p/7")

    assert (api.status_code, api.headers["WWW-Authenticate"]) == (401, "Bearer")
    assert api.json() == {
        "type": "about:blank",
        "title": "Not signed in",
        "status": 401,
        "detail": "sign in first",
        "instance": "/api/v1/alerts",
    }
    assert (page.status_code, page.headers["Location"]) == (303, "/login?next=%2Fp%2F7")


def test_a_wrong_password_and_an_unknown_login_get_the_same_answer(clinic: Clinic, doctor_id: int) -> None:
    client = clinic.client()

    wrong = client.post("/api/v1/login", json={"login": "doctor", "password": "guess"})
    unknown = client.post("/api/v1/login", json={"login": "nobody", "password": "guess"})

    assert wrong.status_code == 401
    assert wrong.json() == unknown.json()


def test_guessing_is_stopped_after_five_failures_even_for_the_right_password(clinic: Clinic, doctor_id: int) -> None:
    client = clinic.client()
    for _ in range(ATTEMPTS):
        assert client.post("/api/v1/login", json={"login": "doctor", "password": "guess"}).status_code == 401

    stopped = client.post("/api/v1/login", json={"login": "doctor", "password": PASSWORD})
    page = client.post("/login", data={"login": "doctor", "password": PASSWORD})

    assert stopped.status_code == 429
    assert 0 < int(stopped.headers["Retry-After"]) <= ATTEMPTS_WITHIN.total_seconds()
    assert page.status_code == 429
    clinic.clock.ahead = ATTEMPTS_WITHIN + timedelta(seconds=1)
    assert client.post("/api/v1/login", json={"login": "doctor", "password": PASSWORD}).status_code == 200


def test_a_text_that_no_database_holds_is_refused_and_no_mistake_of_ours(clinic: Clinic, doctor_id: int) -> None:
    stranger, doctor = clinic.client(), clinic.client("doctor")

    assert stranger.post("/login", data={"login": "a\x00b", "password": "guess"}).status_code == 422
    assert doctor.post("/api/v1/break-glass", json={"patient_id": 7, "reason": "an emergency\x00"}).status_code == 422


def test_guessing_at_one_login_does_not_lock_out_another(clinic: Clinic, doctor_id: int) -> None:
    clinic.add_user("nurse", "nurse")
    client = clinic.client()
    for _ in range(ATTEMPTS):
        client.post("/api/v1/login", json={"login": "nurse", "password": "guess"})

    assert client.post("/api/v1/login", json={"login": "doctor", "password": PASSWORD}).status_code == 200


def test_who_has_left_a_screen_somewhere_signs_out_there_from_here(clinic: Clinic, doctor_id: int) -> None:
    left, stranger = clinic.client("doctor"), clinic.client("doctor")
    here, csrf_token = clinic.browser_client("doctor")
    assert here.get("/account?lang=en").text.count("used last") == 3

    assert here.post("/account/sessions/end", data={"csrf_token": "guess"}).status_code == 403
    assert left.get("/api/v1/alerts").status_code == 200
    told = here.post("/account/sessions/end?lang=en", data={"csrf_token": csrf_token})

    assert "You are signed out everywhere else." in told.text
    assert told.text.count("used last") == 1
    assert [each.get("/api/v1/alerts").status_code for each in (left, stranger)] == [401, 401]
    assert here.get("/account").status_code == 200


def test_a_session_ends_after_a_quarter_of_an_hour_without_use(clinic: Clinic, doctor_id: int) -> None:
    doctor = clinic.client("doctor")
    clinic.clock.ahead = IDLE_FOR - timedelta(minutes=1)
    assert doctor.get("/api/v1/alerts").status_code == 200  # used: another quarter of an hour
    clinic.clock.ahead += IDLE_FOR - timedelta(minutes=1)
    assert doctor.get("/api/v1/alerts").status_code == 200
    clinic.clock.ahead += IDLE_FOR + timedelta(seconds=1)

    assert doctor.get("/api/v1/alerts").status_code == 401


def test_a_page_that_asks_by_itself_does_not_keep_its_session_alive(clinic: Clinic, doctor_id: int) -> None:
    browser, _ = clinic.browser_client("doctor")
    for minutes in (5, 10, 14):
        clinic.clock.ahead = timedelta(minutes=minutes)
        assert browser.get("/worklist/news", headers={"HX-Request": "true"}).status_code == 200
    clinic.clock.ahead = IDLE_FOR + timedelta(seconds=1)

    ended = browser.get("/worklist/news", headers={"HX-Request": "true"})

    assert (ended.status_code, ended.headers["HX-Redirect"]) == (401, "/login")


def test_a_session_ends_after_twelve_hours_however_much_it_is_used(clinic: Clinic, doctor_id: int) -> None:
    doctor = clinic.client("doctor")
    while clinic.clock.ahead < LASTS_FOR - timedelta(minutes=10):
        clinic.clock.ahead += timedelta(minutes=10)
        assert doctor.get("/api/v1/inbox").status_code == 200
    clinic.clock.ahead = LASTS_FOR + timedelta(seconds=1)

    assert doctor.get("/api/v1/inbox").status_code == 401


def test_signing_out_ends_the_token(clinic: Clinic, doctor_id: int) -> None:
    doctor = clinic.client("doctor")

    assert doctor.post("/api/v1/logout").status_code == 204
    assert doctor.get("/api/v1/alerts").status_code == 401


def test_closing_an_account_ends_its_sessions_at_once(clinic: Clinic, doctor_id: int) -> None:
    doctor = clinic.client("doctor")
    clinic.rows("update app_user set active = false where user_id = %s returning 1", doctor_id)

    assert doctor.get("/api/v1/alerts").status_code == 401
    assert clinic.client().post("/api/v1/login", json={"login": "doctor", "password": PASSWORD}).status_code == 401


def test_a_change_in_a_cookies_name_needs_the_sessions_csrf_token(clinic: Clinic, doctor_id: int) -> None:
    _, episode_id = clinic.high_patient("王秀英", doctor_id)
    browser, csrf_token = clinic.browser_client("doctor")
    address = f"/api/v1/alerts/{episode_id}/acknowledge"
    version = {"If-Match": '"1"'}

    without = browser.post(address, headers=version)
    wrong = browser.post(address, headers={**version, CSRF_HEADER: "guess"})
    elsewhere = browser.post(address, headers={**version, CSRF_HEADER: csrf_token, "Origin": "https://evil.example"})
    crossing = browser.post(address, headers={**version, CSRF_HEADER: csrf_token, "Sec-Fetch-Site": "cross-site"})
    form = browser.post(f"/a/{episode_id}/acknowledge", data={"if_match": "1", "csrf_token": "guess"})
    bare_form = browser.post(f"/a/{episode_id}/resolve", data={"if_match": "1", "resolution": "reached"})
    sign_out = browser.post("/logout")

    refused = (without, wrong, elsewhere, crossing, form, bare_form, sign_out)
    assert [each.status_code for each in refused] == [403] * len(refused)
    assert clinic.rows("select version from episode") == [{"version": 1}]
    assert browser.post(address, headers={**version, CSRF_HEADER: csrf_token, "Origin": clinic.url}).status_code == 200


def test_signing_in_from_another_sites_page_is_refused(clinic: Clinic, doctor_id: int) -> None:
    answer = clinic.client().post(
        "/login", data={"login": "doctor", "password": PASSWORD}, headers={"Origin": "https://evil.example"}
    )

    assert answer.status_code == 403
    assert "set-cookie" not in answer.headers


def test_the_cookie_is_out_of_reach_of_scripts_and_of_other_sites(clinic: Clinic, doctor_id: int) -> None:
    answer = clinic.client().post("/login", data={"login": "doctor", "password": PASSWORD, "next": "/inbox"})

    assert (answer.status_code, answer.headers["Location"]) == (303, "/inbox")
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie
    assert "Path=/" in cookie


@pytest.mark.parametrize("elsewhere", ["https://evil.example/", "//evil.example", "/\\evil.example", "javascript:1"])
def test_signing_in_leads_nowhere_else(clinic: Clinic, doctor_id: int, elsewhere: str) -> None:
    answer = clinic.client().post("/login", data={"login": "doctor", "password": PASSWORD, "next": elsewhere})

    assert answer.headers["Location"] == "/"


@pytest.mark.parametrize(
    "path", ["/login", "/", "/api/v1/alerts", "/nothing", "/me/nothing", "/healthz", "/openapi.json"]
)
def test_every_answer_is_shielded_and_kept_out_of_caches(clinic: Clinic, path: str) -> None:
    headers = clinic.client().get(path).headers

    policy = headers["Content-Security-Policy"]
    assert "unsafe" not in policy
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["Cache-Control"] == "no-store"


def test_scripts_and_styles_come_from_here_and_may_be_cached(clinic: Clinic) -> None:
    client = clinic.client()

    script = client.get("/static/htmx-4.0.1.min.js")
    style = client.get("/static/clinic.css")

    assert script.status_code == style.status_code == 200
    assert "no-store" not in script.headers.get("Cache-Control", "")
    assert script.headers["X-Content-Type-Options"] == "nosniff"


def test_a_body_past_the_limit_is_refused_before_it_is_read(clinic: Clinic) -> None:
    client = clinic.client()
    too_long = b'{"login": "' + b"x" * BODY_MAX + b'"}'

    declared = client.post("/api/v1/login", content=too_long, headers={"Content-Type": "application/json"})
    chunked = client.post("/api/v1/login", content=_in_pieces(too_long), headers={"Content-Type": "application/json"})

    assert (declared.status_code, chunked.status_code) == (413, 413)
    assert declared.json()["detail"] == "a body has at most 64 KiB"
    assert declared.headers["X-Frame-Options"] == "DENY"


def test_half_a_request_is_none(clinic: Clinic, doctor_id: int) -> None:
    _, episode_id = clinic.high_patient("王秀英", doctor_id)
    token = clinic.client("doctor").headers["Authorization"]
    host, port = clinic.url.removeprefix("http://").split(":")
    head = (
        f"POST /api/v1/alerts/{episode_id}/resolve HTTP/1.1\r\nHost: {host}\r\nAuthorization: {token}\r\n"
        'If-Match: "1"\r\nContent-Type: application/json\r\nContent-Length: 900\r\n\r\n{"resolution": "reached"}'
    )

    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(head.encode())

    assert clinic.client().get("/healthz").status_code == 200
    assert clinic.rows("select state from episode") == [{"state": "active"}]


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b'"\xff"', 400),
        (b"{", 422),
        (b"[]", 422),
        (b"null", 422),
        (b'{"login": NaN, "password": "x"}', 422),
        (b"", 422),
    ],
)
def test_a_body_that_is_no_json_is_a_problem_and_not_a_fault(clinic: Clinic, content: bytes, status: int) -> None:
    answer = clinic.client().post("/api/v1/login", content=content, headers={"Content-Type": "application/json"})

    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"


def test_what_was_sent_is_never_repeated_in_a_problem(clinic: Clinic) -> None:
    answer = clinic.client().post("/api/v1/login", json={"login": "doctor", "password": 12345, "secret": "s3cr3t"})

    assert answer.status_code == 422
    assert "12345" not in answer.text
    assert "s3cr3t" not in answer.text
    assert {tuple(each["where"]) for each in answer.json()["errors"]} == {("body", "password"), ("body", "secret")}


def test_ready_means_that_the_database_answers(clinic: Clinic) -> None:
    client = clinic.client()
    assert client.get("/readyz").json() == {"status": "ok"}
    clinic.pool.close()

    away = client.get("/readyz")
    page = client.get("/me/anything", headers={"Accept-Language": "en"})

    assert (away.status_code, away.headers["Retry-After"]) == (503, "5")
    assert away.json()["detail"] == "try again in a moment"
    assert page.status_code == 503
    assert "readings are not lost" in page.text
    assert client.get("/healthz").status_code == 200


def test_a_mistake_of_ours_is_owned_up_to_and_shows_nothing_of_the_inside(clinic: Clinic, doctor_id: int) -> None:
    program = clinic.client("doctor")
    browser, _ = clinic.browser_client("doctor")
    clinic.rows("alter table episode rename to elsewhere")

    problem = program.get("/api/v1/alerts")
    page = browser.get("/", headers={"Accept-Language": "en"})

    assert (problem.status_code, page.status_code) == (500, 500)
    assert problem.json()["title"] == "Our mistake"
    assert "That was our mistake" in page.text
    for answer in (problem, page):
        assert "episode" not in answer.text
        assert answer.headers["X-Frame-Options"] == "DENY"
        assert answer.headers["Cache-Control"] == "no-store"


def test_the_description_of_the_api_says_what_may_go_wrong(clinic: Clinic) -> None:
    description = clinic.client().get("/openapi.json").json()

    assert description["openapi"].startswith("3.1")
    page = (Path(__file__).parents[2] / "docs/reference/http.md").read_text(encoding="utf-8")
    written = set(re.findall(r"`([A-Z]+ /[^`]*)`", page))
    described = {f"{verb.upper()} {path}" for path, verbs in description["paths"].items() for verb in verbs}
    assert described - written == set(), "docs/reference/http.md says every request"
    for path, operations in description["paths"].items():
        is_fhir = path.startswith("/fhir/")
        for operation in operations.values():
            assert {"400", "401", "503"} | ({"422"} - {"422" if is_fhir else ""}) <= set(operation["responses"])
            for status, response in operation["responses"].items():
                if status >= "4":
                    assert set(response["content"]) <= _media(path, status), (operation["summary"], status)
    for path in ("alerts/{episode_id}/acknowledge", "patients/{patient_id}/readings/{reading_id}/void"):
        decision = description["paths"][f"/api/v1/{path}"]["post"]["responses"]
        assert {"403", "404", "409", "412", "428"} <= set(decision)


def _media(path: str, status: str) -> set[str]:
    """In what an error is said: OAuth's words where a program asks for a token."""
    if path == "/fhir/auth/token" and status in ("400", "401"):
        return {"application/json", "application/fhir+json"}
    is_fhir = path.startswith("/fhir/") and status != "413"
    return {"application/fhir+json" if is_fhir else "application/problem+json"}


def test_a_foreign_patient_is_answered_as_one_that_never_was(clinic: Clinic, doctor_id: int) -> None:
    patient_id, episode_id = clinic.high_patient("王秀英", doctor_id)
    clinic.deliver()
    for role in ("doctor", "nurse", "admin"):
        clinic.add_user(f"other-{role}", role)
        program = clinic.client(f"other-{role}")
        browser, csrf_token = clinic.browser_client(f"other-{role}")
        for foreign, absent in zip(
            _everything_about(patient_id, episode_id), _everything_about(2**62, NOBODY), strict=True
        ):
            answers = [_ask(program, browser, csrf_token, each) for each in (foreign, absent)]
            assert [answer.status_code for answer in answers] == [404, 404], (role, foreign)
            assert "王秀英" not in answers[0].text
            assert _without_address(answers[0], foreign) == _without_address(answers[1], absent)
        assert program.get("/api/v1/alerts").json() == {"alerts": [], "next": None}
        assert program.get("/api/v1/inbox").json() == {"messages": [], "next": None}
        assert "王秀英" not in browser.get("/?tab=all").text
    assert clinic.rows("select state, version from episode") == [{"state": "active", "version": 1}]


def test_a_panel_opens_exactly_its_patients(clinic: Clinic, doctor_id: int) -> None:
    seen, seen_alert = clinic.high_patient("王秀英", doctor_id)
    unseen, unseen_alert = clinic.high_patient("李强", None)
    clinic.put_on_panel(clinic.add_user("nurse", "nurse"), seen)
    nurse = clinic.client("nurse")

    assert nurse.get(f"/api/v1/patients/{seen}/readings").status_code == 200
    assert nurse.get(f"/api/v1/alerts/{seen_alert}").status_code == 200
    assert nurse.get(f"/api/v1/patients/{unseen}/readings").status_code == 404
    assert nurse.get(f"/api/v1/alerts/{unseen_alert}").status_code == 404
    assert [alert["patient"]["patient_id"] for alert in nurse.get("/api/v1/alerts").json()["alerts"]] == [seen]


def test_a_patient_who_moves_to_another_doctor_is_gone_for_the_first(clinic: Clinic, doctor_id: int) -> None:
    patient_id, episode_id = clinic.high_patient("王秀英", doctor_id)
    clinic.deliver()
    doctor = clinic.client("doctor")
    assert len(doctor.get("/api/v1/inbox").json()["messages"]) == 1
    successor = clinic.add_user("successor")
    clinic.rows("update patient set doctor_id = %s where patient_id = %s returning 1", successor, patient_id)

    assert doctor.get(f"/api/v1/alerts/{episode_id}").status_code == 404
    assert doctor.get("/api/v1/inbox").json()["messages"] == []
    assert clinic.client("successor").get(f"/api/v1/alerts/{episode_id}").status_code == 200


@pytest.mark.parametrize("path", ["/p/0", "/p/x", "/p/99999999999999999999", "/a/x", "/me/", "/me/x/y", "/nothing"])
def test_an_address_that_cannot_be_is_a_page_that_says_so(clinic: Clinic, doctor_id: int, path: str) -> None:
    browser, _ = clinic.browser_client("doctor")

    answer = browser.get(path, headers={"Accept-Language": "en"})

    assert answer.status_code == 404
    assert "There is no such page" in answer.text


def _everything_about(patient_id: int, episode_id: UUID) -> list[tuple[str, str]]:
    return [
        ("program", f"/api/v1/patients/{patient_id}/readings"),
        ("program", f"/api/v1/alerts/{episode_id}"),
        ("program post", f"/api/v1/alerts/{episode_id}/acknowledge"),
        ("program post", f"/api/v1/alerts/{episode_id}/resolve"),
        ("browser", f"/p/{patient_id}"),
        ("browser", f"/a/{episode_id}"),
        ("browser post", f"/a/{episode_id}/acknowledge"),
        ("browser post", f"/a/{episode_id}/resolve"),
    ]


def _ask(program: httpx2.Client, browser: httpx2.Client, csrf_token: str, question: tuple[str, str]) -> httpx2.Response:
    way, path = question
    match way:
        case "program":
            return program.get(path)
        case "program post":
            return program.post(path, headers={"If-Match": '"1"'}, json={"resolution": "reached"})
        case "browser":
            return browser.get(path)
    return browser.post(path, data={"if_match": "1", "csrf_token": csrf_token, "resolution": "reached"})


def _without_address(answer: httpx2.Response, question: tuple[str, str]) -> str:
    return answer.text.replace(question[1], "…")


def _in_pieces(content: bytes) -> Iterator[bytes]:
    for start in range(0, len(content), 8192):
        yield content[start : start + 8192]
