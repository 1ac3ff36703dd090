"""Programs of other houses: who they are is proved by a key, what they take at once is their panel's and nobody else's."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fix_clinic import Clinic
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet, RSAKey

from server import clock
from server.people import programs
from server.store.postgres import transaction

Judge = Callable[[Sequence[Any]], list[dict[str, Any]]]
KEY = ECKey.generate_key("P-384", {"kid": "one"})
RSA = RSAKey.generate_key(2048, {"kid": "two"})
KEYS = json.dumps(KeySet([KEY, RSA]).as_dict(private=False))


@pytest.fixture
def patient(clinic: Clinic) -> int:
    user = clinic.add_user("his", "nurse")
    doctor = clinic.add_user("dr-lin")
    patient, _ = clinic.high_patient("王芳", doctor)
    clinic.put_on_panel(user, patient)
    with transaction(clinic.pool) as conn:
        programs.add(conn, "his-program", login="his", key_set=KEYS, actor="cli:it", now=clock.now())
    return patient


def assertion(url: str, key: ECKey | RSAKey = KEY, algorithm: str = "ES384", **changes: Any) -> str:
    ends = int((clock.now() + timedelta(minutes=4)).timestamp())
    claims = {"iss": "his-program", "sub": "his-program", "aud": f"{url}/fhir/auth/token", "exp": ends, "jti": "1"}
    said = {name: value for name, value in {**claims, **changes}.items() if value is not None}
    return jwt.encode({"alg": algorithm, "kid": key.kid}, said, key, algorithms=[algorithm])


def ask(clinic: Clinic, signed: str, **changes: str) -> httpx2.Response:
    form = {
        "grant_type": "client_credentials",
        "scope": "system/*.rs",
        "client_assertion_type": programs.ASSERTION_TYPE,
        "client_assertion": signed,
    }
    return clinic.client().post("/fhir/auth/token", data={**form, **changes})


@pytest.fixture
def his(clinic: Clinic, patient: int) -> httpx2.Client:
    """The program, with a token."""
    granted = ask(clinic, assertion(clinic.url)).json()
    assert (granted["token_type"], granted["expires_in"], granted["scope"]) == ("bearer", 300, "system/*.rs")
    client = clinic.client()
    client.headers["Authorization"] = f"Bearer {granted['access_token']}"
    return client


def test_the_configuration_leads_to_the_token(clinic: Clinic, patient: int) -> None:
    said = clinic.client().get("/fhir/.well-known/smart-configuration").json()

    assert said["token_endpoint"] == f"{clinic.url}/fhir/auth/token"
    signed = assertion(clinic.url, RSA, "RS384", jti="by the other key")
    assert ask(clinic, signed).status_code == 200


NOT_QUITE_RIGHT: tuple[dict[str, Any], ...] = (
    {"iss": "another"},
    {"sub": "another"},
    {"aud": "https://elsewhere.example/fhir/auth/token"},
    {"exp": 1},
    {"exp": None},
    {"exp": "soon"},
    {"exp": int((clock.now() + timedelta(hours=1)).timestamp())},
    {"jti": None},
    {"jti": ""},
    {"iss": "nobody", "sub": "nobody"},
    {"iss": 7},
    {"iss": "nul\x00"},
)


def test_an_assertion_that_is_not_quite_right_is_refused(clinic: Clinic, patient: int) -> None:
    for changes in NOT_QUITE_RIGHT:
        answer = ask(clinic, assertion(clinic.url, **changes))

        assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client"), changes


def test_a_signature_by_another_key_or_by_none_is_refused(clinic: Clinic, patient: int) -> None:
    stranger = ECKey.generate_key("P-384", {"kid": "one"})
    unsigned = assertion(clinic.url).rpartition(".")[0] + "."
    for signed in (assertion(clinic.url, stranger), unsigned, "", "a.b.c", "x" * 8000, "é.é.é"):
        assert ask(clinic, signed).status_code == 401, signed[:20]
    with pytest.raises(Exception, match="lg"):  # the library itself signs nothing by `none`
        assertion(clinic.url, algorithm="none")


def test_what_was_signed_is_good_once(clinic: Clinic, patient: int) -> None:
    signed = assertion(clinic.url)

    assert [ask(clinic, signed).status_code for _ in range(2)] == [200, 401]


def test_what_is_asked_for_wrongly_is_said_in_oauths_words(clinic: Clinic, patient: int) -> None:
    for changes, error in (
        ({"grant_type": "password"}, "unsupported_grant_type"),
        ({"scope": "user/*.write"}, "invalid_scope"),
        ({"client_assertion_type": "x"}, "invalid_request"),
    ):
        answer = ask(clinic, assertion(clinic.url), **changes)

        assert (answer.status_code, answer.json()["error"]) == (400, error)


def test_a_token_ends_after_five_minutes_and_with_the_account(clinic: Clinic, his: httpx2.Client) -> None:
    assert his.get("/fhir/Patient").status_code == 200
    clinic.clock.ahead = timedelta(minutes=6)
    assert his.get("/fhir/Patient").status_code == 401


def lines(answer: httpx2.Response) -> list[dict[str, Any]]:
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Type"].startswith("application/fhir+ndjson")
    return [json.loads(line) for line in answer.text.splitlines()]


def exported(his: httpx2.Client, **params: str) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    started = his.get("/fhir/Group/panel/$export", params=params, headers={"Prefer": "respond-async"})
    assert started.status_code == 202, started.text
    manifest = his.get(started.headers["Content-Location"]).json()
    assert manifest["requiresAccessToken"] is True
    for part in manifest["output"]:
        yield part["type"], lines(his.get(part["url"]))


def test_everything_of_the_panel_is_taken_at_once_and_nothing_of_others(
    clinic: Clinic, patient: int, his: httpx2.Client, judge_fhir: Judge
) -> None:
    stranger, _ = clinic.high_patient("陌生人", clinic.add_user("dr-wu"))
    clinic.deliver()

    parts = dict(exported(his))
    everything = [each for part in parts.values() for each in part]

    assert set(parts) == {"Patient", "Device", "Observation", "DetectedIssue", "Task", "Communication"}
    assert [len(parts[kind]) > 0 for kind in parts] == [True] * len(parts)
    assert {each["subject"]["reference"] for each in parts["Observation"]} == {f"Patient/{patient}"}
    assert f"Patient/{stranger}" not in json.dumps(everything)
    assert "陌生人" not in json.dumps(everything, ensure_ascii=False)
    assert judge_fhir(everything) == []
    looked = clinic.rows(
        "select distinct patient_id, actor from audit_entry where subject = '/fhir/export/{export_id}/{kind}'"
    )
    assert [each["patient_id"] for each in looked] == [patient], "whoever takes all has looked at each"
    said = clinic.rows("select act, detail ->> 'of' as of from audit_entry where act = 'record.export'")
    assert said == [{"act": "record.export", "of": "panel"}]


def test_asked_again_since_then_only_what_is_new_comes(clinic: Clinic, patient: int, his: httpx2.Client) -> None:
    since = clock.now()
    new = clinic.add_pressure(patient, clock.now() - timedelta(minutes=5), 131, 82)

    parts = dict(exported(his, _type="Observation", _since=since.isoformat()))

    assert {each["id"] for each in parts["Observation"]} == {str(new), f"{new}-pulse"}


def test_an_export_is_its_owners_and_ends(clinic: Clinic, patient: int, his: httpx2.Client) -> None:
    where = his.get("/fhir/Group/panel/$export", params={"_type": "Patient"}).headers["Content-Location"]

    assert clinic.client("dr-lin").get(where).status_code == 404
    assert his.get(f"{where}/Task").status_code == 404
    assert his.delete(where).status_code == 202
    assert [his.get(where).status_code, his.delete(where).status_code] == [404, 404]
    bad = {"_type": "Medication"}, {"_outputFormat": "text/csv"}, {"_since": "yesterday"}
    assert [his.get("/fhir/Group/panel/$export", params=each).status_code for each in bad] == [400, 400, 400]


def test_programs_are_added_and_removed_by_command(
    clinic: Clinic, patient: int, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOMEVIGIL_SERVER_DATABASE_URL", database_url)
    keys = tmp_path / "keys.json"
    keys.write_text(json.dumps(KeySet([KEY]).as_dict(private=True)))

    def run(*words: str) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-m", "server", "program", *words]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    added = run("add", "lab", "--as", "his", "--keys", str(keys), "--by", "it")
    assert added.stdout == "lab reads what his sees\n", added.stderr
    assert "'d'" not in str(clinic.rows("select keys from program where program_id = 'lab'"))
    listed = json.loads(run("list", "--json").stdout)
    assert [(each["program_id"], each["is_active"]) for each in listed] == [("his-program", True), ("lab", True)]
    keys.write_text("{}")
    assert "JSON Web Key Set" in run("add", "lab", "--as", "his", "--keys", str(keys), "--by", "it").stderr
    assert run("remove", "his-program", "--by", "it").returncode == 0
    assert ask(clinic, assertion(clinic.url)).status_code == 401
    assert run("remove", "his-program", "--by", "it").returncode == 1
