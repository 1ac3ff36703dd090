"""A code for a new gateway, made on a page by whoever runs the clinic, and what a box makes of it."""

from datetime import timedelta
from pathlib import Path

import httpx2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from fix_clinic import Clinic, FrontDoor, words_of
from waiting_readings import home_of

from server import clock
from server.asgi import create_app
from server.store.postgres import transaction
from server.trust import claim_key, claims
from server.trust.claims import Admitted
from server.trust.folders import Secrets
from server.trust.office import ClaimOffice
from vitals.enrolment import parse_invitation


@pytest.fixture
def secrets(tmp_path: Path) -> Secrets:
    made = Secrets(tmp_path / "secrets")
    made.create(name="test", hosts=["localhost"], watchdog_id="watchdog", now=clock.now())
    return made


@pytest.fixture
def chief(clinic: Clinic, front_door: FrontDoor, secrets: Secrets) -> httpx2.Client:
    """The IT person, at a server that has the key for codes and nothing of the authority's."""
    clinic.add_user("chief", "admin")
    key = claim_key.read(secrets.claims_file)
    office = ClaimOffice(key=key, host="clinic.example", port=8443, reserved=("intake", "watchdog"))
    front_door.app = create_app(clinic.pool, now=clinic.clock, secure_cookies=False, claim_office=office)
    return clinic.client("chief")


def enrol(clinic: Clinic, secrets: Secrets, gateway_id: str, code: str) -> object:
    """What the door answers to a box that shows this code."""
    named = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    request = named.sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256())
    with transaction(clinic.pool) as conn:
        return claims.admit(
            conn,
            secrets.authority(),
            gateway_id=gateway_id,
            code=code,
            request=request.public_bytes(Encoding.PEM).decode(),
            now=clinic.clock(),
            key=secrets.claim_key(),
        )


def test_a_box_becomes_a_gateway_by_the_code_of_the_page_and_its_home_is_known(
    clinic: Clinic, chief: httpx2.Client, secrets: Secrets
) -> None:
    patient_id = clinic.add_patient("王秀英", clinic.add_user("lin"))
    wish = {"gateway_id": "gw-home-1", "patient_id": patient_id}
    assert chief.post("/api/v1/claims", json=wish).status_code == 422, "a new one needs a zone"

    made = chief.post("/api/v1/claims", json=wish | {"zone": "Asia/Shanghai"})

    assert made.status_code == 201, made.text
    said = parse_invitation(made.json()["text"])
    assert (said.host, said.gateway_id, said.code) == ("clinic.example", "gw-home-1", made.json()["code"])
    assert said.pin == secrets.authority().pin
    (shown,) = chief.get("/api/v1/claims").json()["claims"]
    assert (shown["gateway_id"], shown["made_by"], shown["tries_left"]) == ("gw-home-1", "chief", 5)
    assert enrol(clinic, secrets, "gw-home-1", "AAAAAA") == claims.NO_SUCH_CLAIM
    assert isinstance(enrol(clinic, secrets, "gw-home-1", said.code), Admitted)
    assert chief.get("/api/v1/claims").json()["claims"] == []
    home_of(clinic, 1).measures(20)
    (row,) = clinic.client("lin").get("/api/v1/quarantine").json()["rows"]
    assert row["near"] == [patient_id], "her doctor sees what is heard there, before any meter is bound"
    assert chief.get("/api/v1/quarantine").json()["rows"] == []
    assert chief.post("/api/v1/claims/home-over", json=wish).status_code == 204
    assert chief.post("/api/v1/claims/home-over", json=wish).status_code == 409
    acts = clinic.rows("select act, patient_id from audit_entry where act like 'gateway.%%' order by entry_id")
    assert [(each["act"], each["patient_id"]) for each in acts] == [
        ("gateway.add", None),
        ("gateway.claim", None),
        ("gateway.home", patient_id),
        ("gateway.home_over", patient_id),
    ]


