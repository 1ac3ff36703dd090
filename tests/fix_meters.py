"""Meters on a virtual air, and an org.bluez on the test's bus that hears them: what unmodified bleak talks to.

That is a bridge on a private bus, or the real bluetoothd of tests/machine; a test does not know which.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol

import msgspec
import pytest
from fix_machine import on_the_machine
from patience import MACHINE, patient

from firmware_sims.bluez_bridge import Bridge
from firmware_sims.bluez_device import Timing
from firmware_sims.happenings import Happening
from firmware_sims.over_the_air import MeterOnAir
from firmware_sims.settings import Meter
from firmware_sims.virtual_link import VirtualLink

NOW = datetime(2026, 11, 21, 0, 30, tzinfo=UTC)
"""What the walls of all meters show unless a test says otherwise: 08:30 in Shanghai."""

ADVERTISING_INTERVAL_MS = 20 if MACHINE is None else 100
"""A kernel under emulation takes a few hundred advertisements a second; twenty real meters send no more."""


class Bluetooth(Protocol):
    """The Bluetooth service of the test's bus, as systemd would start and stop it; bonds outlive a stop."""

    async def start(self) -> None: ...

    async def stop(self) -> None: ...


class BridgedBluetooth:
    """A bridge that disconnects at once."""

    def __init__(self, link: VirtualLink) -> None:
        self._link = link
        self._running: Bridge | None = None

    async def start(self) -> None:
        self._running = await Bridge(self._link, timing=Timing(disconnect_delay_s=0.0)).__aenter__()

    async def stop(self) -> None:
        running, self._running = self._running, None
        if running is not None:
            await running.__aexit__()


@dataclass(slots=True, kw_only=True)
class VirtualAir:
    """`put` meters on it; `bluetooth` hears them once it is started; what the meters said is in `happenings`.

    `bridge_with` is for tests that choose bluetoothd's timing, which a real one does not let them: they are marked `bridge`.
    """

    stack: contextlib.AsyncExitStack
    link: VirtualLink = field(default_factory=VirtualLink)
    bluetooth: Bluetooth | None = None
    now: datetime = NOW
    happenings: list[Happening] = field(default_factory=list)
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    async def start_bluetooth(self) -> None:
        assert self.bluetooth is not None
        await self.bluetooth.start()

    async def stop_bluetooth(self) -> None:
        assert self.bluetooth is not None
        await self.bluetooth.stop()

    async def bridge_with(self, timing: Timing) -> Bridge:
        assert MACHINE is None, "mark this test `bridge`"
        return await self.stack.enter_async_context(Bridge(self.link, timing=timing))

    async def put(self, kind: str, index: int = 1, **settings: Any) -> MeterOnAir:
        """Switch a meter on; `settings` as in a meters file."""
        settings.setdefault("name", f"{kind}-{index}")
        settings.setdefault("advertising_interval_ms", ADVERTISING_INTERVAL_MS)
        meter = msgspec.convert({"kind": kind, "index": index, **settings}, Meter)
        on_air = MeterOnAir(meter, self.link, now=lambda: self.now, listener=self._hear)
        return await self.stack.enter_async_context(on_air)

    async def until(self, is_so: Callable[[], bool], within_s: float = 10.0) -> None:
        """Wait for the happening after which the claim holds."""
        async with asyncio.timeout(patient(within_s)):
            while not is_so():
                self._news.clear()
                await self._news.wait()

    def _hear(self, happening: Happening) -> None:
        self.happenings.append(happening)
        self._news.set()

    def said(self, meter: MeterOnAir, event: str = "indicated") -> list[bytes]:
        """The frames that this meter sent, or had confirmed."""
        return [h.raw for h in self.happenings if h.event == event and h.meter == meter.meter.name]


@pytest.fixture
async def virtual_air(bus_address: str) -> AsyncIterator[VirtualAir]:
    """An air that no Bluetooth service hears yet."""
    async with contextlib.AsyncExitStack() as stack:
        link = VirtualLink()
        bluetooth: Bluetooth = BridgedBluetooth(link)
        if MACHINE is not None:
            bluetooth = await stack.enter_async_context(on_the_machine(MACHINE, link))
        else:
            stack.push_async_callback(bluetooth.stop)
        stack.push_async_callback(leave_the_bus)
        yield VirtualAir(stack=stack, link=link, bluetooth=bluetooth)


@pytest.fixture
async def air(virtual_air: VirtualAir) -> VirtualAir:
    """An air with a Bluetooth service."""
    await virtual_air.start_bluetooth()
    return virtual_air


async def leave_the_bus() -> None:
    """Close the connection that bleak keeps open for the life of its event loop, which here is the life of one test."""
    from bleak.backends.bluezdbus import manager

    instance = manager._global_instances.pop(asyncio.get_running_loop(), None)
    if instance is None or instance._bus is None:
        return
    instance._bus.disconnect()
    if instance._bus_watcher_task is not None:
        await asyncio.wait({instance._bus_watcher_task})
