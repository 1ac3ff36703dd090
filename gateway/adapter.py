"""Looks after the adapter: tells the ladder what happens, does what the ladder says, and says in words what is wrong.

The two upper rungs need rights that the gateway does not have. It writes a request into its runtime folder, and systemd starts
a small program of root's for it (deploy/gateway/homevigil-adapter-reset.path and .service); without those, the request stays
unanswered and the ladder goes on.
"""

import asyncio
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Never

import structlog

from gateway.bluez import ADAPTER, Bluez, RefusedError
from gateway.ladder import Ladder, Patience, Rung
from vitals.errors import UnavailableError

LOOK_S: Final = 5.0
LISTEN_S: Final = 12.0
"""Long enough for anything that advertises at all; the slowest beacons speak every 10 s (Core Vol 6, Part B, 4.4.2.2)."""
REQUEST: Final = "adapter-request"
IDLE_LOOKS: Final = 2
POWER_OFF_S: Final = 1.0
"""Between off and on; controllers lose what they hang on."""

_log = structlog.get_logger(__name__)


class AdapterCare:
    """`restart_scan` is called with the reason. Times are monotonic seconds."""

    def __init__(
        self,
        bluez: Bluez,
        *,
        restart_scan: Callable[[str], None],
        requests: Path | None = None,
        patience: Patience | None = None,
        listen_s: float = LISTEN_S,
        look_s: float = LOOK_S,
    ) -> None:
        self._bluez, self._restart_scan = bluez, restart_scan
        self._requests = requests or _runtime_folder()
        self._listen_s, self._look_s = listen_s, look_s
        self._is_scanning = False
        self._idle_looks = 0
        self.ladder = Ladder(time.monotonic(), patience)
        self.wrong: str | None = None

    async def run(self) -> Never:
        try:
            while True:
                await asyncio.sleep(self._look_s)
                await self.look()
        finally:
            self._bluez.close()

    def scan_started(self) -> None:
        self.wrong, self._is_scanning, self._idle_looks = None, True, 0
        self.ladder.scan_started(time.monotonic())

    def scan_ended(self) -> None:
        """By our own will."""
        self._is_scanning = False
        self.ladder.scan_ended()

    async def scan_failed(self) -> str | None:
        """The scan could not be started; what is wrong with the adapter, as far as it can be seen."""
        self._is_scanning = False
        self.ladder.scan_failed(time.monotonic())
        return await self.examine()

    async def look(self) -> None:
        """See whether discovery runs, listen and climb, if it is time to."""
        await self._see_discovery()
        if self.ladder.is_to_listen(time.monotonic()):
            await self._listen()
        rung = self.ladder.next_rung(time.monotonic())
        if rung is not None:
            _log.warning("adapter_cure", adapter=self._bluez.adapter, cure=rung.name.lower(), wrong=self.wrong)
            await self._try(rung)

    async def examine(self) -> str | None:
        """What is wrong with the adapter, in words that say what to do; None if nothing is to be seen."""
        self.wrong = await self._examined()
        return self.wrong

    def describe(self) -> dict[str, Any]:
        """For the status."""
        return {"adapter": self._bluez.adapter, "wrong": self.wrong, **self.ladder.describe(time.monotonic())}

    async def _examined(self) -> str | None:
        name = self._bluez.adapter
        try:
            objects = await self._bluez.objects()
        except RefusedError:
            return "BlueZ is not running: systemctl status bluetooth"
        except UnavailableError as e:
            return str(e)
        adapters = {path.rsplit("/", 1)[1]: faces[ADAPTER] for path, faces in objects.items() if ADAPTER in faces}
        if name not in adapters:
            others = ", ".join(sorted(adapters))
            seen = f"there is {others}: set HOMEVIGIL_GATEWAY_ADAPTER" if others else "there is no other: plug it in"
            return f"the adapter {name} is not there; {seen}"
        if adapters[name].get("Powered"):
            return None
        if adapters[name].get("PowerState") == "off-blocked":
            return f"the adapter {name} is blocked: rfkill unblock bluetooth"
        return f"the adapter {name} is switched off: bluetoothctl power on"

    async def _see_discovery(self) -> None:
        """bleak is told nothing when discovery ends without it: the power goes, the stick is pulled out, bluetoothd gives up. For
        a moment it may be off while a connection is made; not for two looks."""
        if not self._is_scanning:
            return
        try:
            runs = await self._bluez.get(self._bluez.adapter_path, ADAPTER, "Discovering")
        except UnavailableError:
            runs = False
        self._idle_looks = 0 if runs else self._idle_looks + 1
        if self._idle_looks >= IDLE_LOOKS:
            self._idle_looks = 0
            self._restart_scan(f"discovery has ended by itself; {await self.examine() or 'scanning anew'}")

    async def _listen(self) -> None:
        try:
            heard = await self._bluez.listen(self._listen_s)
        except UnavailableError as e:
            _log.info("listening_failed", why=str(e))
            heard = 0
        self.ladder.listened(heard, time.monotonic())
        _log.info("listened", peripherals=heard)

    async def _try(self, rung: Rung) -> None:
        match rung:
            case Rung.SCAN:
                self._restart_scan("the adapter seems deaf; scanning anew")
            case Rung.POWER:
                await self._cycle_power()
            case Rung.RESET:
                await self._request(f"reset {self._bluez.adapter}")
            case Rung.RESTART:
                await self._request("restart")

    async def _cycle_power(self) -> None:
        try:
            await self._bluez.set_powered(False)
            await asyncio.sleep(POWER_OFF_S)
        except UnavailableError as e:
            _log.warning("adapter_not_switched_off", why=str(e))
        try:
            await self._bluez.set_powered(True)
        except UnavailableError as e:
            blocked = isinstance(e, RefusedError) and e.name.endswith(".Blocked")
            advice = "rfkill unblock bluetooth" if blocked else "systemctl status bluetooth"
            _log.warning("adapter_not_switched_on", why=str(e), advice=advice)
        await self.examine()
        self._restart_scan("the adapter was switched off and on; scanning anew")

    async def _request(self, words: str) -> None:
        if self._requests is None:
            _log.warning("adapter_request_impossible", wanted=words, advice="install homevigil-adapter-reset.path")
            return
        try:
            await asyncio.to_thread(_write, self._requests / REQUEST, words)
        except OSError as e:
            _log.warning("adapter_request_impossible", wanted=words, why=str(e))


def _write(path: Path, words: str) -> None:
    """In one piece: the program that reads it is started by its appearance."""
    new = path.with_suffix(".new")
    new.write_text(words + "\n")
    new.replace(path)


def _runtime_folder() -> Path | None:
    """The one that systemd has made for us (RuntimeDirectory=)."""
    folders = os.environ.get("RUNTIME_DIRECTORY", "")
    return Path(folders.split(":")[0]) if folders else None
