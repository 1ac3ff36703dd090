"""A gateway's Bluetooth side at home: the real collector and outbox, an in-memory air with the meters' own firmware."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
from unit.gateway.samples import GATEWAY, NOW, SHANGHAI, TestClock

from firmware_sims.air import Air, MeterInAir
from firmware_sims.blood_pressure_meter import BloodPressureMeter
from firmware_sims.glucometer import Glucometer
from firmware_sims.happenings import Happening
from firmware_sims.settings import Meter
from gateway.adapters import Adapters
from gateway.collector import Collector
from gateway.outbox import Outbox
from gateway.user_codes import UserCodes
from vitals.envelope import decode_stored_reading
from vitals.reading import Reading


@dataclass
class Home:
    """A gateway's Bluetooth side with some meters around it. `true_now` is what the clock on the wall shows."""

    true_now: datetime
    outbox: Outbox
    air: Air
    collector: Collector
    clock: TestClock
    happened: list[Happening]
    news: asyncio.Event = field(default_factory=asyncio.Event)

    def let_pass(self, time: timedelta) -> None:
        """On the wall, in the meters that keep it, and in the gateway."""
        self.true_now += time
        self.clock.tick(time.total_seconds())

    def meter(self, name: str) -> MeterInAir:
        return self.air.meters[name]

    def inflate(self, name: str = "bp", systolic: int = 152) -> bytes:
        meter = self.meter(name)
        assert isinstance(meter.firmware, BloodPressureMeter)
        raw = meter.firmware.measure(wall=meter.wall, systolic_mmhg=systolic, diastolic_mmhg=94, pulse_bpm=72)
        meter.wake()
        return raw

    def prick(self, name: str = "glu", mg_dl: float = 126, meal: str | None = None) -> None:
        meter = self.meter(name)
        assert isinstance(meter.firmware, Glucometer)
        meter.firmware.measure(wall=meter.wall, glucose_mg_dl=mg_dl, meal=meal)
        meter.wake()

    async def until(self, is_so: Callable[[], bool]) -> None:
        """Wait for the reading, or the end of a session, after which the claim holds."""
        async with asyncio.timeout(20):
            while not is_so():
                self.news.clear()
                await self.news.wait()

    async def until_kept(self, count: int) -> list[Reading]:
        await self.until(lambda: self.outbox.counts().kept >= count)
        return self.kept()

    def kept(self) -> list[Reading]:
        rows = self.outbox.unconfirmed(1000)
        return [decode_stored_reading(row.body) for row in rows]


@asynccontextmanager
async def at_home(
    path: Path,
    *meters: dict[str, Any],
    clock: TestClock | None = None,
    max_unconfirmed: int = 50_000,
    gateway_id: str = GATEWAY,
    true_now: datetime = NOW,
    adapters: Adapters | None = None,
) -> AsyncIterator[Home]:
    """The collector runs while the context is open; `clock` is the gateway's, right unless it is given."""
    clock = clock or TestClock(wall=true_now)
    happened: list[Happening] = []
    found = [msgspec.convert(m, Meter) for m in meters]
    air = Air(found, now=lambda: home.true_now, listener=happened.append, interval_s=0.01)
    with Outbox(path, now=true_now, max_unconfirmed=max_unconfirmed) as outbox:
        collector = Collector(
            radio=air,
            outbox=outbox,
            gateway_id=gateway_id,
            zone=lambda: SHANGHAI,
            clock=clock.clock,
            on_kept=lambda: home.news.set(),
            adapters=adapters,
            users=UserCodes(path.parent),
        )
        home = Home(true_now, outbox, air, collector, clock, happened)
        task = asyncio.create_task(collector.run())
        pulse = asyncio.create_task(_pulse(home))
        try:
            yield home
        finally:
            for one in (task, pulse):
                one.cancel()
            await asyncio.gather(task, pulse, return_exceptions=True)


async def _pulse(home: Home) -> None:
    """Time passes in the gateway, and whoever waits looks again."""
    while True:
        await asyncio.sleep(0.01)
        home.clock.boot_s += 0.25
        home.news.set()


CUFF = {"name": "bp", "kind": "blood_pressure", "index": 1}
GLUCOMETER = {"name": "glu", "kind": "glucose", "index": 1}
