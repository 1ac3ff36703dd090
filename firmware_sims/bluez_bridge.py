"""org.bluez on a private bus, so that unmodified bleak meets meters that exist only in memory.

The adapter and its devices, as far as a central's client sees them. What bluetoothd does on its own account, and a
gateway must live with, is copied: filters of one client at a time, temporary devices, agents, ATT error texts. Not here:
AcquireNotify, advertisement monitors (passive scans), and everything of the peripheral role.
"""

import asyncio
import contextlib
import random
from collections.abc import Coroutine
from typing import Any, Final

from bumble.core import AdvertisingData
from bumble.device import Advertisement, Connection
from bumble.hci import Address
from bumble.pairing import PairingDelegate
from dbus_fast import Variant

from firmware_sims import bluez_errors
from firmware_sims.bluez_agents import AGENT_MANAGER, Agents
from firmware_sims.bluez_device import DEVICE, RemoteDevice, Timing
from firmware_sims.bluez_gatt import CHARACTERISTIC, DESCRIPTOR
from firmware_sims.central import ADDRESS, Central
from firmware_sims.dbus_tree import Call, DBusTree, Method
from firmware_sims.virtual_link import VirtualLink
from vitals.gatt import uuids

NAME: Final = "org.bluez"
ROOT: Final = "/org/bluez"
ADAPTER_PATH: Final = "/org/bluez/hci0"
ADAPTER: Final = "org.bluez.Adapter1"

_ADAPTER_PROPERTIES: Final = {
    "Address": Variant("s", ADDRESS),
    "AddressType": Variant("s", "random"),
    "Name": Variant("s", "homevigil-sims"),
    "Alias": Variant("s", "homevigil-sims"),
    "Class": Variant("u", 0),
    "Powered": Variant("b", True),
    "Discoverable": Variant("b", False),
    "Pairable": Variant("b", False),
    "UUIDs": Variant("as", []),
    "Modalias": Variant("s", ""),
    "Roles": Variant("as", ["central"]),
    "Manufacturer": Variant("q", 0xFFFF),
}


