"""Meters on a virtual air behind an org.bluez bridge on the test's private bus: what unmodified bleak talks to."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from firmware_sims.bluez_bridge import Bridge
from firmware_sims.bluez_device import Timing
from firmware_sims.happenings import Happening
from firmware_sims.over_the_air import MeterOnAir
from firmware_sims.settings import Meter
from firmware_sims.virtual_link import VirtualLink

NOW = datetime(2026, 11, 21, 0, 30, tzinfo=UTC)
"""What the walls of all meters show unless a test says otherwise: 08:30 in Shanghai."""


@dataclass(slots=True, kw_only=True)
class VirtualAir:
    """`put` meters on it; `bridge_with` opens the bus; what the meters said is in `happenings`."""

    stack: contextlib.AsyncExitStack
    link: VirtualLink = field(default_factory=VirtualLink)
    now: datetime = NOW
    happenings: list[Happening] = field(default_factory=list)
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    async def bridge_with(self, timing: Timing) -> Bridge:
        return await self.stack.enter_async_context(Bridge(self.link, timing=timing))

    async def put(self, kind: str, index: int = 1, **settings: Any) -> MeterOnAir:
        """Switch a meter on; `settings` as in a meters file."""
        settings.setdefault("name", f"{kind}-{index}")
        settings.setdefault("advertising_interval_ms", 20)
        meter = msgspec.convert({"kind": kind, "index": index, **settings}, Meter)
        on_air = MeterOnAir(meter, self.link, now=lambda: self.now, listener=self._hear)
        return await self.stack.enter_async_context(on_air)

    async def until(self, is_so: Callable[[], bool], within_s: float = 10.0) -> None:
        """Wait for the happening after which the claim holds."""
        async with asyncio.timeout(within_s):
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
    """An air without a bridge yet, for tests that choose bluetoothd's timing."""
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(leave_the_bus)
        yield VirtualAir(stack=stack)


@pytest.fixture
async def air(virtual_air: VirtualAir) -> VirtualAir:
    """An air with a bridge that disconnects at once."""
    await virtual_air.bridge_with(Timing(disconnect_delay_s=0.0))
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