def test_a_code_that_was_taken_back_opens_nothing_and_a_new_one_ends_the_old(
    clinic: Clinic, chief: httpx2.Client, secrets: Secrets
) -> None:
    wish = {"gateway_id": "gw-1", "zone": "Asia/Shanghai"}
    first, second = (chief.post("/api/v1/claims", json=wish).json()["code"] for _ in range(2))
    assert enrol(clinic, secrets, "gw-1", first) == claims.NO_SUCH_CLAIM

    assert chief.post("/api/v1/claims/take-back", json={"gateway_id": "gw-1"}).status_code == 204

    assert enrol(clinic, secrets, "gw-1", second) == claims.NO_SUCH_CLAIM
    assert chief.post("/api/v1/claims/take-back", json={"gateway_id": "gw-1"}).status_code == 409
    third = chief.post("/api/v1/claims", json=wish).json()["code"]
    clinic.clock.ahead = timedelta(minutes=16)
    assert enrol(clinic, secrets, "gw-1", third) == claims.NO_SUCH_CLAIM


def test_what_cannot_be_claimed_is_refused_in_words(clinic: Clinic, chief: httpx2.Client) -> None:
    clinic.add_user("lin")
    wish = {"gateway_id": "gw-1", "zone": "Asia/Shanghai"}
    assert clinic.client("lin").post("/api/v1/claims", json=wish).status_code == 403
    assert chief.post("/api/v1/claims", json=wish | {"patient_id": 987654}).status_code == 404
    assert chief.post("/api/v1/claims", json=wish | {"zone": "Asia/Atlantis"}).status_code == 422
    assert chief.post("/api/v1/claims", json=wish | {"gateway_id": "watchdog"}).status_code == 422
    assert clinic.rows("select 1 from gateway") == [], "a refusal enrols nothing"
    assert chief.post("/api/v1/claims", json=wish).status_code == 201
    clinic.rows("update gateway set state = 'revoked' returning 1")
    assert chief.post("/api/v1/claims", json=wish).json()["state"] == "revoked"


def test_the_page_shows_the_code_once_with_its_qr_in_both_languages(clinic: Clinic, chief: httpx2.Client) -> None:
    browser, csrf_token = clinic.browser_client("chief")
    form = {"csrf_token": csrf_token, "gateway_id": "gw-1", "zone": "Asia/Shanghai"}

    made = browser.post("/fleet/claim?lang=en", data=form)

    assert made.status_code == 201
    assert "no-store" in made.headers["Cache-Control"]
    said = " ".join(words_of(made.text).split())
    assert "sudo homevigil-gateway enrol 'homevigil://clinic.example:8443/gw-1/" in said
    assert "<svg" in made.text
    assert 'class="qr"' in made.text
    assert " style=" not in made.text
    code = said.split("--code ")[1][:6]
    later = browser.get("/fleet/claim?lang=zh").text
    assert code not in later
    assert "还可尝试 5 次" in words_of(later)
    assert "Nothing was changed" not in browser.post("/fleet/claim/take-back", data=form, follow_redirects=True).text
    assert "it had ended already" in words_of(browser.post("/fleet/claim/take-back?lang=en", data=form).text)
    assert "zone of its home" in words_of(
        browser.post("/fleet/claim?lang=en", data=form | {"gateway_id": "n", "zone": "x"}).text
    )


def test_an_authority_of_an_older_build_gets_its_key_for_codes_when_it_is_renewed(secrets: Secrets) -> None:
    for path in (secrets.claims_file, secrets.authority_folder / claim_key.FILE):
        path.unlink()
    was = secrets.claim_key().keyed_hash("gw-1 ABC234")
    assert was == secrets.authority().keyed_hash("gw-1 ABC234")

    secrets.renew(hosts=["localhost"], watchdog_id="watchdog", now=clock.now())
    made = claim_key.read(secrets.claims_file)
    secrets.renew(hosts=["localhost"], watchdog_id="watchdog", now=clock.now())

    assert made == secrets.claim_key() == claim_key.read(secrets.claims_file)
    assert (made.pin, secrets.claims_file.stat().st_mode & 0o777) == (secrets.authority().pin, 0o600)


def test_a_server_without_the_key_makes_no_codes_and_says_what_is_needed(clinic: Clinic) -> None:
    clinic.add_user("chief", "admin")
    browser, _ = clinic.browser_client("chief")

    assert "HOMEVIGIL_SERVER_CLAIMS_KEY_FILE" in browser.get("/fleet/claim").text
    answer = clinic.client("chief").post("/api/v1/claims", json={"gateway_id": "gw-1", "zone": "Asia/Shanghai"})
    assert (answer.status_code, answer.json()["state"]) == (409, "not set up on this server")
