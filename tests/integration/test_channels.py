"""Reaching people outside the house: channels with sealed secrets, words without health, each try in the ledger."""

import re
import threading
from collections.abc import Iterator
from datetime import timedelta
from uuid import UUID

import pytest
from outside_world import MailServer, WebService, mail_server, web_service
from vaults import rename
from wards import Receiver, Ward, ask, make_ward

from server.clock import now
from server.people.errors import NotOnPanelError
from server.push import contact_book, outside_texts
from server.push.contact_book import Deed, Wanted
from server.push.dispatch import Dispatcher
from server.push.outside import OutsideChannel
from server.store import contacts, erasure
from server.store.consents import Purpose, Word
from server.store.consents import add as say_consent
from server.store.contacts import Owner
from server.store.postgres import Pool, transaction
from vitals.errors import MalformedError

SITE = "https://home.example"
DESK = Owner()


@pytest.fixture
def ward(pool: Pool) -> Ward:
    with pool.connection() as conn:
        made = make_ward(conn, pool)
        rename(conn, made.home.patient_id, name="王秀英")
    return made


@pytest.fixture
def post() -> Iterator[MailServer]:
    with mail_server() as server:
        yield server


@pytest.fixture
def chat() -> Iterator[WebService]:
    with web_service() as service:
        yield service


def deed() -> Deed:
    return Deed(actor="cli:it", now=now())


def add_channel(ward: Ward, url: str, name: str = "the clinic's") -> int:
    with transaction(ward.pool) as conn:
        return contact_book.add_channel(conn, deed(), name=name, url=url)


def add_contact(ward: Ward, owner: Owner, channel_id: int, address: str = "", **more: object) -> int:
    with transaction(ward.pool) as conn:
        wanted = Wanted(channel_id=channel_id, address=address, **more)  # type: ignore[arg-type]
        return contact_book.add_contact(conn, deed(), owner, wanted)


def mail_by(post: MailServer) -> str:
    return f"mailto://robot:Pa55word@127.0.0.1:{post.port}?from=robot@clinic.example&to={{to}}"


def agree(ward: Ward, purpose: Purpose, *, is_given: bool = True) -> None:
    with transaction(ward.pool) as conn:
        word = Word(
            purpose=purpose, is_given=is_given, text_version=None, how="paper", said_at=now(), recorded_by="cli:it"
        )
        say_consent(conn, ward.home.patient_id, word)


def send(ward: Ward, *kinds: contacts.Kind) -> None:
    ward.send(Receiver())
    for kind in kinds:
        sender = Dispatcher(ward.pool, OutsideChannel(ward.pool, kind, public_url=SITE))
        while sender.send_due():
            continue


def ledger(ward: Ward) -> list[tuple[object, ...]]:
    return ask(
        ward.pool,
        """select s.recipient, s.channel, a.status, a.answer, s.state from push_attempt a join push s using (push_id)
           order by a.attempt_id""",
    )


def states(ward: Ward, channel: str) -> list[tuple[object, ...]]:
    return ask(
        ward.pool,
        "select recipient, state, why from push where channel = %(channel)s order by step, recipient",
        channel=channel,
    )


