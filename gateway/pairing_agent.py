"""Our own pairing agent at BlueZ: bleak registers none, and without one every bond fails.

It says that it can show and type codes (KeyboardDisplay), because a box that claims neither lets a meter with a display fall
back to a bond that nobody has checked, in silence. Who may pair and with what is decided in `pairing_policy`, typed by a person
at the `pairing_desk`, read from `pairing_codes`; this is the D-Bus side. BlueZ forgets its agents when it restarts, so the
registration is renewed whenever the name org.bluez gets a new owner; and it tells nobody that another program has become the
default agent, so that is asked for again every minute and before every pairing.
"""

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, Final, Never

import structlog
from dbus_fast import DBusError, Message
from dbus_fast.aio import MessageBus
from dbus_fast.annotations import DBusObjectPath, DBusStr, DBusUInt16, DBusUInt32
from dbus_fast.service import ServiceInterface, dbus_method

from gateway.backoff import Backoff
from gateway.bluez import AGENT_MANAGER, BLUEZ, CALL_S, RefusedError, ask, connected_bus
from gateway.pairing_codes import PairingCodes
from gateway.pairing_desk import PairingDesk
from gateway.pairing_policy import Pairings
from vitals.errors import MalformedError, UnavailableError

PATH: Final = "/homevigil/agent"
CAPABILITY: Final = "KeyboardDisplay"
RETRY: Final = Backoff(first_s=1.0, longest_s=30.0)
CLAIM_AGAIN_S: Final = 60.0
TYPING_S: Final = 27.0
"""For a person to type a code: the meter gives up after 30 s (Core Vol 3, Part H, 3.4), and the answer must still travel."""

_AUTHENTICATION: Final = ("AuthenticationFailed", "AuthenticationRejected")
"""How BlueZ words a pairing that the meter or the agent did not accept (new_authentication_return() in src/device.c); canceled
and timed out are of the link."""
_DBUS: Final = "org.freedesktop.DBus"
_RULE: Final = f"type='signal',sender='{_DBUS}',interface='{_DBUS}',member='NameOwnerChanged',arg0='{BLUEZ}'"

_log = structlog.get_logger(__name__)


class PairingAgent:
    """Keeps an agent registered for as long as it runs. `on_bluez_restart` is called each time BlueZ has come back; codes and the
    desk are in `folder`."""

    def __init__(
        self,
        *,
        folder: Path,
        on_bluez_restart: Callable[[], None] = lambda: None,
        call_s: float = CALL_S,
        typing_s: float = TYPING_S,
    ) -> None:
        self.pairings = Pairings()
        self.codes = PairingCodes(folder)
        self.desk = PairingDesk(folder)
        self.on_bluez_restart = on_bluez_restart
        self._answers = _Agent(self.pairings, self.codes, self.desk, typing_s)
        self._call_s = call_s
        self._owner_changed = asyncio.Event()
        self._bus: MessageBus | None = None
        self.registrations = 0

    async def run(self) -> Never:
        async with self.desk.open():
            await self._stay_registered()
        raise AssertionError("the desk closes after us")

    async def _stay_registered(self) -> Never:
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

    async def claim(self) -> None:
        """Be the default agent, now that a pairing is about to begin. An agent that BlueZ does not know is registered again."""
        if self._bus is None:
            return
        try:
            await self._manage(self._bus, "RequestDefaultAgent", "o", PATH)
        except RefusedError as e:
            _log.warning("pairing_agent_lost", why=str(e))
            await self._register(self._bus)
        except UnavailableError as e:
            _log.warning("pairing_agent_unclaimed", why=str(e))

    def must_be_checked(self, meter_id: str) -> bool:
        """Whether a code is stored for this meter: then a bond without one is none."""
        return self._answers.stored(meter_id) is not None

    def ended(self, meter_id: str, why_not: str | None) -> None:
        """A pairing that we had started is over: done, or `why_not` in BlueZ's words."""
        is_authentication = why_not is not None and is_refusal(why_not)
        self.pairings.ended(meter_id, is_paired=why_not is None, is_authentication=is_authentication)
        self.desk.tell_end(meter_id, why_not)

    async def _serve(self) -> None:
        """One life of a bus connection; returns when the bus goes away."""
        bus = await connected_bus(self._call_s)
        try:
            bus.export(PATH, self._answers)
            bus.add_message_handler(self._note_owner)
            await ask(bus, _DBUS, "/org/freedesktop/DBus", _DBUS, "AddMatch", "s", _RULE, within_s=self._call_s)
            self._owner_changed.set()
            lost: asyncio.Future[Any] = asyncio.ensure_future(bus.wait_for_disconnect())  # type: ignore[no-untyped-call]
            try:
                while not lost.done():
                    await self._register_when_changed(bus, lost)
            finally:
                self._bus = None
                lost.cancel()
        finally:
            bus.disconnect()

    async def _register_when_changed(self, bus: MessageBus, lost: "asyncio.Future[Any]") -> None:
        changed: asyncio.Future[Any] = asyncio.ensure_future(self._owner_changed.wait())
        await asyncio.wait({changed, lost}, return_when=asyncio.FIRST_COMPLETED, timeout=CLAIM_AGAIN_S)
        changed.cancel()
        if lost.done():
            return
        if not self._owner_changed.is_set():
            await self.claim()
            return
        self._owner_changed.clear()
        self._bus = None
        try:
            await ask(bus, _DBUS, "/org/freedesktop/DBus", _DBUS, "GetNameOwner", "s", BLUEZ, within_s=self._call_s)
        except UnavailableError:
            _log.warning("bluez_is_away", advice="is BlueZ running? (systemctl status bluetooth)")
            return  # the signal of its coming wakes us
        await self._register(bus)
        self._bus = bus
        if self.registrations > 1:
            self.on_bluez_restart()

    async def _register(self, bus: MessageBus) -> None:
        try:
            await self._manage(bus, "RegisterAgent", "os", PATH, CAPABILITY)
        except RefusedError as e:
            if not e.name.endswith(".AlreadyExists"):
                raise
        await self._manage(bus, "RequestDefaultAgent", "o", PATH)
        self.registrations += 1
        _log.info("pairing_agent_registered", times=self.registrations)

    async def _manage(self, bus: MessageBus, member: str, signature: str, *body: str) -> None:
        await ask(bus, BLUEZ, "/org/bluez", AGENT_MANAGER, member, signature, *body, within_s=self._call_s)

    def _note_owner(self, message: Message) -> None:
        if message.member == "NameOwnerChanged" and message.body and message.body[0] == BLUEZ:
            self._owner_changed.set()


