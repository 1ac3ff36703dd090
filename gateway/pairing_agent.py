"""Our own pairing agent at BlueZ: bleak registers none, and without one every bond fails.

It answers as a box without screen or keys: Just Works is accepted, a meter that wants a code is refused with a word in the log.
BlueZ forgets its agents when it restarts, so the registration is renewed whenever the name org.bluez gets a new owner.
"""

import asyncio
import os
from collections.abc import Callable
from typing import Any, Final, Never

import structlog
from dbus_fast import BusType, DBusError, Message, MessageType
from dbus_fast.aio import MessageBus
from dbus_fast.annotations import DBusObjectPath, DBusStr, DBusUInt16, DBusUInt32
from dbus_fast.auth import AuthExternal
from dbus_fast.service import ServiceInterface, dbus_method

from gateway.backoff import Backoff
from vitals.errors import UnavailableError

PATH: Final = "/homevigil/agent"
CAPABILITY: Final = "NoInputNoOutput"
RETRY: Final = Backoff(first_s=1.0, longest_s=30.0)
CALL_S: Final = 10.0

_BLUEZ: Final = "org.bluez"
_DBUS: Final = "org.freedesktop.DBus"
_RULE: Final = f"type='signal',sender='{_DBUS}',interface='{_DBUS}',member='NameOwnerChanged',arg0='{_BLUEZ}'"

_log = structlog.get_logger(__name__)


class PairingAgent:
    """Keeps an agent registered for as long as it runs. `on_bluez_restart` is called each time BlueZ has come back."""

    def __init__(self, *, on_bluez_restart: Callable[[], None]) -> None:
        self._on_bluez_restart = on_bluez_restart
        self._owner_changed = asyncio.Event()
        self.registrations = 0

    async def run(self) -> Never:
        failures = 0
        while True:
            try:
                await self._serve()
                failures = 0
            except (OSError, EOFError, TimeoutError, DBusError, UnavailableError) as e:
                failures += 1
                why = str(e) or type(e).__name__
                _log.warning(
                    "pairing_agent_waits", why=why, advice="is D-Bus running? (systemctl status dbus bluetooth)"
                )
            await asyncio.sleep(RETRY.delay_s(max(1, failures)))

    async def _serve(self) -> None:
        """One life of a bus connection; returns when the bus goes away."""
        bus = await MessageBus(bus_type=BusType.SYSTEM, auth=_authenticator()).connect()
        try:
            bus.export(PATH, _Agent())
            bus.add_message_handler(self._note_owner)
            await _call(bus, _DBUS, "/org/freedesktop/DBus", _DBUS, "AddMatch", "s", _RULE)
            self._owner_changed.set()
            lost: asyncio.Future[Any] = asyncio.ensure_future(bus.wait_for_disconnect())  # type: ignore[no-untyped-call]
            try:
                while not lost.done():
                    await self._register_when_changed(bus, lost)
            finally:
                lost.cancel()
        finally:
            bus.disconnect()

    async def _register_when_changed(self, bus: MessageBus, lost: "asyncio.Future[Any]") -> None:
        changed: asyncio.Future[Any] = asyncio.ensure_future(self._owner_changed.wait())
        await asyncio.wait({changed, lost}, return_when=asyncio.FIRST_COMPLETED)
        changed.cancel()
        if lost.done():
            return
        self._owner_changed.clear()
        try:
            await _call(bus, _DBUS, "/org/freedesktop/DBus", _DBUS, "GetNameOwner", "s", _BLUEZ)
        except UnavailableError:
            _log.warning("bluez_is_away", advice="is BlueZ running? (systemctl status bluetooth)")
            return  # the signal of its coming wakes us
        await _call(bus, _BLUEZ, "/org/bluez", "org.bluez.AgentManager1", "RegisterAgent", "os", PATH, CAPABILITY)
        await _call(bus, _BLUEZ, "/org/bluez", "org.bluez.AgentManager1", "RequestDefaultAgent", "o", PATH)
        self.registrations += 1
        _log.info("pairing_agent_registered", times=self.registrations)
        if self.registrations > 1:
            self._on_bluez_restart()

    def _note_owner(self, message: Message) -> None:
        if message.member == "NameOwnerChanged" and message.body and message.body[0] == _BLUEZ:
            self._owner_changed.set()


class _Agent(ServiceInterface):
    """org.bluez.Agent1; method names and signatures are BlueZ's."""

    def __init__(self) -> None:
        super().__init__("org.bluez.Agent1")

    @dbus_method()
    def Release(self) -> None:
        _log.info("pairing_agent_released")

    @dbus_method()
    def RequestAuthorization(self, device: DBusObjectPath) -> None:
        _log.info("pairing_accepted", device=device)

    @dbus_method()
    def RequestConfirmation(self, device: DBusObjectPath, passkey: DBusUInt32) -> None:
        _log.info("pairing_accepted", device=device)

    @dbus_method()
    def AuthorizeService(self, device: DBusObjectPath, uuid: DBusStr) -> None:
        _log.info("service_accepted", device=device)

    @dbus_method()
    def DisplayPasskey(self, device: DBusObjectPath, passkey: DBusUInt32, entered: DBusUInt16) -> None:
        raise _refuse(device)

    @dbus_method()
    def DisplayPinCode(self, device: DBusObjectPath, pincode: DBusStr) -> None:
        raise _refuse(device)

    @dbus_method()
    def RequestPinCode(self, device: DBusObjectPath) -> DBusStr:
        raise _refuse(device)

    @dbus_method()
    def RequestPasskey(self, device: DBusObjectPath) -> DBusUInt32:
        raise _refuse(device)

    @dbus_method()
    def Cancel(self) -> None:
        _log.info("pairing_cancelled")


def _refuse(device: str) -> DBusError:
    _log.warning("pairing_refused", device=device, advice="this meter wants a code; pair it once with bluetoothctl")
    return DBusError("org.bluez.Error.Rejected", "this gateway has no keys and no screen")


def _authenticator() -> AuthExternal | None:
    """The same override as bleak's, for a system bus that is reached through a relay."""
    uid = os.environ.get("BLEAK_DBUS_AUTH_UID")
    return None if uid is None else AuthExternal(int(uid))


async def _call(
    bus: MessageBus, destination: str, path: str, interface: str, member: str, signature: str, *body: object
) -> None:
    message = Message(
        destination=destination, path=path, interface=interface, member=member, signature=signature, body=list(body)
    )
    async with asyncio.timeout(CALL_S):
        reply = await bus.call(message)
    if reply is None or reply.message_type is MessageType.ERROR:
        raise UnavailableError(f"{member}: {'no answer' if reply is None else f'{reply.error_name} {reply.body}'}")
