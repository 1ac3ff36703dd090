"""The clinic's broker configuration, as shipped, on a real mosquitto with real certificates: who may say and hear what."""

import queue
import socket
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path

import paho.mqtt.client as mqtt
import pytest
from clinic_broker import ClinicBroker, clinic_broker
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.reasoncodes import ReasonCode

from vitals.envelope import MAX_BYTES_SENT

WITHIN_S = 10
CONNACK = b"\x20"
MQTT_5_CONNECT = b"\x10\x11\x00\x04MQTT\x05\x02\x00\x3c\x00\x00\x04test"


class Account:
    """A paho client of one account; what it hears and what the broker answers to it lie in queues."""

    def __init__(self, broker: ClinicBroker, name: str) -> None:
        self.heard: queue.Queue[tuple[str, bytes]] = queue.Queue()
        self.connected: queue.Queue[ReasonCode] = queue.Queue()
        self.answered: queue.Queue[ReasonCode] = queue.Queue()
        self.subscribed: queue.Queue[list[ReasonCode]] = queue.Queue()
        self.client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=f"test-{name}", protocol=mqtt.MQTTv5)
        folder = broker.folder
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
def broker(tmp_path: Path) -> Iterator[ClinicBroker]:
    with clinic_broker(tmp_path) as broker:
        yield broker


@pytest.fixture
def account(broker: ClinicBroker) -> Iterator[Callable[[str], Account]]:
    made: list[Account] = []

    def make(name: str) -> Account:
        made.append(Account(broker, name))
        assert not made[-1].connected.get(timeout=WITHIN_S).is_failure
        return made[-1]

    yield make
    for each in made:
        each.leaves()


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


@pytest.mark.parametrize("channel", ["readings", "status", "receipts", "config", "diagnostics"])
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
def test_who_shows_no_certificate_of_ours_does_not_get_in(broker: ClinicBroker, name: str | None) -> None:
    assert greet(broker, certificate=name)[:1] != CONNACK


def test_who_shows_a_certificate_of_ours_gets_in(broker: ClinicBroker) -> None:
    assert greet(broker, certificate="gw-a")[:1] == CONNACK


def test_who_is_put_on_the_list_of_the_revoked_does_not_get_in_after_a_sighup(broker: ClinicBroker) -> None:
    assert greet(broker, certificate="gw-b")[:1] == CONNACK
    broker.revoke("gw-b")
    assert greet(broker, certificate="gw-b")[:1] != CONNACK
    assert greet(broker, certificate="gw-a")[:1] == CONNACK


def test_a_list_of_the_revoked_that_is_out_of_date_lets_nobody_in(broker: ClinicBroker) -> None:
    broker.publish_revoked(("-crl_lastupdate", "20260101000000Z", "-crl_nextupdate", "20260201000000Z"))
    assert greet(broker, certificate="gw-a")[:1] != CONNACK
    broker.publish_revoked()
    assert greet(broker, certificate="gw-a")[:1] == CONNACK


def test_without_tls_nobody_gets_in(broker: ClinicBroker) -> None:
    with socket.create_connection(("localhost", broker.port), timeout=WITHIN_S) as plain:
        assert answer(plain)[:1] != CONNACK


def greet(broker: ClinicBroker, *, certificate: str | None) -> bytes:
    """What the broker answers to an MQTT 5 CONNECT over TLS; nothing if it ends the connection."""
    folder = broker.folder
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