class _Agent(ServiceInterface):
    """org.bluez.Agent1; method names and signatures are BlueZ's."""

    def __init__(self, pairings: Pairings, codes: PairingCodes, desk: PairingDesk, typing_s: float) -> None:
        super().__init__("org.bluez.Agent1")
        self._typing_s = typing_s
        self._pairings, self._codes, self._desk = pairings, codes, desk
        self._question: asyncio.Task[Any] | None = None

    @dbus_method()
    def Release(self) -> None:
        _log.info("pairing_agent_released")

    @dbus_method()
    def RequestAuthorization(self, device: DBusObjectPath) -> None:
        _log.info("pairing_accepted", meter_id=self._ours(device))

    @dbus_method()
    async def RequestConfirmation(self, device: DBusObjectPath, passkey: DBusUInt32) -> None:
        """Both sides show a number. With nobody to compare, this is worth as much as Just Works, and taken as such."""
        meter_id = self._ours(device)
        if self._desk.has(meter_id) and not await self._wait(self._desk.compare(meter_id, passkey, self._typing_s)):
            raise _refuse(meter_id, "the numbers were not the same, or nobody said so in time")
        if self._desk.has(meter_id):
            self._pairings.checked(meter_id)
        _log.info("pairing_accepted", meter_id=meter_id)

    @dbus_method()
    def AuthorizeService(self, device: DBusObjectPath, uuid: DBusStr) -> None:
        _log.info("service_accepted", meter_id=self._ours(device), uuid=uuid)

    @dbus_method()
    def DisplayPasskey(self, device: DBusObjectPath, passkey: DBusUInt32, entered: DBusUInt16) -> None:
        meter_id = self._ours(device)
        self._pairings.showing(meter_id, passkey)
        self._desk.show(meter_id, passkey)
        _log.warning("pairing_code_to_type", meter_id=meter_id, code=f"{passkey:06d}", advice="type it into the meter")

    @dbus_method()
    async def RequestPasskey(self, device: DBusObjectPath) -> DBusUInt32:
        meter_id = self._ours(device)
        stored = self.stored(meter_id)
        if stored is not None and self._pairings.may_give(meter_id, stored):
            _log.info("pairing_code_given", meter_id=meter_id)
            return stored
        if self._desk.has(meter_id):
            _log.info("pairing_code_asked", meter_id=meter_id)
            typed = await self._wait(self._desk.ask_code(meter_id, self._typing_s))
            if typed is not None:
                self._pairings.checked(meter_id)
                return int(typed)
        self._pairings.refused(meter_id)
        raise _refuse(meter_id, "this meter wants a code, and there is none that works")

    @dbus_method()
    def RequestPinCode(self, device: DBusObjectPath) -> DBusStr:
        raise _refuse(self._ours(device), "a PIN is of the old Bluetooth, which no meter of ours speaks")

    @dbus_method()
    def DisplayPinCode(self, device: DBusObjectPath, pincode: DBusStr) -> None:
        raise _refuse(self._ours(device), "a PIN is of the old Bluetooth, which no meter of ours speaks")

    @dbus_method()
    def Cancel(self) -> None:
        _log.info("pairing_cancelled")
        if self._question is not None:
            self._question.cancel()

    def _ours(self, path: str) -> str:
        meter_id = self._pairings.meter_at(path)
        if meter_id is None:
            _log.warning("pairing_refused", device=path, why="we have not started it")
            raise DBusError(
                "org.bluez.Error.Rejected", "this gateway pairs only with meters that it connects to itself"
            )
        return meter_id

    def stored(self, meter_id: str) -> int | None:
        """The meter's code, if there is one that can be read."""
        try:
            return self._codes.code_for(meter_id)
        except (MalformedError, OSError) as e:
            _log.warning("pairing_codes_unreadable", why=str(e))
            return None

    async def _wait(self, question: Coroutine[Any, Any, Any]) -> Any:
        """The person's answer; None if BlueZ withdraws the question."""
        self._question = asyncio.ensure_future(question)
        try:
            await asyncio.wait({self._question})
            return None if self._question.cancelled() else self._question.result()
        finally:
            self._question.cancel()
            self._question = None


def is_refusal(words: str) -> bool:
    """Whether a pairing failed because the meter or the agent would not, not because the link went or somebody gave up."""
    return any(mark in words for mark in _AUTHENTICATION)


def _refuse(meter_id: str, why: str) -> DBusError:
    _log.warning("pairing_refused", meter_id=meter_id, why=why, advice="homevigil-gateway pair METER, or pairing-code")
    return DBusError("org.bluez.Error.Rejected", why)
