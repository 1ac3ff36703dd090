"""The meters' firmware in memory, behind the gateway's own ports (`vitals.gatt.link`): no Bumble, no D-Bus, no bytes on
any wire.

For seeded runs at speed, and for the demo where there is no dbus-daemon. Nothing is drawn at random; meters are heard in
the order in which they are given. Pairing and bonds are not modelled: every link is as good as bonded.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Final
from zoneinfo import ZoneInfo

from firmware_sims.firmware import Action, AttError, HangUp, Indicate, Property
from firmware_sims.happenings import Happening, Listener, firmware_of, ignore
from firmware_sims.kinds import MEASUREMENTS
from firmware_sims.settings import Meter
from vitals.gatt.link import Advertisement, Disconnected, LinkError, Notified

RSSI_DBM: Final = -60


class MeterInAir:
    """One meter; the collector's link to it, if there is one."""

    def __init__(
        self, meter: Meter, *, now: Callable[[], datetime], listener: Listener, on_news: Callable[[], None]
    ) -> None:
        self.meter = meter
        self.firmware = firmware_of(meter)
        self.link: AirLink | None = None
        self.drops_left = meter.faults.drops_at_once
        self._zone = ZoneInfo(meter.zone)
        self._now = now
        self._listener = listener
        self._on_news = on_news
        self._next_tick: asyncio.TimerHandle | None = None

    @property
    def wall(self) -> datetime:
        """What the clock on the wall beside the meter shows."""
        return self._now().astimezone(self._zone).replace(tzinfo=None)

    @property
    def is_connected(self) -> bool:
        return self.link is not None

    @property
    def is_heard(self) -> bool:
        return self.firmware.is_advertising and self.link is None

    @property
    def advertisement(self) -> Advertisement:
        return Advertisement(
            address=self.meter.meter_id,
            name=self.meter.advertised_name,
            services=frozenset({self.firmware.advertised_service}),
            rssi=RSSI_DBM,
        )

    def wake(self) -> None:
        """Say that the firmware has something new."""
        if self.link is not None:
            self.link.carry_out()
        self._on_news()
        if self.firmware.is_ticking and self._next_tick is None:
            self._next_tick = asyncio.get_running_loop().call_later(self.meter.tick_ms / 1000, self._tick)

    def _tick(self) -> None:
        self._next_tick = None
        if self.firmware.is_ticking:
            self.firmware.on_tick(wall=self.wall)
            self.wake()

    def tell(self, action: Action, *, is_confirmed: bool = False) -> None:
        if isinstance(action, HangUp) or action.characteristic not in MEASUREMENTS:
            return
        self._listener(
            Happening(
                event="confirmed" if is_confirmed else "indicated",
                meter=self.meter.name,
                meter_id=self.meter.meter_id,
                characteristic=action.characteristic,
                raw=action.value,
            )
        )


class AirLink:
    """A `vitals.gatt.link.Link`. What the meter says waits in order until it is asked for."""

    def __init__(self, meter: MeterInAir) -> None:
        self._meter = meter
        self._firmware = meter.firmware
        self._properties = {c.uuid: c.properties for c in self._firmware.characteristics}
        self._events: deque[Notified] = deque()
        self._is_up = True
        self._news = asyncio.Event()

    @property
    def characteristics(self) -> frozenset[str]:
        return frozenset(self._properties)

    async def read(self, characteristic: str) -> bytes:
        self._check(characteristic)
        try:
            return self._firmware.read(characteristic, wall=self._meter.wall)
        except AttError as e:
            raise LinkError(str(e), e.code) from e

    async def write(self, characteristic: str, value: bytes) -> None:
        self._check(characteristic)
        try:
            self._firmware.write(characteristic, value, wall=self._meter.wall)
        except AttError as e:
            raise LinkError(str(e), e.code) from e
        self.carry_out()

    async def subscribe(self, characteristic: str) -> None:
        self._check(characteristic)
        if not self._properties[characteristic] & (Property.NOTIFY | Property.INDICATE):
            raise LinkError(f"{characteristic} neither notifies nor indicates")
        self._firmware.on_subscribed(characteristic, is_on=True)
        self.carry_out()

    async def event(self, timeout_s: float) -> Notified | Disconnected | None:
        if not self._events and self._is_up:
            self._news.clear()
            try:
                async with asyncio.timeout(timeout_s):  # `wait_for` of Python 3.11 may swallow a cancellation
                    await self._news.wait()
            except TimeoutError:
                return None
        return self._events.popleft() if self._events else Disconnected()

    def carry_out(self) -> None:
        """Do all that the firmware wants done now. An indication is confirmed as it arrives, as a Bluetooth stack does."""
        while self._is_up and (action := self._firmware.next_action()) is not None:
            if isinstance(action, HangUp):
                self.drop()
                return
            self._meter.tell(action)
            self._events.append(Notified(characteristic=action.characteristic, value=action.value))
            if isinstance(action, Indicate):
                self._finish(action)
        self._news.set()

    def drop(self) -> None:
        """The link is gone; what has arrived before can still be asked for."""
        if self._is_up:
            self._is_up = False
            self._meter.link = None
            self._firmware.on_disconnected()
            self._news.set()

    def _finish(self, indication: Indicate) -> None:
        if indication.then_drops:
            self.drop()
            return
        self._firmware.on_confirmed()
        self._meter.tell(indication, is_confirmed=True)

    def _check(self, characteristic: str) -> None:
        if not self._is_up:
            raise LinkError("the link is gone")
        if characteristic not in self._properties:
            raise LinkError(f"no characteristic {characteristic}")


class Air:
    """A `vitals.gatt.link.Radio` with the meters that it can hear."""

    def __init__(
        self,
        meters: Sequence[Meter],
        *,
        now: Callable[[], datetime],
        listener: Listener = ignore,
        interval_s: float = 0.1,
    ) -> None:
        """`now` gives aware instants; a meter that advertises is heard every `interval_s` seconds, and at once when it
        begins."""
        self._interval_s = interval_s
        self._news = asyncio.Event()
        self.meters = {
            meter.name: MeterInAir(meter, now=now, listener=listener, on_news=self._news.set) for meter in meters
        }

    @asynccontextmanager
    async def advertisements(self) -> AsyncIterator[AsyncIterator[Advertisement]]:
        heard = self._heard()
        try:
            yield heard
        finally:
            await heard.aclose()

    @asynccontextmanager
    async def connect(self, advertisement: Advertisement) -> AsyncIterator[AirLink]:
        meter = next((m for m in self.meters.values() if m.meter.meter_id == advertisement.address), None)
        if meter is None or not meter.is_heard:
            raise LinkError(f"{advertisement.address} does not answer")
        link = meter.link = AirLink(meter)
        meter.firmware.on_connected()
        after_ms = meter.meter.faults.disconnect_after_ms
        if meter.drops_left > 0:
            meter.drops_left, after_ms = meter.drops_left - 1, 0
        fault = None if after_ms is None else asyncio.get_running_loop().call_later(after_ms / 1000, link.drop)
        try:
            yield link
        finally:
            if fault is not None:
                fault.cancel()
            link.drop()
            self._news.set()

    async def _heard(self) -> AsyncGenerator[Advertisement, None]:
        while True:
            self._news.clear()
            for meter in tuple(self.meters.values()):
                if meter.is_heard:
                    yield meter.advertisement
            try:
                async with asyncio.timeout(self._interval_s):
                    await self._news.wait()
            except TimeoutError:
                continue
