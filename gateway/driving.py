"""Runs a session (pure) over a link, and takes in what sources hand over: the hands that do what `gateway.sessions` asks for."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from gateway.clock import Timeline
from gateway.keeping import OURS, Keeper, Tally
from gateway.sessions.commands import (
    Command,
    Done,
    Heard,
    Keep,
    Kept,
    Look,
    LookUp,
    MeterRecord,
    Read,
    Reply,
    Script,
    SetAside,
    Subscribe,
    Value,
    Wait,
    Write,
)
from vitals.errors import MalformedError
from vitals.gatt.link import Link, LinkError


async def drive(script: Script[None], do: Callable[[Command], Awaitable[Reply]]) -> None:
    """Run a session: each command is done, its reply sent back, a `LinkError` thrown in."""
    step: Callable[[], Command] = partial(next, script)
    while True:
        try:
            command = step()
        except StopIteration:
            return
        try:
            reply = await do(command)
        except LinkError as e:
            step = partial(script.throw, e)
        else:
            step = partial(script.send, reply)


@dataclass(frozen=True, slots=True)
class Hands:
    """Does a session's commands for one meter."""

    meter_id: str
    keeper: Keeper
    tally: Tally
    timeline: Timeline
    decoder: str = OURS
    adapter: str | None = None

    async def do(self, link: Link, command: Command) -> Reply:
        match command:
            case Read(characteristic=characteristic):
                value = await link.read(characteristic)
                return Value(value=value, at=self._now())
            case Write(characteristic=characteristic, value=value):
                await link.write(characteristic, value)
            case Subscribe(characteristic=characteristic):
                await link.subscribe(characteristic)
            case Wait(timeout_s=timeout_s):
                event = await link.event(timeout_s)
                return Heard(event=event, at=self._now())
            case Keep(record=record, standing=standing):
                return Kept(is_new=await self._keep(record, is_provisional=standing == "provisional"))
            case LookUp(record=record):
                return Kept(is_new=not await self.keeper.knows(self.meter_id, record))
            case SetAside():
                await self.keeper.set_aside(self.meter_id, command, self.tally)
            case Look():
                pass
        return Done(at=self._now())

    async def _keep(self, record: MeterRecord, *, is_provisional: bool) -> bool:
        try:
            return await self.keeper.keep(
                self.meter_id,
                record,
                self.timeline,
                self.tally,
                decoder=self.decoder,
                is_provisional=is_provisional,
            )
        except MalformedError as e:
            await self.keeper.set_aside(self.meter_id, _malformed(record, e), self.tally)
            raise LinkError(f"{self.adapter or 'the session'} made a record that is none: {e.reason}") from e

    def _now(self) -> datetime:
        return self.timeline.now()


@dataclass(frozen=True, slots=True)
class SourceDesk:
    """Where a source hands in its records (`gateway.adapters.Desk`); `tally` is of all that it has brought."""

    keeper: Keeper
    decoder: str
    tally: Tally

    def now(self) -> datetime:
        return self.keeper.clock.now()

    async def keep(self, meter_id: str, record: MeterRecord) -> bool:
        timeline = self.keeper.timeline()
        try:
            return await self.keeper.keep(meter_id, record, timeline, self.tally, decoder=self.decoder)
        except MalformedError as e:
            await self.keeper.set_aside(meter_id, _malformed(record, e), self.tally)
            raise

    async def set_aside(self, meter_id: str, characteristic: str, raw: bytes, reason: str, detail: str) -> None:
        frame = SetAside(characteristic=characteristic, raw=raw, reason=reason, detail=detail)
        await self.keeper.set_aside(meter_id, frame, self.tally)


def _malformed(record: MeterRecord, e: MalformedError) -> SetAside:
    """A record of an adapter's that is no reading, as a frame to be set aside."""
    return SetAside(characteristic=record.characteristic[:64], raw=record.raw, reason=e.reason, detail=e.message)
