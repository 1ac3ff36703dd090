"""Where simulated meters are: behind an org.bluez of our own on a bus, or on a real controller.

A place switches its meters on, says when it is lost, and switches them off. What can be missing is told with what to do.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from dbus_fast.errors import DBusError

from firmware_sims import clock
from firmware_sims.bluez_bridge import Bridge
from firmware_sims.bluez_device import Timing
from firmware_sims.dongle import answering, open_dongle
from firmware_sims.happenings import Listener
from firmware_sims.over_the_air import LinkEvent, MeterOnAir
from firmware_sims.settings import Meter
from firmware_sims.virtual_link import VirtualLink
from vitals.errors import UnavailableError

LinkTeller = Callable[[str, LinkEvent], None]
"""Told the meter's name, and what became of a connection to it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Meters that are switched on, by name. `lost` ends when they cannot be heard any more, and gives the reason."""

    meters: Mapping[str, MeterOnAir]
    lost: Callable[[], Awaitable[str]]


OpenPlace = Callable[[Listener, LinkTeller], AbstractAsyncContextManager[Place]]


@asynccontextmanager
async def on_bus(
    listener: Listener, teller: LinkTeller, *, meters: Sequence[Meter], timing: Timing
) -> AsyncIterator[Place]:
    """On the bus that DBUS_SYSTEM_BUS_ADDRESS names; raises `UnavailableError` if it cannot be had."""
    async with AsyncExitStack() as stack:
        link = VirtualLink()
        bridge = await _open_bridge(stack, link, timing)
        on_air = {
            meter.name: await stack.enter_async_context(
                MeterOnAir(meter, link, now=clock.now, listener=listener, on_link=partial(teller, meter.name))
            )
            for meter in meters
        }

        async def lost() -> str:
            await bridge.gone()
            return "the D-Bus connection was lost"

        yield Place(meters=on_air, lost=lost)


async def _open_bridge(stack: AsyncExitStack, link: VirtualLink, timing: Timing) -> Bridge:
    try:
        return await stack.enter_async_context(Bridge(link, timing=timing))
    except OSError as e:
        raise UnavailableError(f"no D-Bus: {e}; check DBUS_SYSTEM_BUS_ADDRESS") from e
    except DBusError as e:
        where = os.environ.get("DBUS_SYSTEM_BUS_ADDRESS") or "this machine's own, where it may not"
        raise UnavailableError(
            f"the bus will not have a second org.bluez ({e}); it was {where}. Set DBUS_SYSTEM_BUS_ADDRESS to a bus of your own"
        ) from e


@asynccontextmanager
async def on_dongle(
    listener: Listener, teller: LinkTeller, *, meter: Meter, dongle: str, bonds: Path | None
) -> AsyncIterator[Place]:
    """One meter on the controller that Bumble calls `dongle`; raises `UnavailableError` if it cannot be had.

    `bonds` is a file in which it remembers who has paired with it; without one it forgets them when it ends.
    """
    async with open_dongle(dongle) as (host, gone):
        on_air = MeterOnAir(
            meter, host, now=clock.now, listener=listener, on_link=partial(teller, meter.name), bonds=bonds
        )
        async with AsyncExitStack() as stack:
            async with answering(dongle):
                await stack.enter_async_context(on_air)

            async def lost() -> str:
                await gone()
                return f"{dongle} is gone"

            yield Place(meters={meter.name: on_air}, lost=lost)


async def first_of(stopped: asyncio.Event, place: Place) -> str | None:
    """Wait until stopped, or until the place is lost; then the reason."""
    waiting = asyncio.create_task(stopped.wait(), name="until stopped")
    losing = asyncio.ensure_future(place.lost())
    await asyncio.wait({waiting, losing}, return_when=asyncio.FIRST_COMPLETED)
    reason = losing.result() if losing.done() and not stopped.is_set() else None
    for task in (waiting, losing):
        task.cancel()
    await asyncio.gather(waiting, losing, return_exceptions=True)
    return reason
