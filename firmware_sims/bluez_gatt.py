"""The GATT objects below a device on the bus: what a meter has, and the reads, writes and subscriptions of clients.

Every question to the meter goes through `ask`, which the device gives: it raises security where the meter wants it and
turns ATT errors into org.bluez ones.
"""

import contextlib
from collections.abc import Awaitable, Callable
from typing import Any, Final, Protocol, TypeVar

from bumble import gatt
from bumble.core import UUID
from bumble.device import Connection, Peer
from bumble.gatt_client import CharacteristicProxy, DescriptorProxy, ServiceProxy
from dbus_fast import Variant

from firmware_sims import bluez_errors
from firmware_sims.central import unless_dropped
from firmware_sims.dbus_tree import DBusTree
from vitals.gatt import uuids

SERVICE: Final = "org.bluez.GattService1"
CHARACTERISTIC: Final = "org.bluez.GattCharacteristic1"
DESCRIPTOR: Final = "org.bluez.GattDescriptor1"

MTU: Final = 517
"""What bluetoothd asks for."""

_FLAGS: Final = {
    gatt.Characteristic.Properties.READ: "read",
    gatt.Characteristic.Properties.WRITE_WITHOUT_RESPONSE: "write-without-response",
    gatt.Characteristic.Properties.WRITE: "write",
    gatt.Characteristic.Properties.NOTIFY: "notify",
    gatt.Characteristic.Properties.INDICATE: "indicate",
}
_CAN_NOTIFY: Final = gatt.Characteristic.Properties.NOTIFY | gatt.Characteristic.Properties.INDICATE
_CLAIMED: Final = (gatt.GATT_GENERIC_ACCESS_SERVICE, gatt.GATT_DEVICE_INFORMATION_SERVICE, gatt.GATT_BATTERY_SERVICE)
"""Services that a plugin of bluetoothd looks after: clients may read them (ExportClaimedServices in src/main.conf: read-only)."""

T = TypeVar("T")


class Ask(Protocol):
    """Do something with the meter, with security and errors as bluetoothd handles them."""

    async def __call__(self, work: Callable[[], Awaitable[T]]) -> T: ...


