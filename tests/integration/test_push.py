"""Messages to people: leased, sent once, tried again, given up; webhooks checked by the library that receivers use."""

import json
import threading
from collections.abc import Iterator
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from uuid import UUID, uuid5

import pytest
from households import Household, enrol
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from server.clock import now
from server.push.channels import Failed, Outcome, Sent, Unreachable
from server.push.dispatch import ATTEMPTS_MAX, Dispatcher, backoff_s
from server.push.inbox import Inbox
from server.push.webhook import WebhookChannel
from server.store import pushes as store
from server.store.postgres import Bell, Pool, transaction
from server.store.pushes import Leased, rotate_webhook, take

SECRET = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
NAMES = UUID("00000000-0000-0000-0000-00000000000a")


class Receiver:
    """A clinic's system on loopback: answers what it is told to, and keeps what it was sent."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, dict[str, str]]] = []
        self.calls: list[tuple[dict[str, str], bytes]] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                receiver.calls.append(({key.lower(): value for key, value in self.headers.items()}, body))
                status, headers = receiver.answers.pop(0) if receiver.answers else (204, {})
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/alerts"

    def __enter__(self) -> "Receiver":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as receiver:
        yield receiver


@pytest.fixture
def home(pool: Pool) -> Household:
    with pool.connection() as conn:
        return enrol(conn, enrolled_on=(now() - timedelta(days=90)).date())


@pytest.fixture
def episode_id(pool: Pool, home: Household) -> UUID:
    given = uuid5(NAMES, home.gateway_id)
    ask(
        pool,
        """insert into episode (episode_id, patient_id, rule_id, rule_version, state, priority, first_day, last_day,
                                started_at, opened_at, judged_at, verdict, sentence)
           values (%s, %s, 'bp-critical', 1, 'active', 'medium', '2026-11-01', '2026-11-01', now(), now(), now(), '{}', '{}')""",
        given,
        home.patient_id,
    )
    return given


@pytest.fixture
def webhooks(pool: Pool) -> Dispatcher:
    return Dispatcher(pool, WebhookChannel(allow_private=True))


def ask(pool: Pool, query: str, *args: object) -> list[tuple[Any, ...]]:
    with pool.connection() as conn:
        cursor = conn.execute(query.encode(), args)
        return cursor.fetchall() if cursor.description else []


def add_push(
    pool: Pool,
    episode_id: UUID,
    recipient: str = "patient",
    channel: str = "inbox",
    step: int = 0,
    due: str = "0 s",
    kind: str | None = None,
) -> UUID:
    push_id = uuid5(NAMES, f"{recipient} {channel} {step}")
    ask(
        pool,
        """insert into push (push_id, episode_id, patient_id, recipient, channel, kind, step, text, due_at)
           select %s, episode_id, patient_id, %s, %s, %s, %s, '{"en": {"title": "Secret", "body": "152/94"}}',
                  now() + %s::interval
           from episode where episode_id = %s""",
        push_id,
        recipient,
        channel,
        kind or ("retraction" if step < 0 else "reminder" if step else "opening"),
        step,
        due,
        episode_id,
    )
    return push_id


def add_webhook(pool: Pool, url: str) -> str:
    with transaction(pool) as conn:
        return f"clinic:{store.add_webhook(conn, url=url, secret=SECRET)}"


def state(pool: Pool, push_id: UUID) -> tuple[Any, ...]:
    return ask(pool, "select state, attempts, last_error from push where push_id = %s", push_id)[0]


def let_it_be_tried_again(pool: Pool) -> None:
    ask(pool, "update push set retry_at = now()")


def test_a_message_to_an_inbox_is_sent_when_it_is_due(pool: Pool, episode_id: UUID) -> None:
    today, tomorrow = add_push(pool, episode_id), add_push(pool, episode_id, "user:1", due="1 day")
    inbox = Dispatcher(pool, Inbox())
    assert inbox.send_due() == 1
    assert inbox.send_due() == 0
    assert state(pool, today) == ("sent", 1, None)
    assert state(pool, tomorrow) == ("pending", 0, None)


def test_a_call_is_signed_and_says_nothing_about_health(
    pool: Pool, home: Household, episode_id: UUID, receiver: Receiver, webhooks: Dispatcher
) -> None:
    push_id = add_push(pool, episode_id, add_webhook(pool, receiver.url), "webhook")
    assert webhooks.send_due() == 1
    assert state(pool, push_id) == ("sent", 1, None)
    ((headers, body),) = receiver.calls
    said = Webhook(SECRET).verify(body, headers)
    assert headers["webhook-id"] == str(push_id)
    assert said["type"] == "alert.opened"
    assert datetime.fromisoformat(said["timestamp"]).tzinfo is not None
    assert said["data"] == {
        "alert_id": str(episode_id),
        "patient_id": home.patient_id,
        "priority": "medium",
        "rule_id": "bp-critical",
    }
    for word in (b"152", b"Secret", b"Patient"):
        assert word not in body


@pytest.mark.parametrize(("step", "kind"), [(0, "alert.opened"), (2, "alert.repeated"), (-1, "alert.retracted")])
def test_a_call_says_what_happened(
    pool: Pool, episode_id: UUID, receiver: Receiver, webhooks: Dispatcher, step: int, kind: str
) -> None:
    add_push(pool, episode_id, add_webhook(pool, receiver.url), "webhook", step)
    webhooks.send_due()
    assert json.loads(receiver.calls[0][1])["type"] == kind


def test_a_breach_is_called_out_to_the_clinics_system_by_its_own_name(
    pool: Pool, episode_id: UUID, receiver: Receiver, webhooks: Dispatcher
) -> None:
    push_id = add_push(pool, episode_id, add_webhook(pool, receiver.url), "webhook", 3, kind="breach")
    webhooks.send_due()
    assert state(pool, push_id)[0] == "sent"
    assert json.loads(receiver.calls[0][1])["type"] == "alert.not_answered"


def test_while_a_secret_is_replaced_calls_carry_both_signatures_and_then_the_new_one_alone(
    pool: Pool, episode_id: UUID, receiver: Receiver, webhooks: Dispatcher
) -> None:
    recipient = add_webhook(pool, receiver.url)
    new = "whsec_" + "A" * 32
    with transaction(pool) as conn:
        assert rotate_webhook(conn, int(recipient[7:]), secret=new, old_until=now() + timedelta(hours=1))
    add_push(pool, episode_id, recipient, "webhook")
    webhooks.send_due()
    ask(pool, "update webhook set old_until = now()")
    add_push(pool, episode_id, recipient, "webhook", 1)
    webhooks.send_due()
    (both, body), (one, other) = receiver.calls
    ((kept,),) = ask(pool, "select w::text from webhook w")
    assert all(each.encode().hex() not in kept and each not in kept for each in (SECRET, new))
    for secret in (SECRET, new):
        Webhook(secret).verify(body, both)
    Webhook(new).verify(other, one)
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(other, one)


def test_a_webhook_that_takes_nothing_for_five_days_is_switched_off_and_that_is_an_alarm(
    pool: Pool, episode_id: UUID, receiver: Receiver, webhooks: Dispatcher
) -> None:
    recipient = add_webhook(pool, receiver.url)
    receiver.answers = [(503, {})] * 2
    add_push(pool, episode_id, recipient, "webhook", due="-25 h")
    webhooks.send_due()
    assert ask(pool, "select active from webhook") == [(True,)]
    ask(pool, "update push set created_at = now() - interval '6 days'")
    add_push(pool, episode_id, recipient, "webhook", 1, due="-25 h")
    webhooks.send_due()
    assert ask(pool, "select active from webhook") == [(False,)]
    assert ask(pool, "select 1 from alarm where subject = %s", recipient.replace("clinic", "webhook")) == [(1,)]


def test_23_after_a_503_the_same_message_is_sent_again(
    pool: Pool, episode_id: UUID, receiver: Receiver, webhooks: Dispatcher
) -> None:
    push_id = add_push(pool, episode_id, add_webhook(pool, receiver.url), "webhook")
    receiver.answers = [(503, {}), (200, {})]
    webhooks.send_due()
    assert state(pool, push_id) == ("pending", 1, "HTTP 503")
    assert webhooks.send_due() == 0, "not before its time"
    let_it_be_tried_again(pool)
    webhooks.send_due()
    assert state(pool, push_id) == ("sent", 2, None)
    (first, body), (second, again) = receiver.calls
    assert first["webhook-id"] == second["webhook-id"]
    assert body == again
    Webhook(SECRET).verify(again, second)


@pytest.mark.parametrize("word", ["120", "in two minutes as a date"])
def test_23_retry_after_is_honoured(
    pool: Pool, episode_id: UUID, receiver: Receiver, webhooks: Dispatcher, word: str
) -> None:
    if word != "120":
        word = (now() + timedelta(minutes=2)).strftime("%a, %d %b %Y %H:%M:%S GMT")
    push_id = add_push(pool, episode_id, add_webhook(pool, receiver.url), "webhook")
    receiver.answers = [(429, {"retry-after": word})]
    webhooks.send_due()
    ((wait_s,),) = ask(pool, "select extract(epoch from retry_at - now()) from push where push_id = %s", push_id)
    assert 110 < wait_s <= 121


def test_23_a_receiver_that_is_gone_is_not_called_again(
    pool: Pool, episode_id: UUID, receiver: Receiver, webhooks: Dispatcher
) -> None:
    recipient = add_webhook(pool, receiver.url)
    first = add_push(pool, episode_id, recipient, "webhook")
    second = add_push(pool, episode_id, recipient, "webhook", 1)
    receiver.answers = [(410, {})]
    webhooks.send_due()
    webhooks.send_due()
    assert len(receiver.calls) == 1
    assert (state(pool, first)[0], state(pool, second)[0]) == ("dead", "undeliverable")
    assert ask(pool, "select active from webhook") == [(False,)]


def test_23_a_redirect_is_not_followed(pool: Pool, episode_id: UUID, receiver: Receiver, webhooks: Dispatcher) -> None:
    push_id = add_push(pool, episode_id, add_webhook(pool, receiver.url), "webhook")
    receiver.answers = [(302, {"location": receiver.url})]
    webhooks.send_due()
    assert state(pool, push_id) == ("pending", 1, "HTTP 302")
    assert len(receiver.calls) == 1


def test_23_a_huge_answer_is_not_read(pool: Pool, episode_id: UUID, webhooks: Dispatcher) -> None:
    sent: list[int] = []

    class Flood(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(200)
            self.send_header("content-length", str(10**10))
            self.end_headers()
            try:
                while True:
                    sent.append(self.wfile.write(b"x" * 65536))
            except OSError:
                self.close_connection = True

        def log_message(self, *_: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Flood)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        push_id = add_push(
            pool, episode_id, add_webhook(pool, f"http://127.0.0.1:{server.server_address[1]}/"), "webhook"
        )
        webhooks.send_due()
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    assert state(pool, push_id) == ("sent", 1, None)
    assert sum(sent) < 10**8


def test_a_receiver_that_is_not_there_is_tried_again(pool: Pool, episode_id: UUID, webhooks: Dispatcher) -> None:
    with Receiver() as closed:
        recipient = add_webhook(pool, closed.url)
    push_id = add_push(pool, episode_id, recipient, "webhook")
    webhooks.send_due()
    assert state(pool, push_id) == ("pending", 1, "ConnectError")


@pytest.mark.parametrize("url", ["ftp://127.0.0.1/", "http://user:word@127.0.0.1/", "https://", "nonsense"])
def test_an_address_that_must_not_be_called_is_not(
    pool: Pool, episode_id: UUID, webhooks: Dispatcher, url: str
) -> None:
    push_id = add_push(pool, episode_id, add_webhook(pool, url), "webhook")
    webhooks.send_due()
    assert state(pool, push_id)[0] == "undeliverable"


def test_after_twelve_tries_a_message_is_dead_and_stays_visible(
    pool: Pool, episode_id: UUID, receiver: Receiver, webhooks: Dispatcher
) -> None:
    push_id = add_push(pool, episode_id, add_webhook(pool, receiver.url), "webhook")
    receiver.answers = [(500, {})] * ATTEMPTS_MAX
    for _ in range(ATTEMPTS_MAX):
        let_it_be_tried_again(pool)
        assert webhooks.send_due() == 1
    let_it_be_tried_again(pool)
    assert webhooks.send_due() == 0
    assert state(pool, push_id) == ("dead", ATTEMPTS_MAX, "HTTP 500")


def test_after_a_day_a_message_is_dead(pool: Pool, episode_id: UUID, receiver: Receiver, webhooks: Dispatcher) -> None:
    push_id = add_push(pool, episode_id, add_webhook(pool, receiver.url), "webhook", due="-25 hours")
    receiver.answers = [(500, {})]
    webhooks.send_due()
    assert state(pool, push_id)[0] == "dead"


def test_24_a_message_to_a_webhook_that_is_switched_off_is_undeliverable(
    pool: Pool, episode_id: UUID, receiver: Receiver, webhooks: Dispatcher
) -> None:
    push_id = add_push(pool, episode_id, add_webhook(pool, receiver.url), "webhook")
    ask(pool, "update webhook set active = false")
    webhooks.send_due()
    assert state(pool, push_id) == ("undeliverable", 1, "the webhook is switched off")
    assert receiver.calls == []


def test_what_a_dead_sender_held_is_sent_by_another_when_the_lease_is_over(pool: Pool, episode_id: UUID) -> None:
    push_id = add_push(pool, episode_id)
    ask(pool, "update push set lease_until = now() + interval '20 s', attempts = 1")
    inbox = Dispatcher(pool, Inbox())
    assert inbox.send_due() == 0
    ask(pool, "update push set lease_until = now() - interval '1 s'")
    assert inbox.send_due() == 1
    assert state(pool, push_id) == ("sent", 2, None)


@pytest.mark.parametrize("outcome", [Failed(error="HTTP 503", after_s=0), Unreachable(error="inside")])
def test_who_has_lost_the_lease_to_another_sender_has_nothing_to_say(
    pool: Pool, episode_id: UUID, outcome: Outcome
) -> None:
    push_id = add_push(pool, episode_id)

    class TooSlow:
        name = "inbox"
        at_once = 1

        def send(self, message: Leased) -> Outcome:
            ask(pool, "update push set lease_until = now() - interval '1 s'")
            with transaction(pool) as conn:
                assert len(take(conn, channel="inbox", limit=1, lease_s=30)) == 1
            return outcome

    Dispatcher(pool, TooSlow()).send_due()
    assert state(pool, push_id) == ("pending", 2, None)
    assert ask(pool, "select lease_until > now() from push") == [(True,)], "the other is still sending"
    assert ask(pool, "select * from alarm") == []


def test_what_was_sent_was_sent_whatever_was_decided_meanwhile(pool: Pool, episode_id: UUID) -> None:
    push_id = add_push(pool, episode_id)

    class CancelledMeanwhile:
        name = "inbox"
        at_once = 1

        def send(self, message: Leased) -> Outcome:
            ask(pool, "update push set state = 'cancelled'")
            return Sent()

    Dispatcher(pool, CancelledMeanwhile()).send_due()
    assert state(pool, push_id)[0] == "sent"


def test_a_retracted_alert_is_not_tried_again(pool: Pool, episode_id: UUID) -> None:
    opening, retraction = add_push(pool, episode_id), add_push(pool, episode_id, step=-1)
    ask(pool, "update episode set state = 'retracted'")
    Dispatcher(pool, Inbox()).send_due()
    assert (state(pool, opening)[0], state(pool, retraction)[0]) == ("cancelled", "sent")


def test_senders_in_parallel_send_each_message_once(pool: Pool, episode_id: UUID, receiver: Receiver) -> None:
    recipient = add_webhook(pool, receiver.url)
    for step in range(20):
        add_push(pool, episode_id, recipient, "webhook", step)
    start = threading.Barrier(3)

    def work() -> None:
        channel = WebhookChannel(allow_private=True)
        start.wait()
        while Dispatcher(pool, channel).send_due():
            pass

    senders = [threading.Thread(target=work) for _ in range(3)]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()
    ids = [headers["webhook-id"] for headers, _ in receiver.calls]
    assert len(ids) == len(set(ids)) == 20
    assert ask(pool, "select count(*) from push where state = 'sent' and attempts = 1") == [(20,)]


def test_waits_grow_to_an_hour_and_differ_by_message(pool: Pool, episode_id: UUID) -> None:
    def after(attempts: int, push_id: UUID = NAMES) -> float:
        return backoff_s(
            Leased(
                push_id=push_id,
                episode_id=episode_id,
                patient_id=1,
                recipient="clinic:1",
                channel="webhook",
                kind="opening",
                step=0,
                attempts=attempts,
                due_at=now(),
                created_at=now(),
                now=now(),
                rule_id="r",
                priority="low",
            )
        )

    waits = [after(attempts) for attempts in range(1, 13)]
    assert waits == sorted(waits)
    assert 2 <= waits[0] < 3
    assert 3600 <= waits[-1] <= 4500
    assert after(3, uuid5(NAMES, "one")) != after(3, uuid5(NAMES, "two"))


def test_a_sender_rides_out_a_failing_channel_until_told_to_stop(
    pool: Pool, episode_id: UUID, database_url: str
) -> None:
    push_id = add_push(pool, episode_id)
    stop, bell = threading.Event(), Bell(database_url, "push")

    class FailsOnce:
        name = "inbox"
        at_once = 1
        failures = 0

        def send(self, message: Leased) -> Outcome:
            if not self.failures:
                self.failures += 1
                return Failed(error="once", after_s=0)
            stop.set()
            return Sent()

    Dispatcher(pool, FailsOnce()).run(stop, bell)
    bell.close()
    assert state(pool, push_id) == ("sent", 2, None)
