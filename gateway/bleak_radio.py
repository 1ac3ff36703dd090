"""A real adapter through bleak: the only module that imports bleak or bleak-retry-connector.

What real stacks do is in docs/explanation/bluetooth: every call has our own deadline, which holds even if bleak's own clean-up
hangs (`deadline`); operations on one link never overlap; a device object dies 30 s after the scan that found it; a meter that
lost its bond refuses for ever until its bond is removed here too (`bonds` says when).
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Final, Never, TypeVar

import structlog
from bleak import BleakAdapter, BleakClient, BleakScanner
from bleak.args.bluez import BlueZAdapterArgs, BlueZScannerArgs
from bleak.backends.characteristic import BleakGATTCharacteristic
from bleak.backends.device import BLEDevice
from bleak.backends.scanner import AdvertisementData
from bleak.exc import BleakDBusError, BleakError, BleakGATTProtocolError
from bleak_retry_connector import BleakClientWithServiceCache, establish_connection

from gateway.adapter import LISTEN_S, LOOK_S, AdapterCare
from gateway.bluez import CALL_S, Bluez, advice
from gateway.bonds import Bonds, Half, Sign, is_half, sign_of
from gateway.deadline import Deadlines, within, within_reach
from gateway.heard_queue import HeardQueue
from gateway.hearing import Hearing
from gateway.ladder import Patience
from gateway.link_events import LinkEvents
from gateway.pairing_agent import PairingAgent, is_refusal
from gateway.pairing_policy import NOT_ASKED
from gateway.sessions.conversation import SERVICES
from vitals.errors import UnavailableError
from vitals.gatt import uuids
from vitals.gatt.link import Advertisement, Disconnected, Link, LinkError, Notified

SERVICE_UUIDS: Final = tuple(uuids.full(service) for service in SERVICES)
PERSON_S: Final = 45.0
"""A pairing at which a person types a code; the meter itself gives up 30 s after it has shown it."""
STALE_LINK_S: Final = 20.0
"""How often links are looked for that nobody holds. BlueZ keeps a link whose program was killed; such a meter does not
advertise, and would never be heard again."""
ATTEMPTS: Final = 2
"""Of bleak-retry-connector, in one session; the rota comes back anyway."""
DEVICES_BOUND: Final = 256
"""Meters that can be connected to; beyond it the one heard longest ago is forgotten, until it is heard again."""

_BOND_CODES: Final = frozenset({0x05, 0x0C, 0x0F})
"""ATT: insufficient authentication, key size, encryption."""
_TROUBLE: Final = (BleakError, OSError, EOFError, TimeoutError, AttributeError, KeyError)
"""What bleak raises when a link or the bus breaks; the last three leak out of its teardown (bleak-retry-connector retries
on them for the same reason)."""

_log = structlog.get_logger(__name__)

T = TypeVar("T")


class BleakRadio:
    """The adapter `adapter` of this machine, as a `Radio`. `agent` pairs for it; `care.run()` looks after the adapter.

    `also_services`: those of a maker's own that are scanned for too.
    """

    def __init__(
        self,
        *,
        agent: PairingAgent,
        adapter: str = "hci0",
        also_services: Collection[str] = (),
        deadlines: Deadlines | None = None,
        patience: Patience | None = None,
        requests: Path | None = None,
        call_s: float = CALL_S,
        look_s: float = LOOK_S,
        listen_s: float = LISTEN_S,
    ) -> None:
        self._services = [*SERVICE_UUIDS, *map(uuids.full, sorted(also_services))]
        self._scanner_args = BlueZScannerArgs(adapter=adapter)
        self._adapter = adapter
        self._agent = agent
        self._deadlines = deadlines or Deadlines()
        self._bluez = Bluez(adapter, call_s=call_s)
        self._hearing = Hearing()
        self._devices: dict[str, BLEDevice] = {}
        self._heard: HeardQueue | None = None
        self.bonds = Bonds()
        self.care = AdapterCare(
            self._bluez,
            restart_scan=self.restart_scan,
            patience=patience,
            requests=requests,
            look_s=look_s,
            listen_s=listen_s,
        )

    def stack_restarted(self) -> None:
        """The Bluetooth service has come back: the scan of the old one hears nothing more, so end it."""
        self.restart_scan("the Bluetooth service was restarted; scanning again")

    def restart_scan(self, why: str) -> None:
        """End the scan that runs, if one does; whoever listens begins another."""
        if self._heard is not None:
            self._heard.end(why)

    def describe(self) -> dict[str, Any]:
        """For the status: the adapter's health, and what there is to say of the pairing of meters."""
        pairing = self.bonds.describe(time.monotonic())
        for meter_id, facts in self._agent.pairings.describe().items():
            pairing[meter_id] = {**pairing.get(meter_id, {}), **facts}
        return {
            "ladder": self.care.describe(),
            "pairing": pairing,
            "bonds_removed": self.bonds.removed,
            "strangers_refused": self._agent.pairings.strangers_refused,
        }

    # -- hearing -------------------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def advertisements(self) -> AsyncIterator[AsyncIterator[Advertisement]]:
        heard = HeardQueue()

        def note(device: BLEDevice, advertised: AdvertisementData | None) -> None:
            self._remember(device)
            self.care.ladder.heard(time.monotonic())
            named = advertised.service_uuids if advertised else ()
            services = frozenset(uuids.name_of(u) for u in named)
            rssi = advertised.rssi if advertised else None
            heard.put(Advertisement(address=device.address, name=device.name, services=services, rssi=rssi))

        def told(device: BLEDevice, advertised: AdvertisementData) -> None:
            if self._hearing.is_advertised(*advertised.platform_data):
                note(device, advertised)

        scanner = await self._start_scan(told)
        self._heard = heard
        stale_links = asyncio.create_task(self._hear_stale_links(note), name="stale-links")
        try:
            yield heard.each()
        finally:
            self._heard = None
            self.care.scan_ended()
            stale_links.cancel()
            with suppress(*_TROUBLE):
                await within(self._deadlines.verb_s, scanner.stop())

    def _remember(self, device: BLEDevice) -> None:
        self._devices.pop(device.address, None)
        self._devices[device.address] = device
        if len(self._devices) > DEVICES_BOUND:
            del self._devices[next(iter(self._devices))]

    async def _start_scan(self, note: Callable[[BLEDevice, AdvertisementData], None]) -> BleakScanner:
        scanner = BleakScanner(note, self._services, bluez=self._scanner_args)
        try:
            await within(self._deadlines.verb_s, scanner.start())
        except _TROUBLE as e:
            seen = await self.care.scan_failed()
            raise UnavailableError(f"cannot scan on {self._adapter}: {_words(e)}; {seen or advice(e)}") from e
        self.care.scan_started()
        return scanner

    async def _hear_stale_links(self, note: Callable[[BLEDevice, None], None]) -> None:
        """A meter to which a link is still up is as good as heard; bleak takes the link over. A meter that is being read is
        named here too, and the rota knows that it is busy."""
        while True:
            with suppress(*_TROUBLE):
                for device in await within(self._deadlines.verb_s, self._connected()):
                    note(device, None)
            await asyncio.sleep(STALE_LINK_S)

    async def _connected(self) -> list[BLEDevice]:
        adapter = await BleakAdapter.get(bluez=BlueZAdapterArgs(adapter=self._adapter))
        return list(await adapter.get_connected_devices(self._services))

    # -- connecting ----------------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def connect(self, advertisement: Advertisement) -> AsyncIterator[Link]:
        device = self._devices.get(advertisement.address)
        if device is None:
            raise LinkError("this meter has not been heard by this radio")
        meter_id, path = advertisement.address.upper(), str(device.details["path"])
        with self._agent.pairings.expected(path, meter_id):
            was_paired = await self._is_paired(path)
            events = LinkEvents()
            client = await self._establish(device, meter_id, events, was_paired=was_paired)
            link = _BleakLink(client, events, self._deadlines)
            await self._check_whole(advertisement, path, client, link)
            try:
                yield link
            finally:
                await self._leave(client)
                events.leave()
                await self._judge_bond(meter_id, path, link, was_paired=was_paired)

    async def _establish(
        self, device: BLEDevice, meter_id: str, events: LinkEvents, *, was_paired: bool
    ) -> BleakClientWithServiceCache:
        def gone(_: BleakClient) -> None:
            events.put_nowait(Disconnected())

        path = str(device.details["path"])
        connecting = establish_connection(
            BleakClientWithServiceCache,
            device,
            device.name or device.address,
            disconnected_callback=gone,
            max_attempts=ATTEMPTS,
            use_services_cache=False,  # it would keep what bleak saw before BlueZ had shown all of it
            ble_device_callback=lambda: self._devices.get(device.address, device),
        )
        limits = self._deadlines
        try:
            with self._hearing.reaching(path) as had_link:

                async def is_reached() -> bool:
                    return had_link() or await self._bluez.is_connected(path)

                client = await within_reach(connecting, limits.connect_s, limits.reach_s, is_reached)
        except _TROUBLE as e:
            await self._note_unconnected(meter_id, path, _words(e), was_paired=was_paired)
            raise LinkError(f"cannot connect: {_words(e)}") from e
        events.begin_anew(is_connected=client.is_connected)
        self.care.ladder.connected(time.monotonic())
        must = self._agent.must_be_checked(meter_id)
        if not was_paired and (must or not self.bonds.connects_without_pairing(meter_id)):
            await self._pair(client, meter_id)
            if must and not self._agent.pairings.has_checked(meter_id):
                await self._undo_pairing(client, meter_id, path)
        return client

    async def _pair(self, client: BleakClient, meter_id: str) -> None:
        """After connecting, not with it: when BlueZ pairs first, it says that the services are resolved before it has shown them
        all, and bleak takes an incomplete list for the whole (seen with BlueZ 5.82)."""
        await self._agent.claim()
        has_help = self._agent.desk.has(meter_id)
        try:
            await within(PERSON_S if has_help else self._deadlines.pair_s, client.pair())
        except _TROUBLE as e:
            words = _words(e)
            self._agent.ended(meter_id, words)
            if is_refusal(words) and not self._agent.pairings.wants_code(meter_id):
                self.bonds.pairing_failed(meter_id, time.monotonic())
            await self._leave(client)
            raise LinkError(f"cannot pair: {words}") from e
        self.bonds.paired(meter_id, time.monotonic())
        self._agent.ended(meter_id, None)

    async def _undo_pairing(self, client: BleakClient, meter_id: str, path: str) -> Never:
        """Whoever it is has paired without the code that is stored for it."""
        self._agent.pairings.unchecked(meter_id)
        _log.warning("paired_without_code", meter_id=meter_id, advice=NOT_ASKED)
        await self._leave(client)
        with suppress(UnavailableError):
            await self._bluez.remove(path)
        raise LinkError("it paired without asking for the code that is stored for it; the bond was removed")

    async def _check_whole(
        self, advertisement: Advertisement, path: str, client: BleakClient, link: "_BleakLink"
    ) -> None:
        """Raise `LinkError` for a meter of which BlueZ shows a part only, and have BlueZ forget it if it does so again."""
        meter_id = advertisement.address.upper()
        if not is_half(advertisement.services, link.characteristics):
            self.bonds.seen_whole(meter_id)
            return
        verdict = self.bonds.seen_half(meter_id, time.monotonic())
        _log.warning("meter_seen_half", meter_id=meter_id, verdict=verdict.value)
        if verdict is Half.TAKE_AS_IS:
            return
        await self._leave(client)
        if verdict is Half.FORGET:
            with suppress(UnavailableError):
                await self._bluez.remove(path)
        raise LinkError("BlueZ shows only a part of this meter; it is discovered anew")

    async def _leave(self, client: BleakClient) -> None:
        with suppress(*_TROUBLE):
            await within(self._deadlines.leave_s, client.disconnect())

    # -- bonds ---------------------------------------------------------------------------------------------------------

    async def _note_unconnected(self, meter_id: str, path: str, words: str, *, was_paired: bool) -> None:
        """No connection: a matter of the bond, or of the adapter?"""
        sign = sign_of(words) if was_paired else Sign.NOTHING
        if sign is Sign.NOTHING:
            self.care.ladder.connect_failed(meter_id, time.monotonic())
        else:
            await self._doubt_bond(meter_id, path, sign)

    async def _judge_bond(self, meter_id: str, path: str, link: "_BleakLink", *, was_paired: bool) -> None:
        """After a session: has the bond held?"""
        if not link.is_bond_doubtful:
            if link.has_worked:
                self.bonds.held(meter_id, time.monotonic())
        elif was_paired or await self._is_paired(path):
            await self._doubt_bond(meter_id, path, Sign.PROOF)
        else:
            self.bonds.pairing_failed(meter_id, time.monotonic())

    async def _doubt_bond(self, meter_id: str, path: str, sign: Sign) -> None:
        """Forget the meter if that is justified, so that the next time it is heard it is paired as a new one."""
        if not self.bonds.is_to_be_removed(meter_id, sign, time.monotonic()):
            _log.info("bond_doubted", meter_id=meter_id, sign=sign.value)
            return
        _log.warning("bond_removed", meter_id=meter_id, sign=sign.value, times=self.bonds.removed)
        try:
            await self._bluez.remove(path)
        except UnavailableError as e:
            self.bonds.not_removed(meter_id)
            _log.warning("bond_not_removed", meter_id=meter_id, why=str(e))

    async def _is_paired(self, path: str) -> bool:
        """Asked of BlueZ; a bond that nobody can tell us about is neither made nor removed, so no answer ends the session."""
        try:
            return await self._bluez.is_paired(path)
        except UnavailableError as e:
            raise LinkError(f"cannot ask BlueZ about this meter: {e}") from e


