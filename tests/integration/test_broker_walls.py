"""The broker's own walls, with TLS and certificates from end to end: our gateway on one side, our intake and database on the
other, and somebody who wants in. Each attempt is refused, and afterwards the rightful gateway's next reading still arrives.
"""

import asyncio
import queue
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import paho.mqtt.client as mqtt
import pytest
from clinic_broker import ClinicBroker, clinic_broker
from doors import open_door
from households import Household, enrol
from msgspec.structs import replace
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from pydantic import SecretStr
from unit.gateway.sender import Sender, sending_by

from gateway.config import Settings as GatewaySettings
from server.clock import now
from server.config import Settings as ServerSettings
from server.store.postgres import Pool
from vitals.envelope import Receipt, encode_receipt

WITHIN_S = 20.0
SESSION_S = 600
NOT_AUTHORISED = ReasonCode(PacketTypes.PUBACK, "Not authorized")


@dataclass(frozen=True, slots=True, kw_only=True)
class Clinic:
    """What the rightful ones use: a household, its gateway's outbox and uplink, and the database behind the door."""

    home: Household
    sender: Sender
    pool: Pool

    async def next_reading_arrives(self) -> None:
        """The proof at the end of every attempt: in the database once, and confirmed by its receipt."""
        before = self.sender.outbox.counts()
        reading = self.home.pressure(now().replace(microsecond=0) - timedelta(minutes=before.kept + 1))
        assert self.sender.outbox.keep(reading) == before.kept + 1
        self.sender.uplink.wake()
        await self.sender.until(lambda: self.sender.outbox.counts().confirmed == before.kept + 1, within_s=WITHIN_S)
        with self.pool.connection() as conn:
            stored = conn.execute(
                "select count(*) from reading where reading_id = %s", (reading.reading_id,)
            ).fetchone()
            total = conn.execute("select count(*) from reading").fetchone()
        assert (stored, total) == ((1,), (before.kept + 1,)), "this one once, and nobody else's"

    @property
    def is_undisturbed(self) -> bool:
        counts = self.sender.outbox.counts()
        return not (counts.ignored_receipts or counts.rejected or self.sender.uplink.malformed_receipts)


@pytest.fixture
def home(pool: Pool) -> Household:
    with pool.connection() as conn:
        return enrol(conn, enrolled_on=(now() - timedelta(days=90)).date())


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[ClinicBroker]:
    with clinic_broker(tmp_path / "broker") as broker:
        yield broker


def server_settings(broker: ClinicBroker, database_url: str) -> ServerSettings:
    return ServerSettings(
        database_url=SecretStr(database_url),
        mqtt_host="localhost",
        mqtt_port=broker.port,
        mqtt_ca_file=str(broker.folder / "ca.crt"),
        mqtt_cert_file=str(broker.folder / "intake.crt"),
        mqtt_key_file=str(broker.folder / "intake.key"),
    )


def gateway_settings(broker: ClinicBroker, home: Household, certificate: str) -> GatewaySettings:
    return GatewaySettings(
        id=home.gateway_id,
        zone="Asia/Shanghai",
        outbox=broker.folder / "outbox.sqlite",
        mqtt_host="localhost",
        mqtt_port=broker.port,
        mqtt_ca_file=broker.folder / "ca.crt",
        mqtt_cert_file=broker.folder / f"{certificate}.crt",
        mqtt_key_file=broker.folder / f"{certificate}.key",
    )


@asynccontextmanager
async def gateway_of(broker: ClinicBroker, home: Household, pool: Pool) -> AsyncIterator[Clinic]:
    async with sending_by(gateway_settings(broker, home, broker.issue(home.gateway_id))) as sender:
        yield Clinic(home=home, sender=sender, pool=pool)


@pytest.fixture
async def clinic(broker: ClinicBroker, home: Household, pool: Pool, database_url: str) -> AsyncIterator[Clinic]:
    """All of it, after a first reading has gone through."""
    with open_door(server_settings(broker, database_url), pool):
        async with gateway_of(broker, home, pool) as clinic:
            await clinic.next_reading_arrives()
            yield clinic


