"""The simulated meters as a process of their own on a private bus: told what to measure, heard when they have sent it.

Their clock is this machine's, whatever the clock of a gateway says; so what is told to be measured is known to have been.
"""

import json
import subprocess
import sys
import threading
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Self
from zoneinfo import ZoneInfo

from faults.world import World, plain_environment
from homevigil.embedded import child
from homevigil.embedded.bus import EmbeddedBus


class SimulatedMeters:
    """`with SimulatedMeters(world, meters) as sims`. `meters` as in a meters file; all hang on walls in `zone`."""

    def __init__(self, world: World, meters: Sequence[dict[str, Any]], *, zone: str) -> None:
        self._world, self._meters, self._zone = world, [each | {"zone": zone} for each in meters], ZoneInfo(zone)
        self._bus = EmbeddedBus(folder=world.trial.folder / "bus")
        self._news: list[dict[str, Any]] = []

    def __enter__(self) -> Self:
        self._bus.start()
        self._world.on_exit(self._bus.stop)
        file: Path = self._world.trial.folder / "meters.json"
        file.write_text(json.dumps({"meters": self._meters}))
        command = [sys.executable, "-m", "firmware_sims", "run", "--meters", file]
        with (self._world.trial.folder / "meters.log").open("ab") as log:
            self._process = child.start(
                command,
                log=log,
                env=plain_environment() | self.environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
            )
        self._world.on_exit(lambda: child.stop(self._process))
        threading.Thread(target=self._listen, name="meters", daemon=True).start()
        self._world.until(lambda: self.count("ready") > 0, within_s=30, what="the meters are on the air")
        return self

    def __exit__(self, *_: object) -> None:
        """They end with the world."""

    @property
    def environment(self) -> dict[str, str]:
        """What a gateway needs to hear them."""
        return {"DBUS_SYSTEM_BUS_ADDRESS": self._bus.address}

    def measure(self, meter: str, at: datetime, **values: float) -> None:
        """`at` is aware; the wall shows it in the meter's zone."""
        wall = at.astimezone(self._zone).replace(tzinfo=None, microsecond=0)
        line = json.dumps({"do": "measure", "meter": meter, "at": wall.isoformat(), **values})
        pipe = self._process.stdin
        assert pipe is not None
        pipe.write(line.encode() + b"\n")
        pipe.flush()

    def count(self, event: str) -> int:
        """How often `event` was told: `ready`, `indicated`, `confirmed`, `error`."""
        return sum(each["event"] == event for each in list(self._news))

    def _listen(self) -> None:
        pipe = self._process.stdout
        assert pipe is not None
        for line in pipe:
            self._news.append(json.loads(line))
