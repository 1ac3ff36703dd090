"""systemd's watchdog, on a real notify socket: fed while every loop turns, and not when something really hangs.

What hangs is put in at the very edge, in a process of its own: a function of bleak or of paho that never comes back. The bounds
are seconds there instead of minutes.
"""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from homevigil.embedded.broker import EmbeddedBroker

pytestmark = pytest.mark.radio

STALLED_S = 3.0
PERIOD_S = 0.2
QUICK = f"""
import asyncio, time
from gateway import bleak_radio, carrier, collector, process, uplink, watchdog
watchdog.STALLED_S = {STALLED_S}
collector.LOOK_AROUND_S = 0.5
collector.SESSION_S = bleak_radio.CONNECT_S = bleak_radio.VERB_S = uplink.SILENT_S = 1.0
uplink.STATUS_EVERY_S = uplink.STATUS_WITHOUT_TIME_S = 0.5

async def deaf(*_, **__):
    "A call that nobody's deadline ends."
    while True:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            pass
"""
RUN = "\nraise SystemExit(process.run_until_signalled())\n"
HANGS = {
    "a call into the Bluetooth stack never returns": "bleak_radio.BleakScanner.start = deaf",
    "a call into the Bluetooth stack stops the loop": "bleak_radio.BleakScanner.start = lambda *_: time.sleep(3600)",
    "the thread of the line hangs": """
from paho.mqtt.client import Client
misc = Client.loop_misc
Client.loop_misc = lambda client: time.sleep(3600) if client.is_connected() else misc(client)
""",
}


class Systemd:
    """What the process says on its notify socket."""

    def __init__(self, listener: socket.socket, process: "subprocess.Popen[bytes]") -> None:
        self._listener, self._process = listener, process

    def until(self, word: bytes, within_s: float = 20.0) -> None:
        self._listener.settimeout(within_s)
        while word not in self._listener.recv(256):
            pass

    def feedings(self, for_s: float) -> int:
        """How often the watchdog is fed in so long a time."""
        until_s, count = time.monotonic() + for_s, 0
        while (left_s := until_s - time.monotonic()) > 0:
            self._listener.settimeout(left_s)
            try:
                count += self._listener.recv(256) == b"WATCHDOG=1"
            except TimeoutError:
                break
        assert self._process.poll() is None, "it is alive, and so systemd's business"
        return count


@contextmanager
def gateway(folder: Path, port: int, hang: str = "") -> Iterator[Systemd]:
    settings = {"ID": "gw-1", "ZONE": "UTC", "OUTBOX": str(folder / "outbox.sqlite"), "MQTT_PORT": str(port)}
    environment = os.environ | {f"HOMEVIGIL_GATEWAY_{name}": value for name, value in settings.items()}
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(folder / "notify"))
        environment |= {"NOTIFY_SOCKET": str(folder / "notify"), "WATCHDOG_USEC": str(int(2 * PERIOD_S * 1e6))}
        command = [sys.executable, "-c", QUICK + hang + RUN]
        with subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL) as process:
            try:
                systemd = Systemd(listener, process)
                systemd.until(b"READY=1")
                yield systemd
            finally:
                process.kill()


@pytest.fixture
def meters(bus_address: str, tmp_path: Path) -> Iterator[None]:
    """A cuff behind an org.bluez that has something to say."""
    file = tmp_path / "meters.json"
    file.write_text('{"meters": [{"name": "bp", "kind": "blood_pressure", "index": 1}]}')
    command = [sys.executable, "-m", "firmware_sims", "run", "--meters", str(file)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdout.readline()
        process.stdin.write(
            '{"do": "measure", "meter": "bp", "systolic_mmhg": 120, "diastolic_mmhg": 80, "pulse_bpm": 60}\n'
        )
        process.stdin.flush()
        yield
        process.terminate()


@pytest.mark.parametrize("what", HANGS)
def test_what_hangs_is_no_longer_fed(meters: None, mosquitto: EmbeddedBroker, tmp_path: Path, what: str) -> None:
    with gateway(tmp_path, mosquitto.port, HANGS[what]) as systemd:
        until_s = time.monotonic() + 20
        while systemd.feedings(5 * PERIOD_S) > 0:
            assert time.monotonic() < until_s, "it hangs, and is fed all the same"
        assert systemd.feedings(5 * PERIOD_S) == 0, "and it stays so"


def test_a_home_without_meters_and_without_a_broker_is_fed(bus_address: str, tmp_path: Path) -> None:
    """Nothing on the bus but the bus itself, and nobody on the broker's port."""
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        port = nobody.getsockname()[1]
    with gateway(tmp_path, port) as systemd:
        assert systemd.feedings(2.5 * STALLED_S) >= 2 * STALLED_S / PERIOD_S


def test_a_gateway_with_a_meter_and_a_broker_is_fed(meters: None, mosquitto: EmbeddedBroker, tmp_path: Path) -> None:
    with gateway(tmp_path, mosquitto.port) as systemd:
        assert systemd.feedings(2 * STALLED_S) >= 1.5 * STALLED_S / PERIOD_S
