"""Both ends joined in memory: the gateway's sessions against the simulated meters' firmware, no radio between."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from unit.gateway.samples import GATEWAY, METER, NOW, SHANGHAI

from firmware_sims.firmware import AttError, Firmware, HangUp, Indicate
from gateway.readings import to_reading
from gateway.sessions.clock_memory import ClockMemory
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
    SetAside,
    Subscribe,
    Value,
    Wait,
    Write,
)
from gateway.sessions.conversation import Findings, Known, converse
from gateway.sessions.shared_meter import NOBODY, Users
from vitals.gatt.link import Disconnected, LinkError, Notified


@dataclass
class Home:
    """A driver as plain as can be: one meter, one outbox that is a dict, a clock that ticks with each command."""

    meter: Firmware
    kept: list[MeterRecord] = field(default_factory=list)
    set_aside: list[SetAside] = field(default_factory=list)
    commands: list[Command] = field(default_factory=list)
    now: datetime = NOW
    loses_link_before: Callable[[Command], bool] = lambda _: False
    provisional: set[int] = field(default_factory=set)
    findings: Findings = field(default_factory=Findings)
    _said: list[Notified | Disconnected] = field(default_factory=list)
    _is_up: bool = False

    @property
    def wall(self) -> datetime:
        return self.now.astimezone(SHANGHAI).replace(tzinfo=None)

    def session(
        self,
        *,
        highest: int | None = None,
        is_clock_believable: bool = True,
        clock: ClockMemory | None = None,
        users: Users = NOBODY,
    ) -> Findings:
        """One whole session; raises what the session raises."""
        findings = self.findings = Findings()
        characteristics = frozenset(c.uuid for c in self.meter.characteristics)
        known = Known(
            characteristics=characteristics,
            zone=SHANGHAI,
            name=self.meter.meter.advertised_name,
            highest_sequence=highest,
            is_clock_believable=is_clock_believable,
            clock=clock or ClockMemory(),
            users=users,
        )
        self._said.clear()
        self._is_up = True
        self.meter.on_connected()
        script = converse(known, findings)
        try:
            self._drive(script)
        finally:
            if self._is_up:
                self._drop()
        return findings

    def _drive(self, script) -> None:  # type: ignore[no-untyped-def]
        step = lambda: next(script)  # noqa: E731
        while True:
            try:
                command = step()
            except StopIteration:
                return
            self.commands.append(command)
            try:
                reply = self._do(command)
            except (AttError, LinkError) as e:
                error = e if isinstance(e, LinkError) else LinkError(str(e), e.code)
                step = lambda error=error: script.throw(error)  # noqa: E731
            else:
                step = lambda reply=reply: script.send(reply)  # noqa: E731

    def _nth(self, record: MeterRecord) -> int | None:
        """Which of the kept it is, if it is one."""
        return next((nth for nth, each in enumerate(self.kept) if identity(each) == identity(record)), None)

    def _do(self, command: Command) -> Reply:
        self.now += timedelta(milliseconds=20)
        if self._is_up and self.loses_link_before(command):
            self._drop()
        match command:
            case Keep(record=record, standing=standing):
                nth = self._nth(record)
                if nth is None:
                    self.kept.append(record)
                    self.provisional |= {len(self.kept) - 1} if standing == "provisional" else set()
                elif nth in self.provisional and standing == "final":
                    self.kept[nth] = record
                    self.provisional.discard(nth)
                return Kept(is_new=nth is None)
            case LookUp(record=record):
                return Kept(is_new=self._nth(record) is None)
            case SetAside():
                self.set_aside.append(command)
            case Wait(timeout_s=timeout_s):
                return self._hear(timeout_s)
            case Look():
                pass
            case _ if not self._is_up:
                raise LinkError("the link is gone")
            case Read(characteristic=characteristic):
                return Value(value=self.meter.read(characteristic, wall=self.wall), at=self.now)
            case Write(characteristic=characteristic, value=value):
                self.meter.write(characteristic, value, wall=self.wall)
            case Subscribe(characteristic=characteristic):
                self.meter.on_subscribed(characteristic, is_on=True)
        return Done(at=self.now)

    def _hear(self, timeout_s: float) -> Heard:
        if self._is_up and not self._said and (action := self.meter.next_action()) is not None:
            if isinstance(action, HangUp):
                self._drop()
            else:
                self._said.append(Notified(characteristic=action.characteristic, value=action.value))
                if isinstance(action, Indicate):
                    if action.then_drops:
                        self._drop()
                    else:
                        self.meter.on_confirmed()
        if self._said:
            return Heard(event=self._said.pop(0), at=self.now)
        if not self._is_up:
            return Heard(event=Disconnected(), at=self.now)
        self.now += timedelta(seconds=timeout_s)
        return Heard(event=None, at=self.now)

    def _drop(self) -> None:
        self._is_up = False
        self.meter.on_disconnected()
        self._said.append(Disconnected())

    def names(self) -> list[str]:
        """The commands in order, as words."""
        return [
            f"{type(c).__name__} {c.characteristic}"
            for c in self.commands
            if isinstance(c, Read | Write | Subscribe | SetAside)
        ]

    def shown_on_meter(self) -> datetime | None:
        return self.meter.clock.shown(self.wall)


def identity(record: MeterRecord) -> UUID:
    """The product's own, so that what the gateway takes for a repeat is one here."""
    return to_reading(record, meter_id=METER, gateway_id=GATEWAY, zone=SHANGHAI, decoder="test").reading_id
