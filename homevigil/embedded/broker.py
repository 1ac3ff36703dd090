"""An MQTT 5 broker on loopback: mosquitto where it is installed, else the rumqttd inside the `iotcore` wheel.

Either way the broker is a disposable pipe: nothing that it remembers is needed. No TLS and no accounts here: loopback only, for
the demo and the tests; `deploy/mosquitto` holds the configuration of a clinic.
"""

import os
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

from homevigil.embedded import child

MOSQUITTO: Final = """\
listener {port} 127.0.0.1
allow_anonymous true
retain_available true
persistence false
max_queued_messages 100000
max_queued_bytes 268435456
max_inflight_messages 200
message_size_limit 32768
max_packet_size 65536
log_dest stderr
log_type error
log_type warning
log_type notice
"""
"""As deploy/mosquitto, without identity. Persistence off: the tests prove that it is not needed."""

RUMQTTD: Final = """\
id = 0
[router]
max_connections = 2000
max_outgoing_packet_count = 200
max_segment_size = 104857600
max_segment_count = 10
[v5.homevigil]
name = "homevigil"
listen = "127.0.0.1:{port}"
next_connection_delay_ms = 1
    [v5.homevigil.connections]
    connection_timeout_ms = 60000
    max_payload_size = 65536
    max_inflight_count = 200
    dynamic_filters = true
"""


@dataclass(slots=True, kw_only=True)
class EmbeddedBroker:
    """A broker whose files lie in `folder`; it keeps its port over a kill and a new start."""

    folder: Path
    port: int = 0
    prefer_mosquitto: bool = True
    host: str = field(default="127.0.0.1", init=False)
    _process: "subprocess.Popen[bytes] | None" = field(default=None, init=False)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def name(self) -> str:
        """Which broker this is, for the person who started it."""
        return "mosquitto" if self._mosquitto else "rumqttd (in the iotcore wheel)"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start the broker and return when it accepts connections."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.port = self.port or child.free_port()
        with self._log.open("ab") as log:
            self._process = child.start(self._command(), log=log, cwd=self.folder)
        child.wait_until(
            lambda: child.accepts(self.port), process=self._process, within_s=10, what=self.name, log=self._log
        )

    def stop(self) -> None:
        if self._process is not None:
            child.stop(self._process)
            self._process = None

    def kill(self) -> None:
        """`kill -9`: whatever the broker held in memory is gone."""
        assert self._process is not None
        child.stop(self._process, with_signal=signal.SIGKILL)
        self._process = None

    @property
    def _log(self) -> Path:
        return self.folder / "broker.log"

    @property
    def _mosquitto(self) -> str | None:
        """Debian keeps mosquitto in sbin, which an ordinary user's PATH lacks."""
        return (
            shutil.which("mosquitto", path=None) or shutil.which("mosquitto", path="/usr/sbin")
            if self.prefer_mosquitto
            else None
        )

    def _command(self) -> list[str | Path]:
        if mosquitto := self._mosquitto:
            config = self.folder / "mosquitto.conf"
            config.write_text(MOSQUITTO.format(port=self.port) + _stay_who_we_are())
            return [mosquitto, "-c", config]
        config = self.folder / "rumqttd.toml"
        config.write_text(RUMQTTD.format(port=self.port))
        run = "import sys; from iotcore.iotcore import IotCoreBroker; IotCoreBroker(config_path=sys.argv[1]).run_forever()"
        return [sys.executable, "-c", run, config]


def _stay_who_we_are() -> str:
    """Started by root, mosquitto changes its account, and Linux then forgets that it should follow us when we are killed."""
    return "user root\n" if os.geteuid() == 0 else ""