def test_a_critical_value_reaches_doctor_and_patient_by_mail_in_their_languages_and_says_nothing_of_health(
    ward: Ward, post: MailServer
) -> None:
    agree(ward, Purpose.CHANNELS)
    channel = add_channel(ward, mail_by(post))
    add_contact(ward, Owner(user_id=ward.doctor_id), channel, "lin@clinic.example")
    add_contact(ward, Owner(patient_id=ward.home.patient_id), channel, "xiuying@post.example")
    ask(ward.pool, "update app_user set language = 'en' where user_id = %(id)s", id=ward.doctor_id)
    ward.measure(188, 121)
    send(ward, "email")
    mails = {mail["To"]: mail for _, mail in post.mails}
    assert set(mails) == {"lin@clinic.example", "xiuying@post.example"}
    to_doctor, to_patient = mails["lin@clinic.example"], mails["xiuying@post.example"]
    assert to_doctor["Subject"] == "HomeVigil: an urgent item is waiting"
    assert f"{SITE}/a/{ward.episode_id}" in to_doctor.get_content()
    assert to_patient["Subject"] == "家守：诊所有重要消息，请马上查看"
    link = re.search(rf"{SITE}/me/(\S+)", to_patient.get_content())
    assert link is not None
    for mail in mails.values():
        text = mail["Subject"] + mail.get_content().replace(link[1], "").replace(str(ward.episode_id), "")
        assert not re.search(r"\d|王|秀英|压|糖|pressure|blood|mmHg", text), text
    assert [row[2] for row in ledger(ward)] == ["sent", "sent"]
    ((kept,),) = ask(
        ward.pool,
        "select count(*) from patient_link where patient_id = %(id)s and expires_at < '2100-01-01'",
        id=ward.home.patient_id,
    )
    assert kept == 1


def test_a_mail_that_is_sent_again_has_the_same_id_and_the_same_link(ward: Ward, post: MailServer) -> None:
    agree(ward, Purpose.CHANNELS)
    add_contact(ward, Owner(patient_id=ward.home.patient_id), add_channel(ward, mail_by(post)), "x@post.example")
    ward.measure(188, 121)
    send(ward, "email")
    ask(ward.pool, "update push set state = 'pending', lease_until = null where channel = 'email'")
    send(ward, "email")
    (_, first), (_, second) = post.mails
    assert first["Message-ID"] == second["Message-ID"]
    ((push_id,),) = ask(ward.pool, "select push_id from push where channel = 'email' and recipient = 'patient'")
    assert first["Message-ID"] == f"<{push_id}@clinic.example>"
    assert first.get_content() == second.get_content()


def test_a_refused_address_is_tried_again_and_its_code_is_in_the_ledger(ward: Ward, post: MailServer) -> None:
    channel = add_channel(ward, mail_by(post))
    add_contact(ward, Owner(user_id=ward.doctor_id), channel, "lin@clinic.example")
    post.refused["lin@clinic.example"] = 550
    ward.measure(188, 121)
    send(ward, "email")
    assert ledger(ward) == [(f"user:{ward.doctor_id}", "email", "failed", "SMTP 550", "pending")]
    add_contact(ward, Owner(user_id=ward.doctor_id), channel, "lin@home.example")
    ask(ward.pool, "update push set retry_at = now() where channel = 'email'")
    send(ward, "email")
    assert [row[2:] for row in ledger(ward)[1:]] == [("failed", "SMTP 550", "sent"), ("sent", "", "sent")]


def test_a_patient_who_has_not_agreed_is_not_told_through_other_companies_and_the_ledger_says_so(
    ward: Ward, post: MailServer
) -> None:
    agree(ward, Purpose.CHANNELS, is_given=False)
    add_contact(ward, Owner(patient_id=ward.home.patient_id), add_channel(ward, mail_by(post)), "x@post.example")
    ward.measure(188, 121)
    send(ward, "email")
    assert states(ward, "email") == [("patient", "cancelled", "no_consent")]
    assert post.mails == []


def test_only_what_is_urgent_enough_goes_there_and_some_ways_are_kept_for_what_nobody_acknowledges(
    ward: Ward, chat: WebService
) -> None:
    channel = add_channel(ward, f"json://{chat.host}/hook")
    add_contact(ward, Owner(user_id=ward.nurse_id), channel, only_next=True)
    add_contact(ward, Owner(user_id=ward.doctor_id), channel, lowest="high")
    add_contact(ward, DESK, channel, only_next=True)
    ward.measure(188, 121)
    found = states(ward, "chat")
    assert {row[0] for row in found} == {f"user:{ward.doctor_id}", f"user:{ward.nurse_id}", "clinic"}
    assert {row[1] for row in found} == {"pending"}
    send(ward, "chat")
    assert [row[0] for row in ledger(ward)] == [f"user:{ward.doctor_id}"]
    ward.let_pass(timedelta(minutes=40))
    send(ward, "chat")
    assert f"user:{ward.nurse_id}" in {row[0] for row in ledger(ward)}


