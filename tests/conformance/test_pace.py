"""How fast a reading is kept: the same claim for a bridge in memory and for a real bluetoothd."""

import time
from pathlib import Path

import pytest
from fix_meters import VirtualAir
from gateway_box import box, inflate

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
