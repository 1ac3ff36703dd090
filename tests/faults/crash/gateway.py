"""`python -m faults.crash.gateway OUTBOX MARKS < STEPS`: a real outbox, and what is done to it step by step.

It says when each step begins and when it has returned. These marks are writes to a file of their own, so that
they stand in the kernel's order among the outbox's own writes.
"""

import os
import sys
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import msgspec
import structlog
from unit.gateway.samples import METER, NOW, evidence, reading

from faults.crash.steps import (
    REFUSED_FOR,
    REJECTED_FOR,
    SETTING,
    Adjust,
    Close,
    Keep,
    Open,
    Purge,
    Receive,
    Refuse,
    Remember,
    SetAside,
    Settle,
    Step,
    raw_frame,
    settled,
)
from gateway.errors import OutboxFullError
from gateway.outbox import Outbox
from gateway.outbox_rows import MeterMemory, Unbelieved
from vitals.envelope import Receipt, Rejection


class Said(msgspec.Struct, frozen=True):
    """A mark: the step of this number begins, or has returned, or was refused because the disk is full."""

    step: int
    what: str


STARTS = 5
BEGINS, RETURNED, REFUSED = "begins", "returned", "refused"


@dataclass(slots=True)
class Gateway:
    """One outbox, opened and closed as the steps say."""

    path: Path
    now: datetime = NOW
    outbox: Outbox | None = None

    def do(self, step: Step) -> None:
        if isinstance(step, Open):
            self.outbox = self._started()
            return
        assert self.outbox is not None
        match step:
            case Close():
                self.outbox.close()
            case Keep(nth, is_held):
                unbelieved = Unbelieved(boot_id="b", since_boot_s=1.0, evidence=evidence()) if is_held else None
                self.outbox.keep(reading(nth), unbelieved=unbelieved)
            case Receive():
                self.outbox.apply(self._receipt(step), now=self.now)
            case Refuse(seq):
                self.outbox.reject(seq, REFUSED_FOR)
            case Adjust(value):
                self.outbox.set_setting(SETTING, value)
            case _:
                self._keep_house(step)

    def _started(self) -> Outbox:
        """Started until it stands, as systemd does it: the disk of a trial is full for a few writes only."""
        for _ in range(STARTS):
            with suppress(OutboxFullError):
                return Outbox(self.path, now=self.now)
        raise AssertionError(f"not open after {STARTS} starts")

    def _keep_house(self, step: Step) -> None:
        assert self.outbox is not None
        match step:
            case Settle():
                for held in self.outbox.held(1):
                    self.outbox.settle(held.seq, settled(held.reading))
            case SetAside(nth):
                self.outbox.set_aside(
                    reason="frame_length",
                    detail="too short",
                    meter_id=METER,
                    characteristic="2a35",
                    raw=raw_frame(nth),
                    now=self.now,
                )
            case Remember(highest):
                memory = MeterMemory(meter_id=METER, highest_sequence=highest, about={"model": "HV-GL1"})
                self.outbox.remember(memory, now=self.now)
            case Purge(days):
                self.now += timedelta(days=days)
                self.outbox.purge(now=self.now)

    def _receipt(self, step: Receive) -> Receipt:
        assert self.outbox is not None
        rejected = tuple(Rejection(seq=seq, reason=REJECTED_FOR) for seq in step.rejected)
        return Receipt(
            epoch=self.outbox.epoch, upto=step.upto, extra=step.extra, rejected=rejected, missing=step.missing
        )


def main() -> None:
    outbox, marks = map(Path, sys.argv[1:])
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())
    steps = msgspec.json.decode(sys.stdin.buffer.read(), type=list[Step])
    gateway = Gateway(outbox)
    fd = os.open(marks, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def say(step: int, what: str) -> None:
        os.write(fd, msgspec.json.encode(Said(step, what)))

    for number, step in enumerate(steps):
        say(number, BEGINS)
        try:
            gateway.do(step)
        except OutboxFullError:
            say(number, REFUSED)
        else:
            say(number, RETURNED)
    os._exit(0)  # as a power cut would: what was not closed stays open


if __name__ == "__main__":
    main()
