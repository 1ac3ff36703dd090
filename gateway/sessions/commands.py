"""The words between a session (pure) and its driver (`gateway.collector`).

The driver answers each command with its reply, or throws `LinkError` into the session where the link or the meter refuses.
"""

from collections.abc import Callable, Generator
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Literal, TypeVar

from gateway.timing import Evidence
from vitals.gatt.link import Disconnected, LinkError, Notified
from vitals.reading import Measurement


@dataclass(frozen=True, slots=True, kw_only=True)
class MeterRecord:
    """A decoded record with the bytes it came in; everything that a reading needs and that only the meter knows.

    `meter_time` is the meter's own time as sent (identity, never corrected); `evidence` is for placing it. `lasting` are the
    bytes that are the same each time the record is sent, where those of `raw` are not. `is_just_taken`: its meter's clock began
    anew since the last session, and this is of just now: one that was kept long ago under the same name is another.
    """

    characteristic: str
    raw: bytes
    measurement: Measurement
    evidence: Evidence
    context_raw: bytes | None = None
    user_slot: int | None = None
    sequence: int | None = None
    meter_time: str | None = None
    lasting: bytes | None = None
    is_just_taken: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """Answered by `Value`."""

    characteristic: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Write:
    """With response; answered by `Done`."""

    characteristic: str
    value: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscribe:
    """Notifications or indications, whichever there are; answered by `Done`."""

    characteristic: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What time is it? Answered by `Done`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """The next thing that the meter does; answered by `Heard`."""

    timeout_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Keep:
    """Make the record durable in the outbox, then answer `Kept`. A `provisional` one is durable, too, but not yet sent: the same
    record follows as `final`, with better evidence of its time, or the driver goes on without after a moment."""

    record: MeterRecord
    standing: Literal["provisional", "final"] = "final"


@dataclass(frozen=True, slots=True, kw_only=True)
class LookUp:
    """Would it be new? Answered by `Kept`, and nothing is kept."""

    record: MeterRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class SetAside:
    """Keep a frame that is no record, with the reason; answered by `Done`."""

    characteristic: str
    raw: bytes
    reason: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """What was read, and when it came."""

    value: bytes
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """It is done, at this instant."""

    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """What the meter did, and when; `event` is None when the time passed in silence."""

    event: Notified | Disconnected | None
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """`is_new` is False if the same record had been kept before. After `Keep` it is durable now."""

    is_new: bool


Command = Read | Write | Subscribe | Look | Wait | Keep | LookUp | SetAside
Reply = Value | Done | Heard | Kept

T = TypeVar("T")
Script = Generator[Command, Reply, T]
"""A session or a part of one, with what it returns."""


def read(characteristic: str) -> Script[Value]:
    reply = yield Read(characteristic=characteristic)
    assert isinstance(reply, Value), reply
    return reply


def write(characteristic: str, value: bytes) -> Script[Done]:
    reply = yield Write(characteristic=characteristic, value=value)
    assert isinstance(reply, Done), reply
    return reply


def subscribe(characteristic: str) -> Script[Done]:
    reply = yield Subscribe(characteristic=characteristic)
    assert isinstance(reply, Done), reply
    return reply


def look() -> Script[Done]:
    reply = yield Look()
    assert isinstance(reply, Done), reply
    return reply


def wait(timeout_s: float) -> Script[Heard]:
    reply = yield Wait(timeout_s=timeout_s)
    assert isinstance(reply, Heard), reply
    return reply


def keep(record: MeterRecord, standing: Literal["provisional", "final"] = "final") -> Script[Kept]:
    reply = yield Keep(record=record, standing=standing)
    assert isinstance(reply, Kept), reply
    return reply


def look_up(record: MeterRecord) -> Script[Kept]:
    reply = yield LookUp(record=record)
    assert isinstance(reply, Kept), reply
    return reply


def set_aside(characteristic: str, raw: bytes, reason: str, detail: str) -> Script[Done]:
    reply = yield SetAside(characteristic=characteristic, raw=raw, reason=reason, detail=detail)
    assert isinstance(reply, Done), reply
    return reply


def relayed(script: Script[T], do: Callable[[Command], Script[Reply]]) -> Script[T]:
    """The same script, each of its commands carried out by `do`, which may yield others, and gives the reply."""
    step: Callable[[], Command] = partial(next, script)
    while True:
        try:
            command = step()
        except StopIteration as end:
            result: T = end.value
            return result
        try:
            reply = yield from do(command)
        except LinkError as e:
            step = partial(script.throw, e)
        else:
            step = partial(script.send, reply)
