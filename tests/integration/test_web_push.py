"""Browsers that are told: sealed for them alone, said by whom, forgotten when they say good-bye, never a way into the house."""

import json
import socket
from collections.abc import Iterator
from datetime import timedelta

import pytest
from browser_told import Browser, claims_of, from_base64url, new_browser
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric import ec
from fix_clinic import Clinic
from outside_world import WebService, web_service
from wards import Receiver, Ward, ask, make_ward

from server.clock import now
from server.people import links, users
from server.people.users import Keeper
from server.push import browsers, contact_book
from server.push.contact_book import Deed, Wanted
from server.push.dispatch import Dispatcher
from server.push.outside import OutsideChannel
from server.store import contacts
from server.store.consents import Purpose, Word
from server.store.consents import add as say_consent
from server.store.contacts import Owner
from server.store.postgres import Pool, transaction
from vitals.errors import MalformedError

SITE = "https://home.example"


@pytest.fixture
def ward(pool: Pool) -> Ward:
    with transaction(pool) as conn:
        made = make_ward(conn, pool)
        contact_book.add_channel(conn, deed(), name="Browsers", url="webpush://it@clinic.example")
    return made


@pytest.fixture
def maker() -> Iterator[WebService]:
    """The push service of a browser's maker."""
    with web_service() as service:
        service.answers = [(201, {}, b"")]
        yield service


def deed() -> Deed:
    return Deed(actor="cli:it", now=now())


def subscribe(pool: Pool, owner: Owner, endpoint: str) -> Browser:
    browser = new_browser(endpoint)
    with transaction(pool) as conn:
        way = contacts.browser_channel(conn)
        assert way is not None
        contact_book.add_contact(conn, deed(), owner, Wanted(channel_id=way[0], address=browser.subscription))
    return browser


def agree(pool: Pool, patient_id: int, *, is_given: bool = True) -> None:
    word = Word(
        purpose=Purpose.CHANNELS, is_given=is_given, text_version=None, how="paper", said_at=now(), recorded_by="cli:it"
    )
    with transaction(pool) as conn:
        say_consent(conn, patient_id, word)


def send(ward: Ward, *, allow_private: bool = True) -> None:
    ward.send(Receiver())
    way = OutsideChannel(ward.pool, "webpush", public_url=SITE, allow_private=allow_private)
    while Dispatcher(ward.pool, way).send_due():
        continue


def tries(ward: Ward) -> list[tuple[object, ...]]:
    return ask(
        ward.pool,
        """select s.recipient, a.status, a.answer, s.state from push_attempt a join push s using (push_id)
           where s.channel = 'webpush' order by a.attempt_id""",
    )


def test_the_reader_of_these_tests_reads_the_example_of_rfc_8291() -> None:
    private = int.from_bytes(from_base64url("q1dXpw3UpT5VOmu_cf_v6ih07Aems3njxI-JWgLcM94"))
    browser = Browser(ec.derive_private_key(private, ec.SECP256R1()), from_base64url("BTBZMqHH6r4Tts7J_aSIgg"))
    body = (
        "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A_y"
        "l95bQpu6cVPTpK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN"
    )
    assert browser.read(from_base64url(body)) == "When I grow up, I want to be a watermelon"


def test_a_critical_value_is_told_to_browsers_that_alone_can_read_it(ward: Ward, maker: WebService) -> None:
    agree(ward.pool, ward.home.patient_id)
    doctors = subscribe(ward.pool, Owner(user_id=ward.doctor_id), f"{maker.url}/send/doctors")
    patients = subscribe(ward.pool, Owner(patient_id=ward.home.patient_id), f"{maker.url}/send/patients")

    ward.measure(192, 124)
    send(ward)

    calls = {each.path: each for each in maker.calls}
    assert sorted(calls) == ["/send/doctors", "/send/patients"]
    to_doctor = json.loads(doctors.read(calls["/send/doctors"].body))
    to_patient = json.loads(patients.read(calls["/send/patients"].body))
    assert to_doctor["url"] == f"{SITE}/a/{ward.episode_id}"
    assert to_doctor["is_urgent"]
    assert to_patient["is_urgent"]
    token = to_patient["url"].removeprefix(f"{SITE}/me/")
    with transaction(ward.pool) as conn:
        assert links.find_patient(conn, token, now=now()) == ward.home.patient_id
    for said in (to_doctor, to_patient):
        words = said["title"] + said["body"]
        assert not any(each in words for each in ("192", "124", "mmHg", "血压", "pressure")), words
    with pytest.raises(InvalidTag):
        doctors.read(calls["/send/patients"].body)

    with transaction(ward.pool) as conn:
        way = contacts.browser_channel(conn)
    assert way is not None
    for call in calls.values():
        claims = claims_of(call.headers["authorization"], browsers.public_key(way[1]))
        assert (claims["aud"], claims["sub"]) == (maker.url, "mailto:it@clinic.example")
        assert now().timestamp() < claims["exp"] <= (now() + timedelta(hours=24)).timestamp()
        assert call.headers["ttl"] == "86400", "a telephone that is switched off for the night has it in the morning"
        assert (call.headers["urgency"], call.headers["content-encoding"]) == ("high", "aes128gcm")
    assert len({call.headers["topic"] for call in calls.values()}) == 2
    assert all(len(call.headers["topic"]) <= 32 for call in calls.values()), "RFC 8030, section 5.4"
    assert sorted(tries(ward)) == [("patient", "sent", "", "sent"), (f"user:{ward.doctor_id}", "sent", "", "sent")]


