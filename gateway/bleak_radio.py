"""A real adapter through bleak: the only module that imports bleak or bleak-retry-connector.

What real stacks do is in docs/explanation/bluetooth: every call has our own deadline (a subscription without an agent blocks
for half a minute), a device object dies 30 s after the scan that found it, a meter that lost its bond refuses for ever until
its bond is removed here too.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

import structlog
from bleak import BleakAdapter, BleakClient, BleakScanner
from bleak.args.bluez import BlueZAdapterArgs, BlueZScannerArgs
from bleak.backends.characteristic import BleakGATTCharacteristic
from bleak.backends.device import BLEDevice
from bleak.backends.scanner import AdvertisementData
from bleak.exc import BleakDBusError, BleakError, BleakGATTProtocolError
from bleak_retry_connector import BleakClientWithServiceCache, establish_connection

from vitals.errors import UnavailableError
from vitals.gatt import uuids
from vitals.gatt.link import Advertisement, Disconnected, Link, LinkError, Notified

SERVICE_UUIDS: Final = (uuids.full(uuids.BLOOD_PRESSURE_SERVICE), uuids.full(uuids.GLUCOSE_SERVICE))
CONNECT_S: Final = 45.0
"""Connecting, pairing and discovery together; a connection takes under a second when it works, and pairing a few."""
VERB_S: Final = 10.0
"""A read or a write; the ATT transaction timeout is 30 s, after which the link is dead anyway."""
SUBSCRIBE_S: Final = 35.0
"""The first subscription may raise the security of the link: pairing, a stack's own 30 s, and a little."""
LEAVE_S: Final = 10.0
"""BlueZ takes 2 to 3 s to disconnect."""
STALE_LINK_S: Final = 20.0
"""How often links are looked for that nobody holds. BlueZ keeps a link whose program was killed; such a meter does not
advertise, and would never be heard again."""
ATTEMPTS: Final = 2
"""Of bleak-retry-connector, in one session; the rota comes back anyway."""
HEARD_BOUND: Final = 256
"""Advertisements waiting to be looked at; beyond it the oldest goes: they are chances, not readings."""

_BOND_LOST: Final = (
    "AuthenticationFailed",
    "AuthenticationRejected",
    "br-connection-canceled",
    "connection-key-missing",
)
"""How BlueZ words a connection to a meter that no longer knows our key (battery change, or another phone)."""
_BOND_CODES: Final = frozenset({0x05, 0x0C, 0x0F})
"""ATT: insufficient authentication, key size, encryption."""
_TROUBLE: Final = (BleakError, OSError, EOFError, TimeoutError, AttributeError, KeyError)
"""What bleak raises when a link or the bus breaks; the last three leak out of its teardown (bleak-retry-connector retries
on them for the same reason)."""

_log = structlog.get_logger(__name__)


class BleakRadio:
    """The adapter `adapter` of this machine, as a `Radio`. `also_services`: those of a maker's own that are scanned for too."""

    def __init__(self, *, adapter: str = "hci0", also_services: Collection[str] = ()) -> None:
        self._services = [*SERVICE_UUIDS, *map(uuids.full, sorted(also_services))]
        self._bluez = BlueZScannerArgs(adapter=adapter)
        self._adapter = adapter
        self._devices: dict[str, BLEDevice] = {}
        self._heard: asyncio.Queue[Advertisement | None] | None = None
        self.bonds_removed = 0

    def stack_restarted(self) -> None:
        """The Bluetooth service has come back: the scan of the old one hears nothing more, so end it."""
        if self._heard is not None:
            _put(self._heard, None)

    @asynccontextmanager
    async def advertisements(self) -> AsyncIterator[AsyncIterator[Advertisement]]:
        heard: asyncio.Queue[Advertisement | None] = asyncio.Queue(HEARD_BOUND)

        def note(device: BLEDevice, advertised: AdvertisementData | None) -> None:
            self._devices[device.address] = device
            named = advertised.service_uuids if advertised else ()
            services = frozenset(uuids.name_of(u) for u in named)
            rssi = advertised.rssi if advertised else None
            _put(heard, Advertisement(address=device.address, name=device.name, services=services, rssi=rssi))

        scanner = BleakScanner(note, self._services, bluez=self._bluez)
        try:
            async with asyncio.timeout(VERB_S):
                await scanner.start()
        except _TROUBLE as e:
            raise UnavailableError(f"cannot scan on {self._adapter}: {_words(e)}; {_advice(e)}") from e
        self._heard = heard
        stale_links = asyncio.create_task(self._hear_stale_links(note), name="stale-links")
        try:
            yield _each(heard)
        finally:
            self._heard = None
            stale_links.cancel()
            with suppress(*_TROUBLE):
                async with asyncio.timeout(VERB_S):
                    await scanner.stop()

    async def _hear_stale_links(self, note: Callable[[BLEDevice, None], None]) -> None:
        """A meter to which a link is still up is as good as heard; bleak takes the link over. A meter that is being read is
        named here too, and the rota knows that it is busy."""
        while True:
            with suppress(*_TROUBLE):
                adapter = await BleakAdapter.get(bluez=BlueZAdapterArgs(adapter=self._adapter))
                for device in await adapter.get_connected_devices(self._services):
                    note(device, None)
            await asyncio.sleep(STALE_LINK_S)

    @asynccontextmanager
    async def connect(self, advertisement: Advertisement) -> AsyncIterator[Link]:
        device = self._devices.get(advertisement.address)
        if device is None:
            raise LinkError("this meter has not been heard by this radio")
        events: asyncio.Queue[Notified | Disconnected] = asyncio.Queue()
        client = await self._establish(device, events)
        link = _BleakLink(client, events)
        try:
            yield link
        finally:
            with suppress(*_TROUBLE):
                async with asyncio.timeout(LEAVE_S):
                    await client.disconnect()
            if link.is_bond_doubtful:
                await self._remove_bond(device)

    async def _establish(
        self, device: BLEDevice, events: asyncio.Queue[Notified | Disconnected]
    ) -> BleakClientWithServiceCache:
        def gone(_: BleakClient) -> None:
            events.put_nowait(Disconnected())

        try:
            async with asyncio.timeout(CONNECT_S):
                return await establish_connection(
                    BleakClientWithServiceCache,
                    device,
                    device.name or device.address,
                    disconnected_callback=gone,
                    max_attempts=ATTEMPTS,
                    ble_device_callback=lambda: self._devices.get(device.address, device),
                    pair=True,
                )
        except _TROUBLE as e:
            if any(mark in str(e) for mark in _BOND_LOST):
                await self._remove_bond(device)
            raise LinkError(f"cannot connect: {_words(e)}") from e

    async def _remove_bond(self, device: BLEDevice) -> None:
        """Forget the meter, so that the next time it is heard it is paired as a new one."""
        self.bonds_removed += 1
        _log.warning("bond_removed", meter_id=device.address.upper(), times=self.bonds_removed)
        with suppress(*_TROUBLE):
            async with asyncio.timeout(VERB_S):
                await BleakClient(device).unpair()


