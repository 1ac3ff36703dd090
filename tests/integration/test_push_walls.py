"""Webhooks whose receivers do their worst, on real sockets with real TLS: bounded in time, and called only where they may be."""

import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from uuid import UUID

import pytest

from server.push.channels import Failed, Outcome, Sent, Unreachable
from server.push.webhook import WebhookChannel
from server.store.pushes import Leased

AT = datetime(2026, 11, 22, tzinfo=UTC)
NAME = "alerts.clinic.example"
SOON_S = 0.5


def message(url: str) -> Leased:
    return Leased(
        push_id=UUID(int=1),
        episode_id=UUID(int=2),
        patient_id=3,
        recipient="clinic:1",
        channel="webhook",
        kind="opening",
        step=0,
        attempts=1,
        due_at=AT,
        created_at=AT,
        now=AT,
        rule_id="bp-critical",
        priority="medium",
        webhook_id=1,
        url=url,
        secret="whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD",
    )


@contextmanager
def serving(handler: type[BaseHTTPRequestHandler], tls: ssl.SSLContext | None = None) -> Iterator[int]:
    """A receiver on loopback; its port."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def receiver(calls: list[str]) -> type[BaseHTTPRequestHandler]:
    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            calls.append(self.headers["host"])
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            return

    return Receiver


def to_loopback(host: str, port: int) -> list[str]:
    return ["127.0.0.1"]


@pytest.fixture
def certificates(tmp_path: Path) -> Path:
    """An authority, and a certificate of it for NAME."""

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=tmp_path, check=True, capture_output=True)

    new = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    signs = ["-addext", "keyUsage=critical,keyCertSign,cRLSign"]
    openssl(*new, *signs, "-keyout", "ca.key", "-out", "ca.crt", "-subj", "/CN=test authority")
    signed = ["-CA", "ca.crt", "-CAkey", "ca.key", "-addext", "basicConstraints=critical,CA:FALSE"]
    named = ["-addext", f"subjectAltName=DNS:{NAME}"]
    openssl(*new, *signed, *named, "-keyout", "server.key", "-out", "server.crt", "-subj", f"/CN={NAME}")
    return tmp_path


def call_by_tls(certificates: Path, name: str, calls: list[str]) -> Outcome:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificates / "server.crt", certificates / "server.key")
    channel = WebhookChannel(
        allow_private=True, resolve=to_loopback, tls=ssl.create_default_context(cafile=certificates / "ca.crt")
    )
    with serving(receiver(calls), tls) as port:
        return channel.send(message(f"https://{name}:{port}/"))


def test_23_the_address_that_was_looked_at_is_called_and_must_show_the_names_certificate(certificates: Path) -> None:
    calls: list[str] = []
    assert call_by_tls(certificates, NAME, calls) == Sent()
    assert [call.split(":")[0] for call in calls] == [NAME]


def test_23_a_receiver_without_the_names_certificate_is_told_nothing(certificates: Path) -> None:
    calls: list[str] = []
    assert call_by_tls(certificates, "other.clinic.example", calls) == Failed(error="ConnectError")
    assert calls == []


def test_23_a_name_that_leads_inside_is_undeliverable_and_nothing_is_sent() -> None:
    calls: list[str] = []
    channel = WebhookChannel(resolve=to_loopback)
    with serving(receiver(calls)) as port:
        outcome = channel.send(message(f"https://{NAME}:{port}/"))
    assert isinstance(outcome, Unreachable)
    assert "webhook_address" in outcome.error
    assert calls == []


def test_23_a_name_that_is_looked_up_again_cannot_lead_elsewhere() -> None:
    """Rebinding: the first answer is on the internet, every later one inside."""
    calls: list[str] = []
    answers = iter(["192.0.2.1"])  # of no host; the tests' network has none of them

    def rebinding(host: str, port: int) -> list[str]:
        return [next(answers, "127.0.0.1")]

    asked: list[str] = []

    def counting(host: str, port: int) -> list[str]:
        asked.append(host)
        return rebinding(host, port)

    channel = WebhookChannel(allow_private=True, resolve=counting, deadline_s=SOON_S)
    with serving(receiver(calls)) as port:
        assert isinstance(channel.send(message(f"http://{NAME}:{port}/")), Failed)
    assert asked == [NAME]
    assert calls == []


def test_23_of_several_addresses_the_first_that_answers_is_called() -> None:
    calls: list[str] = []
    channel = WebhookChannel(allow_private=True, resolve=lambda host, port: ["127.0.0.2", "127.0.0.1"])
    with serving(receiver(calls)) as port:
        assert channel.send(message(f"http://{NAME}:{port}/")) == Sent()
    assert len(calls) == 1


def test_23_a_receiver_that_drips_its_answer_is_left_at_the_deadline() -> None:
    enough = threading.Event()

    class Drip(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self.wfile.write(b"HTTP/1.1 200 OK\r\nx: ")
            while not enough.wait(0.01):
                try:
                    self.wfile.write(b"x")
                except OSError:
                    return

        def log_message(self, *_: object) -> None:
            return

    with serving(Drip) as port:
        try:
            outcome = WebhookChannel(allow_private=True, deadline_s=SOON_S).send(message(f"http://127.0.0.1:{port}/"))
        finally:
            enough.set()
    assert isinstance(outcome, Failed)


def test_23_a_name_server_that_hangs_is_left_at_the_deadline() -> None:
    enough = threading.Event()

    def hang(host: str, port: int) -> list[str]:
        enough.wait()
        return []

    outcome = WebhookChannel(resolve=hang, deadline_s=SOON_S).send(message(f"https://{NAME}/"))
    enough.set()
    assert outcome == Failed(error="no answer in time")


def test_23_an_answer_that_comes_too_late_is_asked_for_again_under_the_same_id() -> None:
    ids: list[str] = []
    enough = threading.Event()

    class Late(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            ids.append(self.headers["webhook-id"])
            if len(ids) == 1:
                enough.wait()
            try:
                self.send_response(200)
                self.end_headers()
            except OSError:
                return

        def log_message(self, *_: object) -> None:
            return

    with serving(Late) as port:
        url = f"http://127.0.0.1:{port}/"
        first = WebhookChannel(allow_private=True, deadline_s=SOON_S).send(message(url))
        enough.set()
        second = WebhookChannel(allow_private=True).send(message(url))
    assert isinstance(first, Failed)
    assert second == Sent()
    assert ids == [str(UUID(int=1))] * 2
