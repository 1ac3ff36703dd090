"""The simulated meters as a process of their own: JSON lines in and out, a clean end however it is asked for."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from bleak import BleakClient, BleakScanner
from fix_meters import leave_the_bus
from pairing import agent

from homevigil.embedded.bus import EmbeddedBus
from vitals.gatt import uuids
from vitals.gatt.blood_pressure import BloodPressureMeasurement

pytestmark = pytest.mark.radio

METERS = {
    "meters": [
        {"name": "bp-01", "kind": "blood_pressure", "index": 1, "advertising_interval_ms": 20},
        {"name": "glu-01", "kind": "glucose", "index": 1},
    ]
}


class Sims:
    """The process, spoken to in lines."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    def tell(self, **command: Any) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(command).encode() + b"\n")

    async def told(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        async with asyncio.timeout(20):
            line = await self.process.stdout.readline()
        told: dict[str, Any] = json.loads(line)
        return told

    async def ended(self, within_s: float = 20) -> int:
        async with asyncio.timeout(within_s):
            return await self.process.wait()


@asynccontextmanager
async def sims(folder: Path, meters: object = METERS) -> AsyncIterator[Sims]:
    file = folder / "meters.json"
    file.write_text(json.dumps(meters))
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "firmware_sims", "run", "--meters", str(file), "--disconnect-delay-s", "0",
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        yield Sims(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def test_it_says_when_it_is_ready(bus_address: str, tmp_path: Path) -> None:
    async with sims(tmp_path) as process:
        assert await process.told() == {
            "event": "ready",
            "meters": [
                {"name": "bp-01", "meter_id": "F0:00:00:10:00:01", "kind": "blood_pressure"},
                {"name": "glu-01", "meter_id": "F0:00:00:08:00:01", "kind": "glucose"},
            ],
        }


async def test_a_measurement_on_its_input_reaches_bleak_and_is_told_of(bus_address: str, tmp_path: Path) -> None:
    async with sims(tmp_path) as process:
        await process.told()
        process.tell(
            do="measure", meter="bp-01", systolic_mmhg=152, diastolic_mmhg=94, pulse_bpm=72, user_slot=1, status=0,
            at="2026-11-21T07:05:30",
        )  # fmt: skip
        values: asyncio.Queue[bytes] = asyncio.Queue()
        device = await BleakScanner.find_device_by_name("bp-01", timeout=10)
        assert device is not None
        async with agent(), BleakClient(device, timeout=10) as client:
            await client.pair()
            await client.start_notify(uuids.BLOOD_PRESSURE_MEASUREMENT, lambda _, v: values.put_nowait(bytes(v)))
            async with asyncio.timeout(5):
                raw = await values.get()
        frame = BloodPressureMeasurement.from_bytes(raw)
        assert (frame.systolic.number, frame.meter_time, frame.user_id) == (152, "2026-11-21T07:05:30", 1)
        for event in ("indicated", "confirmed"):
            told = await process.told()
            assert (told["event"], told["meter_id"], told["raw"]) == (event, "F0:00:00:10:00:01", raw.hex())
            assert told["characteristic"] == "2a35"
    await leave_the_bus()


async def test_a_wrong_line_is_answered_and_survived(bus_address: str, tmp_path: Path) -> None:
    async with sims(tmp_path) as process:
        await process.told()
        process.tell(do="dance")
        told = await process.told()
        assert (told["event"], told["reason"]) == ("error", "command")
        process.tell(do="measure", meter="bp-99", systolic_mmhg=120, diastolic_mmhg=80)
        assert "bp-99" in (await process.told())["message"]
        process.tell(do="stop")
        assert await process.ended() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_it_cleanly(bus_address: str, tmp_path: Path, number: signal.Signals) -> None:
    async with sims(tmp_path) as process:
        await process.told()
        process.process.send_signal(number)
        assert await process.ended(within_s=5) == 0
        assert process.process.stderr is not None
        assert await process.process.stderr.read() == b""


async def test_the_end_of_its_input_is_not_its_end(bus_address: str, tmp_path: Path) -> None:
    async with sims(tmp_path) as process:
        await process.told()
        assert process.process.stdin is not None
        process.process.stdin.close()
        await process.process.stdin.wait_closed()
        process.process.send_signal(signal.SIGTERM)
        assert await process.ended() == 0


async def test_a_file_that_is_not_as_documented_ends_it_with_a_sentence(bus_address: str, tmp_path: Path) -> None:
    async with sims(tmp_path, {"meters": [{"name": "x"}]}) as process:
        assert await process.ended() == 1
        assert process.process.stderr is not None
        assert b"meters_file" in await process.process.stderr.read()


async def test_without_a_bus_it_says_what_to_check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environ, "DBUS_SYSTEM_BUS_ADDRESS", f"unix:path={tmp_path}/nothing")
    async with sims(tmp_path) as process:
        assert await process.ended() == 1
        assert process.process.stderr is not None
        assert b"DBUS_SYSTEM_BUS_ADDRESS" in await process.process.stderr.read()


async def test_a_lost_bus_ends_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bus_address: str) -> None:
    short = Path(bus_address.removeprefix("unix:path=")).parent / "other"
    with EmbeddedBus(folder=short) as bus:
        monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", bus.address)
        async with sims(tmp_path) as process:
            await process.told()
            bus.stop()
            assert await process.ended() == 1
            assert process.process.stderr is not None
            assert b"the D-Bus connection was lost" in await process.process.stderr.read()
