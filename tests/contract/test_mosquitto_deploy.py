"""The clinic's broker configuration, as shipped, on a real mosquitto with real certificates: who may say and hear what."""

import os
import queue
import shutil
import socket
import ssl
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.reasoncodes import ReasonCode

from homevigil.embedded import child
from vitals.envelope import MAX_BYTES_SENT

SHIPPED = Path(__file__).parents[2] / "deploy" / "mosquitto"
WITHIN_S = 10
CONNACK = b"\x20"
MQTT_5_CONNECT = b"\x10\x11\x00\x04MQTT\x05\x02\x00\x3c\x00\x00\x04test"


@dataclass(frozen=True, slots=True, kw_only=True)
class Broker:
    port: int
    certificates: Path


class Account:
    """A paho client of one account; what it hears and what the broker answers to it lie in queues."""

    def __init__(self, broker: Broker, name: str) -> None:
        self.heard: queue.Queue[tuple[str, bytes]] = queue.Queue()
        self.connected: queue.Queue[ReasonCode] = queue.Queue()
        self.answered: queue.Queue[ReasonCode] = queue.Queue()
        self.subscribed: queue.Queue[list[ReasonCode]] = queue.Queue()
        self.client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=f"test-{name}", protocol=mqtt.MQTTv5)
        folder = broker.certificates
        self.client.tls_set(str(folder / "ca.crt"), str(folder / f"{name}.crt"), str(folder / f"{name}.key"))
        self.client.on_connect = lambda _c, _u, _f, reason, _p: self.connected.put(reason)
        self.client.on_publish = lambda _c, _u, _m, reason, _p: self.answered.put(reason)
        self.client.on_subscribe = lambda _c, _u, _m, reasons, _p: self.subscribed.put(reasons)
        self.client.on_message = lambda _c, _u, message: self.heard.put((message.topic, message.payload))
        self.client.connect("localhost", broker.port)
        self.client.loop_start()

    def says(self, topic: str, payload: bytes = b"{}") -> ReasonCode:
        self.client.publish(topic, payload, qos=1)
        return self.answered.get(timeout=WITHIN_S)

    def listens_to(self, topic: str) -> None:
        self.client.subscribe(topic, qos=1)
        self.subscribed.get(timeout=WITHIN_S)

    def hears(self) -> tuple[str, bytes]:
        return self.heard.get(timeout=WITHIN_S)

    def leaves(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()
        del self.client  # its callbacks hold us: without the cycle it closes its sockets now


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    mosquitto = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin")
    if mosquitto is None or shutil.which("openssl") is None:
        why = "mosquitto or openssl is missing; to run this suite: sudo apt-get install mosquitto openssl"
        if os.environ.get("CI"):
            pytest.fail(why)
        pytest.skip(why)
    make_certificates(tmp_path)
    port = child.free_port()
    configuration = tmp_path / "homevigil.conf"
    configuration.write_text(shipped_configuration(tmp_path, port))
    log = tmp_path / "log"
    with log.open("wb") as sink:
        process = child.start([mosquitto, "-c", configuration], log=sink)
    try:
        child.wait_until(lambda: child.accepts(port), process=process, within_s=WITHIN_S, what="mosquitto", log=log)
        yield Broker(port=port, certificates=tmp_path)
    finally:
        child.stop(process)


@pytest.fixture
def account(broker: Broker) -> Iterator[Callable[[str], Account]]:
    made: list[Account] = []

    def make(name: str) -> Account:
        made.append(Account(broker, name))
        assert not made[-1].connected.get(timeout=WITHIN_S).is_failure
        return made[-1]

    yield make
    for each in made:
        each.leaves()


def shipped_configuration(folder: Path, port: int) -> str:
    """The shipped file with this test's port and folders, and nothing else changed."""
    text = (SHIPPED / "homevigil.conf").read_text()
    moved = {
        "listener 8883": f"listener {port} 127.0.0.1",
        "/etc/mosquitto/certs": str(folder),
        "/etc/mosquitto/homevigil.acl": str(SHIPPED / "homevigil.acl"),
        "/var/lib/mosquitto/": f"{folder}/",
    }
    for shipped, here in moved.items():
        assert shipped in text, shipped
        text = text.replace(shipped, here)
    return f"{text}\nuser {'root' if os.geteuid() == 0 else os.environ.get('USER', 'nobody')}\n"


def make_certificates(folder: Path) -> None:
    """An authority, the broker's certificate, one for intake and each gateway, one that is revoked, one that signed itself."""

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)

    new = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    signs = ["-addext", "keyUsage=critical,keyCertSign,cRLSign"]  # Python 3.13 takes no authority that does not say so
    openssl(*new, *signs, "-keyout", "ca.key", "-out", "ca.crt", "-subj", "/CN=test authority")
    signed = ["-CA", "ca.crt", "-CAkey", "ca.key", "-addext", "basicConstraints=critical,CA:FALSE"]
    named = ["-addext", "subjectAltName=DNS:localhost"]
    openssl(*new, *signed, *named, "-keyout", "server.key", "-out", "server.crt", "-subj", "/CN=localhost")
    for name in ("intake", "gw-a", "gw-b", "gw-revoked"):
        openssl(*new, *signed, "-keyout", f"{name}.key", "-out", f"{name}.crt", "-subj", f"/CN={name}")
    openssl(*new, "-keyout", "stranger.key", "-out", "stranger.crt", "-subj", "/CN=gw-a")
    (folder / "index.txt").touch()
    (folder / "ca.conf").write_text(
        "[ca]\ndefault_ca=a\n[a]\ndatabase=index.txt\ndefault_md=sha256\ndefault_crl_days=2\n"
    )
    authority = ["ca", "-config", "ca.conf", "-keyfile", "ca.key", "-cert", "ca.crt"]
    openssl(*authority, "-revoke", "gw-revoked.crt")
    openssl(*authority, "-gencrl", "-out", "crl.pem")


