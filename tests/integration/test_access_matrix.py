"""Nobody sees a stranger's record: every address, asked by every role about own, foreign, absent and transferred patients."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from uuid import NAMESPACE_OID, UUID, uuid5

import pytest
from access_cases import Answer, Asker, Case, Matrix, Target, named, routes
from fix_clinic import PASSWORD, Clinic
from waiting_readings import home_of

import server.store.postgres
from server import clock
from server.asgi import create_app
from server.people import accounts, sessions
from server.people.access import ACCESS
from server.people.door import Caller
from server.store import contacts, notes
from server.store.postgres import load_sql, transaction

WITH_A_PATIENT = ("{patient_id}", "{episode_id}", "{follow_up_id}", "{push_id}", "{device_id}", "{observation_id}")
THE_AUDIT = "GET /api/v1/patients/{patient_id}/audit"
"""An auditor may ask about any patient, and for all others the address is closed, whoever the patient is."""

THE_FLEET = ("GET /fleet", "GET /api/v1/fleet", "POST /fleet/alarms/{alarm_id}/seen")
"""An admin is told which message could not be delivered, by its number; and of every meter that it waits to be bound."""


def test_every_address_says_which_roles_may_come() -> None:
    """A new route? Its line goes into `server/people/access.py`."""
    assert {named(each) for each in routes()} == set(ACCESS)


@pytest.fixture
def matrix(clinic: Clinic) -> Matrix:
    """A doctor and a nurse with one patient; another doctor with two, one of whom was the first doctor's until just now."""
    doctor, nurse, other = clinic.add_user("doctor"), clinic.add_user("nurse", "nurse"), clinic.add_user("other")
    for role in ("admin", "auditor"):
        clinic.add_user(role, role)  # type: ignore[arg-type]
    clinic.add_user("stranger", "nurse")
    boss = clinic.add_user("boss", "admin")
    people = {
        kind: clinic.high_patient(f"Marker{kind.title()}", owner, phone=f"+86 139 0000 {number:04d}")
        for number, (kind, owner) in enumerate(
            (("own", doctor), ("foreign", other), ("unowned", None), ("transferred", doctor), ("second", other)),
            start=7001,
        )
    }
    clinic.put_on_panel(nurse, people["own"][0])
    clinic.put_on_panel(nurse, people["transferred"][0])
    clinic.put_on_panel(boss, people["own"][0])
    for kind, (patient_id, _) in people.items():
        with transaction(clinic.pool) as conn:
            conn.execute(
                "insert into silence (patient_id, reason, made_at, made_by, until)"
                " values (%s, %s, now(), %s, now() + interval '1 hour')",
                (
                    patient_id,
                    notes.seal(conn, patient_id, "away", "silence.reason"),
                    doctor if kind == "own" else other,
                ),
            )
            if kind in ("own", "foreign"):
                accounts.add_user(
                    conn,
                    login=f"patient-{kind}",
                    display_name=f"Account{kind.title()}",
                    role="patient",
                    password=PASSWORD,
                    language="en",
                    now=clock.now(),
                    patient_id=patient_id,
                )
    with transaction(clinic.pool) as conn:
        channel_id = contacts.add_channel(
            conn,
            kind="email",
            service="mailto",
            name="Post",
            url="mailto://127.0.0.1:9?from=a@b.example&to={to}",
            wants_address=True,
            by="cli:it",
            now=clock.now(),
        )
        for kind, (patient_id, _) in people.items():
            contacts.add_contact(
                conn,
                contacts.Owner(patient_id=patient_id),
                channel_id=channel_id,
                address=f"somebody@MailOf{kind.title()}.example",
                lowest="high",
                only_next=False,
                by="cli:it",
                now=clock.now(),
            )
    clinic.deliver()
    moved = people["transferred"][0]
    clinic.rows("update patient set doctor_id = %s where patient_id = %s", other, moved)
    clinic.rows("delete from panel where patient_id = %s", moved)
    app = create_app(clinic.pool, now=clinic.clock, secure_cookies=False)
    targets = [_target(clinic, kind, *found) for kind, found in people.items()]
    absent = [
        Target(
            kind=f"absent{number}", ids={name: _nobody(name, value, number) for name, value in targets[0].ids.items()}
        )
        for number in (1, 2, 3)
    ]
    sees = {"doctor": {"own"}, "nurse": {"own"}, "patient-own": {"own"}, "patient-foreign": {"foreign"}}
    sees["other"] = {"foreign", "transferred", "second"}
    roles = {str(row["login"]): str(row["role"]) for row in clinic.rows("select login, role from app_user")}
    askers = [_asker(clinic, login, role, frozenset(sees.get(login, set()))) for login, role in roles.items()]
    askers.append(Asker(name="anonymous", role=""))
    fixed = {
        "rule_id": "bp-above-140-90-3-days",
        "version": "1",
        "alarm_id": "1",
        "about": "bp",
        "kind": "Patient.ndjson",
    }
    fixed |= {"channel_id": "98765", "contact_id": "98765", "what": "test"}
    fixed |= {"user_id": "1", "break_glass_id": "1", "hold_id": "98765", "request_id": "98765"}
    fixed |= {"token": "none", "export_id": str(UUID(int=7)), "passkey_id": "none"}
    return Matrix(app=app, askers=askers, targets=[*targets, *absent], fixed=fixed)


