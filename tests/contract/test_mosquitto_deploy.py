"""The clinic's broker configuration, as shipped, on a real mosquitto with real certificates: who may say and hear what."""

import os
import queue
import shutil
import ssl
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from homevigil.embedded import child
from vitals.envelope import MAX_BYTES_SENT

SHIPPED = Path(__file__).parents[2] / "deploy" / "mosquitto"
PASSWORD = "of-this-test-only"
WITHIN_S = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Broker:
    port: int
    ca: Path


class Account:
    """A paho client of one account; what it hears and what the broker answers to it lie in queues."""

    def __init__(self, broker: Broker, name: str, password: str = PASSWORD) -> None:
        self.heard: queue.Queue[tuple[str, bytes]] = queue.Queue()
        self.connected: queue.Queue[ReasonCode] = queue.Queue()
        self.answered: queue.Queue[ReasonCode] = queue.Queue()
        self.subscribed: queue.Queue[list[ReasonCode]] = queue.Queue()
        self.client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=f"test-{name}", protocol=mqtt.MQTTv5)
        self.client.username_pw_set(name, password)
        self.client.tls_set(ca_certs=str(broker.ca), tls_version=ssl.PROTOCOL_TLS_CLIENT)
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


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    mosquitto = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin")
    if mosquitto is None or shutil.which("openssl") is None:
        why = "mosquitto or openssl is missing; to run this suite: sudo apt-get install mosquitto openssl"
        if os.environ.get("CI"):
            pytest.fail(why)
        pytest.skip(why)
    make_certificates(tmp_path)
    make_accounts(tmp_path, "intake", "gw-a", "gw-b")
    port = child.free_port()
    configuration = tmp_path / "homevigil.conf"
    configuration.write_text(shipped_configuration(tmp_path, port))
    log = tmp_path / "log"
    with log.open("wb") as sink:
        process = child.start([mosquitto, "-c", configuration], log=sink)
    try:
        child.wait_until(lambda: child.accepts(port), process=process, within_s=WITHIN_S, what="mosquitto", log=log)
        yield Broker(port=port, ca=tmp_path / "ca.crt")
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
        "/etc/mosquitto/homevigil.passwd": str(folder / "homevigil.passwd"),
        "/etc/mosquitto/homevigil.acl": str(SHIPPED / "homevigil.acl"),
        "/var/lib/mosquitto/": f"{folder}/",
    }
    for shipped, here in moved.items():
        assert shipped in text, shipped
        text = text.replace(shipped, here)
    return f"{text}\nuser {'root' if os.geteuid() == 0 else os.environ.get('USER', 'nobody')}\n"


def make_certificates(folder: Path) -> None:
    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)

    new = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    openssl("req", "-x509", *new, "-keyout", "ca.key", "-out", "ca.crt", "-subj", "/CN=test authority")
    server = [
        "-keyout",
        "server.key",
        "-out",
        "server.crt",
        "-subj",
        "/CN=localhost",
        "-CA",
        "ca.crt",
        "-CAkey",
        "ca.key",
    ]
    extensions = ["-addext", "subjectAltName=DNS:localhost", "-addext", "basicConstraints=critical,CA:FALSE"]
    openssl("req", "-x509", *new, *server, *extensions)


def make_accounts(folder: Path, *names: str) -> None:
    (folder / "homevigil.passwd").touch(mode=0o600)
    for name in names:
        command = ["mosquitto_passwd", "-b", str(folder / "homevigil.passwd"), name, PASSWORD]
        subprocess.run(command, check=True, capture_output=True)


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


def test_a_wrong_password_does_not_get_in(broker: Broker) -> None:
    stranger = Account(broker, "gw-a", password="guessed")
    assert stranger.connected.get(timeout=WITHIN_S).is_failure
    stranger.leaves()


def test_without_tls_nobody_gets_in(broker: Broker) -> None:
    closed: queue.Queue[object] = queue.Queue()
    client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
    client.username_pw_set("gw-a", PASSWORD)
    client.on_connect = lambda *_: closed.put("connected")
    client.on_disconnect = lambda *_: closed.put("refused")
    client.connect("localhost", broker.port, properties=Properties(PacketTypes.CONNECT))
    client.loop_start()
    assert closed.get(timeout=WITHIN_S) == "refused"
    client.disconnect()
    client.loop_stop()


def not_authorised() -> ReasonCode:
    return ReasonCode(PacketTypes.PUBACK, "Not authorized")
