"""Starts and stops the parts of the demo's line, each a real program in a process of its own. Makes up nobody, shows nothing.

Order of starting: what others lean on first; of stopping: the reverse. All of them follow us when we are killed.
"""

import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from firmware_sims.settings import Meter
from homevigil.demo.meters import Meters
from homevigil.demo.population import GATEWAY_ID
from homevigil.embedded import bus, child
from homevigil.embedded.broker import EmbeddedBroker
from homevigil.embedded.postgres import EmbeddedPostgres
from server.store import vault_keys
from server.store.vault_keys import SETTING
from vitals.errors import UnavailableError

DATABASE: Final = "homevigil"
CLINIC_PHONE: Final = "+1 202 555 0100"
"""What the call button of a patient's page dials: a number that nobody has (NANP 555-0100)."""
MQTT_PORT: Final = 18830
WEB_WITHIN_S: Final = 60.0
"""The server compiles its rule kernels at the first start on a machine."""


@dataclass(slots=True, kw_only=True)
class Line:
    """The parts in `folder`. Start them with the `start_…` verbs, in the order in which they are written here."""

    folder: Path
    broker_wish: Literal["auto", "mosquitto", "rumqttd"] = "auto"
    radio_wish: Literal["auto", "bus", "air"] = "auto"
    web_port: int = 8080
    postgres: EmbeddedPostgres = field(init=False)
    broker: EmbeddedBroker = field(init=False)
    meters: Meters = field(init=False)
    _running: dict[str, "subprocess.Popen[bytes]"] = field(default_factory=dict, init=False)
    _started_as: dict[str, tuple[Sequence[str], Mapping[str, str]]] = field(default_factory=dict, init=False)
    _bus_address: str | None = field(default=None, init=False)
    _stack: ExitStack = field(default_factory=ExitStack, init=False)

    def __enter__(self) -> "Line":
        """Raises `UnavailableError`, before anything is started, for a wish that this machine cannot fulfil."""
        self.logs.mkdir(parents=True, exist_ok=True)
        self.broker = EmbeddedBroker(folder=self.folder / "broker", prefer_mosquitto=self.broker_wish != "rumqttd")
        if self.broker_wish == "mosquitto" and self.broker.name != "mosquitto":
            raise UnavailableError("mosquitto is not installed; on Debian: sudo apt-get install mosquitto")
        if self.radio_wish == "bus" and not bus.is_available():
            raise UnavailableError("dbus-daemon is not installed; on Debian: sudo apt-get install dbus-daemon")
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def logs(self) -> Path:
        return self.folder / "logs"

    @property
    def has_bus(self) -> bool:
        """Whether unmodified bleak meets the meters over D-Bus; else gateway and meters share one process."""
        return self.radio_wish != "air" and bus.is_available()

    @property
    def why_no_bus(self) -> str:
        """For `has_bus` is False."""
        return "asked for" if bus.is_available() else "no dbus-daemon here"

    @property
    def database_url(self) -> str:
        return self.postgres.url(DATABASE)

    @property
    def web_url(self) -> str:
        return f"http://127.0.0.1:{self.web_port}"

    def start_postgres(self) -> bool:
        """True when the database is new. Its key lies in the folder, unless one is set: a demo's people are nobody."""
        if SETTING not in os.environ:
            key = self.folder / "vault.key"
            if not key.exists():
                vault_keys.write(key, vault_keys.make())
            os.environ[SETTING] = str(key)
            self._stack.callback(os.environ.pop, SETTING)
        self.postgres = self._stack.enter_context(EmbeddedPostgres(folder=self.folder / "postgres"))
        is_new = not (self.folder / "database").exists()
        if is_new:
            self.postgres.create_database(DATABASE)
            (self.folder / "database").touch()
        return is_new

    def start_broker(self) -> None:
        self.broker.port = child.free_port(MQTT_PORT)
        self._stack.enter_context(self.broker)

    def start_server(self) -> None:
        """Every role but watch in one process; it is of use after `wait_until_served`."""
        self.web_port = child.free_port(self.web_port)
        settings = {
            "DATABASE_URL": self.database_url,
            "VAULT_KEY_FILE": os.environ[SETTING],
            "MQTT_HOST": self.broker.host,
            "MQTT_PORT": str(self.broker.port),
            "WEB_HOST": "127.0.0.1",
            "WEB_PORT": str(self.web_port),
            "PUBLIC_URL": self.web_url,
            "CLINIC_PHONE": CLINIC_PHONE,
        }
        env = _environment("HOMEVIGIL_SERVER_", settings)
        self._spawn("server", ["server", "run", "--role", "intake,judge,push,web"], env)

    def start_watch(self) -> None:
        """The role watch, in a process of its own with the server's settings.

        Only for whoever looks on: the watchdog's readings are in the accounts, and its recompute takes a quarter of a core;
        figures would show both.
        """
        _, env = self._started_as["server"]
        self._spawn("watch", ["server", "run", "--role", "watch"], env)

    def start_meters(self, meters: Sequence[Meter], *, zone: str) -> None:
        """The simulated meters and the gateway that reads them: two processes and a bus, or one without."""
        file = self.folder / "meters.json"
        file.write_text(json.dumps({"meters": [_in_file(meter) for meter in meters]}))
        gateway = _environment("HOMEVIGIL_GATEWAY_", self._gateway_settings(zone))
        if self.has_bus:
            address = self._stack.enter_context(bus.EmbeddedBus(folder=self.folder / "bus")).address
            on_bus = {"DBUS_SYSTEM_BUS_ADDRESS": address}
            self._start_sims(["firmware_sims", "run", "--meters", str(file)], _environment("", on_bus))
            self._spawn("gateway", ["gateway", "run"], {**gateway, **on_bus})
        else:
            self._start_sims(["homevigil.demo.air", "--meters", str(file)], gateway)

    def wait_until_served(self) -> None:
        """Return when the first page can be asked for."""
        deadline = time.monotonic() + WEB_WITHIN_S
        while not _answers(f"{self.web_url}/healthz"):
            self.check_alive()
            if time.monotonic() > deadline:
                raise UnavailableError(f"no page within {WEB_WITHIN_S:.0f} s:\n{child.tail(self._log('server'))}")
            time.sleep(0.05)

    def check_alive(self) -> None:
        """Raises `UnavailableError`, with the end of its log, for a part that has ended by itself."""
        for name, process in self._running.items():
            if process.poll() is not None:
                raise UnavailableError(f"{name} ended with code {process.returncode}:\n{child.tail(self._log(name))}")

    def kill(self, name: Literal["gateway", "server"]) -> None:
        """`kill -9`: the part has no chance to put anything in order."""
        process = self._running.pop(name)
        process.kill()
        process.wait()

    def start_again(self, name: Literal["gateway", "server"]) -> None:
        """Start a killed part as it was started first."""
        command, env = self._started_as[name]
        self._spawn(name, command, env)

    def environment_of(self, name: Literal["gateway", "server"]) -> Mapping[str, str]:
        """The environment in which a part was started, for a command that asks about it."""
        return self._started_as[name][1]

    def _gateway_settings(self, zone: str) -> Mapping[str, str]:
        return {
            "ID": GATEWAY_ID,
            "ZONE": zone,
            "OUTBOX": str(self.folder / "outbox.sqlite3"),
            "MQTT_HOST": self.broker.host,
            "MQTT_PORT": str(self.broker.port),
        }

    def _start_sims(self, command: Sequence[str], env: Mapping[str, str]) -> None:
        self.meters = Meters(command=[sys.executable, "-m", *command], env=env, log=self._log("meters"))
        self._stack.callback(self.meters.stop)
        self.meters.start()
        self._running["meters"] = self.meters.process

    def _spawn(self, name: str, command: Sequence[str], env: Mapping[str, str]) -> None:
        with self._log(name).open("ab") as sink:
            process = child.start([sys.executable, "-m", *command], log=sink, env=env)
        self._running[name] = process
        self._started_as[name] = (command, env)
        self._stack.callback(child.stop, process)

    def _log(self, name: str) -> Path:
        return self.logs / f"{name}.log"


def _environment(prefix: str, settings: Mapping[str, str]) -> Mapping[str, str]:
    """Ours without what a person's own gateway or server may have left in it, and with these settings."""
    ours = {key: value for key, value in os.environ.items() if not key.startswith("HOMEVIGIL_")}
    return {**ours, **{f"{prefix}{key}": value for key, value in settings.items()}}


def _in_file(meter: Meter) -> Mapping[str, object]:
    return {"name": meter.name, "kind": meter.kind, "index": meter.index, "zone": meter.zone}


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False
