"""A private D-Bus, so that unmodified bleak can meet simulated meters without touching the machine's own bus."""

import shutil
import socket
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

from homevigil.embedded import child
from vitals.errors import UnavailableError

CONFIGURATION: Final = """\
<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <listen>unix:path={socket}</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow send_destination="*" eavesdrop="true"/>
    <allow eavesdrop="true"/>
    <allow own="*"/>
  </policy>
</busconfig>
"""


def is_available() -> bool:
    """Whether dbus-daemon is installed."""
    return shutil.which("dbus-daemon") is not None


@dataclass(slots=True, kw_only=True)
class EmbeddedBus:
    """A dbus-daemon with its socket in `folder`; `address` goes into DBUS_SYSTEM_BUS_ADDRESS."""

    folder: Path
    _process: "subprocess.Popen[bytes] | None" = field(default=None, init=False)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def address(self) -> str:
        return f"unix:path={self._socket}"

    def start(self) -> None:
        """Start the bus and return when it can be connected to."""
        daemon = shutil.which("dbus-daemon")
        if daemon is None:
            raise UnavailableError("dbus-daemon is not installed; on Debian: apt install dbus-daemon")
        self.folder.mkdir(parents=True, exist_ok=True)
        self._socket.unlink(missing_ok=True)
        config = self.folder / "bus.conf"
        config.write_text(CONFIGURATION.format(socket=self._socket))
        log = self.folder / "bus.log"
        with log.open("ab") as sink:
            self._process = child.start([daemon, f"--config-file={config}", "--nofork", "--nopidfile"], log=sink)
        child.wait_until(self._is_listening, process=self._process, within_s=10, what="dbus-daemon", log=log)

    def stop(self) -> None:
        if self._process is not None:
            child.stop(self._process)
            self._process = None

    def _is_listening(self) -> bool:
        """The socket's file is there a moment before anybody listens at it."""
        with socket.socket(socket.AF_UNIX) as one:
            return one.connect_ex(str(self._socket)) == 0

    @property
    def _socket(self) -> Path:
        return self.folder / "bus.socket"
