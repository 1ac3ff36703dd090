"""A meter played by what it sends: no radio, and no firmware of ours. For sessions with one frame more or less."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from unit.gateway.samples import NOW, SHANGHAI

from gateway.sessions.commands import (
    Done,
    Heard,
    Keep,
    Kept,
    LookUp,
    MeterRecord,
    Read,
    SetAside,
    Subscribe,
    Value,
    Wait,
    Write,
)
from gateway.sessions.conversation import Findings, Known, converse
from vitals.gatt.link import Disconnected, LinkError, Notified
from vitals.gatt.record_access import OpCode

COUNT = bytes((OpCode.REPORT_NUMBER_OF_STORED_RECORDS,))
COUNTS_NOT = ("2a52", "06000402")
"""A meter that cannot count its records: what it is asked beside that is what a test is about."""


@dataclass
class Told:
    """Answers a session: `says` is what the meter sends, in order, each once the session waits, None is a silence; a write may
    add to it, or be refused with the next code of its `refusals`. `slow_s` is what it takes its time for. `takes_writes`: what
    is written is read back."""

    values: dict[str, str] = field(default_factory=dict)
    says: list[tuple[str, str] | Disconnected | None] = field(default_factory=list)
    answers: dict[str, list[tuple[str, str]]] = field(default_factory=dict)
    refusals: dict[str, list[int]] = field(default_factory=dict)
    kept: list[MeterRecord] = field(default_factory=list)
    set_aside: list[SetAside] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    now: datetime = NOW
    slow_s: float = 0.0
    takes_writes: bool = False
    _provisional: dict[tuple[bytes, datetime], int] = field(default_factory=dict)

    def session(self, *characteristics: str, **known_besides: Any) -> Findings:
        findings = Findings()
        known = Known(
            characteristics=frozenset((*characteristics, *self.values)),
            zone=SHANGHAI,
            about={"model": "x"},
            **known_besides,
        )
        self.play(converse(known, findings))
        return findings

    def play(self, script: Any) -> None:
        step: Callable[[], Any] = lambda: next(script)  # noqa: E731
        while True:
            try:
                command = step()
            except StopIteration:
                return
            self.now += timedelta(milliseconds=20)
            reply = self._answer(command)
            if isinstance(reply, LinkError):
                step = lambda reply=reply: script.throw(reply)  # noqa: E731
            else:
                step = lambda reply=reply: script.send(reply)  # noqa: E731

    def _answer(self, command: Any) -> Any:
        match command:
            case Keep(record=record, standing=standing):
                at = self._provisional.pop((record.raw, record.evidence.received_at), None)
                if at is None:
                    self.kept.append(record)
                    if standing == "provisional":
                        self._provisional[record.raw, record.evidence.received_at] = len(self.kept) - 1
                else:
                    self.kept[at] = record
                return Kept(is_new=at is None)
            case LookUp(record=record):
                return Kept(is_new=record.raw not in [each.raw for each in self.kept])
            case SetAside():
                self.set_aside.append(command)
            case Wait(timeout_s=timeout_s):
                return self._hear(timeout_s)
            case Read(characteristic=characteristic):
                self.asked.append(f"read {characteristic}")
                value = self.values[characteristic]
                return LinkError("refused", 3) if value == "refused" else Value(value=bytes.fromhex(value), at=self.now)
            case Subscribe(characteristic=characteristic):
                self.asked.append(f"subscribe {characteristic}")
            case Write(characteristic=characteristic, value=value):
                self.asked.append(f"write {characteristic} {value.hex()}")
                if self.refusals.get(value.hex()):
                    return LinkError("refused", self.refusals[value.hex()].pop(0))
                self.says += self.answers.get(value.hex(), [COUNTS_NOT] if value[:1] == COUNT else [])
                if self.takes_writes:
                    self.values[characteristic] = value.hex()
        return Done(at=self.now)

    def _hear(self, timeout_s: float) -> Heard:
        if not self.says or self.slow_s > timeout_s:
            self.now += timedelta(seconds=timeout_s)
            return Heard(event=None, at=self.now)
        self.now += timedelta(seconds=self.slow_s)
        said = self.says.pop(0)
        if said is None:
            self.now += timedelta(seconds=timeout_s)
            return Heard(event=None, at=self.now)
        if isinstance(said, Disconnected):
            return Heard(event=said, at=self.now)
        return Heard(event=Notified(characteristic=said[0], value=bytes.fromhex(said[1])), at=self.now)