def test_a_message_that_is_sent_again_takes_the_place_of_the_first(ward: Ward, maker: WebService) -> None:
    browser = subscribe(ward.pool, Owner(user_id=ward.doctor_id), f"{maker.url}/1")
    maker.answers = [(503, {}, b""), (201, {}, b"")]
    ward.measure(192, 124)
    send(ward)
    with transaction(ward.pool) as conn:
        conn.execute("update push set retry_at = now() where channel = 'webpush' and state = 'pending'")
    send(ward)

    first, second = maker.calls
    assert first.headers["topic"] == second.headers["topic"]
    tags = [json.loads(browser.read(each.body))["tag"] for each in (first, second)]
    assert tags[0] == tags[1]
    assert [row[1:] for row in tries(ward)] == [("failed", "HTTP 503", "sent"), ("sent", "", "sent")]


@pytest.mark.parametrize("status", [404, 410])
def test_a_browser_that_has_said_good_bye_is_forgotten_and_the_next_in_line_is_told(
    ward: Ward, maker: WebService, status: int
) -> None:
    subscribe(ward.pool, Owner(user_id=ward.doctor_id), f"{maker.url}/1")
    maker.answers = [(status, {}, b"")]
    ward.measure(192, 124)
    send(ward)
    assert tries(ward) == [(f"user:{ward.doctor_id}", "failed", "gone", "undeliverable")]
    with transaction(ward.pool) as conn:
        assert contacts.list_contacts(conn, Owner(user_id=ward.doctor_id)) == []
    assert ask(ward.pool, "select actor from audit_entry where act = 'contact.gone'") == [("server:push",)]
    send(ward)
    assert len(maker.calls) == 1


def test_one_of_two_browsers_that_is_gone_does_not_stop_the_other(ward: Ward, maker: WebService) -> None:
    owner = Owner(user_id=ward.doctor_id)
    subscribe(ward.pool, owner, f"{maker.url}/1")
    subscribe(ward.pool, owner, "http://127.0.0.1:9/refused")
    ward.measure(192, 124)
    send(ward)
    assert sorted(row[1:] for row in tries(ward)) == [("failed", "ConnectError", "sent"), ("sent", "", "sent")]


def test_a_subscription_leads_nowhere_inside_the_house(ward: Ward) -> None:
    with socket.create_server(("127.0.0.1", 0)) as inside:
        inside.settimeout(0.5)
        subscribe(ward.pool, Owner(user_id=ward.doctor_id), f"https://127.0.0.1:{inside.getsockname()[1]}/metadata")
        ward.measure(192, 124)
        send(ward, allow_private=False)
        with pytest.raises(TimeoutError):
            inside.accept()
    assert tries(ward)[0][1:3] == ("failed", "not an address to call")


def test_without_consent_no_browser_of_a_patient_is_told(ward: Ward, maker: WebService) -> None:
    subscribe(ward.pool, Owner(patient_id=ward.home.patient_id), f"{maker.url}/1")
    agree(ward.pool, ward.home.patient_id, is_given=False)
    ward.measure(192, 124)
    send(ward)
    assert maker.calls == []


