"""org.bluez.Adapter1: power, discovery, and what becomes of both when the adapter is blocked or unplugged.

Copies src/adapter.c: discovery belongs to the client that started it, ends with the power, and is refused without it; a
blocked adapter cannot be switched on. The troubles of real adapters are knobs (`bluez_troubles`).
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

from dbus_fast import Variant

from firmware_sims import bluez_errors
from firmware_sims.bluez_troubles import Cure, Troubles
from firmware_sims.central import ADDRESS, Central
from firmware_sims.dbus_tree import Call, DBusTree, Method

ROOT: Final = "/org/bluez"
ADAPTER: Final = "org.bluez.Adapter1"

_PROPERTIES: Final = {
    "Address": Variant("s", ADDRESS),
    "AddressType": Variant("s", "random"),
    "Name": Variant("s", "homevigil-sims"),
    "Alias": Variant("s", "homevigil-sims"),
    "Class": Variant("u", 0),
    "Powered": Variant("b", True),
    "PowerState": Variant("s", "on"),
    "Discovering": Variant("b", False),
    "Discoverable": Variant("b", False),
    "Pairable": Variant("b", False),
    "UUIDs": Variant("as", []),
    "Modalias": Variant("s", ""),
    "Roles": Variant("as", ["central"]),
    "Manufacturer": Variant("q", 0xFFFF),
}


class Adapter:
    """One adapter on the bus. `on_quiet` is called when nobody scans any more, `on_off` to drop its links."""

    def __init__(
        self,
        name: str,
        *,
        central: Central,
        troubles: Troubles,
        on_quiet: Callable[[], None],
        on_off: Callable[[], Awaitable[None]],
    ) -> None:
        self.path = f"{ROOT}/{name}"
        self._central, self._troubles = central, troubles
        self._on_quiet, self._on_off = on_quiet, on_off
        self._tree: DBusTree
        self._filters: dict[str, frozenset[str]] = {}
        self._wants_duplicates: set[str] = set()
        self._scanners: set[str] = set()
        self._switching_scan = asyncio.Lock()
        self._is_scanning = False
        self.is_present = False
        self.is_blocked = False
        self.methods: dict[tuple[str, str], Method] = {
            (ADAPTER, "SetDiscoveryFilter"): Method(takes="a{sv}", gives="", answer=self._set_discovery_filter),
            (ADAPTER, "StartDiscovery"): Method(takes="", gives="", answer=self._start_discovery),
            (ADAPTER, "StopDiscovery"): Method(takes="", gives="", answer=self._stop_discovery),
        }

    def appear(self, tree: DBusTree, name: str | None = None) -> None:
        """Be there, switched on (bluetoothd's AutoEnable), as `name` if it is given (hci1 after hci0)."""
        self._tree = tree
        self.path = f"{ROOT}/{name}" if name else self.path
        self.is_present = True
        powered = Variant("b", not self.is_blocked)
        state = Variant("s", "off-blocked" if self.is_blocked else "on")
        tree.add(self.path, ADAPTER, {**_PROPERTIES, "Powered": powered, "PowerState": state})

    async def disappear(self) -> None:
        """Be unplugged, with everything that was on it."""
        await self.switch(is_on=False)
        self.is_present = False
        self._filters.clear()
        self._wants_duplicates.clear()
        self._tree.remove(self.path)

    # --- power

    @property
    def is_on(self) -> bool:
        return self.is_present and bool(self._tree.get(self.path, ADAPTER, "Powered"))

    async def set_powered(self, _path: str, is_on: bool) -> None:
        """Adapter1.Powered."""
        if is_on and self.is_blocked:
            raise bluez_errors.blocked()
        was_on = self.is_on
        await self.switch(is_on=is_on)
        if is_on and not was_on:
            self._troubles.done(Cure.POWER)

    async def switch(self, *, is_on: bool) -> None:
        if is_on == self.is_on:
            return
        if not is_on:
            self._scanners.clear()
            await self._switch_scan()
            await self._on_off()
        off = "off-blocked" if self.is_blocked else "off"
        changes = {"Powered": Variant("b", is_on), "PowerState": Variant("s", "on" if is_on else off)}
        self._tree.change(self.path, ADAPTER, changes)

    # --- scanning

    @property
    def is_discovering(self) -> bool:
        return self._is_scanning

    @property
    def is_filtered(self) -> bool:
        """Whether a client that scans now has set a filter that is one (merge_discovery_filters() in src/adapter.c, 5.82: the
        transport alone is none, on an adapter that has no other)."""
        return any(self._filters.get(scanner) or scanner in self._wants_duplicates for scanner in self._scanners)

    def is_wanted(self, services: set[str]) -> bool:
        """Whether a client that scans now asks for one of these services, or for everything."""
        filters = [self._filters.get(scanner, frozenset()) for scanner in self._scanners]
        return any(not wanted or wanted & services for wanted in filters)

    async def client_left(self, sender: str) -> None:
        """A client left the bus, and its scan with it."""
        self._filters.pop(sender, None)
        self._wants_duplicates.discard(sender)
        if sender in self._scanners:
            self._scanners.discard(sender)
            await self._switch_scan()

    async def _set_discovery_filter(self, call: Call) -> list[Any]:
        wanted = call.body[0].get("UUIDs")
        self._filters[call.sender] = frozenset(uuid.lower() for uuid in wanted.value) if wanted else frozenset()
        duplicates = call.body[0].get("DuplicateData")
        if duplicates is not None and duplicates.value:
            self._wants_duplicates.add(call.sender)
        else:
            self._wants_duplicates.discard(call.sender)
        return []

    async def _start_discovery(self, call: Call) -> list[Any]:
        if not self.is_on:
            raise bluez_errors.not_ready()
        if call.sender in self._scanners or self._troubles.stuck_until is not None:
            raise bluez_errors.error("InProgress", "Operation already in progress")
        self._scanners.add(call.sender)
        await self._switch_scan()
        return []

    async def _stop_discovery(self, call: Call) -> list[Any]:
        if not self.is_on:
            raise bluez_errors.not_ready()
        if self._troubles.stuck_until is not None:
            raise bluez_errors.error("InProgress", "Operation already in progress")
        if call.sender not in self._scanners:
            raise bluez_errors.error("Failed", "No discovery started")
        self._scanners.discard(call.sender)
        await self._switch_scan()
        return []

    async def _switch_scan(self) -> None:
        """Scan while somebody wants it; when it ends, nobody's signal strength is known any more."""
        async with self._switching_scan:
            is_wanted = bool(self._scanners)
            if is_wanted == self._is_scanning:
                return
            await self._central.scan(is_wanted)
            self._is_scanning = is_wanted
            self._tree.change(self.path, ADAPTER, {"Discovering": Variant("b", is_wanted)})
            if is_wanted:
                self._troubles.done(Cure.SCAN)
            else:
                self._on_quiet()
