"""What changes something is asked for by our own pages, in this session: every address is asked by somebody else's page."""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Annotated, Final
from urllib.parse import parse_qsl, urlencode

import pytest
from access_cases import Asker, Case, Matrix, Target, ask_once, named, routes
from fastapi import APIRouter, Form
from fastapi.routing import APIRoute
from fix_clinic import PASSWORD, Clinic

from server.asgi import create_app
from server.people import access, sessions
from server.people.access import ACCESS, ALL
from server.people.door import SignedIn

OWN_SITE: Final = (("origin", "http://test"), ("sec-fetch-site", "same-origin"))
ANOTHER_SITE: Final = (("origin", "https://elsewhere.example"),)
A_FRAME_OF_ANOTHER_SITE: Final = (("sec-fetch-site", "cross-site"),)
OTHERWISE: Final = {
    "POST /me/{token}/consent": {"said": "yes"},
    "POST /p/{patient_id}/privacy/erasure": {"reason": "asked"},
}
"""What a form holds where another form has something else under the same name."""
REFUSALS: Final = ("did not come from a page of this session", "Request refused", "sent by another site", "CSRF token")
"""How a page, the API and FHIR's door say that a request was forged, and nothing else."""
ROLES: Final = ("doctor", "nurse", "admin", "auditor", "patient")


@pytest.fixture
def matrix(clinic: Clinic) -> Matrix:
    """One of each role, and everything that an address can name, of a patient whom the doctor and the nurse see."""
    users = {role: clinic.add_user(role, role) for role in ("doctor", "nurse", "admin", "auditor")}  # type: ignore[arg-type]
    patient_id, episode_id = clinic.high_patient("Zhao Min", users["doctor"])
    clinic.put_on_panel(users["nurse"], patient_id)
    clinic.add_user("patient", "patient", patient_id=patient_id)
    (reading,) = clinic.rows("select reading_id from reading where patient_id = %s limit 1", patient_id)
    (follow_up,) = clinic.rows("select follow_up_id from follow_up where patient_id = %s limit 1", patient_id)
    ids = {
        "patient_id": str(patient_id),
        "episode_id": str(episode_id),
        "reading_id": str(reading["reading_id"]),
        "follow_up_id": str(follow_up["follow_up_id"]),
        "user_id": str(users["nurse"]),
        "subject": f"patient:{patient_id}",
        "rule_id": "bp-above-140-90-3-days",
        "version": "1",
        "export_id": str(episode_id),
        "passkey_id": "0a",
        "deed": "close",
        "role": "auditor",
        "display_name": "Somebody Else",
        "what": "test",
        "token": "nobodys",
        "if_match": "1",
        "patient": str(patient_id),
        "user": str(users["nurse"]),
        "to_user": str(users["doctor"]),
        "to_patient_id": str(patient_id),
        "act": "added",
        "watch": "yes",
        "answer": "yes",
        "snooze_for": "hour",
        "outcome": "advised",
        "purpose": "care",
        "word": "yes",
        "how": "clinic",
        "lasting": "day",
        "gateway_id": "gw-1",
        "meter_id": "F0:00:00:10:00:01",
        "quarantine_ids": "1",
    }
    ids |= dict.fromkeys(
        ("alarm_id", "channel_id", "contact_id", "silence_id", "break_glass_id", "hold_id", "request_id"), "1"
    )
    return Matrix(
        app=create_app(clinic.pool, now=clinic.clock, secure_cookies=False),
        askers=[_signed_in(clinic, role) for role in ROLES],
        targets=[Target(kind="own", ids=ids)],
    )


def _signed_in(clinic: Clinic, role: str) -> Asker:
    found = sessions.sign_in(clinic.pool, login=role, password=PASSWORD, address="test", now=clinic.clock())
    return Asker(name=role, role=role, token=found.token, csrf_token=found.session.csrf_token)


def _changing() -> list[APIRoute]:
    return [each for each in routes() if not named(each).startswith("GET ")]


