"""How fast a reading is kept and that none of many is lost: the same claims for a bridge in memory and a real bluetoothd."""

import time
from pathlib import Path

import pytest
from fix_meters import VirtualAir
from gateway_box import box, inflate, prick
from patience import patient

pytestmark = pytest.mark.radio

KEPT_WITHIN_S = 3.0
"""From the first advertisement to the reading on disk, with a bond. Three tries: the machine may be busy with something else."""


async def test_a_reading_is_kept_within_three_seconds_of_its_first_advertisement(
    air: VirtualAir, tmp_path: Path
) -> None:
    cuff = await air.put("blood_pressure")
    took_s: list[float] = []
    async with box(tmp_path / "outbox.sqlite", air) as home:
        await home.until_scanning()
        for sitting in range(1, 5):
            began = time.monotonic()
            inflate(cuff, 140 + sitting)
            await home.until_kept(sitting)
            took_s.append(time.monotonic() - began)
            await home.until(lambda so_far=sitting: home.collector.totals.sessions == so_far)
        assert home.collector.totals.failed_sessions == 0
    print("first, with pairing, then bonded:", [round(s, 2) for s in took_s])
    assert min(took_s[1:]) <= KEPT_WITHIN_S


@pytest.mark.timeout(600)
async def test_of_twenty_meters_none_is_lost_and_each_is_told_once(air: VirtualAir, tmp_path: Path) -> None:
    cuffs = [await air.put("blood_pressure", n, advertising_interval_ms=100) for n in range(1, 11)]
    glucometers = [await air.put("glucose", n, advertising_interval_ms=100) for n in range(1, 11)]
    for cuff in cuffs:
        inflate(cuff)
    for glucometer in glucometers:
        prick(glucometer)
    began = time.monotonic()
    async with box(tmp_path / "outbox.sqlite", air) as home:
        readings = await home.until_kept(20, within_s=patient(60))
        print(
            f"twenty meters in {time.monotonic() - began:.1f} s, failed sessions:",
            home.collector.totals.failed_sessions,
        )
    meters = {meter.meter.meter_id for meter in (*cuffs, *glucometers)}
    assert len(readings) == 20
    assert {reading.meter_id for reading in readings} == meters
