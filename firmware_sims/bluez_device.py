"""org.bluez.Device1: one meter as bluetoothd shows it to its clients, and its link.

Copies what was observed of bluetoothd (BlueZ 5.66 and 5.82): it raises security by itself, a lost bond makes every
connect fail until the device is removed, and disconnecting takes a while. There is no GATT cache: services are
discovered anew on every connection.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, TypeVar

from bumble import att
from bumble.core import BaseBumbleError
from bumble.device import Connection
from dbus_fast import Variant

from firmware_sims import bluez_errors
from firmware_sims.bluez_agents import AgentDelegate, Agents
from firmware_sims.bluez_gatt import GattObjects
from firmware_sims.central import BondLostError, Central, ConnectFailedError, LinkDroppedError, unless_dropped
from firmware_sims.dbus_tree import DBusTree

DEVICE: Final = "org.bluez.Device1"
RSSI_THRESHOLD_DB: Final = 8

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """How long bluetoothd takes for things. The defaults are for tests and demos; its own numbers are in the comments."""

    disconnect_delay_s: float = 0.2  # bluetoothd: 2 s (DISCONNECT_TIMER); 1.8 to 2.8 s measured
    temporary_for_s: float = 30.0  # bluetoothd: 30 s (TemporaryTimeout)
    connect_timeout_s: float = 4.0  # Linux: 4 s from the advertisement on (HCI_LE_AUTOCONN_TIMEOUT); until then, no end
    no_agent_stall_s: float = 30.0  # bluetoothd: 32.7 s measured until StartNotify without an agent failed
    services_shown_after_s: float = 0.02  # bluetoothd: 10 to 400 ms after it has answered a Pair that connected
    pairing_timeout_s: float = 30.0  # Linux: 30 s (SMP_TIMEOUT; Core Vol 3, Part H, 3.4); then it drops the link


class RemoteDevice:
    """One meter that was heard. It stays on the bus while it is bonded, connected, or was heard not long ago."""

    def __init__(
        self,
        path: str,
        address: str,
        *,
        tree: DBusTree,
        central: Central,
        agents: Agents,
        timing: Timing,
        on_stale: Callable[["RemoteDevice"], None],
        is_half_known: Callable[[], bool] = lambda: False,
        shows_late: Callable[[], bool] = lambda: False,
    ) -> None:
        self.path = path
        self.address = address
        self._tree = tree
        self._central = central
        self._agents = agents
        self._timing = timing
        self._on_stale = on_stale
        self._is_half_known = is_half_known
        self._shows_late = shows_late
        self._connection: Connection | None = None
        self._establishing: asyncio.Task[None] | None = None
        self._pairing_for: str | None = None
        self._showing: set[asyncio.Task[None]] = set()
        self._delegate = AgentDelegate(tree, None, path)
        self.gatt = GattObjects(path, tree=tree, ask=self._ask_meter)
        self._staleness: asyncio.TimerHandle | None = None
        self._heard_at = asyncio.get_running_loop().time()

    @property
    def delegate(self) -> AgentDelegate:
        """Who answers the questions of a pairing that runs now."""
        return self._delegate

    @property
    def is_paired(self) -> bool:
        return bool(self._tree.get(self.path, DEVICE, "Paired"))

    # --- presence

    def known(self) -> None:
        """It is on the bus, and not stale for a while."""
        self._heard_at = asyncio.get_running_loop().time()
        if self._staleness is None:
            self._watch_staleness()

    def heard(self, changes: dict[str, Variant], *, is_filtered: bool) -> None:
        """It advertised: new property values, and it is not stale for a while.

        Its strength is told anew each time while discovery has a filter; without one, if it differs by so much
        (device_set_rssi_with_delta() in src/device.c)."""
        before = self._tree.get_if_any(self.path, DEVICE, "RSSI")
        if not is_filtered and before is not None and abs(before - changes["RSSI"].value) < RSSI_THRESHOLD_DB:
            changes = {name: value for name, value in changes.items() if name != "RSSI"}
        if "UUIDs" in changes:  # services once found stay listed beside those that are advertised
            known = self._tree.get(self.path, DEVICE, "UUIDs")
            changes = {**changes, "UUIDs": Variant("as", sorted({*known, *changes["UUIDs"].value}))}
        self._tree.change(self.path, DEVICE, changes, always=("RSSI",))
        self.known()

    def _watch_staleness(self) -> None:
        """bluetoothd drops a temporary device some time after it was last heard or connected."""
        loop = asyncio.get_running_loop()
        due_in_s = self._heard_at + self._timing.temporary_for_s - loop.time()
        self._staleness = loop.call_later(max(due_in_s, 0), self._check_staleness)

    def _check_staleness(self) -> None:
        self._staleness = None
        if self._connection is not None or self._establishing is not None or self.is_paired:
            return
        if asyncio.get_running_loop().time() - self._heard_at < self._timing.temporary_for_s:
            self._watch_staleness()
        else:
            self._on_stale(self)

    def stop_watching(self) -> None:
        """It will not go stale any more: it is removed, or the bridge closes."""
        for task in tuple(self._showing):
            task.cancel()
        if self._staleness is not None:
            self._staleness.cancel()
            self._staleness = None

    async def remove(self) -> None:
        """Drop the link and the bond, and leave the bus (Adapter1.RemoveDevice)."""
        self.stop_watching()
        await self._cancel_establishing()
        await self.drop()
        await self._central.forget(self.address)
        self._tree.remove(self.path)

    # --- connection

    async def connect(self) -> None:
        """Device1.Connect: returns when the services are known."""
        if self._establishing is not None:
            raise bluez_errors.error("InProgress", "br-connection-busy")
        if self._connection is None:
            await self._established(is_pairing=False)

    async def pair(self, sender: str) -> None:
        """Device1.Pair: connects if need be. Just Works needs no answer here, but an agent must be there."""
        if self._establishing is not None or self._pairing_for is not None:
            raise bluez_errors.error("InProgress", "In Progress")
        if self.is_paired:
            raise bluez_errors.error("AlreadyExists", "Already Exists")
        self._delegate = AgentDelegate(self._tree, self._agents.for_client(sender), self.path)
        self._pairing_for = sender
        try:
            if self._connection is None:
                await self._established(is_pairing=True)
            else:
                await self._pair(self._connection)
        finally:
            self._pairing_for = None

    async def on_left(self, sender: str) -> None:
        """A client left the bus: the pairing that it asked for is cancelled (create_bond_req_exit in src/device.c)."""
        await self.gatt.on_left(sender)
        if self._pairing_for == sender:
            await self._cancel_establishing()
            await self.drop()

    async def disconnect(self) -> None:
        """Device1.Disconnect: cancels a connect that runs, else ends the link after bluetoothd's delay."""
        if self._establishing is not None:
            await self._cancel_establishing()
            await self.drop()
            return
        if self._connection is None:
            raise bluez_errors.not_connected()
        await asyncio.sleep(self._timing.disconnect_delay_s)
        await self.drop()

    async def _established(self, *, is_pairing: bool) -> None:
        if self._establishing is None:
            self._establishing = asyncio.create_task(self._establish(is_pairing), name=f"connect {self.address}")
            self._establishing.add_done_callback(self._on_established)
        task = self._establishing
        await asyncio.wait({task})
        if task.cancelled():
            raise (
                bluez_errors.authentication_canceled()
                if is_pairing
                else bluez_errors.error("Failed", "br-connection-canceled")
            )
        task.result()

    def _on_established(self, task: asyncio.Task[None]) -> None:
        self._establishing = None
        if not task.cancelled():
            task.exception()

    async def _establish(self, is_pairing: bool) -> None:
        try:
            connection = await self._central.connect(self.address, self._timing.connect_timeout_s)
        except ConnectFailedError as e:  # whatever the reason, it has this name (att_connect_cb() in src/device.c)
            raise bluez_errors.error("Failed", "le-connection-abort-by-local") from e
        self._connection = connection
        connection.on(connection.EVENT_DISCONNECTION, self._on_disconnected)
        self._tree.change(self.path, DEVICE, {"Connected": Variant("b", True)})
        try:
            await self._secure(connection, is_pairing)
            if is_pairing or self._shows_late():
                self._resolve_later(connection)
            else:
                self._resolved(await self.gatt.discover(connection, is_half=self._is_half_known()))
        except BondLostError as e:
            await self.drop()
            raise bluez_errors.error("Failed", "br-connection-canceled") from e
        except (BaseBumbleError, LinkDroppedError) as e:
            await self.drop()
            raise self._lost_while_connecting(is_pairing=is_pairing) from e
        except bluez_errors.BluezError:
            await self.drop()
            raise

    def _resolve_later(self, connection: Connection) -> None:
        """bluetoothd, when it connects in order to pair, or several meters at the same time, says that the services are resolved
        and answers before it has shown the objects (seen with 5.82): who looks at once sees a part of them."""
        self._tree.change(self.path, DEVICE, {"ServicesResolved": Variant("b", True)})
        task = asyncio.create_task(self._show_services(connection), name=f"services of {self.address}")
        self._showing.add(task)
        task.add_done_callback(self._showing.discard)

    async def _show_services(self, connection: Connection) -> None:
        try:
            await asyncio.sleep(self._timing.services_shown_after_s)
            self._resolved(await self.gatt.discover(connection, is_half=self._is_half_known()))
        except (BaseBumbleError, LinkDroppedError, KeyError):
            await self.drop()  # or it has ended already, and the device is gone with it

    def _lost_while_connecting(self, *, is_pairing: bool) -> bluez_errors.BluezError:
        """bluetoothd words every loss of a link whose Connect is still pending as "canceled", whatever the reason
        (device_remove_connection() in src/device.c): it says nothing of a lost bond by itself."""
        if is_pairing:
            return bluez_errors.authentication_canceled()
        return bluez_errors.error("Failed", "br-connection-canceled")

    def _resolved(self, services: list[str]) -> None:
        """The services are known: they join those that were advertised."""
        known = self._tree.get(self.path, DEVICE, "UUIDs")
        listed = Variant("as", sorted({*known, *services}))
        self._tree.change(self.path, DEVICE, {"UUIDs": listed, "ServicesResolved": Variant("b", True)})

    async def _secure(self, connection: Connection, is_pairing: bool) -> None:
        if await self._central.is_bonded(self.address):
            await self._central.encrypt(connection)
        elif is_pairing:
            await self._pair(connection)

    async def _pair(self, connection: Connection) -> None:
        if not self._delegate.is_answered:
            raise bluez_errors.authentication_failed()
        try:
            async with asyncio.timeout(self._timing.pairing_timeout_s):
                await unless_dropped(connection.pair())
        except BaseBumbleError as e:
            raise bluez_errors.authentication_failed() from e
        except (LinkDroppedError, TimeoutError) as e:
            raise bluez_errors.authentication_canceled() from e
        finally:
            await self._delegate.cancel()
        self._central.remember(self.address, *self._known())
        self._tree.change(self.path, DEVICE, {"Paired": Variant("b", True), "Bonded": Variant("b", True)})

    def _known(self) -> tuple[str | None, list[str]]:
        """Name and services, as far as they are known."""
        name = self._tree.get(self.path, DEVICE, "Alias")
        return name, self._tree.get(self.path, DEVICE, "UUIDs")

    async def _cancel_establishing(self) -> None:
        if self._establishing is not None:
            self._establishing.cancel()
            await asyncio.wait({self._establishing})

    async def drop(self) -> None:
        """End the link, if there is one."""
        if self._connection is None:
            return
        try:
            await unless_dropped(self._connection.disconnect())
        except (BaseBumbleError, LinkDroppedError):
            return  # it was gone before us, and `_on_disconnected` has said so

    def _on_disconnected(self, _reason: int) -> None:
        self._connection = None
        if self.path not in self._tree:
            return
        self._tree.change(
            self.path, DEVICE, {"ServicesResolved": Variant("b", False), "Connected": Variant("b", False)}
        )
        self.gatt.clear()
        if self._staleness is None:
            self._heard_at = asyncio.get_running_loop().time()
            self._watch_staleness()

    # --- security

    async def _ask_meter(self, work: Callable[[], Awaitable[T]]) -> T:
        """Do `work`; if the meter wants security first, raise it once and do it again, as bluetoothd does."""
        try:
            return await self._attempt(work)
        except att.ATT_Error as e:
            if e.error_code not in bluez_errors.NEEDS_SECURITY or self._is_encrypted:
                raise bluez_errors.att_error(e.error_code) from e
        await self._raise_security()
        try:
            return await self._attempt(work)
        except att.ATT_Error as e:
            raise bluez_errors.att_error(e.error_code) from e

    async def _attempt(self, work: Callable[[], Awaitable[T]]) -> T:
        try:
            return await unless_dropped(work())
        except LinkDroppedError as e:
            raise bluez_errors.att_error(bluez_errors.UNLIKELY) from e  # what was asked ends with the link, as 0x0E
        except att.ATT_Error:
            raise
        except BaseBumbleError as e:
            raise bluez_errors.att_error(bluez_errors.UNLIKELY) from e

    @property
    def _is_encrypted(self) -> bool:
        return self._connection is not None and bool(self._connection.is_encrypted)

    async def _raise_security(self) -> None:
        """Pair although no client asked for it: the agent must agree. Without one, bluetoothd just stalls."""
        connection = self._connection
        if connection is None:
            raise bluez_errors.not_connected()
        self._delegate = AgentDelegate(self._tree, self._agents.for_client(None), self.path)
        if not self._delegate.is_answered:
            await asyncio.sleep(self._timing.no_agent_stall_s)
            raise bluez_errors.att_error(bluez_errors.UNLIKELY)
        if not await self._delegate.authorize():
            raise bluez_errors.att_error(bluez_errors.UNLIKELY)
        await self._pair(connection)
