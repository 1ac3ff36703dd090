"""The bridge's own end of the radio: one Bumble central that scans, connects, pairs and remembers bonds.

It knows HCI and SMP and nothing of D-Bus. It connects as Linux does (hci_connect_le_scan() in net/bluetooth/hci_conn.c): any
number of connects wait, without holding each other up, until their meter advertises; only then the controller is asked, which
has room for one.
"""

import asyncio
import contextlib
import secrets
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final, TypeVar

from bumble import hci
from bumble.core import BaseBumbleError
from bumble.device import Advertisement, Connection, Device, DeviceConfiguration
from bumble.pairing import PairingConfig, PairingDelegate
from bumble.transport.common import AsyncPipeSink

from firmware_sims.virtual_link import VirtualController, VirtualHost, VirtualLink

ADDRESS: Final = "F0:00:00:00:00:01"
"""The central's static random address. Bumble files bonds under the identity address, so both sides use random ones."""

T = TypeVar("T")


class ConnectFailedError(Exception):
    """The meter could not be reached."""


class BondLostError(Exception):
    """The meter no longer knows the key that we share (battery change, reset, another phone)."""


class LinkDroppedError(Exception):
    """The connection ended while something was asked of the meter."""


async def unless_dropped(work: Awaitable[T]) -> T:
    """Wait for `work` on a connection; raises `LinkDroppedError` if the connection ends first.

    Bumble then cancels what is waited for, which looks like our own cancellation; only the task knows the difference.
    """
    try:
        return await work
    except asyncio.CancelledError as e:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        raise LinkDroppedError from e


class Central:
    """`async with Central(...)`: powered on for as long as the context is open."""

    def __init__(
        self,
        link: VirtualLink,
        *,
        delegate: Callable[[Connection], PairingDelegate],
        rssi_dbm: Callable[[hci.Address], int],
    ) -> None:
        controller = VirtualController("central", link=link, rssi_dbm=rssi_dbm, public_address="00:1B:DC:00:00:01")
        configuration = DeviceConfiguration()
        configuration.name = "central"
        configuration.address = hci.Address(ADDRESS)
        configuration.irk = secrets.token_bytes(16)
        self._device = Device(config=configuration, host=VirtualHost(controller, AsyncPipeSink(controller)))
        self._device.pairing_config_factory = lambda connection: _pairing(delegate(connection))
        self._device.keystore = link.bonds
        self._seen = link.seen
        self._one_connect_at_a_time = asyncio.Lock()
        self._awaited: dict[str, asyncio.Event] = {}
        self._is_discovering = False
        self._is_listening = False
        self._switching = asyncio.Lock()
        self._device.on(self._device.EVENT_ADVERTISEMENT, self._note)

    async def __aenter__(self) -> "Central":
        await self._device.power_on()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.disconnect_all()
        await self._device.power_off()

    def on_advertisement(self, heard: Callable[[Advertisement], None]) -> None:
        """Call `heard` for every advertisement, while we scan or a connect waits for one."""
        self._device.on(self._device.EVENT_ADVERTISEMENT, heard)

    async def scan(self, is_on: bool) -> None:
        self._is_discovering = is_on
        await self._listen()

    async def _listen(self) -> None:
        async with self._switching:
            is_wanted = self._is_discovering or bool(self._awaited)
            if is_wanted and not self._is_listening:
                await self._device.start_scanning(active=True, filter_duplicates=False)
            elif self._is_listening and not is_wanted:
                await self._device.stop_scanning()
            self._is_listening = is_wanted

    def _note(self, heard: Advertisement) -> None:
        if (waiting := self._awaited.get(heard.address.to_string(False))) is not None:
            waiting.set()

    async def _until_heard(self, address: str) -> None:
        self._awaited[address] = heard = asyncio.Event()
        try:
            await self._listen()
            await heard.wait()
        finally:
            del self._awaited[address]
            await self._listen()

    async def connect(self, address: str, timeout_s: float) -> Connection:
        """A connection to the meter with this random address, whenever it advertises; raises `ConnectFailedError` if it is gone
        `timeout_s` later.

        Cancelling it cancels the controller's pending connect too.
        """
        peer = hci.Address(address)
        await self._until_heard(address)
        async with self._one_connect_at_a_time:
            try:
                return await self._device.connect(peer, timeout=timeout_s)
            except (BaseBumbleError, TimeoutError) as e:
                raise ConnectFailedError(repr(e)) from e
            except asyncio.CancelledError:
                await self._cancel_connect(peer)
                raise

    async def _cancel_connect(self, peer: hci.Address) -> None:
        with contextlib.suppress(hci.HCI_Error):
            await self._device.send_sync_command(hci.HCI_LE_Create_Connection_Cancel_Command())
        if connection := self._device.find_connection_by_bd_addr(peer):
            await connection.disconnect()

    async def is_bonded(self, address: str) -> bool:
        return await self._bond(address) is not None

    async def bonded(self) -> dict[str, tuple[str | None, tuple[str, ...]]]:
        """The meters there is a bond with: name and services by address."""
        assert self._device.keystore is not None
        addresses = [hci.Address(name).to_string(False) for name, _ in await self._device.keystore.get_all()]
        return {address: self._seen.get(address, (None, ())) for address in addresses}

    def remember(self, address: str, name: str | None, services: Iterable[str]) -> None:
        """What is known of a meter besides its keys."""
        self._seen[address] = (name, tuple(services))

    async def disconnect_all(self) -> None:
        """Drop every link, as a controller does that loses its power."""
        for connection in tuple(self._device.connections.values()):
            with contextlib.suppress(BaseBumbleError):
                await connection.disconnect()

    async def forget(self, address: str) -> None:
        """Drop the bond, if there is one."""
        if await self.is_bonded(address):
            assert self._device.keystore is not None
            await self._device.keystore.delete(_key_of(address))

    async def encrypt(self, connection: Connection) -> None:
        """Encrypt with the key of the bond; raises `BondLostError` if the meter does not have it any more."""
        try:
            await unless_dropped(connection.encrypt())
        except (BaseBumbleError, LinkDroppedError) as e:
            raise BondLostError(str(connection.peer_address)) from e

    async def _bond(self, address: str) -> Any:
        assert self._device.keystore is not None
        return await self._device.keystore.get(_key_of(address))


def _key_of(address: str) -> str:
    return str(hci.Address(address))


def _pairing(delegate: PairingDelegate) -> PairingConfig:
    return PairingConfig(
        sc=True,
        mitm=delegate.io_capability != PairingDelegate.NO_OUTPUT_NO_INPUT,
        bonding=True,
        delegate=delegate,
        identity_address_type=PairingConfig.AddressType.RANDOM,
    )
