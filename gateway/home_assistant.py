"""The home's own Home Assistant may see its latest readings, if somebody there wants that: never a condition for the clinic.

A task and a connection of its own, to the home's broker; whatever happens there is logged, and ends nothing here. Values are
published and not retained: who subscribes later finds no reading of yesterday, and a broker that keeps its messages on a disk
keeps none of ours. What is retained names meters, not values.
"""

import asyncio
import random
from collections.abc import Callable
from typing import Any, Final, Never

import structlog
from msgspec.structs import replace

from gateway.backoff import Backoff
from gateway.carrier import Down, Line, Message, connected
from gateway.clock import Clock
from gateway.config import Settings
from gateway.home_entities import DISCOVERY, Told, availability_topic, discovery_topic, state_topic, tell
from gateway.outbox import Outbox
from gateway.status import encoded
from gateway.version import installed_version
from vitals.envelope import decode_stored_reading
from vitals.errors import UnavailableError
from vitals.reading import Reading

LOOK_S: Final = 30.0
"""How often the outbox is looked at without a call: a reading may have been settled, or grown old."""
RETRY: Final = Backoff(first_s=5.0, longest_s=600.0)
READINGS_SEEN: Final = 200
"""The newest in the outbox; the last twelve hours of a household are fewer."""
BIRTH: Final = f"{DISCOVERY}/status"

_log = structlog.get_logger(__name__)


class HomeAssistant:
    """The connection to the home's own broker, for as long as `run` runs. `is_wanted`: whether there is to be one now."""

    def __init__(
        self, *, settings: Settings, outbox: Outbox, clock: Clock, is_wanted: Callable[[], bool], retry: Backoff = RETRY
    ) -> None:
        self._gateway_id, self._outbox, self._clock = settings.id, outbox, clock
        self._is_wanted, self._retry = is_wanted, retry
        self._settings = _at_home(settings)
        self._line: Line | None = None
        self._said: dict[str, bytes] = {}
        self.is_connected = False

    def wake(self) -> None:
        """There is a new reading. From the event loop only."""
        if self._line is not None:
            self._line.wake()

    async def run(self) -> Never:
        failures = 0
        while True:
            if not self._is_wanted():
                await asyncio.sleep(LOOK_S)
                continue
            try:
                last_words = (availability_topic(self._gateway_id), b"offline")
                async with connected(self._settings, topics=(BIRTH,), last_words=last_words) as line:
                    failures, self.is_connected = 0, True
                    await self._serve(line)
            except (OSError, UnavailableError) as e:
                failures += 1
                _log.warning("home_broker_failed", gateway_id=self._gateway_id, why=str(e))
            except Exception:  # noqa: BLE001  # whatever is wrong with us here, the clinic's readings go on
                failures += 1
                _log.exception("home_assistant_broken", gateway_id=self._gateway_id)
            finally:
                self._line, self.is_connected = None, False
            await asyncio.sleep(self._retry.delay_s(max(1, failures), random.random()))

    async def _serve(self, line: Line) -> None:
        """Until the line breaks, or nobody wants it any more: then Home Assistant is told to forget."""
        _log.info("home_broker_connected", gateway_id=self._gateway_id)
        self._line = line
        self._said.clear()
        self._say(line, availability_topic(self._gateway_id), b"online", retain=True)
        while self._is_wanted():
            for meter_id, told in (await asyncio.to_thread(self._look)).items():
                self._say(line, discovery_topic(self._gateway_id, meter_id), encoded(told.discovery), retain=True)
                self._say(line, state_topic(self._gateway_id, meter_id), encoded(told.state), retain=False)
            for event in await line.next_events(LOOK_S):
                match event:
                    case Down(why=why):
                        raise UnavailableError(f"the connection to the home's broker is gone: {why}")
                    case Message(topic=topic, payload=b"online") if topic == BIRTH:
                        self._said.clear()  # it has just started, and knows nothing that is not retained
        for topic in [topic for topic in self._said if topic.startswith(DISCOVERY)]:
            self._say(line, topic, b"", retain=True)

    def _say(self, line: Line, topic: str, payload: bytes, *, retain: bool) -> None:
        """Publish what was not said last; what the line does not take now is said at the next look."""
        if self._said.get(topic) != payload and line.publish(topic, payload, retain=retain) is not None:
            self._said[topic] = payload

    def _look(self) -> dict[str, Told]:
        """What is to be said of each meter by now."""
        readings: dict[str, list[Reading]] = {}
        for body in self._outbox.newest(READINGS_SEEN):
            reading = decode_stored_reading(body)
            readings.setdefault(reading.meter_id, []).append(reading)
        return {meter_id: self._of(meter_id, found) for meter_id, found in readings.items()}

    def _of(self, meter_id: str, readings: list[Reading]) -> Told:
        memory = self._outbox.recall(meter_id)
        return tell(
            meter_id,
            readings,
            gateway_id=self._gateway_id,
            version=installed_version(),
            about=memory.about,
            battery_percent=memory.battery_percent,
            now=self._clock.now(),
        )


def _at_home(settings: Settings) -> Settings:
    """The settings of a connection to the home's own broker."""
    there: dict[str, Any] = {
        "mqtt_host": settings.home_mqtt_host or "",
        "mqtt_port": settings.home_mqtt_port,
        "mqtt_username": settings.home_mqtt_username,
        "mqtt_password": settings.home_mqtt_password,
        "mqtt_ca_file": settings.home_mqtt_ca_file,
        "mqtt_cert_file": None,
        "mqtt_key_file": None,
    }
    return replace(settings, **there)