class _BleakLink:
    """A connected client as a `Link`: one operation at a time, and none after one that was never answered."""

    def __init__(self, client: BleakClient, events: LinkEvents, deadlines: Deadlines) -> None:
        self._client, self._events, self._deadlines = client, events, deadlines
        self._by_name: dict[str, BleakGATTCharacteristic] = {}
        self._subscribed: set[str] = set()
        for characteristic in client.services.characteristics.values():
            self._by_name.setdefault(uuids.name_of(characteristic.uuid), characteristic)
        self._one_at_a_time = asyncio.Lock()
        self._is_dead = False
        self.is_bond_doubtful = False
        self.has_worked = False

    @property
    def characteristics(self) -> frozenset[str]:
        return frozenset(self._by_name)

    async def read(self, characteristic: str) -> bytes:
        found = self._find(characteristic)
        return bytes(await self._do(lambda: self._client.read_gatt_char(found), self._deadlines.verb_s))

    async def write(self, characteristic: str, value: bytes) -> None:
        found = self._find(characteristic)
        await self._do(lambda: self._client.write_gatt_char(found, value, response=True), self._deadlines.verb_s)

    async def subscribe(self, characteristic: str) -> None:
        found = self._find(characteristic)

        def note(_: BleakGATTCharacteristic, value: bytearray) -> None:
            self._events.put_nowait(Notified(characteristic=characteristic, value=bytes(value)))

        if characteristic in self._subscribed:  # told off first, or BlueZ believes that the meter still knows
            await self._do(lambda: self._client.stop_notify(found), self._deadlines.subscribe_s)
        await self._do(lambda: self._client.start_notify(found, note), self._deadlines.subscribe_s)
        self._subscribed.add(characteristic)

    async def event(self, timeout_s: float) -> Notified | Disconnected | None:
        return await self._events.next_event(timeout_s)

    def _find(self, characteristic: str) -> BleakGATTCharacteristic:
        found = self._by_name.get(characteristic)
        if found is None:
            raise LinkError(f"the meter has no characteristic {characteristic}")
        return found

    async def _do(self, verb: Callable[[], Awaitable[T]], timeout_s: float) -> T:
        """One of bleak's verbs by our own deadline, and in our words what went wrong."""
        async with self._one_at_a_time:
            if self._is_dead:
                raise LinkError("an operation on this link was never answered; nothing more is asked on it")
            try:
                answer = await within(timeout_s, verb())
            except TimeoutError as e:
                self._is_dead = True  # it may still be under way, and ATT knows one request at a time
                raise LinkError(_words(e)) from e
            except BleakGATTProtocolError as e:
                self.is_bond_doubtful |= int(e.code) in _BOND_CODES
                raise LinkError(_words(e), int(e.code)) from e
            except BleakDBusError as e:
                self.is_bond_doubtful |= "Not paired" in str(e)
                raise LinkError(_words(e)) from e
            except _TROUBLE as e:
                raise LinkError(_words(e)) from e
            self.has_worked = True
            return answer


def _words(e: BaseException) -> str:
    return str(e) or type(e).__name__