def test_a_gateway_reaches_the_intake_and_gets_its_receipt(account: Callable[[str], Account]) -> None:
    intake, gateway = account("intake"), account("gw-a")
    intake.listens_to("homevigil/1/+/readings")
    gateway.listens_to("homevigil/1/gw-a/receipts")
    assert not gateway.says("homevigil/1/gw-a/readings", b"up").is_failure
    assert intake.hears() == ("homevigil/1/gw-a/readings", b"up")
    assert not intake.says("homevigil/1/gw-a/receipts", b"down").is_failure
    assert gateway.hears() == ("homevigil/1/gw-a/receipts", b"down")


def test_intakes_may_share_a_subscription(account: Callable[[str], Account]) -> None:
    intake, gateway = account("intake"), account("gw-a")
    intake.listens_to("$share/intake/homevigil/1/+/readings")
    gateway.says("homevigil/1/gw-a/readings", b"up")
    assert intake.hears() == ("homevigil/1/gw-a/readings", b"up")


@pytest.mark.parametrize("channel", ["readings", "status", "receipts", "config"])
def test_a_gateway_cannot_speak_in_anothers_name(account: Callable[[str], Account], channel: str) -> None:
    assert account("gw-a").says(f"homevigil/1/gw-b/{channel}") == not_authorised()


@pytest.mark.parametrize("channel", ["receipts", "config"])
def test_a_gateway_cannot_write_its_own_receipt_or_configuration(
    account: Callable[[str], Account], channel: str
) -> None:
    assert account("gw-a").says(f"homevigil/1/gw-a/{channel}") == not_authorised()


def test_a_gateway_does_not_hear_what_is_said_to_another(account: Callable[[str], Account]) -> None:
    intake, gateway = account("intake"), account("gw-a")
    gateway.listens_to("homevigil/1/#")
    intake.says("homevigil/1/gw-b/receipts", b"for another")
    intake.says("homevigil/1/gw-a/receipts", b"for me")
    assert gateway.hears() == ("homevigil/1/gw-a/receipts", b"for me")


def test_the_intake_cannot_invent_readings(account: Callable[[str], Account]) -> None:
    assert account("intake").says("homevigil/1/gw-a/readings") == not_authorised()


def test_the_largest_envelope_that_a_gateway_sends_reaches_the_intake(account: Callable[[str], Account]) -> None:
    intake, gateway = account("intake"), account("gw-a")
    intake.listens_to("homevigil/1/+/readings")
    assert not gateway.says("homevigil/1/gw-a/readings", b"x" * MAX_BYTES_SENT).is_failure
    assert len(intake.hears()[1]) == MAX_BYTES_SENT


def test_a_status_is_retained_for_an_intake_that_comes_later(account: Callable[[str], Account]) -> None:
    gateway = account("gw-a")
    gateway.client.publish("homevigil/1/gw-a/status", b"online", qos=1, retain=True)
    gateway.answered.get(timeout=WITHIN_S)
    intake = account("intake")
    intake.listens_to("homevigil/1/+/status")
    assert intake.hears() == ("homevigil/1/gw-a/status", b"online")


@pytest.mark.parametrize("name", ["stranger", "gw-revoked", None])
def test_who_shows_no_certificate_of_ours_does_not_get_in(broker: Broker, name: str | None) -> None:
    assert greet(broker, certificate=name)[:1] != CONNACK


def test_who_shows_a_certificate_of_ours_gets_in(broker: Broker) -> None:
    assert greet(broker, certificate="gw-a")[:1] == CONNACK


def test_without_tls_nobody_gets_in(broker: Broker) -> None:
    with socket.create_connection(("localhost", broker.port), timeout=WITHIN_S) as plain:
        assert answer(plain)[:1] != CONNACK


def greet(broker: Broker, *, certificate: str | None) -> bytes:
    """What the broker answers to an MQTT 5 CONNECT over TLS; nothing if it ends the connection."""
    folder = broker.certificates
    context = ssl.create_default_context(cafile=str(folder / "ca.crt"))
    if certificate is not None:
        context.load_cert_chain(folder / f"{certificate}.crt", folder / f"{certificate}.key")
    with socket.create_connection(("localhost", broker.port), timeout=WITHIN_S) as plain:
        try:
            with context.wrap_socket(plain, server_hostname="localhost") as secured:
                return answer(secured)
        except (ssl.SSLError, ConnectionError):
            return b""


def answer(sock: socket.socket) -> bytes:
    try:
        sock.sendall(MQTT_5_CONNECT)
        return sock.recv(64)
    except (ssl.SSLError, ConnectionError):
        return b""


def not_authorised() -> ReasonCode:
    return ReasonCode(PacketTypes.PUBACK, "Not authorized")
