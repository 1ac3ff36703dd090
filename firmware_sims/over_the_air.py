"""The meters' firmware on Bumble: virtual controllers or a real one, real ATT, real SMP with real keys.

A driver only: it carries out what a firmware wants said, reports back what was confirmed, and lets the meter advertise
exactly while it has something to give. Bonds live as long as the meter object does, or in a file if one is named.
"""

import asyncio
import contextlib
import secrets
from collections.abc import Callable, Coroutine
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Literal
from zoneinfo import ZoneInfo

import structlog
from bumble import att, gatt, hci
from bumble.core import UUID, AdvertisingData, BaseBumbleError
from bumble.device import Connection, Device, DeviceConfiguration
from bumble.host import Host
from bumble.keys import JsonKeyStore
from bumble.pairing import PairingConfig, PairingDelegate
from bumble.transport.common import AsyncPipeSink

from firmware_sims.firmware import AttError, Characteristic, HangUp, Indicate, Notify, Property
from firmware_sims.happenings import Happening, Listener, firmware_of, ignore
from firmware_sims.kinds import MEASUREMENTS
from firmware_sims.settings import Meter
from firmware_sims.virtual_link import VirtualController, VirtualHost, VirtualLink

OFF_S: Final = 3.0
"""To end a connection and stop advertising. A controller that is still there does so within its supervision timeout."""

LinkEvent = Literal["connected", "paired", "not paired", "disconnected"]
LinkListener = Callable[[LinkEvent], None]

_PERMISSIONS = att.Attribute.Permissions
_CAN_SUBSCRIBE: Final = Property.NOTIFY | Property.INDICATE

PACKET_S: Final = 0.004
"""What a notification takes on the air: a good link carries two hundred and fifty a second. Memory is faster than any radio,
and Linux drops what its Bluetooth daemon has not read in time: after about a hundred frames the socket of a link is full
(`l2cap_data_channel` in net/bluetooth/l2cap_core.c: "which is *bad*")."""

log = structlog.get_logger()


def ignore_link(_: LinkEvent) -> None:
    """For meters whose connections nobody asks about."""


