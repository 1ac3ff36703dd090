"""The simulated meters as a process of their own: told over stdin what to measure, heard over stdout.

Knows the sims' JSON lines and nothing of Bluetooth.
"""

import json
import queue
import subprocess
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import msgspec

from firmware_sims.measure import Measure
from homevigil.embedded import child
from vitals.errors import UnavailableError

READY_WITHIN_S: Final = 30.0
INDICATED_WITHIN_S: Final = 30.0
"""From the press of the button to the frame on the air: the gateway must hear the meter, connect, bond and subscribe."""

MEASUREMENT_CHARACTERISTICS: Final = ("2a35", "2a18")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Indicated:
    """A measurement's frame went out on the air at `at`."""

    meter: str
    meter_id: str
    characteristic: str
    raw: bytes
    at: datetime


@dataclass(slots=True, kw_only=True)
class Meters:
    """The process that plays the meters of `file`. `command` is what to start; `log` takes its stderr."""

    command: list[str]
    env: Mapping[str, str]
    log: Path
    frames: set[tuple[str, str]] = field(default_factory=set, init=False)
    """(meter_id, raw) of every measurement that went out; one that is sent again is the same."""
    _process: "subprocess.Popen[bytes] | None" = field(default=None, init=False)
    _heard: "queue.Queue[dict[str, Any]]" = field(default_factory=queue.Queue, init=False)

    @property
    def process(self) -> "subprocess.Popen[bytes]":
        assert self._process is not None
        return self._process

    def start(self) -> None:
        """Start the process; it is of use after `wait_until_ready`."""
        with self.log.open("ab") as sink:
            self._process = child.start(
                self.command, log=sink, env=self.env, stdin=subprocess.PIPE, stdout=subprocess.PIPE
            )
        threading.Thread(target=self._listen, name="meters", daemon=True).start()

    def wait_until_ready(self) -> None:
        self._next("ready", READY_WITHIN_S)

    def measure(self, order: Measure) -> Indicated:
        """Make a meter measure now, and return when its frame goes out. Raises `UnavailableError`."""
        meter = order.meter
        self._say(order)
        deadline = time.monotonic() + INDICATED_WITHIN_S
        while True:
            event = self._next("indicated", deadline - time.monotonic(), about=meter)
            if event["meter"] == meter and event["characteristic"] in MEASUREMENT_CHARACTERISTICS:
                return Indicated(
                    meter=meter,
                    meter_id=event["meter_id"],
                    characteristic=event["characteristic"],
                    raw=bytes.fromhex(event["raw"]),
                    at=_EPOCH + timedelta(microseconds=event["at_ns"] / 1000),
                )

    def stop(self) -> None:
        if self._process is not None:
            child.stop(self._process)
            for pipe in (self._process.stdin, self._process.stdout):
                if pipe is not None:
                    pipe.close()
            self._process = None

    def _say(self, order: Measure) -> None:
        pipe = self.process.stdin
        assert pipe is not None
        try:
            pipe.write(msgspec.json.encode(order) + b"\n")
            pipe.flush()
        except OSError as e:
            raise UnavailableError(f"the simulated meters have ended:\n{child.tail(self.log)}") from e

    def _next(self, kind: str, within_s: float, about: str = "") -> dict[str, Any]:
        deadline = time.monotonic() + within_s
        while True:
            try:
                event = self._heard.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                raise UnavailableError(f"the meters said no {kind!r} {about} within {within_s:.0f} s") from None
            if event["event"] == "ended":
                raise UnavailableError(f"the simulated meters have ended:\n{child.tail(self.log)}")
            if event["event"] == "error":
                raise UnavailableError(f"the simulated meters: {event}")
            if event["event"] == kind:
                return event

    def _listen(self) -> None:
        pipe = self.process.stdout
        assert pipe is not None
        try:
            for line in pipe:
                event = json.loads(line)
                if event["event"] == "indicated" and event["characteristic"] in MEASUREMENT_CHARACTERISTICS:
                    self.frames.add((event["meter_id"], event["raw"]))
                self._heard.put(event)
        except ValueError:
            pass  # the pipe was closed under us: we are stopping
        self._heard.put({"event": "ended"})
