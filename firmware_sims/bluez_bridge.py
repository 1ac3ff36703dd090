"""org.bluez on a private bus, so that unmodified bleak meets meters that exist only in memory.

The adapter and its devices, as far as a central's client sees them. What bluetoothd does on its own account, and a
gateway must live with, is copied: filters of one client at a time, temporary devices, agents, bonds that outlive a restart,
ATT error texts. Not here: AcquireNotify, advertisement monitors (passive scans), and everything of the peripheral role.
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
from firmware_sims.bluez_adapter import ADAPTER, ROOT, Adapter
from firmware_sims.bluez_agents import AGENT_MANAGER, Agents
from firmware_sims.bluez_device import DEVICE, RemoteDevice, Timing
from firmware_sims.bluez_gatt import CHARACTERISTIC, DESCRIPTOR
from firmware_sims.bluez_troubles import Cure, Troubles
from firmware_sims.central import Central
from firmware_sims.dbus_tree import Call, DBusTree, Method
from firmware_sims.virtual_link import VirtualLink
from vitals.gatt import uuids

NAME: Final = "org.bluez"


class Bridge:
    """`async with Bridge(link)`: the bus has an org.bluez for as long as the context is open.

    The bus is the one that DBUS_SYSTEM_BUS_ADDRESS names. `seed` makes the signal strengths repeatable. What goes wrong with
    the adapter is turned on in `troubles` and by the methods below.
    """

    def __init__(
        self, link: VirtualLink, *, timing: Timing | None = None, seed: int = 0, adapter: str = "hci0"
    ) -> None:
        self._timing = timing or Timing()
        jitter = random.Random(seed)
        self._central = Central(link, delegate=self._delegate_for, rssi_dbm=lambda _: -60 + jitter.randint(-9, 9))
        self._agents = Agents()
        self.troubles = Troubles()
        self._adapter = Adapter(
            adapter,
            central=self._central,
            troubles=self.troubles,
            on_quiet=self._invalidate_signals,
            on_off=self._links_lost,
        )
        self._tree = DBusTree(
            NAME,
            methods=self._methods(),
            setters={(ADAPTER, "Powered"): self._adapter.set_powered},
            unanswered=self.troubles.unanswered,
        )
        self._devices: dict[str, RemoteDevice] = {}
        self._chores: set[asyncio.Task[None]] = set()
        self._lifetime = contextlib.AsyncExitStack()

    async def __aenter__(self) -> "Bridge":
        async with contextlib.AsyncExitStack() as opening:
            await opening.enter_async_context(self._central)
            self._central.on_advertisement(self._on_advertisement)
            await opening.enter_async_context(self._tree)
            self._tree.on_left(self._on_left)
            self._tree.add(ROOT, AGENT_MANAGER, {})
            await self.plug_in()
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

    # --- troubles

    async def block(self) -> None:
        """As `rfkill block bluetooth`."""
        self._adapter.is_blocked = True
        await self._adapter.switch(is_on=False)

    def unblock(self) -> None:
        """As `rfkill unblock bluetooth`; somebody must still switch the adapter on."""
        self._adapter.is_blocked = False

    async def unplug(self) -> None:
        """Take the adapter away, and what is on it."""
        await self._adapter.disappear()
        for device in self._devices.values():
            device.stop_watching()
        self._devices.clear()

    async def plug_in(self, name: str | None = None) -> None:
        """The adapter is there (again), perhaps under another name."""
        self._adapter.appear(self._tree, name)
        await self._recall_bonded()

    async def reset(self) -> None:
        """What a reset from below the stack looks like from above it."""
        await self.unplug()
        self.troubles.done(Cure.RESET)
        await self.plug_in()

    async def _links_lost(self) -> None:
        await self._central.disconnect_all()

    # --- devices that are heard

    def _invalidate_signals(self) -> None:
        for path in self._devices:
            self._tree.invalidate(path, DEVICE, "RSSI")

    async def _recall_bonded(self) -> None:
        """bluetoothd knows from its disk whom it is bonded with, heard or not."""
        for address, (name, services) in (await self._central.bonded()).items():
            path = self._path_of(address)
            known = {"UUIDs": Variant("as", list(services))}
            if name is not None:
                known |= {"Name": Variant("s", name), "Alias": Variant("s", name)}
            bonded = {"Paired": Variant("b", True), "Bonded": Variant("b", True), "Trusted": Variant("b", True)}
            self._devices[path] = self._new_device(path, address, {**known, **bonded})

    def _on_advertisement(self, heard: Advertisement) -> None:
        if self.troubles.deaf_until is not None or not self._adapter.is_discovering:
            return
        if heard.is_scan_response:  # Linux tells of an advertisement and of the answer to it at once
            return
        address = heard.address.to_string(False)
        changes = _properties_of(heard)
        if not self._adapter.is_wanted(set(changes["UUIDs"].value) if "UUIDs" in changes else set()):
            return
        path = self._path_of(address)
        if path in self._devices:
            self._devices[path].heard(changes, is_filtered=self._adapter.is_filtered)
        else:
            self._devices[path] = self._new_device(path, address, changes)

    def _path_of(self, address: str) -> str:
        return f"{self._adapter.path}/dev_{address.replace(':', '_')}"

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
            "Adapter": Variant("o", self._adapter.path),
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
            is_half_known=lambda: address in self.troubles.half_known,
            shows_late=lambda: self.troubles.shows_late(address),
        )
        device.known()
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
        self.troubles.half_known.discard(device.address)
        return []

    async def _connect(self, call: Call) -> list[Any]:
        self._check_can_connect()
        await self._device(call).connect()
        return []

    async def _disconnect(self, call: Call) -> list[Any]:
        await self._device(call).disconnect()
        return []

    async def _pair(self, call: Call) -> list[Any]:
        self._check_can_connect()
        await self._device(call).pair(call.sender)
        return []

    def _check_can_connect(self) -> None:
        if not self._adapter.is_on:
            raise bluez_errors.not_ready("br-connection-adapter-not-powered")
        if self.troubles.refuses_connects_until is not None:
            raise bluez_errors.error("Failed", "le-connection-busy")

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
        return self._devices[self._path_of(address.to_string(False))].delegate

    def _on_left(self, sender: str) -> None:
        """A client left the bus: what it asked for ends, except the links."""
        self._agents.on_left(sender)
        for device in self._devices.values():
            self._later(device.on_left(sender), f"unsubscribe for {sender}")
        self._later(self._adapter.client_left(sender), "scan without a client")

    def _later(self, work: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.create_task(work, name=name)
        self._chores.add(task)
        task.add_done_callback(self._chores.discard)

    def _methods(self) -> dict[tuple[str, str], Method]:
        return {
            **self._agents.methods,
            **self._adapter.methods,
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
