"""The server's MQTT door, open on a test's own broker and database."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from plain_gateway import WAIT_S
from pydantic import SecretStr

from homevigil.embedded.broker import EmbeddedBroker
from server.config import Settings
from server.door import Door
from server.intake import Intake
from server.store.postgres import Pool


def settings_for(broker: EmbeddedBroker, database_url: str) -> Settings:
    return Settings(database_url=SecretStr(database_url), mqtt_host=broker.host, mqtt_port=broker.port)


@contextmanager
def open_door(settings: Settings, pool: Pool, *, wait: bool = True) -> Iterator[None]:
    """The loop in a thread of its own; with `wait` it listens when the context opens."""
    stop = threading.Event()
    door = Door(settings, Intake(pool), stop)
    working = threading.Thread(target=door.run)
    working.start()
    try:
        assert not wait or door.listening.wait(WAIT_S)
        yield
    finally:
        stop.set()
        working.join()