def _asker(clinic: Clinic, login: str, role: str, sees: frozenset[str]) -> Asker:
    found = sessions.sign_in(clinic.pool, login=login, password=PASSWORD, address="test", now=clinic.clock())
    return Asker(name=login, role=role, token=found.token, csrf_token=found.session.csrf_token, sees=sees)


def _target(clinic: Clinic, kind: str, patient_id: int, episode_id: UUID) -> Target:
    def one(sql: str) -> str:
        (row,) = clinic.rows(f"select ({sql})::text as found", patient_id)
        return str(row["found"])

    reading_id = one("select reading_id from reading where patient_id = %s limit 1")
    ids = {
        "patient_id": str(patient_id),
        "episode_id": str(episode_id),
        "reading_id": reading_id,
        "observation_id": reading_id,
        "device_id": one("select meter_id from reading where patient_id = %s limit 1").replace(":", "-"),
        "push_id": one("select push_id from push where patient_id = %s limit 1"),
        "follow_up_id": one("select follow_up_id from follow_up where patient_id = %s limit 1"),
        "silence_id": one("select silence_id from silence where patient_id = %s limit 1"),
    }
    ids["contact_id"] = one("select contact_id from contact where patient_id = %s")
    ids |= {"patient": ids["patient_id"], "subject": f"patient:{patient_id}"}
    home = home_of(clinic, number_of(kind), patient_id)
    home.measures(30, meter_id=f"CuffOf{kind.title()}")
    ids |= {
        "quarantine_ids": one("select max(quarantine_id) from quarantine where %s > 0"),
        "meter_id": f"CuffOf{kind.title()}",
        "gateway_id": home.gateway_id,
    }
    rows = clinic.rows("select reading_id::text as id from reading where patient_id = %s", patient_id)
    rows += clinic.rows("select push_id::text as id from push where patient_id = %s", patient_id)
    markers = {
        f"Marker{kind.title()}",
        f"139 0000 {number_of(kind)}",
        ids["meter_id"],
        f"MailOf{kind.title()}",
        str(episode_id),
        *(str(row["id"]) for row in rows),
    }
    return Target(kind=kind, ids=ids, markers=frozenset(markers))


def number_of(kind: str) -> int:
    return {"own": 7001, "foreign": 7002, "unowned": 7003, "transferred": 7004, "second": 7005}[kind]


def _nobody(name: str, like: str, number: int) -> str:
    if name == "subject":
        return f"patient:{98765 + number}"
    return str(98765 + number) if like.isdigit() else str(uuid5(NAMESPACE_OID, f"nobody {number}"))