def test_a_redirect_is_not_followed_and_no_answer_of_the_other_side_is_kept(ward: Ward, chat: WebService) -> None:
    with web_service() as inside:
        chat.answers = [(302, {"location": f"{inside.url}/latest"}, b"token=Secret")]
        add_contact(ward, Owner(user_id=ward.doctor_id), add_channel(ward, f"json://u:Pa55@{chat.host}/"), "")
        ward.measure(188, 121)
        send(ward, "chat")
        assert inside.calls == []
    assert [row[2:4] for row in ledger(ward)] == [("failed", "code 302")]
    ((row,),) = ask(ward.pool, "select to_jsonb(a)::text from push_attempt a")
    assert "Secret" not in row
    assert "Pa55" not in row
    assert "127.0.0.1" not in row


def test_whoever_does_not_answer_is_left_when_the_deadline_has_passed(ward: Ward) -> None:
    never = threading.Event()
    with web_service() as slow:
        slow.answers = _Waits(never)  # type: ignore[assignment]
        add_contact(ward, Owner(user_id=ward.doctor_id), add_channel(ward, f"json://{slow.host}/"))
        ward.measure(188, 121)
        channel = OutsideChannel(ward.pool, "chat", public_url=None, deadline_s=0.2)
        assert Dispatcher(ward.pool, channel).send_due() == 1
        never.set()
    assert [row[2] for row in ledger(ward)] == ["timeout"]


class _Waits(list[tuple[int, dict[str, str], bytes]]):
    def __init__(self, until: threading.Event) -> None:
        super().__init__([(200, {}, b"")])
        self._until = until

    def __getitem__(self, at: object) -> tuple[int, dict[str, str], bytes]:  # type: ignore[override]
        self._until.wait(20)
        return (200, {}, b"")


def test_secrets_and_addresses_lie_sealed_and_are_repeated_by_no_error(ward: Ward, post: MailServer) -> None:
    channel = add_channel(ward, mail_by(post))
    add_contact(ward, Owner(user_id=ward.doctor_id), channel, "lin@clinic.example")
    add_contact(ward, Owner(patient_id=ward.home.patient_id), channel, "xiuying@post.example")
    with ward.pool.connection() as conn:
        rows = b"".join(row for _, row in erasure.every_row(conn))
    for word in ("Pa55word", "lin@clinic", "xiuying@post"):
        assert word.encode() not in rows
        assert word.encode().hex().encode() not in rows
    for wrong in (
        "mailtos://robot:Pa55word@",
        "syslog://Pa55word",
        "Pa55word",
        "mailto://robot:Pa55word@clinic.example",
    ):
        with pytest.raises(MalformedError) as refused:
            add_channel(ward, wrong)
        assert "Pa55word" not in str(refused.value)
    with pytest.raises(MalformedError) as refused:
        add_contact(ward, Owner(user_id=ward.nurse_id), channel, "Pa55word & another")
    assert "Pa55word" not in str(refused.value)


@pytest.mark.parametrize(
    "address", ["a@b.example?cc=x@y.example", "a@b.example&mode=insecure", "a@b.example,c@d.example"]
)
def test_an_address_cannot_break_out_of_its_place(ward: Ward, post: MailServer, address: str) -> None:
    channel = add_channel(ward, mail_by(post))
    with pytest.raises(MalformedError):
        add_contact(ward, Owner(user_id=ward.doctor_id), channel, address)