class _BleakLink:
    """A connected client as a `Link`."""

    def __init__(self, client: BleakClient, events: asyncio.Queue[Notified | Disconnected]) -> None:
        self._client, self._events = client, events
        self._by_name: dict[str, BleakGATTCharacteristic] = {}
        self._subscribed: set[str] = set()
        for characteristic in client.services.characteristics.values():
            self._by_name.setdefault(uuids.name_of(characteristic.uuid), characteristic)
        self.is_bond_doubtful = False

    @property
    def characteristics(self) -> frozenset[str]:
        return frozenset(self._by_name)

    async def read(self, characteristic: str) -> bytes:
        return bytes(await self._guard(self._client.read_gatt_char(self._find(characteristic)), VERB_S))

    async def write(self, characteristic: str, value: bytes) -> None:
        await self._guard(self._client.write_gatt_char(self._find(characteristic), value, response=True), VERB_S)

    async def subscribe(self, characteristic: str) -> None:
        def note(_: BleakGATTCharacteristic, value: bytearray) -> None:
            self._events.put_nowait(Notified(characteristic=characteristic, value=bytes(value)))

        found = self._find(characteristic)
        if characteristic in self._subscribed:  # told off first, or BlueZ believes that the meter still knows
            await self._guard(self._client.stop_notify(found), SUBSCRIBE_S)
        await self._guard(self._client.start_notify(found, note), SUBSCRIBE_S)
        self._subscribed.add(characteristic)

    async def event(self, timeout_s: float) -> Notified | Disconnected | None:
        if not self._events.empty():
            return self._events.get_nowait()
        if timeout_s <= 0:
            return None
        try:
            async with asyncio.timeout(timeout_s):
                return await self._events.get()
        except TimeoutError:
            return None

    def _find(self, characteristic: str) -> BleakGATTCharacteristic:
        found = self._by_name.get(characteristic)
        if found is None:
            raise LinkError(f"the meter has no characteristic {characteristic}")
        return found

    async def _guard(self, verb: Any, timeout_s: float) -> Any:
        """Await one of bleak's verbs by our own deadline, and say in our words what went wrong."""
        try:
            async with asyncio.timeout(timeout_s):
                return await verb
        except BleakGATTProtocolError as e:
            self.is_bond_doubtful |= int(e.code) in _BOND_CODES
            raise LinkError(_words(e), int(e.code)) from e
        except BleakDBusError as e:
            self.is_bond_doubtful |= "Not paired" in str(e)
            raise LinkError(_words(e)) from e
        except _TROUBLE as e:
            raise LinkError(_words(e)) from e


async def _each(heard: asyncio.Queue[Advertisement | None]) -> AsyncIterator[Advertisement]:
    while True:
        advertisement = await heard.get()
        if advertisement is None:
            raise UnavailableError("the Bluetooth service was restarted; scanning again")
        yield advertisement


def _put(queue: asyncio.Queue[Advertisement | None], item: Advertisement | None) -> None:
    if queue.full():
        queue.get_nowait()
    queue.put_nowait(item)


def _words(e: BaseException) -> str:
    return str(e) or type(e).__name__


def _advice(e: BaseException) -> str:
    if isinstance(e, FileNotFoundError | ConnectionError):
        return "is D-Bus running? (systemctl status dbus)"
    if "ServiceUnknown" in str(e) or "NameHasNoOwner" in str(e):
        return "is BlueZ running? (systemctl status bluetooth)"
    return "is the adapter there and powered? (bluetoothctl show)"