def _faults(answers: list[Answer], everybody: list[Target]) -> Iterator[str]:
    """What is wrong with an answer, in words; nothing, if nobody saw a stranger."""
    absent = {_like(each.case): each for each in answers if each.case.target.kind == "absent1"}
    for each in answers:
        case = each.case
        said = each.body + str(each.headers)
        for target in everybody:
            if target.kind in case.asker.sees:
                continue
            if case.asker.role == "admin" and case.route in THE_FLEET:
                said = said.replace(target.ids["push_id"], "").replace(target.ids["meter_id"], "")
            if seen := [marker for marker in target.markers if marker in said and marker not in case.asked]:
                yield f"{case} answers {each.status} with {seen[0]} of {target.kind}"
        if each.status >= 500:
            yield f"{case} answers {each.status}: {each.body[:200]}"
        if case.target.kind in case.asker.sees or case.asker.token is None or not _names_a_patient(case):
            continue
        if each.status not in (404, 422):  # not understood, whoever it is about, is said before anybody is looked for
            yield f"{case} answers {each.status}, not 404: {each.body[:300]}"
        if _like(case) in absent and each.bare() != absent[_like(case)].bare():
            yield f"{case} is answered otherwise than of somebody who never was: {each.status} {each.body[:200]}"


def _sampled(faults: list[str]) -> list[str]:
    """One for each address, so that they can be read."""
    return list({fault.split("?")[0].split(": ", 1)[1][:24]: fault for fault in faults}.values())[:40]


def _like(case: Case) -> tuple[str, str, bool]:
    return case.asker.name, case.route, case.is_mixed


def _names_a_patient(case: Case) -> bool:
    return any(name in case.route for name in WITH_A_PATIENT) and case.route != THE_AUDIT


def test_nobody_sees_a_stranger_at_any_address(matrix: Matrix) -> None:
    cases = list(matrix.cases())
    others = [each for each in cases if each.target.kind not in each.asker.sees]
    own = [each for each in cases if each.target.kind in each.asker.sees]

    answers = matrix.ask(others) + matrix.ask(own)

    faults = list(_faults(answers, list(matrix.targets)))
    assert not faults, f"{len(faults)} of {len(cases)}:\n" + "\n".join(_sampled(faults))
    assert len(cases) >= 10_000
    refused = Counter(
        each.status
        for each in answers[: len(others)]
        if _names_a_patient(each.case) and each.case.asker.token is not None
    )
    assert refused[404] > 5 * refused[422], refused
    anonymous = Counter(each.status for each in answers if each.case.asker.token is None and ACCESS[each.case.route])
    assert set(anonymous) <= {401, 303}, anonymous
    mine = {each.case.route for each in answers if each.case.asker.name == "doctor" and each.status == 200}
    assert len(mine) > 50, "the doctor's own patient is there"


def _without_the_panel(monkeypatch: pytest.MonkeyPatch) -> None:
    """A build that has forgotten, in every statement, to ask whose patient it is."""
    everybody = b"(select u.user_id, p.patient_id from app_user u cross join patient p)"
    for path in (Path(server.store.postgres.__file__).parent / "sql").glob("*.sql"):
        statements = load_sql(path.stem)
        assert isinstance(statements, dict)
        for name, body in statements.items():
            if b"panel_member" in body:
                monkeypatch.setitem(statements, name, body.replace(b"panel_member", everybody))


def _foreign_reads(matrix: Matrix) -> list[Case]:
    return [
        each
        for each in matrix.cases()
        if each.method == "GET"
        and each.asker.name in ("stranger", "doctor")
        and each.target.kind in ("foreign", "transferred")
        and not each.route.endswith("/pdf")
    ]


def test_the_database_alone_keeps_strangers_apart(matrix: Matrix, monkeypatch: pytest.MonkeyPatch) -> None:
    _without_the_panel(monkeypatch)

    leaks = [each for each in _faults(matrix.ask(_foreign_reads(matrix)), list(matrix.targets)) if " with " in each]

    assert not leaks, "\n".join(leaks[:20])


def test_without_either_wall_the_matrix_finds_the_leak(matrix: Matrix, monkeypatch: pytest.MonkeyPatch) -> None:
    _without_the_panel(monkeypatch)
    monkeypatch.setattr(Caller, "pool", Caller.house)

    leaks = [each for each in _faults(matrix.ask(_foreign_reads(matrix)), list(matrix.targets)) if " with " in each]

    assert len(leaks) > 50


def test_the_statements_alone_keep_strangers_apart(matrix: Matrix, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Caller, "pool", Caller.house)

    leaks = [each for each in _faults(matrix.ask(_foreign_reads(matrix)), list(matrix.targets)) if " with " in each]

    assert not leaks, "\n".join(leaks[:20])
