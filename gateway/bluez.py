"""Our own calls at bluetoothd, beside bleak's: is there an adapter, is it on, is a meter bonded, who is heard at all.

One connection, made when it is first needed and again after it was lost; every call has its deadline. It knows D-Bus and the
names of org.bluez, and decides nothing.
"""

import asyncio
import os
from typing import Any, Final

from dbus_fast import BusType, DBusError, Message, MessageType, Variant
from dbus_fast.aio import MessageBus
from dbus_fast.auth import AuthExternal

from gateway.deadline import within
from vitals.errors import UnavailableError

BLUEZ: Final = "org.bluez"
ADAPTER: Final = "org.bluez.Adapter1"
DEVICE: Final = "org.bluez.Device1"
AGENT_MANAGER: Final = "org.bluez.AgentManager1"
PROPERTIES: Final = "org.freedesktop.DBus.Properties"
OBJECT_MANAGER: Final = "org.freedesktop.DBus.ObjectManager"
CALL_S: Final = 10.0
"""A call that BlueZ answers from memory takes milliseconds; setting the power takes up to a few seconds."""

_DBUS: Final = "org.freedesktop.DBus"
_TROUBLE: Final = (OSError, EOFError, DBusError)


class RefusedError(UnavailableError):
    """bluetoothd has answered with an error; `name` is its D-Bus name."""

    def __init__(self, name: str, text: str) -> None:
        super().__init__(f"{name} {text}")
        self.name = name


class Bluez:
    """`adapter` such as "hci0"; the paths of devices are below it."""

    def __init__(self, adapter: str, *, call_s: float = CALL_S) -> None:
        self.adapter = adapter
        self.adapter_path = f"/org/bluez/{adapter}"
        self._call_s = call_s
        self._bus: MessageBus | None = None
        self._connecting = asyncio.Lock()

    async def objects(self) -> dict[str, dict[str, dict[str, Any]]]:
        """Everything that bluetoothd shows: properties by interface by path."""
        (found,) = await self.call("/", OBJECT_MANAGER, "GetManagedObjects")
        return {
            path: {
                name: {key: value.value for key, value in properties.items()} for name, properties in interfaces.items()
            }
            for path, interfaces in found.items()
        }

    async def get(self, path: str, interface: str, name: str) -> Any:
        (value,) = await self.call(path, PROPERTIES, "Get", "ss", interface, name)
        return value.value

    async def set_powered(self, is_on: bool) -> None:
        """Switch the adapter. Raises `RefusedError` (…Blocked: rfkill)."""
        await self.call(self.adapter_path, PROPERTIES, "Set", "ssv", ADAPTER, "Powered", Variant("b", is_on))

    async def is_paired(self, device_path: str) -> bool:
        """Whether bluetoothd holds keys of this meter; False for one that it does not know."""
        try:
            return bool(await self.get(device_path, DEVICE, "Paired"))
        except RefusedError:
            return False

    async def is_connected(self, device_path: str) -> bool:
        """Whether a link to this meter is up; False for one that bluetoothd does not know, True if there is no answer."""
        try:
            return bool(await self.get(device_path, DEVICE, "Connected"))
        except RefusedError:
            return False
        except UnavailableError:
            return True

    async def remove(self, device_path: str) -> None:
        """Forget a meter with its keys."""
        await self.call(self.adapter_path, ADAPTER, "RemoveDevice", "o", device_path)

    async def listen(self, for_s: float) -> int:
        """How many peripherals of any kind are heard in so long: a discovery without a filter, beside the one that runs."""
        heard: set[str] = set()

        def note(message: Message) -> None:
            if message.message_type is not MessageType.SIGNAL:
                return
            if message.member == "PropertiesChanged" and message.body[0] == DEVICE and "RSSI" in message.body[1]:
                heard.add(message.path or "")
            elif message.member == "InterfacesAdded" and DEVICE in message.body[1]:
                heard.add(message.body[0])

        bus = await self._connect()
        for rule in (f"{_SIGNAL},member='InterfacesAdded'", f"{_SIGNAL},member='PropertiesChanged',arg0='{DEVICE}'"):
            await self._ask(bus, _DBUS, "/org/freedesktop/DBus", _DBUS, "AddMatch", "s", rule)
        bus.add_message_handler(note)
        try:
            await self.call(
                self.adapter_path, ADAPTER, "SetDiscoveryFilter", "a{sv}", {"Transport": Variant("s", "le")}
            )
            await self.call(self.adapter_path, ADAPTER, "StartDiscovery")
            await asyncio.sleep(for_s)
            return len(heard)
        finally:
            bus.remove_message_handler(note)
            self._drop()  # a client that leaves takes its discovery, its filter and its matches with it

    async def call(self, path: str, interface: str, member: str, signature: str = "", *body: Any) -> list[Any]:
        """The body of the reply. Raises `RefusedError` for an error of bluetoothd, `UnavailableError` without an answer."""
        return await self._ask(await self._connect(), BLUEZ, path, interface, member, signature, *body)

    def close(self) -> None:
        self._drop()

    async def _connect(self) -> MessageBus:
        async with self._connecting:
            if self._bus is None or not self._bus.connected:
                self._bus = await connected_bus(self._call_s)
            return self._bus

    def _drop(self) -> None:
        bus, self._bus = self._bus, None
        if bus is not None:
            bus.disconnect()

    async def _ask(
        self, bus: MessageBus, to: str, path: str, interface: str, member: str, signature: str, *body: Any
    ) -> list[Any]:
        return await ask(bus, to, path, interface, member, signature, *body, within_s=self._call_s)


