"""The whole gateway in the test's own process: a cuff in an in-memory air, the real outbox, collector and uplink."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
from unit.gateway.samples import GATEWAY, NOW, TestClock

from firmware_sims.air import Air
from firmware_sims.blood_pressure_meter import BloodPressureMeter
from firmware_sims.settings import Meter
from gateway.app import run_gateway
from gateway.config import Settings
from homevigil.embedded.broker import EmbeddedBroker


@asynccontextmanager
async def running(folder: Path, broker: EmbeddedBroker, air: Air, clock: TestClock, **more: Any) -> AsyncIterator[None]:
    """`more` are settings."""
    settings = Settings(
        id=GATEWAY,
        zone="Asia/Shanghai",
        outbox=folder / "outbox.sqlite",
        mqtt_host=broker.host,
        mqtt_port=broker.port,
        **more,
    )
    task = asyncio.create_task(run_gateway(settings, radio=air, clock=clock.clock))
    pulse = asyncio.create_task(_pulse(clock))
    try:
        yield
    finally:
        for one in (task, pulse):
            one.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await one


async def _pulse(clock: TestClock) -> None:
    while True:
        await asyncio.sleep(0.05)
        clock.tick(0.05)


def air_of(**settings: Any) -> Air:
    meter = msgspec.convert({"name": "bp", "kind": "blood_pressure", "index": 1} | settings, Meter)
    return Air([meter], now=lambda: NOW, interval_s=0.02)


def inflate(air: Air, systolic: int = 152) -> bytes:
    meter = air.meters["bp"]
    assert isinstance(meter.firmware, BloodPressureMeter)
    raw = meter.firmware.measure(wall=meter.wall, systolic_mmhg=systolic, diastolic_mmhg=94, pulse_bpm=72)
    meter.wake()
    return raw
