"""The home's own broker, a real one beside the clinic's: what Home Assistant finds there; its absence changes nothing."""

import asyncio
import json
import queue
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from paho.mqtt import client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from unit.gateway.far_end import far_end
from unit.gateway.samples import GATEWAY, TestClock
from whole_gateway import air_of, inflate, running

from firmware_sims.air import Air
from gateway import home_assistant
from gateway.backoff import Backoff
from homevigil.embedded.broker import EmbeddedBroker
from vitals.topics import Channel

CONFIG = "homeassistant/device/homevigil_gw-1_F0_00_00_10_00_01/config"
STATE = "homevigil/home/gw-1/F0_00_00_10_00_01/state"
AVAILABILITY = "homevigil/home/gw-1/availability"


class Panel:
    """Somebody who reads the home's broker."""

    def __init__(self, broker: EmbeddedBroker, name: str = "panel") -> None:
        self.heard: queue.Queue[mqtt.MQTTMessage] = queue.Queue()
        self.client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=name, protocol=mqtt.MQTTv5)
        self.client.on_message = lambda _, __, message: self.heard.put(message)
        self.client.on_connect = lambda client, *_: client.subscribe([("homeassistant/#", 1), ("homevigil/#", 1)])
        self.client.connect(broker.host, broker.port)
        self.client.loop_start()

    def until(self, topic: str, payload: bytes | None = None) -> mqtt.MQTTMessage:
        while True:
            message = self.heard.get(timeout=15)
            if message.topic == topic and payload in (None, bytes(message.payload)):
                return message

    def leave(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(home_assistant, "LOOK_S", 0.2)
    monkeypatch.setattr(home_assistant, "RETRY", Backoff(first_s=0.1, longest_s=0.2))
    monkeypatch.setattr(home_assistant.HomeAssistant.__init__, "__kwdefaults__", {"retry": home_assistant.RETRY})


@pytest.fixture
def at_home(tmp_path: Path) -> Iterator[EmbeddedBroker]:
    with EmbeddedBroker(folder=tmp_path / "home") as broker:
        yield broker


@pytest.fixture
def panel(at_home: EmbeddedBroker) -> Iterator[Panel]:
    panel = Panel(at_home)
    yield panel
    panel.leave()


@asynccontextmanager
async def gateway(folder: Path, clinic: EmbeddedBroker, port: int, air: Air) -> AsyncIterator[None]:
    more = {"home_mqtt_host": "127.0.0.1", "home_mqtt_port": port}
    async with running(folder, clinic, air, TestClock(), **more):
        yield


async def test_a_reading_is_found_by_home_assistant_and_only_its_description_is_retained(
    mosquitto: EmbeddedBroker, at_home: EmbeddedBroker, panel: Panel, tmp_path: Path
) -> None:
    air = air_of()
    with far_end(mosquitto.host, mosquitto.port) as far:
        async with gateway(tmp_path, mosquitto, at_home.port, air):
            inflate(air)
            discovery = json.loads((await asyncio.to_thread(panel.until, CONFIG)).payload)
            state = json.loads((await asyncio.to_thread(panel.until, STATE)).payload)
            await asyncio.to_thread(far.until_stored, 1)
            late = Panel(at_home, "late")
            assert (await asyncio.to_thread(late.until, CONFIG)).retain
            assert (await asyncio.to_thread(late.until, AVAILABILITY)).payload == b"online"
            late.client.publish("homeassistant/status", b"online", qos=1)
            again = await asyncio.to_thread(late.until, STATE)
            assert not again.retain, "whoever comes later finds no value"
            late.leave()
        assert (await asyncio.to_thread(panel.until, AVAILABILITY, b"offline")).retain is False
    assert discovery["state_topic"] == STATE
    assert discovery["availability_topic"] == AVAILABILITY
    assert discovery["components"]["systolic"]["unit_of_measurement"] == "mmHg"
    assert (state["systolic"], state["diastolic"], state["pulse"]) == (152, 94, 72)
    assert json.loads(again.payload) == state


async def test_switched_off_from_afar_the_devices_are_taken_out_again(
    mosquitto: EmbeddedBroker, at_home: EmbeddedBroker, panel: Panel, tmp_path: Path
) -> None:
    air = air_of()
    with far_end(mosquitto.host, mosquitto.port) as far:
        async with gateway(tmp_path, mosquitto, at_home.port, air):
            inflate(air)
            await asyncio.to_thread(panel.until, STATE)
            far.send(GATEWAY, Channel.CONFIG, b'{"revision": 1, "home_assistant": false}', retain=True)
            await asyncio.to_thread(panel.until, CONFIG, b"")
            status = await asyncio.to_thread(far.until_status, state="online")
            while status["home_assistant"]:
                far.send(GATEWAY, Channel.CONFIG, b'{"revision": 1, "home_assistant": false}')
                status = await asyncio.to_thread(far.until_status, state="online")
    assert status["home_assistant"] is False


@pytest.mark.parametrize("how", ["nobody is there", "it dies in the middle", "it answers nothing"])
async def test_a_home_broker_that_is_dead_changes_nothing_for_the_clinic(
    mosquitto: EmbeddedBroker, at_home: EmbeddedBroker, tmp_path: Path, how: str
) -> None:
    air = air_of()
    if how == "nobody is there":
        at_home.kill()
    with socket.create_server(("127.0.0.1", 0)) as mute, far_end(mosquitto.host, mosquitto.port) as far:
        port = mute.getsockname()[1] if how == "it answers nothing" else at_home.port
        async with gateway(tmp_path, mosquitto, port, air):
            inflate(air)
            await asyncio.to_thread(far.until_stored, 1)
            if how == "it dies in the middle":
                at_home.kill()
            inflate(air, systolic=160)
            await asyncio.to_thread(far.until_stored, 2)


async def test_a_mistake_of_ours_there_changes_nothing_for_the_clinic(
    mosquitto: EmbeddedBroker, at_home: EmbeddedBroker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(home_assistant, "tell", lambda *_, **__: 1 / 0)
    air = air_of()
    with far_end(mosquitto.host, mosquitto.port) as far:
        async with gateway(tmp_path, mosquitto, at_home.port, air):
            for nth in range(2):
                inflate(air, systolic=150 + nth)
                await asyncio.to_thread(far.until_stored, nth + 1)