_SIGNAL: Final = f"type='signal',sender='{BLUEZ}'"


async def connected_bus(within_s: float = CALL_S) -> MessageBus:
    """A connection to the system bus; raises `UnavailableError`."""
    bus = MessageBus(bus_type=BusType.SYSTEM, auth=_authenticator())
    try:
        return await within(within_s, bus.connect())
    except (*_TROUBLE, TimeoutError) as e:
        bus.disconnect()
        raise UnavailableError(f"no system bus: {_words(e)}; is D-Bus running? (systemctl status dbus)") from e


async def ask(
    bus: MessageBus,
    to: str,
    path: str,
    interface: str,
    member: str,
    signature: str = "",
    *body: Any,
    within_s: float = CALL_S,
) -> list[Any]:
    """One method call on `bus`; the body of its reply, or `RefusedError`, or `UnavailableError`."""
    message = Message(
        destination=to, path=path, interface=interface, member=member, signature=signature, body=list(body)
    )
    try:
        reply = await within(within_s, bus.call(message))
    except (*_TROUBLE, TimeoutError) as e:
        raise UnavailableError(f"{member}: {_words(e)}") from e
    if reply is None:
        raise UnavailableError(f"{member}: no answer")
    if reply.message_type is MessageType.ERROR:
        raise RefusedError(reply.error_name or "error", str(reply.body[0]) if reply.body else "")
    return list(reply.body)


def advice(e: BaseException) -> str:
    """What to do about a scan that cannot be started."""
    if isinstance(e, FileNotFoundError | ConnectionError):
        return "is D-Bus running? (systemctl status dbus)"
    if "ServiceUnknown" in str(e) or "NameHasNoOwner" in str(e):
        return "is BlueZ running? (systemctl status bluetooth)"
    return "is the adapter there and powered? (bluetoothctl show)"


def _authenticator() -> AuthExternal | None:
    """The same override as bleak's, for a system bus that is reached through a relay."""
    uid = os.environ.get("BLEAK_DBUS_AUTH_UID")
    return None if uid is None else AuthExternal(int(uid))


def _words(e: BaseException) -> str:
    return str(e) or type(e).__name__
