"""A tree of D-Bus objects with properties, served on one connection: the standard interfaces and nothing of Bluetooth.

ObjectManager, Properties and Introspectable answer from here; a method of any other interface is looked up in the table
that the owner gives. A value that changes is signalled, and one that does not change is not, as bluetoothd does it.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import structlog
from dbus_fast import BusType, Message, MessageType, SignatureTree, Variant
from dbus_fast.aio import MessageBus

from firmware_sims.bluez_errors import PREFIX, BluezError, unknown_method, unknown_object

OBJECT_MANAGER: Final = "org.freedesktop.DBus.ObjectManager"
PROPERTIES: Final = "org.freedesktop.DBus.Properties"
INTROSPECTABLE: Final = "org.freedesktop.DBus.Introspectable"
BUS: Final = "org.freedesktop.DBus"

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One method call from a client of the bus."""

    path: str
    body: list[Any]
    sender: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """`answer` gives the body of the reply, which has the signature `gives`."""

    takes: str
    gives: str
    answer: Callable[[Call], Awaitable[list[Any]]]


class DBusTree:
    """`async with DBusTree(...)`: on the bus, under its well-known name, for as long as the context is open."""

    def __init__(
        self,
        name: str,
        *,
        methods: Mapping[tuple[str, str], Method],
        setters: Mapping[tuple[str, str], Callable[[str, Any], Awaitable[None]]] | None = None,
        unanswered: Collection[str] = (),
    ) -> None:
        """`methods` by (interface, member); `setters`, of properties whose change does something, by (interface, name), get the
        object's path and the value. Calls of members in `unanswered` never get a reply."""
        self._name = name
        self._methods = methods
        self._setters = setters or {}
        self._unanswered = unanswered
        self._objects: dict[str, dict[str, dict[str, Variant]]] = {"/": {}}
        self._bus: MessageBus
        self._lost: asyncio.Task[None]
        self._calls: set[asyncio.Task[None]] = set()
        self._on_left: Callable[[str], None] = lambda _: None

    async def __aenter__(self) -> "DBusTree":
        self._bus = await MessageBus(bus_type=BusType.SYSTEM).connect()
        waiting = self._bus.wait_for_disconnect()  # type: ignore[no-untyped-call]
        self._lost = asyncio.create_task(waiting, name="until the bus is lost")
        self._bus.add_message_handler(self._on_message)
        await self._watch_clients()
        await self._bus.request_name(self._name)
        return self

    async def __aexit__(self, *_: object) -> None:
        calls = tuple(self._calls)
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
        self._bus.disconnect()
        await self.gone()

    def on_left(self, left: Callable[[str], None]) -> None:
        """Call `left` with the unique name of every client that leaves the bus."""
        self._on_left = left

    async def gone(self) -> None:
        """Wait until the bus is lost."""
        await asyncio.wait({self._lost})
        if (error := self._lost.exception()) is not None:
            log.info("bus_lost", error=repr(error))

    async def ask(
        self, destination: str, path: str, interface: str, member: str, signature: str, body: list[Any]
    ) -> Any:
        """Call a method of a client; gives the first value of its reply. Raises `BluezError` with the client's error."""
        message = Message(
            destination=destination, path=path, interface=interface, member=member, signature=signature, body=body
        )
        reply = await self._bus.call(message)
        assert reply is not None, "a method call has a reply"
        if reply.message_type == MessageType.ERROR:
            raise BluezError(reply.error_name or PREFIX + "Failed", str(reply.body[0]) if reply.body else "")
        return reply.body[0] if reply.body else None

    # --- objects

    def __contains__(self, path: str) -> bool:
        return path in self._objects

    def add(self, path: str, interface: str, properties: dict[str, Variant]) -> None:
        """Put an interface on an object and say so."""
        self._objects.setdefault(path, {})[interface] = properties
        self._signal("/", OBJECT_MANAGER, "InterfacesAdded", "oa{sa{sv}}", [path, {interface: properties}])

    def remove(self, path: str) -> None:
        """Take an object away with everything below it, the leaves first."""
        for below in sorted(self._below(path), reverse=True):
            interfaces = list(self._objects.pop(below))
            self._signal("/", OBJECT_MANAGER, "InterfacesRemoved", "oas", [below, interfaces])

    def remove_below(self, path: str) -> None:
        """Take away what is below an object, and leave the object."""
        for below in sorted(self._below(path), reverse=True):
            if below != path:
                self.remove(below)

    def get(self, path: str, interface: str, name: str) -> Any:
        return self._objects[path][interface][name].value

    def get_if_any(self, path: str, interface: str, name: str) -> Any:
        """The value of a property, or None if it has none at present."""
        value = self._objects[path][interface].get(name)
        return None if value is None else value.value

    def change(self, path: str, interface: str, changes: dict[str, Variant], *, always: Collection[str] = ()) -> None:
        """Change properties; those that are as they were are not signalled, but for those in `always`: the same again is news."""
        properties = self._objects[path][interface]
        changed = {
            k: v for k, v in changes.items() if k in always or k not in properties or properties[k].value != v.value
        }
        if changed:
            properties.update(changed)
            self._signal(path, PROPERTIES, "PropertiesChanged", "sa{sv}as", [interface, changed, []])

    def invalidate(self, path: str, interface: str, name: str) -> None:
        """Say that a property has no value any more."""
        if self._objects[path][interface].pop(name, None) is not None:
            self._signal(path, PROPERTIES, "PropertiesChanged", "sa{sv}as", [interface, {}, [name]])

    def _below(self, path: str) -> list[str]:
        return [other for other in self._objects if other == path or other.startswith(path.rstrip("/") + "/")]

    def _signal(self, path: str, interface: str, member: str, signature: str, body: list[Any]) -> None:
        self._send(Message.new_signal(path, interface, member, signature, body))

    def _send(self, message: Message) -> None:
        if self._bus.connected:
            # The future only says that the socket took the bytes; a lost bus is seen by `gone`.
            self._bus.send(message).add_done_callback(lambda sent: sent.cancelled() or sent.exception())

    # --- messages

    async def _watch_clients(self) -> None:
        rule = f"type='signal',sender='{BUS}',interface='{BUS}',member='NameOwnerChanged'"
        await self.ask(BUS, "/org/freedesktop/DBus", BUS, "AddMatch", "s", [rule])

    def _on_message(self, message: Message) -> bool:
        """True for what is answered here, so that dbus-fast's own handlers leave it."""
        if message.message_type == MessageType.SIGNAL and message.member == "NameOwnerChanged":
            name, _, new_owner = message.body
            if name.startswith(":") and not new_owner:
                self._on_left(name)
            return False
        if message.message_type != MessageType.METHOD_CALL or not self._is_ours(message.path or ""):
            return False
        task = asyncio.create_task(self._serve(message), name=f"{message.interface}.{message.member}")
        self._calls.add(task)
        task.add_done_callback(self._calls.discard)
        return True

    def _is_ours(self, path: str) -> bool:
        return path in self._objects or path == "/" or path.startswith("/org/bluez")

    async def _serve(self, message: Message) -> None:
        if message.member in self._unanswered:
            return
        try:
            signature, body = await self._reply_to(message)
        except BluezError as e:
            self._send(Message.new_error(message, e.name, e.text))
        except Exception as e:  # the caller must get an answer to whatever went wrong here, and we a log line
            log.error("call_failed", member=message.member, path=message.path, error=repr(e), exc_info=True)
            self._send(Message.new_error(message, PREFIX + "Failed", "the bridge failed, see its log"))
        else:
            self._send(Message.new_method_return(message, signature, body))

    async def _reply_to(self, message: Message) -> tuple[str, list[Any]]:
        path, interface, member = message.path or "/", message.interface or "", message.member or ""
        if interface == INTROSPECTABLE:
            return "s", [self._introspection(path)]
        if path not in self._objects:
            raise unknown_object(path)
        match interface, member:
            case (_, "GetManagedObjects"):
                return "a{oa{sa{sv}}}", [{p: i for p, i in self._objects.items() if i}]
            case (_, "GetAll"):
                return "a{sv}", [self._properties(path, message.body[0])]
            case (_, "Get"):
                return "v", [self._property(path, *message.body)]
            case (_, "Set"):
                interface_set, name, value = message.body
                self._property(path, interface_set, name)
                if (setter := self._setters.get((interface_set, name))) is not None:
                    await setter(path, value.value)
                else:
                    self.change(path, interface_set, {name: value})
                return "", []
        method = self._methods.get((interface, member))
        if method is None or interface not in self._objects[path]:
            raise unknown_method(interface, member)
        call = Call(path=path, body=message.body, sender=message.sender or "")
        return method.gives, await method.answer(call)

    def _properties(self, path: str, interface: str) -> dict[str, Variant]:
        try:
            return self._objects[path][interface]
        except KeyError:
            raise unknown_method(interface, "GetAll") from None

    def _property(self, path: str, interface: str, name: str, _value: object = None) -> Variant:
        try:
            return self._objects[path][interface][name]
        except KeyError:
            raise unknown_method(interface, name) from None

    # --- introspection

    def _introspection(self, path: str) -> str:
        interfaces = "".join(self._interface_xml(name) for name in self._objects.get(path, {}))
        children = "".join(f'<node name="{name}"/>' for name in sorted(self._children(path)))
        return f"<node>{interfaces}{children}</node>"

    def _interface_xml(self, name: str) -> str:
        methods = "".join(
            f'<method name="{member}">{_arguments(m.takes, "in")}{_arguments(m.gives, "out")}</method>'
            for (interface, member), m in self._methods.items()
            if interface == name
        )
        return f'<interface name="{name}">{methods}</interface>'

    def _children(self, path: str) -> set[str]:
        prefix = path.rstrip("/") + "/"
        return {o[len(prefix) :].split("/")[0] for o in self._objects if o.startswith(prefix) and o != prefix}


def _arguments(signature: str, direction: str) -> str:
    return "".join(f'<arg type="{one}" direction="{direction}"/>' for one in _single_types(signature))


def _single_types(signature: str) -> Iterator[str]:
    """The complete types of a signature, one by one: `oa{sv}` is `o` and `a{sv}`."""
    for one in SignatureTree(signature).types:
        yield one.signature