def test_who_loses_the_links_or_begins_anew_is_told_in_no_browser_any_more(ward: Ward, maker: WebService) -> None:
    patient, doctor = Owner(patient_id=ward.home.patient_id), Owner(user_id=ward.doctor_id)
    for number, owner in enumerate((patient, doctor)):
        subscribe(ward.pool, owner, f"{maker.url}/{number}")
    with transaction(ward.pool) as conn:
        links.revoke_patient_links(conn, ward.home.patient_id, now=now())
        assert contacts.list_contacts(conn, patient) == []
        assert len(contacts.list_contacts(conn, doctor)) == 1
        users.reset(conn, Keeper(actor="cli:it", now=now()), ward.doctor_id)
        assert contacts.list_contacts(conn, doctor) == []


def test_what_is_no_subscription_is_refused_without_repeating_it(ward: Ward) -> None:
    good = json.loads(new_browser("https://push.example/secret").subscription)
    wrong: list[object] = [
        *("", "null", "[]", "secret", {}, 7),
        good | {"endpoint": 7},
        *(
            good | {"endpoint": each}
            for each in ("file:///etc/secret", "push.example", "https://", "https://a\nb", "https://x/" + "y" * 1000)
        ),
        *(good | {"keys": good["keys"] | {"auth": each}} for each in ("", "AAAA", "…", 7)),
        *(
            good | {"keys": good["keys"] | {"p256dh": each}}
            for each in ("", "BAAA", good["keys"]["p256dh"][:-4] + "AAAA")
        ),
        good | {"keys": None},
    ]
    for each in wrong:
        with pytest.raises(MalformedError) as refused:
            browsers.read_subscription(each if isinstance(each, str) else json.dumps(each))
        assert "secret" not in str(refused.value)


def test_there_is_one_channel_to_browsers_and_it_names_whoever_runs_the_server(ward: Ward) -> None:
    def refuses(url: str) -> bool:
        try:
            with transaction(ward.pool) as conn:
                contact_book.add_channel(conn, deed(), name="Browsers", url=url)
        except MalformedError:
            return True
        return False

    assert refuses("webpush://it@clinic.example"), "there is one"
    with transaction(ward.pool) as conn:
        (way,) = contacts.list_channels(conn)
        contact_book.remove_channel(conn, deed(), way.channel_id)
    assert all(refuses(f"webpush://{each}") for each in ("", "nobody", "a@b/c", "a@b?key=x", "@b", "a@b@c"))
    assert not refuses("webpush://it@clinic.example")


def test_a_patient_tells_this_device_on_the_own_page_and_stops_it(clinic: Clinic, maker: WebService) -> None:
    patient_id = clinic.add_patient("王秀英", None)
    with transaction(clinic.pool) as conn:
        url = f"/me/{links.issue_patient_link(conn, patient_id, now=now(), valid_for=timedelta(days=1))}"
    browser = clinic.client()
    origin = {"Origin": clinic.url}
    assert "data-push" not in browser.get(url).text, "nobody has set up a way to browsers"
    with transaction(clinic.pool) as conn:
        contact_book.add_channel(conn, deed(), name="Browsers", url="webpush://it@clinic.example")
    agree(clinic.pool, patient_id, is_given=False)
    page = browser.get(url).text
    assert "data-push" in page
    assert f'action="{url}/browser"' not in page, "not agreed yet"
    mine = new_browser(f"{maker.url}/1")
    assert browser.post(f"{url}/browser", data={"address": mine.subscription}, headers=origin).status_code == 409
    agree(clinic.pool, patient_id)
    assert browser.post(f"{url}/browser", data={"address": "{}"}, headers=origin).status_code == 422
    assert browser.post(f"{url}/browser", data={"address": mine.subscription}, headers=origin).status_code == 204
    (call,) = maker.calls
    assert "测试" in json.loads(mine.read(call.body))["title"]
    mark = browsers.read_subscription(mine.subscription).mark
    assert mark in browser.get(url).text

    deaf = new_browser(f"{maker.url}/2")
    maker.answers = [(410, {}, b"")]
    assert browser.post(f"{url}/browser", data={"address": deaf.subscription}, headers=origin).status_code == 409
    assert len(clinic.rows("select from contact")) == 1, "what takes nothing is not kept"

    for wrong in ("0" * 64, mark):
        assert browser.post(f"{url}/browser/stop", data={"mark": wrong}, headers=origin).status_code == 303
    assert clinic.rows("select from contact") == []
    assert browser.post("/me/nobody/browser", data={"address": mine.subscription}, headers=origin).status_code == 404
    elsewhere = {"Origin": "https://elsewhere.example"}
    assert browser.post(f"{url}/browser", data={"address": mine.subscription}, headers=elsewhere).status_code == 403