class Bridge:
    """`async with Bridge(link)`: the bus has an org.bluez for as long as the context is open.

    The bus is the one that DBUS_SYSTEM_BUS_ADDRESS names. `seed` makes the signal strengths repeatable.
    """

    def __init__(self, link: VirtualLink, *, timing: Timing | None = None, seed: int = 0) -> None:
        self._timing = timing or Timing()
        jitter = random.Random(seed)
        self._central = Central(link, delegate=self._delegate_for, rssi_dbm=lambda _: -60 + jitter.randint(-9, 9))
        self._agents = Agents()
        self._tree = DBusTree(NAME, methods=self._methods())
        self._devices: dict[str, RemoteDevice] = {}
        self._filters: dict[str, frozenset[str]] = {}
        self._scanners: set[str] = set()
        self._switching_scan = asyncio.Lock()
        self._is_scanning = False
        self._chores: set[asyncio.Task[None]] = set()
        self._lifetime = contextlib.AsyncExitStack()

    async def __aenter__(self) -> "Bridge":
        async with contextlib.AsyncExitStack() as opening:
            await opening.enter_async_context(self._central)
            self._central.on_advertisement(self._on_advertisement)
            await opening.enter_async_context(self._tree)
            self._tree.on_left(self._on_left)
            self._tree.add(ROOT, AGENT_MANAGER, {})
            self._tree.add(ADAPTER_PATH, ADAPTER, {**_ADAPTER_PROPERTIES, "Discovering": Variant("b", False)})
            self._lifetime = opening.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        for device in self._devices.values():
            device.stop_watching()
        chores = tuple(self._chores)
        for task in chores:
            task.cancel()
        await asyncio.gather(*chores, return_exceptions=True)
        await self._lifetime.aclose()

    async def gone(self) -> None:
        """Wait until the bus is lost."""
        await self._tree.gone()

    # --- scanning

    async def _set_discovery_filter(self, call: Call) -> list[Any]:
        wanted = call.body[0].get("UUIDs")
        self._filters[call.sender] = frozenset(uuid.lower() for uuid in wanted.value) if wanted else frozenset()
        return []

    async def _start_discovery(self, call: Call) -> list[Any]:
        if call.sender in self._scanners:
            raise bluez_errors.error("InProgress", "Operation already in progress")
        self._scanners.add(call.sender)
        await self._switch_scan()
        return []

    async def _stop_discovery(self, call: Call) -> list[Any]:
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
            self._tree.change(ADAPTER_PATH, ADAPTER, {"Discovering": Variant("b", is_wanted)})
            if not is_wanted:
                for path in self._devices:
                    self._tree.invalidate(path, DEVICE, "RSSI")

    def _on_advertisement(self, heard: Advertisement) -> None:
        address = heard.address.to_string(False)
        changes = _properties_of(heard)
        path = f"{ADAPTER_PATH}/dev_{address.replace(':', '_')}"
        if path in self._devices:
            self._devices[path].heard(changes)
        elif self._is_wanted(changes):
            self._devices[path] = self._new_device(path, address, changes)

    def _is_wanted(self, changes: dict[str, Variant]) -> bool:
        """Whether a client that scans now asks for one of its services, or for everything."""
        offered = set(changes["UUIDs"].value) if "UUIDs" in changes else set()
        filters = [self._filters.get(scanner, frozenset()) for scanner in self._scanners]
        return any(not wanted or wanted & offered for wanted in filters)

    def _new_device(self, path: str, address: str, changes: dict[str, Variant]) -> RemoteDevice:
        properties = {
            "Address": Variant("s", address),
            "AddressType": Variant("s", "random"),
            "Alias": Variant("s", address.replace(":", "-")),
            "Paired": Variant("b", False),
            "Bonded": Variant("b", False),
            "Trusted": Variant("b", False),
            "Blocked": Variant("b", False),
            "LegacyPairing": Variant("b", False),
            "Connected": Variant("b", False),
            "ServicesResolved": Variant("b", False),
            "UUIDs": Variant("as", []),
            "Adapter": Variant("o", ADAPTER_PATH),
        }
        self._tree.add(path, DEVICE, {**properties, **changes})
        device = RemoteDevice(
            path,
            address,
            tree=self._tree,
            central=self._central,
            agents=self._agents,
            timing=self._timing,
            on_stale=self._remove_later,
        )
        device.heard({})
        return device

    # --- devices

    def _remove_later(self, device: RemoteDevice) -> None:
        self._later(self._remove(device), f"remove {device.address}")

    async def _remove(self, device: RemoteDevice) -> None:
        self._devices.pop(device.path, None)
        await device.remove()

    async def _remove_device(self, call: Call) -> list[Any]:
        device = self._devices.get(call.body[0])
        if device is None:
            raise bluez_errors.does_not_exist()
        await self._remove(device)
        return []

    async def _connect(self, call: Call) -> list[Any]:
        await self._device(call).connect()
        return []

    async def _disconnect(self, call: Call) -> list[Any]:
        await self._device(call).disconnect()
        return []

    async def _pair(self, call: Call) -> list[Any]:
        await self._device(call).pair(call.sender)
        return []

    async def _read_characteristic(self, call: Call) -> list[Any]:
        return [await self._device(call).gatt.read(call.path, CHARACTERISTIC)]

    async def _read_descriptor(self, call: Call) -> list[Any]:
        return [await self._device(call).gatt.read(call.path, DESCRIPTOR)]

    async def _write(self, call: Call) -> list[Any]:
        value, options = call.body
        is_request = options["type"].value == "request" if "type" in options else True
        await self._device(call).gatt.write(call.path, bytes(value), with_response=is_request)
        return []

    async def _start_notify(self, call: Call) -> list[Any]:
        await self._device(call).gatt.start_notify(call.path, call.sender)
        return []

    async def _stop_notify(self, call: Call) -> list[Any]:
        await self._device(call).gatt.stop_notify(call.path, call.sender)
        return []

    def _device(self, call: Call) -> RemoteDevice:
        """The device that an object path belongs to."""
        device = self._devices.get(call.path.split("/service")[0])
        if device is None:
            raise bluez_errors.unknown_object(call.path)
        return device

    # --- clients

    def _delegate_for(self, connection: Connection) -> PairingDelegate:
        address: Address = connection.peer_address
        return self._devices[f"{ADAPTER_PATH}/dev_{address.to_string(False).replace(':', '_')}"].delegate

    def _on_left(self, sender: str) -> None:
        """A client left the bus: what it asked for ends, except the links."""
        self._agents.on_left(sender)
        self._filters.pop(sender, None)
        for device in self._devices.values():
            self._later(device.gatt.on_left(sender), f"unsubscribe for {sender}")
        if sender in self._scanners:
            self._scanners.discard(sender)
            self._later(self._switch_scan(), "scan without a client")

    def _later(self, work: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.create_task(work, name=name)
        self._chores.add(task)
        task.add_done_callback(self._chores.discard)

    def _methods(self) -> dict[tuple[str, str], Method]:
        return {
            **self._agents.methods,
            (ADAPTER, "SetDiscoveryFilter"): Method(takes="a{sv}", gives="", answer=self._set_discovery_filter),
            (ADAPTER, "StartDiscovery"): Method(takes="", gives="", answer=self._start_discovery),
            (ADAPTER, "StopDiscovery"): Method(takes="", gives="", answer=self._stop_discovery),
            (ADAPTER, "RemoveDevice"): Method(takes="o", gives="", answer=self._remove_device),
            (DEVICE, "Connect"): Method(takes="", gives="", answer=self._connect),
            (DEVICE, "Disconnect"): Method(takes="", gives="", answer=self._disconnect),
            (DEVICE, "Pair"): Method(takes="", gives="", answer=self._pair),
            (CHARACTERISTIC, "ReadValue"): Method(takes="a{sv}", gives="ay", answer=self._read_characteristic),
            (CHARACTERISTIC, "WriteValue"): Method(takes="aya{sv}", gives="", answer=self._write),
            (CHARACTERISTIC, "StartNotify"): Method(takes="", gives="", answer=self._start_notify),
            (CHARACTERISTIC, "StopNotify"): Method(takes="", gives="", answer=self._stop_notify),
            (DESCRIPTOR, "ReadValue"): Method(takes="a{sv}", gives="ay", answer=self._read_descriptor),
            (DESCRIPTOR, "WriteValue"): Method(takes="aya{sv}", gives="", answer=self._write),
        }


def _properties_of(heard: Advertisement) -> dict[str, Variant]:
    """What an advertisement says of a device, as Device1 properties."""
    changes = {"RSSI": Variant("n", heard.rssi)}
    if services := _services_in(heard.data):
        changes["UUIDs"] = Variant("as", services)
    if name := heard.data.get(AdvertisingData.COMPLETE_LOCAL_NAME):
        changes["Name"] = changes["Alias"] = Variant("s", str(name))
    return changes


def _services_in(data: AdvertisingData) -> list[str]:
    lists = (
        AdvertisingData.COMPLETE_LIST_OF_16_BIT_SERVICE_CLASS_UUIDS,
        AdvertisingData.INCOMPLETE_LIST_OF_16_BIT_SERVICE_CLASS_UUIDS,
    )
    packed = b"".join(body for kind, body in data.ad_structures if kind in lists)
    found = {uuids.full(packed[i : i + 2][::-1].hex()) for i in range(0, len(packed), 2)}
    return sorted(found)
