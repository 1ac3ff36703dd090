"""A gateway's Bluetooth side on the test's bus: unmodified bleak, our own agent, the real collector and outbox."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fix_meters import VirtualAir
from patience import patient
from unit.gateway.samples import GATEWAY, SHANGHAI, TestClock

from firmware_sims.blood_pressure_meter import BloodPressureMeter
from firmware_sims.glucometer import Glucometer
from firmware_sims.over_the_air import MeterOnAir
from gateway.bleak_radio import BleakRadio
from gateway.bluez import CALL_S
from gateway.collector import Collector
from gateway.outbox import Outbox
from gateway.pairing_agent import TYPING_S, PairingAgent
from gateway.user_codes import UserCodes
from vitals.envelope import decode_stored_reading
from vitals.reading import Reading


@dataclass
class Box:
    """A gateway's Bluetooth side on the test's bus."""

    outbox: Outbox
    radio: BleakRadio
    agent: PairingAgent
    collector: Collector

    async def until(self, is_so: Callable[[], bool], within_s: float = 30.0) -> None:
        async with asyncio.timeout(patient(within_s)):
            while not is_so():  # noqa: ASYNC110  # what is waited for lies in a file or in another library
                await asyncio.sleep(0.01)

    async def until_kept(self, count: int, within_s: float = 30.0) -> list[Reading]:
        """Kept, and ready to be sent: nothing more will be said of their time."""
        await self.until(lambda: len(self.outbox.unconfirmed(1000)) >= count, within_s)
        return [decode_stored_reading(row.body) for row in self.outbox.unconfirmed(1000)]

    def pairing(self, meter: MeterOnAir) -> dict[str, Any]:
        """What the status says of pairing with this meter."""
        facts: dict[str, Any] = self.radio.describe()["pairing"].get(meter.meter.meter_id, {})
        return facts

    async def until_scanning(self) -> None:
        await self.until(lambda: self.collector.totals.is_scanning and self.agent.registrations > 0)


@asynccontextmanager
async def box(
    path: Path,
    air: VirtualAir,
    *,
    with_agent: bool = True,
    workers: int = 2,
    typing_s: float = TYPING_S,
    **options: Any,
) -> AsyncIterator[Box]:
    """`options` are the radio's."""
    clock = TestClock(wall=air.now)
    agent = PairingAgent(folder=path.parent, typing_s=typing_s, call_s=options.get("call_s", CALL_S))
    radio = BleakRadio(agent=agent, **options)
    agent.on_bluez_restart = radio.stack_restarted
    with Outbox(path, now=air.now) as outbox:
        collector = Collector(
            radio=radio,
            outbox=outbox,
            gateway_id=GATEWAY,
            zone=lambda: SHANGHAI,
            clock=clock.clock,
            on_kept=lambda: None,
            workers=workers,
            users=UserCodes(path.parent),
        )
        agent.desk.on_arrival = collector.hurry
        running = (collector.run(), radio.care.run(), _pulse(clock))
        tasks = [asyncio.create_task(one) for one in running]
        if with_agent:
            tasks.append(asyncio.create_task(agent.run()))
        try:
            yield Box(outbox, radio, agent, collector)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def _pulse(clock: TestClock) -> None:
    """The box's count of seconds goes ten times as fast, so that rests are short."""
    while True:
        await asyncio.sleep(0.02)
        clock.boot_s += 0.2


def inflate(meter: MeterOnAir, systolic: int = 152) -> bytes:
    assert isinstance(meter.firmware, BloodPressureMeter)
    raw = meter.firmware.measure(wall=meter.wall, systolic_mmhg=systolic, diastolic_mmhg=94, pulse_bpm=72, user_slot=1)
    meter.wake()
    return raw


def be_heard_steadily(air: VirtualAir, *meters: MeterOnAir) -> None:
    """From now on every advertisement of theirs arrives at the same strength."""
    air.link.steady_dbm |= {meter.meter.meter_id: -60 for meter in meters}


def prick(meter: MeterOnAir, mg_dl: float = 126, meal: str | None = None) -> None:
    assert isinstance(meter.firmware, Glucometer)
    meter.firmware.measure(wall=meter.wall, glucose_mg_dl=mg_dl, meal=meal)
    meter.wake()