class GattObjects:
    """The attributes of the connection that is up now; none between connections, as there is no cache."""

    def __init__(self, device_path: str, *, tree: DBusTree, ask: Ask) -> None:
        self._device_path = device_path
        self._tree = tree
        self._ask = ask
        self._attributes: dict[str, ServiceProxy | CharacteristicProxy[bytes] | DescriptorProxy] = {}
        self._notifying: dict[str, set[str]] = {}

    def clear(self) -> None:
        """The connection is gone, and the objects with it."""
        self._attributes.clear()
        self._notifying.clear()
        self._tree.remove_below(self._device_path)

    async def discover(self, connection: Connection, *, is_half: bool = False) -> list[str]:
        """Put everything that the meter has on the bus, or no more than the first service; gives the services' UUIDs."""
        peer = Peer(connection)
        await unless_dropped(peer.request_mtu(MTU))
        services = await unless_dropped(peer.discover_services())
        for service in services[:1] if is_half else services:
            await self._discover_service(connection, service)
        return [_long(service.uuid) for service in services]

    async def _discover_service(self, connection: Connection, service: ServiceProxy) -> None:
        path = f"{self._device_path}/service{service.handle:04x}"
        self._attributes[path] = service
        self._tree.add(
            path,
            SERVICE,
            {
                "UUID": Variant("s", _long(service.uuid)),
                "Device": Variant("o", self._device_path),
                "Primary": Variant("b", True),
                "Includes": Variant("ao", []),
            },
        )
        for characteristic in await unless_dropped(service.discover_characteristics()):
            await self._discover_characteristic(connection, path, characteristic)

    async def _discover_characteristic(
        self, connection: Connection, service_path: str, characteristic: CharacteristicProxy[bytes]
    ) -> None:
        path = f"{service_path}/char{characteristic.handle - 1:04x}"
        self._attributes[path] = characteristic
        flags = [name for bit, name in _FLAGS.items() if characteristic.properties & bit]
        properties = {
            "UUID": Variant("s", _long(characteristic.uuid)),
            "Service": Variant("o", service_path),
            "Value": Variant("ay", b""),
            "Flags": Variant("as", flags),
            "MTU": Variant("q", connection.att_mtu),
        }
        if characteristic.properties & _CAN_NOTIFY:
            properties["Notifying"] = Variant("b", False)
        self._tree.add(path, CHARACTERISTIC, properties)
        for descriptor in await unless_dropped(characteristic.discover_descriptors()):
            below = f"{path}/desc{descriptor.handle:04x}"
            self._attributes[below] = descriptor
            self._tree.add(
                below,
                DESCRIPTOR,
                {
                    "UUID": Variant("s", _long(descriptor.type)),
                    "Characteristic": Variant("o", path),
                    "Value": Variant("ay", b""),
                },
            )

    async def read(self, path: str, interface: str) -> bytes:
        """ReadValue; as with bluetoothd, the value is signalled too."""
        attribute = self._attribute(path)
        value = bytes(await self._ask(attribute.read_value))
        self._show(path, interface, "Value", Variant("ay", value))
        return value

    async def write(self, path: str, value: bytes, *, with_response: bool) -> None:
        attribute = self._attribute(path)
        if self._attribute(path.partition("/char")[0]).uuid in _CLAIMED:
            raise bluez_errors.att_error(bluez_errors.NOT_AUTHORIZED)
        is_descriptor = isinstance(attribute, DescriptorProxy)
        if is_descriptor and attribute.type == gatt.GATT_CLIENT_CHARACTERISTIC_CONFIGURATION_DESCRIPTOR:
            raise bluez_errors.att_error(bluez_errors.WRITE_NOT_PERMITTED)  # it is for StartNotify
        await self._ask(lambda: attribute.write_value(value, with_response=with_response))

    async def start_notify(self, path: str, sender: str) -> None:
        """Subscribe for a client; the meter hears of the first only."""
        characteristic = self._attribute(path)
        if not isinstance(characteristic, CharacteristicProxy) or not characteristic.properties & _CAN_NOTIFY:
            raise bluez_errors.error("NotSupported", "Operation is not supported")
        clients = self._notifying.get(path, set())
        if sender in clients:
            raise bluez_errors.error("InProgress", "In Progress")
        if not clients:
            await self._ask(lambda: characteristic.subscribe(self._teller(path)))
        if path in self._attributes:
            self._notifying.setdefault(path, set()).add(sender)
        self._show(path, CHARACTERISTIC, "Notifying", Variant("b", True))

    async def stop_notify(self, path: str, sender: str) -> None:
        """Unsubscribe for a client; the meter hears of the last only."""
        characteristic = self._attribute(path)
        clients = self._notifying.get(path, set())
        if sender not in clients or not isinstance(characteristic, CharacteristicProxy):
            raise bluez_errors.error("Failed", "No notify session started")
        clients.discard(sender)
        if clients:
            return
        self._show(path, CHARACTERISTIC, "Notifying", Variant("b", False))
        await self._ask(characteristic.unsubscribe)

    async def on_left(self, sender: str) -> None:
        """A client left the bus: what only it had subscribed to is unsubscribed. The link stays, as bluetoothd leaves it."""
        for path in [path for path, clients in self._notifying.items() if sender in clients]:
            with contextlib.suppress(
                bluez_errors.BluezError
            ):  # the link may end meanwhile, and every subscription with it
                await self.stop_notify(path, sender)

    def _teller(self, path: str) -> Callable[[bytes], None]:
        return lambda value: self._show(path, CHARACTERISTIC, "Value", Variant("ay", bytes(value)))

    def _show(self, path: str, interface: str, name: str, value: Variant) -> None:
        """Signal a value, if the object is still there: a meter may hang up right after what it said."""
        if path in self._tree:
            self._tree.change(path, interface, {name: value}, always=(name,))

    def _attribute(self, path: str) -> Any:
        try:
            return self._attributes[path]
        except KeyError:
            raise bluez_errors.unknown_object(path) from None


def _long(uuid: UUID) -> str:
    """The 128-bit form that D-Bus clients compare."""
    return uuids.full(uuid.to_hex_str().lower()) if len(uuid.uuid_bytes) == 2 else uuid.to_hex_str("-").lower()