def test_what_is_removed_is_forgotten_and_what_waited_for_it_is_cancelled(ward: Ward, post: MailServer) -> None:
    channel = add_channel(ward, mail_by(post))
    owner = Owner(user_id=ward.doctor_id)
    contact = add_contact(ward, owner, channel, "lin@clinic.example")
    ward.measure(188, 121)
    with transaction(ward.pool) as conn, pytest.raises(NotOnPanelError):
        contact_book.remove_contact(conn, deed(), Owner(user_id=ward.nurse_id), contact)
    with transaction(ward.pool) as conn:
        contact_book.remove_channel(conn, deed(), channel)
    assert ask(ward.pool, "select address from channel") == [(None,)]
    assert ask(ward.pool, "select from contact") == []
    assert states(ward, "email") == [(f"user:{ward.doctor_id}", "cancelled", "unwanted")]
    with transaction(ward.pool) as conn, pytest.raises(NotOnPanelError):
        contact_book.remove_channel(conn, deed(), channel)


def test_a_test_message_says_how_it_went_and_there_are_not_many_of_them(ward: Ward, post: MailServer) -> None:
    channel = add_channel(ward, mail_by(post))
    contact = add_contact(ward, Owner(user_id=ward.doctor_id), channel, "lin@clinic.example")
    with transaction(ward.pool) as conn:
        place = contact_book.place_to_test(conn, deed(), Owner(user_id=ward.doctor_id), contact)
    attempt = contact_book.send_test(place, deed(), allow_private=False)
    assert (attempt.status, attempt.answer) == ("sent", "")
    assert post.mails[0][1]["Subject"] == "家守：测试消息"
    with transaction(ward.pool) as conn:
        for _ in range(contact_book.TESTS - 1):
            contact_book.place_of_channel(conn, deed(), channel, "li@clinic.example", "zh")
        with pytest.raises(MalformedError, match="an hour"):
            contact_book.place_of_channel(conn, deed(), channel, "li@clinic.example", "zh")


def test_a_reminder_of_the_plan_goes_by_the_ways_that_the_patient_has(ward: Ward, post: MailServer) -> None:
    agree(ward, Purpose.CHANNELS)
    add_contact(ward, Owner(patient_id=ward.home.patient_id), add_channel(ward, mail_by(post)), "x@post.example")
    ask(
        ward.pool,
        """insert into push (push_id, episode_id, patient_id, recipient, channel, kind, step, text, due_at, expires_at)
           values (%(id)s, null, %(patient)s, 'patient', 'email', 'plan', 0, '{}', now(), now() + interval '1 hour')""",
        id=UUID(int=7),
        patient=ward.home.patient_id,
    )
    send(ward, "email")
    assert [mail["Subject"] for _, mail in post.mails] == ["家守：诊所的提醒"]


@pytest.mark.parametrize("language", ["zh", "en"])
@pytest.mark.parametrize("audience", ["patient", "clinic"])
@pytest.mark.parametrize("topic", outside_texts.TOPICS)
def test_no_text_that_leaves_the_house_has_a_number_or_a_word_of_health(
    topic: outside_texts.Topic, audience: outside_texts.Audience, language: str
) -> None:
    words = outside_texts.say(topic, audience, language, has_others=True)
    said = f"{words.title} {words.body}"
    assert words.title
    assert words.body
    assert not re.search(r"\d", said)
    assert not re.search(
        r"血|压|糖|心|脉|体重|氧|药|病|mmHg|mmol|blood|pressure|sugar|glucose|heart|pulse|weight|medic|diagnos|disease|measure",
        said,
        re.IGNORECASE,
    ), said
    assert bool(re.search(r"[一-鿿]", said)) == (language == "zh")


def test_erasure_forgets_where_somebody_was_reached(ward: Ward, post: MailServer) -> None:
    add_contact(ward, Owner(patient_id=ward.home.patient_id), add_channel(ward, mail_by(post)), "x@post.example")
    with transaction(ward.pool) as conn:
        erasure.destroy(conn, ward.home.patient_id, now=now())
    assert ask(ward.pool, "select from contact") == []