class Intruder:
    """A plain MQTT 5 client with some certificate and any client id it likes."""

    def __init__(self, broker: ClinicBroker, certificate: str, client_id: str) -> None:
        self._welcomes: queue.Queue[bool | None] = queue.Queue()
        self._pubacks: queue.Queue[ReasonCode] = queue.Queue()
        client = self._client = mqtt.Client(
            CallbackAPIVersion.VERSION2, client_id, protocol=mqtt.MQTTv5, reconnect_on_failure=False
        )
        files = (broker.folder / name for name in ("ca.crt", f"{certificate}.crt", f"{certificate}.key"))
        client.tls_set(*map(str, files))
        client.on_connect = lambda _c, _u, flags, reason, _p: self._welcomes.put(
            None if reason.is_failure else flags.session_present
        )
        client.on_publish = lambda _c, _u, _m, reason, _p: self._pubacks.put(reason)
        client.on_disconnect = lambda *_: self._welcomes.put(None)
        wants = Properties(PacketTypes.CONNECT)
        wants.SessionExpiryInterval = SESSION_S
        client.connect("localhost", broker.port, clean_start=False, properties=wants)
        client.loop_start()

    async def welcome(self) -> bool | None:
        """Whether the broker lets us in and finds a session of this name; None if it shows us the door."""
        return await asyncio.to_thread(self._welcomes.get, timeout=WITHIN_S)

    async def says(self, topic: str, payload: bytes) -> ReasonCode:
        self._client.publish(topic, payload, qos=1)
        return await asyncio.to_thread(self._pubacks.get, timeout=WITHIN_S)

    async def is_thrown_out_for(self, topic: str, payload: bytes) -> bool:
        """Whether the connection ends without the message having been taken."""
        assert await self.welcome() is False
        self._client.publish(topic, payload, qos=1)
        return await self.welcome() is None and self._pubacks.empty()

    def leaves(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


@contextmanager
def intruder(broker: ClinicBroker, *, certificate: str, client_id: str = "somebody") -> Iterator[Intruder]:
    somebody = Intruder(broker, certificate, client_id)
    try:
        yield somebody
    finally:
        somebody.leaves()
        del somebody._client  # its callbacks hold it: without the cycle it closes its sockets now


async def test_a_reading_travels_with_tls_from_end_to_end(clinic: Clinic) -> None:
    await clinic.next_reading_arrives()
    assert clinic.is_undisturbed


async def test_a_broker_that_is_not_the_clinics_gets_no_reading(
    broker: ClinicBroker, clinic: Clinic, tmp_path: Path
) -> None:
    """The other way round: somebody has put up a broker of the same name with a certificate of another authority."""
    with clinic_broker(tmp_path / "other") as other:
        settings = gateway_settings(broker, clinic.home, clinic.home.gateway_id)
        astray = replace(settings, mqtt_port=other.port, outbox=tmp_path / "astray.sqlite")
        async with sending_by(astray) as sender:
            sender.outbox.keep(clinic.home.pressure(now()))
            await sender.until(lambda: "New client connected" in other.log or "alert" in other.log)
            assert "New client connected" not in other.log
            assert sender.outbox.counts().unconfirmed == 1
    await clinic.next_reading_arrives()


@pytest.mark.parametrize("channel", ["readings", "status", "receipts", "config", "diagnostics"])
async def test_another_gateways_topics_are_closed(broker: ClinicBroker, clinic: Clinic, channel: str) -> None:
    forged = {
        "readings": clinic.home.envelope(clinic.home.pressure(now()), first_seq=2, epoch=clinic.sender.outbox.epoch),
        "receipts": encode_receipt(Receipt(epoch=clinic.sender.outbox.epoch, upto=2)),
        "config": b'{"zone": "Antarctica/Troll"}',
        "status": b'{"state": "offline"}',
        "diagnostics": b'{"request": "r1"}',
    }
    with intruder(broker, certificate="gw-b") as neighbour:
        topic = f"homevigil/1/{clinic.home.gateway_id}/{channel}"
        assert await neighbour.says(topic, forged[channel]) == NOT_AUTHORISED
        await clinic.next_reading_arrives()
    assert clinic.is_undisturbed
    assert clinic.sender.configs == []


async def test_a_forged_certificate_with_the_right_name_does_not_get_in(broker: ClinicBroker, clinic: Clinic) -> None:
    broker.forge(clinic.home.gateway_id, file="forged")
    with intruder(broker, certificate="forged", client_id=clinic.home.gateway_id) as forger:
        assert await forger.welcome() is None
        await clinic.next_reading_arrives()
    assert broker.log.count(f"as {clinic.home.gateway_id} (") == 1, "the rightful one, once"


async def test_a_revoked_certificate_does_not_get_in_and_the_one_in_its_place_does(
    broker: ClinicBroker, clinic: Clinic
) -> None:
    """A card was stolen, its certificate is revoked, and the home has a new one of the same name."""
    stolen = broker.issue(clinic.home.gateway_id, file="stolen")
    with intruder(broker, certificate=stolen, client_id="thief") as thief:
        assert await thief.welcome() is False, "as long as nobody knows"
    await clinic.sender.until(lambda: clinic.sender.uplink.is_connected)
    broker.revoke(stolen)
    with intruder(broker, certificate=stolen, client_id="thief") as thief:
        assert await thief.welcome() is None
        await clinic.next_reading_arrives()


@pytest.mark.parametrize("size", [32_769, 70_000], ids=["over message_size_limit", "over max_packet_size"])
async def test_a_message_that_is_too_long_is_not_taken(broker: ClinicBroker, clinic: Clinic, size: int) -> None:
    with intruder(broker, certificate="gw-b") as shouter:
        assert await shouter.is_thrown_out_for("homevigil/1/gw-b/readings", b"x" * size)
        await clinic.next_reading_arrives()
    with clinic.pool.connection() as conn:
        quarantined = conn.execute("select count(*) from quarantine").fetchone()
    assert quarantined == (0,), "it has not come as far as the intake"


async def steals_a_connection(broker: ClinicBroker, clinic: Clinic, client_id: str) -> bool:
    """Whether a neighbour who calls itself so throws somebody out, who is connected; the reading still arrives."""
    with intruder(broker, certificate="gw-b", client_id=client_id) as neighbour:
        welcome = await neighbour.welcome()
        await clinic.next_reading_arrives()
    assert clinic.sender.outbox.counts().unsendable == 0
    return bool(welcome) or "already connected, closing old connection" in broker.log


async def steals_a_session(broker: ClinicBroker, server: ServerSettings, home: Household, pool: Pool) -> bool:
    """Whether a neighbour who calls itself as the intake does, while that is away, is given its session."""
    with open_door(server, pool):
        pass  # it has been there once: the broker keeps its session
    async with gateway_of(broker, home, pool) as clinic:
        with intruder(broker, certificate="gw-b", client_id=server.mqtt_client_id) as neighbour:
            welcome = await neighbour.welcome()
        with open_door(server, pool):
            await clinic.next_reading_arrives()
    assert welcome is not None
    return welcome


def names(clinic: Clinic) -> dict[str, str]:
    return {"intake": ServerSettings.model_fields["mqtt_client_id"].default, "gateway": clinic.home.gateway_id}


@pytest.mark.parametrize("whose", ["intake", "gateway"])
async def test_nobody_is_thrown_out_by_who_calls_itself_so(broker: ClinicBroker, clinic: Clinic, whose: str) -> None:
    assert not await steals_a_connection(broker, clinic, names(clinic)[whose])


async def test_nobody_is_given_the_intakes_session(
    broker: ClinicBroker, home: Household, pool: Pool, database_url: str
) -> None:
    assert not await steals_a_session(broker, server_settings(broker, database_url), home, pool)


class TestWithoutTheLineThatBindsTheClientId:
    """The same attempts where the configuration lacks the line: they succeed, so the tests above can fail."""

    @pytest.fixture
    def broker(self, tmp_path: Path) -> Iterator[ClinicBroker]:
        changes = {"use_username_as_clientid true": "use_username_as_clientid false"}
        with clinic_broker(tmp_path / "broker", changes=changes) as broker:
            yield broker

    @pytest.mark.parametrize("whose", ["intake", "gateway"])
    async def test_somebody_is_thrown_out(self, broker: ClinicBroker, clinic: Clinic, whose: str) -> None:
        assert await steals_a_connection(broker, clinic, names(clinic)[whose])

    async def test_the_intakes_session_is_given_away(
        self, broker: ClinicBroker, home: Household, pool: Pool, database_url: str
    ) -> None:
        assert await steals_a_session(broker, server_settings(broker, database_url), home, pool)
