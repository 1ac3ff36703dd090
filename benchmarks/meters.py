"""How fast meters are read over Bluetooth: a ward of them at once, and one as soon as it is heard.

Half of the `--meters` are cuffs with one record each that hang up when it is taken, half glucometers; all pair first. They are
real peripherals (Bumble) on a virtual air behind the org.bluez bridge, in a process of their own; in this one is the gateway:
unmodified bleak, pairing agent, collector, outbox. Then `--single` times one cuff more, bonded by then, measures and
advertises; counted is the time from its first advertisement to a reading that is durable. Nothing of a radio is in these
figures; the meters' own processor time is told, because on two cores it is what a ward waits for.

    python -m benchmarks.meters [--meters 100] [--workers 8] [--single 20]
"""

import argparse
import asyncio
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

import structlog
from rich.console import Console
from rich.table import Table

from gateway.bleak_radio import BleakRadio
from gateway.clock import Clock
from gateway.collector import Collector
from gateway.outbox import Outbox
from gateway.pairing_agent import PairingAgent
from homevigil.embedded import bus
from homevigil.embedded.postgres import temporary_folder

WARD_S: Final = 12.0
"""All meters of a ward of a hundred."""
SINGLE_S: Final = 0.5
"""From the advertisement to the outbox, at the median."""
ZONE: Final = ZoneInfo("Asia/Shanghai")
LAST: Final = 0xFFFF
"""The index of the cuff that measures again and again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """Seconds; `failed` sessions of all."""

    meters: int
    workers: int
    ward_s: float
    failed: int
    bonds_removed: int
    single_s: tuple[float, ...]
    cpu_s: float
    air_cpu_s: float


class Ward:
    """The meters' process: JSON lines in and out."""

    def __init__(self, folder: Path, meters: Sequence[dict[str, Any]]) -> None:
        file = folder / "meters.json"
        file.write_text(json.dumps({"meters": meters}))
        command = [sys.executable, "-m", "firmware_sims", "run", "--meters", str(file), "--disconnect-delay-s", "0"]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        assert self._process.stdout is not None
        self._process.stdout.readline()  # they are on the air

    def measure(self, *orders: dict[str, Any]) -> None:
        assert self._process.stdin is not None
        self._process.stdin.writelines(json.dumps({"do": "measure", **order}) + "\n" for order in orders)
        self._process.stdin.flush()

    async def drain(self) -> None:
        """What they say is of no interest, but must be read."""
        assert self._process.stdout is not None
        while await asyncio.to_thread(self._process.stdout.readline):
            pass

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait()

    def close(self) -> None:
        """After the last line was read."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table and the JSON line; 1 when a target was missed or a session failed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--meters", type=int, default=100)
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument("--single", type=int, default=20)
    wish = parser.parse_args(arguments)
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(file=sys.stderr))
    folder = temporary_folder()
    try:
        with bus.EmbeddedBus(folder=folder / "bus") as private:
            os.environ["DBUS_SYSTEM_BUS_ADDRESS"] = private.address
            found = asyncio.run(_measure(folder, meters=wish.meters, workers=wish.workers, single=wish.single))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return _report(found)


def _meters(count: int) -> list[dict[str, Any]]:
    cuffs = [{"kind": "blood_pressure", "index": n, "faults": {"hangs_up": True}} for n in range(count // 2)]
    glucometers = [{"kind": "glucose", "index": n} for n in range(count - count // 2)]
    again = {"kind": "blood_pressure", "index": LAST, "faults": {"hangs_up": True}}
    return [
        {"name": f"{meter['kind']}-{meter['index']}", "advertising_interval_ms": 100, **meter}
        for meter in (*cuffs, *glucometers, again)
    ]


def _order(meter: dict[str, Any]) -> dict[str, Any]:
    value = {"glucose_mg_dl": 104.0} if meter["kind"] == "glucose" else {"systolic_mmhg": 131, "diastolic_mmhg": 84}
    return {"meter": meter["name"], **value}


async def _measure(folder: Path, *, meters: int, workers: int, single: int) -> Found:
    on_air = _meters(meters)
    before_s = _children_s()
    ward = await asyncio.to_thread(Ward, folder, on_air)
    draining = asyncio.create_task(ward.drain())
    try:
        async with _gateway(folder, workers=workers) as (collector, radio, outbox, kept):
            cpu_s = time.process_time()
            began_s = time.monotonic()
            ward.measure(*map(_order, on_air[:-1]))
            await _until(lambda: outbox.counts().kept == meters, kept)
            ward_s = time.monotonic() - began_s
            cpu_s = time.process_time() - cpu_s
            singles = [await _single(ward, on_air[-1], outbox, kept, collector) for _ in range(single + 1)][1:]
            failed, removed = collector.totals.failed_sessions, radio.bonds.removed
    finally:
        ward.stop()
        await draining
        ward.close()
    return Found(
        meters=meters,
        workers=workers,
        ward_s=ward_s,
        failed=failed,
        bonds_removed=removed,
        single_s=tuple(singles),
        cpu_s=cpu_s,
        air_cpu_s=_children_s() - before_s,
    )


async def _single(
    ward: Ward, meter: dict[str, Any], outbox: Outbox, kept: asyncio.Event, collector: Collector
) -> float:
    """One measurement more; the first of them pairs and is not counted."""
    before, sessions = outbox.counts().kept, collector.totals.sessions
    await asyncio.sleep(2.2)  # a meter that has just been left is not heard for a moment, nor read again at once
    began_s = time.monotonic()
    ward.measure(_order(meter))
    await _until(lambda: outbox.counts().kept > before, kept)
    taken_s = time.monotonic() - began_s
    async with asyncio.timeout(30):
        while collector.totals.sessions == sessions:  # noqa: ASYNC110  # the collector tells nobody
            await asyncio.sleep(0.02)
    return taken_s


@asynccontextmanager
async def _gateway(folder: Path, *, workers: int) -> AsyncIterator[tuple[Collector, BleakRadio, Outbox, asyncio.Event]]:
    kept = asyncio.Event()
    clock = Clock()
    agent = PairingAgent(folder=folder)
    radio = BleakRadio(agent=agent)
    agent.on_bluez_restart = radio.stack_restarted
    with Outbox(folder / "outbox.sqlite3", now=clock.now()) as outbox:
        collector = Collector(
            radio=radio,
            outbox=outbox,
            gateway_id="gw-bench",
            zone=lambda: ZONE,
            clock=clock,
            on_kept=kept.set,
            workers=workers,
        )
        tasks = [asyncio.create_task(work) for work in (collector.run(), agent.run(), radio.care.run())]
        try:
            async with asyncio.timeout(30):
                while not (collector.totals.is_scanning and agent.registrations):  # noqa: ASYNC110  # nor does the agent
                    await asyncio.sleep(0.01)
            yield collector, radio, outbox, kept
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def _until(is_so: Callable[[], bool], kept: asyncio.Event) -> None:
    async with asyncio.timeout(120):
        while not is_so():
            kept.clear()
            await kept.wait()


def _children_s() -> float:
    """Processor time of the processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _report(found: Found) -> int:
    median_s, slowest_s = statistics.median(found.single_s), max(found.single_s)
    table = Table(title=f"{found.meters} meters, {found.workers} links at a time")
    for column in ("what", "found", "target"):
        table.add_column(column)
    table.add_row("all read and kept", f"{found.ward_s:.1f} s", f"{WARD_S:.0f} s for 100")
    table.add_row("sessions that failed", str(found.failed), "0")
    table.add_row(
        "one, from its advertisement to kept: median", f"{median_s * 1000:.0f} ms", f"{SINGLE_S * 1000:.0f} ms"
    )
    table.add_row("the slowest", f"{slowest_s * 1000:.0f} ms", "")
    table.add_row("processor: the gateway for the ward", f"{found.cpu_s:.1f} s", "")
    table.add_row("the meters and the bridge, for all of it", f"{found.air_cpu_s:.1f} s", "")
    Console().print(table)
    line = {
        "benchmark": "meters",
        "meters": found.meters,
        "workers": found.workers,
        "ward_s": round(found.ward_s, 2),
        "failed": found.failed,
        "bonds_removed": found.bonds_removed,
        "single_ms": [round(s * 1000) for s in sorted(found.single_s)],
        "cpu_s": round(found.cpu_s, 2),
        "air_cpu_s": round(found.air_cpu_s, 2),
    }
    print(json.dumps(line))
    is_met = found.ward_s <= WARD_S and found.failed == 0 and median_s <= SINGLE_S
    return 0 if is_met else 1


if __name__ == "__main__":
    sys.exit(main())
