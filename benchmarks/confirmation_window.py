"""What a gateway that dies in the middle of a cuff's burst costs: how many confirmed records never reached the outbox.

BlueZ confirms an indication to the cuff before any program has seen it, and a cuff forgets what was confirmed. So a record
that is on its way between BlueZ and the outbox at the instant of death is gone, and no software above BlueZ can change that.
Here a simulated cuff with a memory full of records hands them to the unmodified gateway over D-Bus; the gateway is killed at
a random moment of the burst and started again, many times. Counted are the frames for which the cuff has its confirmation
and which no outbox holds.

    python -m benchmarks.confirmation_window [--kills 100] [--records 8] [--seed 1]
"""

import argparse
import json
import os
import platform
import queue
import random
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from datetime import datetime, timedelta
from pathlib import Path
from typing import IO, Any, Final

from rich.console import Console
from rich.progress import track
from rich.table import Table

from homevigil.embedded import bus, child
from homevigil.embedded.postgres import temporary_folder
from vitals.envelope import decode_stored_reading

CUFF: Final = {"name": "cuff", "kind": "blood_pressure", "index": 1, "zone": "Asia/Shanghai"}
FIRST_AT: Final = datetime(2026, 5, 4, 7, 0)  # noqa: DTZ001 - what a meter shows has no zone
WITHIN_S: Final = 60.0
GATEWAY: Final = {"ID": "gw-1", "ZONE": "Asia/Shanghai", "MQTT_PORT": "1"}
"""No broker: whatever is kept stays in the outbox, where it is looked for."""


class Cuff:
    """The simulated cuff's process: told what to remember, heard when it has sent and when it was confirmed."""

    def __init__(self, folder: Path, env: Mapping[str, str], log: IO[bytes]) -> None:
        file = folder / "meters.json"
        file.write_text(json.dumps({"meters": [CUFF]}))
        command = [sys.executable, "-m", "firmware_sims", "run", "--meters", str(file)]
        self._process = child.start(command, log=log, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self._heard: queue.Queue[dict[str, Any]] = queue.Queue()
        self.confirmed: list[str] = []
        threading.Thread(target=self._listen, daemon=True).start()
        self.wait_for("ready")

    def remember(self, at: datetime, systolic_mmhg: int) -> None:
        said = {"do": "measure", "meter": "cuff", "systolic_mmhg": systolic_mmhg, "diastolic_mmhg": 80, "pulse_bpm": 70}
        pipe = self._process.stdin
        assert pipe is not None
        pipe.write(json.dumps({**said, "at": at.isoformat()}).encode() + b"\n")
        pipe.flush()

    def wait_for(self, event: str) -> None:
        while self._heard.get(timeout=WITHIN_S)["event"] != event:
            pass

    def forget_what_was_heard(self) -> None:
        while not self._heard.empty():
            self._heard.get()

    def stop(self) -> None:
        child.stop(self._process)

    def _listen(self) -> None:
        pipe = self._process.stdout
        assert pipe is not None
        for line in pipe:
            event = json.loads(line)
            if event["event"] == "confirmed":
                self.confirmed.append(event["raw"])
            self._heard.put(event)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table and the JSON line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--records", type=int, default=8, help="in the cuff's memory at each burst")
    parser.add_argument("--seed", type=int, default=1)
    wish = parser.parse_args(arguments)
    folder = temporary_folder()
    try:
        confirmed, lost_by_kill = _measure(folder, wish.kills, wish.records, random.Random(wish.seed))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    _report(confirmed, lost_by_kill, wish)
    return 0


def _measure(folder: Path, kills: int, records: int, rng: random.Random) -> tuple[int, list[int]]:
    """How many frames were confirmed in all, and how many of them each kill has cost."""
    outbox = folder / "outbox.sqlite3"
    with ExitStack() as stack:
        log = stack.enter_context((folder / "log").open("ab"))
        on_bus = {**os.environ, "DBUS_SYSTEM_BUS_ADDRESS": stack.enter_context(bus.EmbeddedBus(folder=folder)).address}
        cuff = Cuff(folder, on_bus, log)
        stack.callback(cuff.stop)
        settings = {f"HOMEVIGIL_GATEWAY_{key}": value for key, value in {**GATEWAY, "OUTBOX": str(outbox)}.items()}
        command = [sys.executable, "-m", "gateway", "run"]
        lost_by_kill, at = [], FIRST_AT
        burst_s = 0.25
        for kill in track(range(kills), "killing", console=Console(stderr=True)):
            for _ in range(records):
                at += timedelta(minutes=7)
                cuff.remember(at, rng.randint(110, 170))
            cuff.forget_what_was_heard()
            gateway = child.start(command, log=log, env=on_bus | settings)
            cuff.wait_for("indicated")
            time.sleep(rng.uniform(0, burst_s))
            gateway.kill()
            gateway.wait()
            before = sum(lost_by_kill)
            lost_by_kill.append(len(set(cuff.confirmed) - _kept(outbox)) - before)
            if kill % 10 == 9:
                _empty(cuff, outbox, child.start(command, log=log, env=on_bus | settings), at)
    return len(set(cuff.confirmed)), lost_by_kill


def _empty(cuff: Cuff, outbox: Path, gateway: "subprocess.Popen[bytes]", newest: datetime) -> None:
    """Let the cuff hand over all that it still has, so that its memory stays short."""
    deadline = time.monotonic() + WITHIN_S
    while time.monotonic() < deadline:
        with closing(sqlite3.connect(f"file:{outbox}?mode=ro", uri=True)) as db:
            bodies = [row[0] for row in db.execute("select body from reading order by seq desc limit 50")]
        if any(decode_stored_reading(body).meter_time == newest.isoformat() for body in bodies):
            break
        time.sleep(0.1)
    child.stop(gateway)


def _kept(outbox: Path) -> set[str]:
    with closing(sqlite3.connect(f"file:{outbox}?mode=ro", uri=True)) as db:
        return {decode_stored_reading(row[0]).raw.hex() for row in db.execute("select body from reading")}


def _report(confirmed: int, lost_by_kill: list[int], wish: argparse.Namespace) -> None:
    lost, kills = sum(lost_by_kill), len(lost_by_kill)
    table = Table(title=f"{kills} kills in the middle of a cuff's burst of {wish.records} records")
    table.add_column("confirmed records lost by a kill", justify="right")
    table.add_column("kills", justify="right")
    for number, times in sorted(Counter(lost_by_kill).items()):
        table.add_row(str(number), str(times))
    Console().print(table)
    said = {
        "benchmark": "confirmation_window",
        "kills": kills,
        "records_in_burst": wish.records,
        "confirmed": confirmed,
        "lost": lost,
        "lost_per_kill": round(lost / kills, 3),
        "most_lost_by_a_kill": max(lost_by_kill),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
    }
    print(json.dumps(said))


if __name__ == "__main__":
    raise SystemExit(main())