class MeterOnAir:
    """`async with MeterOnAir(...)`: switched on for as long as the context is open.

    The numbers that it shows when it pairs come through `shown`; one typed on its keys is put into `typed`.
    """

    def __init__(
        self,
        meter: Meter,
        radio: VirtualLink | Host,
        *,
        now: Callable[[], datetime],
        listener: Listener = ignore,
        on_link: LinkListener = ignore_link,
        bonds: Path | None = None,
    ) -> None:
        """`radio` is the air to put it on with a virtual controller of its own, or the host of a controller that is there.
        `on_link` hears of connections and pairings."""
        self.meter = meter
        self.firmware = firmware_of(meter)
        self._zone = ZoneInfo(meter.zone)
        self._now = now
        self._listener = listener
        self._on_link = on_link
        self._wake = asyncio.Event()
        self._connection: Connection | None = None
        self._unconfirmed: Indicate | None = None
        self._has_real_radio = isinstance(radio, Host)
        self._starting_to_advertise = asyncio.Lock()
        self._is_on = False
        self._drops_left = meter.faults.drops_at_once
        self.shown: asyncio.Queue[int] = asyncio.Queue()
        self.typed: asyncio.Queue[int] = asyncio.Queue()
        self._tasks: set[asyncio.Task[None]] = set()
        self._ticks: asyncio.Task[None] | None = None
        host = radio if isinstance(radio, Host) else _virtual_host(meter, radio)
        self._device = _device(meter, host, self.firmware.advertised_service, bonds)
        self._device.pairing_config_factory = lambda _: _pairing(self)
        self._values: dict[str, gatt.Characteristic[bytes]] = {}
        for service in self._services():
            self._device.add_service(service)
        self._device.on(self._device.EVENT_CONNECTION, self._on_connection)

    async def __aenter__(self) -> "MeterOnAir":
        await self._device.power_on()
        self._is_on = True
        await self._advertise_if_wanted()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._is_on = False
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        with contextlib.suppress(BaseBumbleError, TimeoutError):  # a dongle may have been pulled out
            async with asyncio.timeout(OFF_S):
                if self._connection is not None:
                    await _hang_up(self._connection)
                await self._device.stop_advertising()
                await self._device.power_off()

    @property
    def is_connected(self) -> bool:
        return self._connection is not None

    @property
    def wall(self) -> datetime:
        """What the clock on the wall beside the meter shows."""
        return self._now().astimezone(self._zone).replace(tzinfo=None)

    def wake(self) -> None:
        """Say that the firmware has something new: it advertises, or goes on talking if it is connected."""
        self._wake.set()
        self._spawn(self._advertise_if_wanted(), "advertise")
        if self.firmware.is_ticking and (self._ticks is None or self._ticks.done()):
            self._ticks = self._spawn(self._tick(), "tick")

    async def forget_bond(self) -> None:
        """As after a change of battery: the meter no longer knows any collector."""
        assert self._device.keystore is not None
        await self._device.keystore.delete_all()

    async def _tick(self) -> None:
        while self.firmware.is_ticking:
            await asyncio.sleep(self.meter.tick_ms / 1000)
            if self.firmware.is_ticking:
                self.firmware.on_tick(wall=self.wall)
            self._wake.set()
            await self._advertise_if_wanted()

    # --- advertising and connections

    async def _advertise_if_wanted(self) -> None:
        async with self._starting_to_advertise:
            is_wanted = self._is_on and self.firmware.is_advertising and self._connection is None
            if is_wanted and not self._device.is_advertising:
                await self._device.start_advertising(auto_restart=False)

    def _on_connection(self, connection: Connection) -> None:
        self._connection = connection
        self._on_link("connected")
        connection.on(connection.EVENT_PAIRING, lambda _: self._on_link("paired"))
        connection.on(connection.EVENT_PAIRING_FAILURE, lambda _: self._on_link("not paired"))
        self.firmware.on_connected()
        talk = self._spawn(self._talk(connection), "talk")
        after_ms = self.meter.faults.disconnect_after_ms
        if self._drops_left > 0:
            self._drops_left, after_ms = self._drops_left - 1, 0
        if after_ms is not None:
            self._spawn(_hang_up_later(connection, after_ms), "fault: disconnect")

        def ended(_: int) -> None:
            self._connection = None
            self._take_last_confirmation(connection)
            talk.cancel()
            self.firmware.on_disconnected()
            self._on_link("disconnected")
            self._spawn(self._after_connection(), "after connection")

        connection.on(connection.EVENT_DISCONNECTION, ended)

    async def _after_connection(self) -> None:
        if self.meter.faults.forgets_bond:
            await self.forget_bond()
        await self._advertise_if_wanted()

    async def _talk(self, connection: Connection) -> None:
        """Say what the firmware wants said, whenever it wakes, until the link is gone."""
        while self._connection is connection:
            self._wake.clear()
            while (action := self.firmware.next_action()) is not None:
                match action:
                    case Notify():
                        self._tell("indicated", action)
                        await self._device.notify_subscriber(
                            connection, self._values[action.characteristic], action.value
                        )
                        await asyncio.sleep(PACKET_S)
                    case Indicate():
                        await self._indicate(connection, action)
                    case HangUp():
                        await _hang_up(connection)
            await self._wake.wait()

    async def _indicate(self, connection: Connection, action: Indicate) -> None:
        self._tell("indicated", action)
        sending = self._device.indicate_subscriber(connection, self._values[action.characteristic], action.value)
        if action.then_drops:
            await self._drop_after(sending, connection)
            return
        self._unconfirmed = action
        try:
            await sending
        except TimeoutError:
            # Core Vol 3, Part F, 3.3.3: after an ATT timeout nothing more may be said on this link.
            await _hang_up(connection)
            return
        self._on_confirmed(action)
        await asyncio.sleep(self.meter.connection_interval_ms / 1000)

    async def _drop_after(self, sending: Coroutine[Any, Any, None], connection: Connection) -> None:
        """Drop the link without having seen the confirmation. A real controller throws away what it has not sent yet when it is
        told to disconnect; there the confirmation, looked away from, is the only sign that the indication is out."""
        if self._has_real_radio:
            await _sent_in_vain(sending)
        else:
            self._spawn(_sent_in_vain(sending), "indication without confirmation")
            await asyncio.sleep(0)
        await _hang_up(connection)

    def _on_confirmed(self, action: Indicate) -> None:
        """Once for each indication, whoever sees the confirmation first: who waits for it, or the end of the link."""
        if self._unconfirmed is action:
            self._unconfirmed = None
            self.firmware.on_confirmed()
            self._tell("confirmed", action)

    def _take_last_confirmation(self, connection: Connection) -> None:
        """A confirmation and the end of the link may come in one chunk: the first counts, though nobody has waited it out yet."""
        arrived = self._device.gatt_server.pending_confirmations.get(connection)
        if self._unconfirmed is not None and arrived is not None and arrived.done() and not arrived.cancelled():
            self._on_confirmed(self._unconfirmed)
        self._unconfirmed = None

    def _tell(self, event: str, action: Notify | Indicate) -> None:
        if action.characteristic not in MEASUREMENTS:
            return
        self._listener(
            Happening(
                event="confirmed" if event == "confirmed" else "indicated",
                meter=self.meter.name,
                meter_id=self.meter.meter_id,
                characteristic=action.characteristic,
                raw=action.value,
            )
        )

    def _spawn(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        task = asyncio.create_task(work, name=f"{self.meter.name}: {name}")
        self._tasks.add(task)
        task.add_done_callback(self._on_done)
        return task

    def _on_done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("meter_task_failed", meter_id=self.meter.meter_id, task=task.get_name(), error=repr(error))

    # --- attributes

    def _services(self) -> list[gatt.Service]:
        by_service: dict[str, list[gatt.Characteristic[bytes]]] = {}
        for characteristic in self.firmware.characteristics:
            value = self._attribute(characteristic)
            self._values[characteristic.uuid] = value
            by_service.setdefault(characteristic.service, []).append(value)
        return [gatt.Service(_uuid(service), values) for service, values in by_service.items()]

    def _attribute(self, characteristic: Characteristic) -> "gatt.Characteristic[bytes]":
        is_guarded = characteristic.is_protected and self.meter.secure
        permissions = _PERMISSIONS.READABLE | _PERMISSIONS.WRITEABLE
        if is_guarded:
            permissions |= _PERMISSIONS.WRITE_REQUIRES_ENCRYPTION
        uuid = characteristic.uuid
        value: gatt.Characteristic[bytes] = gatt.Characteristic(
            _uuid(uuid),
            gatt.Characteristic.Properties(int(characteristic.properties)),
            permissions,
            att.AttributeValue(read=lambda _: self._read(uuid), write=lambda _, data: self._write(uuid, data)),
        )
        if characteristic.properties & _CAN_SUBSCRIBE:
            value.descriptors = [self._configuration(value, permissions)]
            value.on(value.EVENT_SUBSCRIPTION, self._subscription_of(characteristic))
        return value

    def _configuration(
        self, value: "gatt.Characteristic[bytes]", permissions: att.Attribute.Permissions
    ) -> gatt.Descriptor:
        """Our own descriptor instead of Bumble's, which anybody may write: a secure meter wants encryption first."""
        return gatt.Descriptor(
            gatt.GATT_CLIENT_CHARACTERISTIC_CONFIGURATION_DESCRIPTOR,
            permissions,
            self._device.gatt_server.make_descriptor_value(value),
        )

    def _subscription_of(self, characteristic: Characteristic) -> Callable[[object, bool, bool], None]:
        is_indicated = Property.INDICATE in characteristic.properties

        def changed(_: object, wants_notifications: bool, wants_indications: bool) -> None:
            """The wrong bit subscribes "successfully" and never brings anything, as on real meters."""
            is_on = wants_indications if is_indicated else wants_notifications
            self.firmware.on_subscribed(characteristic.uuid, is_on=is_on)
            self._wake.set()

        return changed

    def _read(self, uuid: str) -> bytes:
        """Asked of the firmware, which knows what is readable; Bumble never checks."""
        try:
            return self.firmware.read(uuid, wall=self.wall)
        except AttError as e:
            raise att.ATT_Error(att.ErrorCode(e.code)) from e

    def _write(self, uuid: str, value: bytes) -> None:
        try:
            self.firmware.write(uuid, value, wall=self.wall)
        except AttError as e:
            raise att.ATT_Error(att.ErrorCode(e.code)) from e
        self._wake.set()


class _Delegate(PairingDelegate):
    """What a meter can do when pairing: nothing, show a number, take one from its keys, or compare."""

    def __init__(self, on_air: MeterOnAir) -> None:
        meter = on_air.meter
        shows = meter.passkey is not None
        super().__init__(self.DISPLAY_OUTPUT_ONLY if shows else _CAPABILITIES[meter.pairing])
        self._on_air = on_air

    async def accept(self) -> bool:
        return self._on_air.meter.pairing != "refused"

    async def generate_passkey(self) -> int:
        passkey = self._on_air.meter.passkey
        assert passkey is not None, "only a meter with a display is asked for a number"
        number = secrets.randbelow(1_000_000) if passkey == "random" else passkey
        self._on_air.shown.put_nowait(number)
        return number

    async def get_number(self) -> int | None:
        return await self._on_air.typed.get()

    async def compare_numbers(self, number: int, digits: int) -> bool:
        self._on_air.shown.put_nowait(number)
        return True


_CAPABILITIES: Final = {
    "just_works": PairingDelegate.NO_OUTPUT_NO_INPUT,
    "refused": PairingDelegate.NO_OUTPUT_NO_INPUT,
    "keypad": PairingDelegate.KEYBOARD_INPUT_ONLY,
    "compare": PairingDelegate.DISPLAY_OUTPUT_AND_YES_NO_INPUT,
}


def _pairing(on_air: MeterOnAir) -> PairingConfig:
    delegate = _Delegate(on_air)
    return PairingConfig(
        sc=True,
        mitm=delegate.io_capability != PairingDelegate.NO_OUTPUT_NO_INPUT,
        bonding=True,
        delegate=delegate,
        identity_address_type=PairingConfig.AddressType.RANDOM,
    )


def _virtual_host(meter: Meter, link: VirtualLink) -> Host:
    controller = VirtualController(
        meter.name,
        link=link,
        rssi_dbm=lambda _: -60,
        public_address=meter.meter_id.replace("F0:00:00", "00:1B:DC"),
    )
    return VirtualHost(controller, AsyncPipeSink(controller))


def _device(meter: Meter, host: Host, service: str, bonds: Path | None) -> Device:
    configuration = DeviceConfiguration()
    configuration.name = meter.advertised_name
    configuration.address = hci.Address(meter.meter_id)
    configuration.irk = secrets.token_bytes(16)
    configuration.advertising_interval_min = float(meter.advertising_interval_ms)
    configuration.advertising_interval_max = float(meter.advertising_interval_ms)
    configuration.advertising_data = bytes(
        AdvertisingData(
            [
                (AdvertisingData.FLAGS, bytes((0x06,))),
                (AdvertisingData.COMPLETE_LIST_OF_16_BIT_SERVICE_CLASS_UUIDS, bytes.fromhex(service)[::-1]),
                (AdvertisingData.COMPLETE_LOCAL_NAME, meter.advertised_name.encode()),
            ]
        )
    )
    device = Device(config=configuration, host=host)
    if bonds is not None:
        device.keystore = JsonKeyStore(meter.meter_id, str(bonds))
    return device


def _uuid(name: str) -> UUID:
    return UUID(name)


async def _hang_up_later(connection: Connection, after_ms: int) -> None:
    await asyncio.sleep(after_ms / 1000)
    await _hang_up(connection)


async def _hang_up(connection: Connection) -> None:
    with contextlib.suppress(BaseBumbleError):
        await connection.disconnect()


async def _sent_in_vain(sending: Coroutine[Any, Any, None]) -> None:
    """The confirmation of a dropped link is never waited for to its end."""
    with contextlib.suppress(BaseBumbleError, TimeoutError):
        await sending