def _forged(matrix: Matrix, asked: Sequence[APIRoute]) -> Iterator[tuple[str, Case]]:
    """Each address as each role that may come there, by a browser: it sends the session's cookie whoever wrote the page."""
    others = dict(pairwise([*matrix.askers, matrix.askers[0]]))
    for route in asked:
        roles = ACCESS[named(route)]
        for asker in matrix.askers:
            if asker.role not in roles:
                continue
            real = _real(matrix, route, asker)
            yield "without a token", _sent(real, None, OWN_SITE)
            yield "with another session's token", _sent(real, others[asker].csrf_token, OWN_SITE)
            yield "from another site", _sent(real, asker.csrf_token, ANOTHER_SITE)
            yield "from another site's frame", _sent(real, asker.csrf_token, A_FRAME_OF_ANOTHER_SITE)
        if not roles and not route.include_in_schema:  # no session yet, and no token of it; but there is a site
            real = _real(matrix, route, Asker(name="nobody", role=""))
            yield "from another site", _sent(real, None, ANOTHER_SITE)
            yield "from another site's frame", _sent(real, None, A_FRAME_OF_ANOTHER_SITE)


def _real(matrix: Matrix, route: APIRoute, asker: Asker) -> Case:
    (target,) = matrix.targets
    return matrix.case(route, asker, target, {**target.ids, **OTHERWISE.get(named(route), {})})


def _sent(real: Case, csrf_token: str | None, by: Sequence[tuple[str, str]]) -> Case:
    """By a browser: with the cookie; the token stands in a page's form, and of the API in a header."""
    headers = [each for each in real.headers if each[0] not in ("authorization", "cookie")]
    if real.asker.token is not None:
        headers.append(("cookie", f"homevigil={real.asker.token}"))
    if csrf_token is not None:
        headers.append(("x-csrf-token", csrf_token))
    body = real.body
    if ("content-type", "application/x-www-form-urlencoded") in headers:
        form = [(name, value) for name, value in parse_qsl(body.decode()) if name != "csrf_token"]
        body = urlencode([*form, *([("csrf_token", csrf_token)] if csrf_token is not None else [])]).encode()
    return replace(real, headers=(*headers, *by, ("accept-language", "en")), body=body)


def _taken(matrix: Matrix, asked: Sequence[APIRoute]) -> list[str]:
    """What was not refused as forged, in words."""

    async def ask() -> list[str]:
        faults = []
        for how, case in _forged(matrix, asked):
            answer = await ask_once(matrix.app, case)
            if answer.status != 403 or not any(each in answer.body for each in REFUSALS):
                faults.append(f"{case.route} as {case.asker.name}, {how}: {answer.status}")
        return faults

    return asyncio.run(ask())


def _everything(clinic: Clinic) -> dict[object, object]:
    """How many rows each table has: a count of the audit among them."""
    tables = clinic.rows(
        "select relname from pg_class where relkind in ('r', 'p') and not relispartition"
        " and relnamespace = 'public'::regnamespace"
    )
    counts = (f"select '{each['relname']}' as name, count(*) as rows from {each['relname']}" for each in tables)
    return {row["name"]: row["rows"] for row in clinic.rows(" union all ".join(counts))}


def test_no_page_of_somebody_else_changes_anything(clinic: Clinic, matrix: Matrix) -> None:
    """A new form? Give it `check_form`. It is answered 422? Say in `access_cases.FORM` what it may hold."""
    asked = _changing()
    before = _everything(clinic)

    faults = _taken(matrix, asked)

    assert not faults, f"{len(faults)}:\n" + "\n".join(faults[:20])
    assert _everything(clinic) == before
    assert "audit_entry" in before
    assert {role for each in asked for role in ACCESS[named(each)]} == ALL


def test_a_form_that_forgets_to_ask_is_found(matrix: Matrix, monkeypatch: pytest.MonkeyPatch) -> None:
    forgetful = APIRouter(include_in_schema=False)

    @forgetful.post("/unguarded")
    def change(caller: SignedIn, csrf_token: Annotated[str, Form()] = "") -> str:
        return "changed"

    matrix.app.include_router(forgetful)
    monkeypatch.setattr(access, "ACCESS", {**ACCESS, "POST /unguarded": ALL})
    monkeypatch.setitem(globals(), "ACCESS", {**ACCESS, "POST /unguarded": ALL})
    (route,) = (each for each in forgetful.routes if isinstance(each, APIRoute))

    faults = _taken(matrix, [route])

    assert len(faults) == 4 * len(ROLES), faults
