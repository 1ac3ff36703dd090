"""What a gateway does to its outbox in a crash trial, step by step, and what each step promises once it has returned.

`promised` is a model of the outbox that shares no line with it: after a step, exactly these items, each with exactly this
content. The steps themselves are done by `faults.crash.gateway`, in a process of its own.
"""

import functools
import json
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec
from msgspec import Struct
from unit.gateway.samples import METER, NOW, reading

from gateway.outbox import KEPT_AFTER_RECEIPT
from gateway.sessions.clock_memory import ClockMemory
from vitals.envelope import encode_reading
from vitals.reading import Reading, TimeQuality


class Open(Struct, frozen=True, tag=True):
    """The gateway starts."""


class Close(Struct, frozen=True, tag=True):
    """The gateway ends as it should."""


class Keep(Struct, frozen=True, tag=True):
    """The `nth` reading comes in; `is_held`: while the clock cannot be believed."""

    nth: int
    is_held: bool = False


class Receive(Struct, frozen=True, tag=True):
    """A receipt comes in."""

    upto: int
    extra: tuple[int, ...] = ()
    rejected: tuple[int, ...] = ()
    missing: tuple[tuple[int, int], ...] = ()


class Settle(Struct, frozen=True, tag=True):
    """The clock is believed again: the first held reading gets its time."""


class Refuse(Struct, frozen=True, tag=True):
    """A reading that no message can carry is never sent."""

    seq: int


class SetAside(Struct, frozen=True, tag=True):
    """A frame that is no reading."""

    nth: int


class Remember(Struct, frozen=True, tag=True):
    """What is known of a meter."""

    highest_sequence: int


class Adjust(Struct, frozen=True, tag=True):
    """A setting comes in."""

    value: str


class Purge(Struct, frozen=True, tag=True):
    """The daily upkeep, `days` later."""

    days: int


Step = Open | Close | Keep | Receive | Settle | Refuse | SetAside | Remember | Adjust | Purge

REJECTED_FOR: Final = "range"
REFUSED_FOR: Final = "oversize"
SETTING: Final = "poll_s"

Items = dict[tuple[Any, ...], tuple[Any, ...]]
"""What is in an outbox. `("reading", seq)` is `(reading_id, body, is_held, is_answered, rejected_reason)`."""


def raw_frame(nth: int) -> bytes:
    return f"no frame {nth}".encode()


def settled(held: Reading) -> Reading:
    """A held reading with its time corrected."""
    return msgspec.structs.replace(
        held, measured_at=held.measured_at - timedelta(hours=1), time_quality=TimeQuality.SUSPECT
    )


class Promises:
    """The model: what is promised after each step. A step that was refused (a full disk) promises that nothing has changed."""

    def __init__(self, at_first: Items | None = None) -> None:
        self._items: Items = dict(at_first or {})
        self._answered_at: dict[int, datetime] = {}
        self.now = NOW

    @property
    def items(self) -> Items:
        return dict(self._items)

    def after(self, step: Step) -> Items:
        """What is promised once `step` has returned."""
        match step:
            case Keep(nth, is_held):
                self._keep(nth, is_held)
            case Receive():
                self._receive(step)
            case Settle():
                self._settle()
            case Refuse(seq):
                self._refuse(seq)
            case SetAside(nth):
                key = ("quarantine", raw_frame(nth))
                self._items[key] = (self._items.get(key, (0,))[0] + 1,)
            case Remember(highest):
                self._items["meter", METER] = (highest, json.dumps({"model": "HV-GL1"}), None)
                self._items["setting", f"clock of {METER}"] = (msgspec.json.encode(ClockMemory()).decode(),)
            case Adjust(value):
                self._items["setting", SETTING] = (value,)
            case Purge(days):
                self._purge(days)
        return self.items

    def seqs(self) -> list[int]:
        return sorted(key[1] for key in self._items if key[0] == "reading")

    def _keep(self, nth: int, is_held: bool) -> None:
        one = reading(nth)
        if all(row[0] != one.reading_id.bytes for key, row in self._items.items() if key[0] == "reading"):
            row = (one.reading_id.bytes, encode_reading(one), is_held, False, None)
            self._items["reading", len(self.seqs()) + 1] = row

    def _receive(self, step: Receive) -> None:
        named = (step.upto, *step.extra, *step.rejected, *(last for _, last in step.missing))
        if max(named) > len(self.seqs()):
            return
        lost = {seq for first, last in step.missing for seq in range(first, last + 1)}
        for seq in self.seqs():
            reading_id, body, is_held, is_answered, rejected = self._items["reading", seq]
            if seq in lost:
                if is_answered and body is not None:
                    self._items["reading", seq] = (reading_id, body, False, False, None)
            elif is_answered and not rejected and seq in step.rejected:  # a watermark has overtaken the refusal
                self._items["reading", seq] = (reading_id, body, False, True, REJECTED_FOR)
            elif is_held or is_answered or rejected:
                continue
            elif seq in step.rejected or seq in step.extra or seq <= step.upto:
                reason = REJECTED_FOR if seq in step.rejected else None
                self._items["reading", seq] = (reading_id, body, False, True, reason)
                self._answered_at[seq] = self.now

    def _refuse(self, seq: int) -> None:
        row = self._items.get(("reading", seq))
        if row is not None and not any(row[2:]):
            self._items["reading", seq] = (*row[:4], REFUSED_FOR)

    def _settle(self) -> None:
        held = [seq for seq in self.seqs() if self._items["reading", seq][2]]
        if held:
            reading_id, *_ = self._items["reading", held[0]]
            body = encode_reading(settled(reading(_numbers()[reading_id])))
            self._items["reading", held[0]] = (reading_id, body, False, False, None)

    def _purge(self, days: int) -> None:
        self.now += timedelta(days=days)
        for seq, at in self._answered_at.items():
            row = self._items["reading", seq]
            if row[3] and row[4] is None and at < self.now - KEPT_AFTER_RECEIPT:
                self._items["reading", seq] = (row[0], None, *row[2:])


NUMBERED: Final = 2_000
"""More readings than any trial keeps."""


@functools.cache
def _numbers() -> dict[bytes, int]:
    return {reading(nth).reading_id.bytes: nth for nth in range(NUMBERED)}
