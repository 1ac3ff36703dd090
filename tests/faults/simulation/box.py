"""One gateway: the product's sessions, times, readings, outbox and flights, driven by the agenda instead of an event loop.

What `gateway.collector` and `gateway.uplink` do between an await and the next is done here in the same order; the power may go
between any two steps.
"""

import json
import random
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from faults.simulation import records
from faults.simulation.agenda import Agenda
from faults.simulation.meters import PowerCutError, SessionPlan, SimLink, SimMeter, Watch
from faults.simulation.people import Person
from faults.simulation.records import File, Records
from gateway.clock import Clock
from gateway.collector import SESSION_S
from gateway.flights import WINDOW, Flights, pack
from gateway.keeping import OURS, PROVISIONAL_S, Keeper, Outcome
from gateway.outbox import Outbox
from gateway.outbox_bounds import MAX_UNCONFIRMED
from gateway.outbox_rows import MeterMemory, Unbelieved
from gateway.readings import settled
from gateway.sessions.commands import (
    Command,
    Done,
    Heard,
    Keep,
    Kept,
    Look,
    LookUp,
    Read,
    Reply,
    Script,
    SetAside,
    Subscribe,
    Value,
    Wait,
    Write,
)
from gateway.sessions.conversation import Findings, Known, converse, take_late
from gateway.uplink import STATUS_WITHOUT_TIME_S
from vitals.envelope import decode_receipt
from vitals.errors import UnavailableError
from vitals.gatt import uuids
from vitals.gatt.link import LinkError, Notified
from vitals.reading import Reading

UNSET: Final = datetime(1970, 1, 1, tzinfo=UTC)
"""What a box without a battery-backed clock believes when it boots."""


class WatchedOutbox(Outbox):
    """The product's outbox; tells the model what it has said to be durable."""

    on_keep: Callable[[Reading, int], None]
    on_settle: Callable[[Reading], None]

    def keep(self, reading: Reading, *, unbelieved: Unbelieved | None = None) -> int | None:
        seq = super().keep(reading, unbelieved=unbelieved)
        if seq is not None:
            self.on_keep(reading, seq)
        return seq

    def settle(self, seq: int, reading: Reading) -> None:
        super().settle(seq, reading)
        self.on_settle(reading)

    def finish(self, reading: Reading, *, unbelieved: Unbelieved | None = None) -> bool:
        is_finished = super().finish(reading, unbelieved=unbelieved)
        if is_finished:
            self.on_settle(reading)
        return is_finished


@dataclass(slots=True, kw_only=True)
class Odds:
    """How rough a gateway's life is; all 0 when the faults have stopped."""

    lost_link: float = 0.0
    power_cut: float = 0.0
    garbled: float = 0.0
    refused_clock: float = 0.0
    status: float = 0.0


class Box:
    """A gateway and the meters of its home. `publish` and `say` hand readings and a status to the network; `on_boot`
    is told of every boot."""

    def __init__(
        self,
        *,
        person: Person,
        meters: tuple[SimMeter, ...],
        agenda: Agenda,
        records: Records,
        rng: random.Random,
        folder: Path,
        publish: Callable[["Box", bytes, tuple[str, ...]], None],
        say: Callable[["Box", bytes], None],
        on_boot: Callable[["Box"], None],
        has_ntp: bool = True,
        max_unconfirmed: int = MAX_UNCONFIRMED,
    ) -> None:
        self.person, self.meters = person, meters
        self.number = person.number
        self.gateway_id = f"gw-{person.number:03d}"
        self.odds = Odds()
        self.outbox: WatchedOutbox | None = None
        self.file = File()
        self.is_online = False
        self.clock_error_s = 0.0
        self.is_synchronised = False
        self.has_ntp = has_ntp
        self._agenda, self._records, self._rng, self._folder, self._publish = agenda, records, rng, folder, publish
        self._say, self._on_boot = say, on_boot
        self._max_unconfirmed = max_unconfirmed
        self._watch = Watch()
        self.plugs_pulled = 0
        self._boots = 0
        self._booted_s = 0.0
        self._place = 0
        self._image: tuple[Path, File] | None = None
        self._flights = Flights()
        self._connection = 0
        self._wakes_at_s: float | None = None
        self._reading: SimMeter | None = None
        self._given = 0
        self._clock = self._new_clock()

    # -- power and clock -----------------------------------------------------------------------------------------------

    @property
    def is_on(self) -> bool:
        return self.outbox is not None

    def power_on(self, *, knows_time: bool = True) -> None:
        """Boot: with the right time by a battery-backed clock, or in 1970; either way nobody vouches for it yet."""
        if self.is_on:
            return
        self._watch.at_s = self._booted_s = max(self._watch.at_s, self._agenda.now_s)
        self._boots += 1
        self._clock = self._new_clock()
        self.is_synchronised = False
        self.clock_error_s = 0.0 if knows_time else (UNSET - self._agenda.instant(self._booted_s)).total_seconds()
        path = self._folder / f"{self.number}-{self._place}" / "outbox.sqlite"
        outbox = WatchedOutbox(path, now=self._clock.now(), max_unconfirmed=self._max_unconfirmed)
        outbox.on_keep, outbox.on_settle = self._on_keep, self._on_settle
        self.outbox = outbox
        self._keeper = Keeper(
            outbox=outbox,
            gateway_id=self.gateway_id,
            zone=lambda: self.person.zone,
            clock=self._clock,
            on_kept=lambda: None,
        )
        self.note(f"boots, its clock {'is right' if knows_time else 'says 1970'}")
        self.settle()
        self.listen()
        self._on_boot(self)

    def power_off(self) -> None:
        """The plug is pulled: what SQLite has not synced is gone, what it has is found again in a copy of the files."""
        if self.outbox is None or self._is_busy(self.power_off):
            return
        self._pull_plug()

    def synchronise(self) -> None:
        """NTP keeps the clock right from now on."""
        if self.is_on and not self.is_synchronised and not self._is_busy(self.synchronise):
            self._turn_clock(0.0, is_synchronised=True)

    def lose_synchronisation(self) -> None:
        """NTP has not been heard for so long that the kernel vouches for nothing any more."""
        if self.is_on and not self._is_busy(self.lose_synchronisation):
            self._turn_clock(self.clock_error_s, is_synchronised=False)

    def put_clock_wrong(self, error_s: float) -> None:
        """The clock leaps by itself, and nothing keeps it any more."""
        if self.is_on and not self._is_busy(lambda: self.put_clock_wrong(error_s)):
            self._turn_clock(error_s, is_synchronised=False)

    def _turn_clock(self, error_s: float, *, is_synchronised: bool) -> None:
        self.clock_error_s, self.is_synchronised = error_s, is_synchronised
        self.note(f"clock is off by {error_s:.0f} s, {'kept by NTP' if is_synchronised else 'by itself'}")
        if self._reading is None:
            self.settle()
            self.send()

    def _new_clock(self) -> Clock:
        """The clocks of one boot; what the server has told is forgotten with it."""
        return Clock(
            wall=self._wall,
            since_boot_s=lambda: self._watch.at_s - self._booted_s,
            boot_id=lambda: f"boot-{self._boots}",
            is_synchronised=lambda: self.is_synchronised,
        )

    def _wall(self) -> datetime:
        return self._agenda.instant(self._watch.at_s + self.clock_error_s)

    def _pull_plug(self) -> None:
        assert self.outbox is not None
        old = self.outbox.path
        self._place += 1
        self.plugs_pulled += 1
        _copy(old, self._folder / f"{self.number}-{self._place}" / "outbox.sqlite")
        self.outbox.close()
        shutil.rmtree(old.parent)
        self.outbox = None
        self._forget_connection()
        self.note("power off")

    # -- the card ------------------------------------------------------------------------------------------------------

    def lose_card(self) -> None:
        """A new card is put in: a new outbox, a new epoch."""
        if self.outbox is None or self._is_busy(self.lose_card):
            return
        self._pull_plug()
        shutil.rmtree(self._folder / f"{self.number}-{self._place}")
        self.file, self._image = File(), None
        self.note("the outbox file is lost")
        self.audit("the outbox file was lost")
        self.power_on()

    def save_image(self) -> None:
        if self.outbox is None or self._is_busy(self.save_image):
            return
        place = self._folder / f"{self.number}-image" / "outbox.sqlite"
        shutil.rmtree(place.parent, ignore_errors=True)
        _copy(self.outbox.path, place)
        self._image = place, self.file.copy()
        self.note("an image of the card is saved")

    def restore_image(self) -> None:
        """The card is written anew from its image: what was kept since is gone from here."""
        if self.outbox is None or self._image is None or self._is_busy(self.restore_image):
            return
        self._pull_plug()
        place, file = self._image
        here = self._folder / f"{self.number}-{self._place}" / "outbox.sqlite"
        shutil.rmtree(here.parent)
        _copy(place, here)
        self.file = self.file.set_back_to(file)
        self.note(f"the card is set back to its image, seq {max(self.file.rows, default=0)}")
        self.audit("the outbox file was set back")
        self.power_on()

    def audit(self, cause: str) -> None:
        self._records.audit(self.number, self.meters, self.file, cause, self._watch.at_s)

    # -- meters --------------------------------------------------------------------------------------------------------

    def listen(self) -> None:
        """Meters that have something and are heard will be read soon."""
        for meter in self.meters:
            if self.is_on and meter.in_range and meter.firmware.is_advertising and not meter.is_awaited:
                meter.is_awaited = True
                is_near = self._rng.random() < 0.2
                heard_s = self._rng.uniform(1, 8) if is_near else self._rng.uniform(120, 2400)
                wait_s = heard_s + (min(600.0, 2.0 * 2**meter.failures) if meter.failures else 0.0)
                self._agenda.at(max(self._agenda.now_s, self._watch.at_s) + wait_s, lambda m=meter: self._read_soon(m))

    def _read_soon(self, meter: SimMeter) -> None:
        if self._is_busy(lambda: self._read_soon(meter)):
            return
        meter.is_awaited = False
        if self.outbox is None or not meter.in_range or not meter.firmware.is_advertising:
            return
        self._watch.at_s = max(self._watch.at_s, self._agenda.now_s)
        self._reading = meter
        try:
            self._read(meter)
        except PowerCutError:
            self.note(f"the power goes while {meter.meter_id} is read")
            self._reading = None
            self._pull_plug()
            self.audit("confirmed to the cuff, and the power went before it was kept")
            self._agenda.at(self._watch.at_s + self._rng.uniform(20, 600), self.power_on)
            return
        finally:
            self._reading = None
        self.settle()
        self.send()
        self.listen()

    def _read(self, meter: SimMeter) -> None:
        """As `Collector._hold_session`."""
        assert self.outbox is not None
        memory = self.outbox.recall(meter.meter_id)
        findings = Findings()
        plan = self._draw_session()
        self._timeline = self._keeper.timeline()
        link = SimLink(
            meter,
            self._watch,
            plan,
            self._rng,
            wall_at=self._agenda.instant,
            until_s=self._watch.at_s + SESSION_S,
            turn_clock=lambda: self._turn_clock(0.0, is_synchronised=True),
        )
        known = Known(
            characteristics=link.characteristics,
            zone=self.person.zone,
            highest_sequence=memory.highest_sequence,
            about=memory.about,
            is_clock_believable=self._timeline.is_believed,
            clock=memory.clock,
        )
        try:
            self._drive(converse(known, findings), link, meter)
            meter.failures = 0
        except (LinkError, UnavailableError, TimeoutError) as e:
            meter.failures += 1
            self.note(f"session with {meter.meter_id} failed: {type(e).__name__} {e}"[:120])
            self._take_leftovers(link, findings, meter)
            if isinstance(e, UnavailableError):
                self.audit("confirmed to the cuff, and the outbox was full")
            return
        self._take_leftovers(link, findings, meter)
        self._remember(memory, findings)

    def _take_leftovers(self, link: SimLink, findings: Findings, meter: SimMeter) -> None:
        """As `Collector._take_leftovers`: what was confirmed to a cuff while we were leaving."""
        link.drop()
        while isinstance(event := link.event(0), Notified):
            try:
                self._drive(take_late(event, findings, received_at=self._timeline.now()), link, meter)
            except UnavailableError:
                return

    def _remember(self, before: MeterMemory, findings: Findings) -> None:
        """As `Collector._remember`."""
        assert self.outbox is not None
        highest = before.highest_sequence if findings.highest_sequence is None else findings.highest_sequence
        memory = MeterMemory(
            meter_id=before.meter_id,
            highest_sequence=highest,
            about=findings.about,
            battery_percent=findings.battery_percent,
            clock=findings.clock_memory or before.clock,
        )
        self.outbox.remember(memory, now=self._clock.now())

    def _drive(self, script: Script[None], link: SimLink, meter: SimMeter) -> None:
        """As `gateway.driving.drive`."""
        try:
            command = next(script)
            while True:
                try:
                    reply = self._do(command, link, meter)
                except LinkError as e:
                    command = script.throw(e)
                else:
                    command = script.send(reply)
        except StopIteration:
            return

    def _do(self, command: Command, link: SimLink, meter: SimMeter) -> Reply:
        match command:
            case Read(characteristic=characteristic):
                value = link.read(characteristic)
                return Value(value=value, at=self._timeline.now())
            case Write(characteristic=characteristic, value=value):
                link.write(characteristic, value)
            case Subscribe(characteristic=characteristic):
                link.subscribe(characteristic)
            case Wait(timeout_s=timeout_s):
                event = link.event(timeout_s)
                return Heard(event=event, at=self._timeline.now())
            case Keep(record=record, standing=standing):
                self._given = link.given
                until_s = self._clock.since_boot_s() + PROVISIONAL_S if standing == "provisional" else None
                outcome = self._keeper._keep(meter.meter_id, record, self._timeline, OURS, until_s)
                return Kept(is_new=outcome is Outcome.NEW)
            case LookUp(record=record):
                return Kept(is_new=not self._keeper._knows(meter.meter_id, record))
            case SetAside():
                self._set_aside(command, link, meter)
            case Look():
                pass
        return Done(at=self._timeline.now())

    def _set_aside(self, frame: SetAside, link: SimLink, meter: SimMeter) -> None:
        assert self.outbox is not None
        self.outbox.set_aside(
            reason=frame.reason,
            detail=frame.detail,
            meter_id=meter.meter_id,
            characteristic=frame.characteristic,
            raw=frame.raw,
            now=self._clock.now(),
        )
        if frame.characteristic in (uuids.BLOOD_PRESSURE_MEASUREMENT, uuids.GLUCOSE_MEASUREMENT):
            inflation = self._records.which(meter, link.taken)
            inflation.set_aside = frame.raw
            self.file.set_aside.add(frame.raw)
            self.note(f"set aside {frame.raw.hex()}: {frame.reason}", inflation=inflation.number)

    def _on_keep(self, reading: Reading, seq: int) -> None:
        assert self._reading is not None
        inflation = self._records.which(self._reading, reading.raw)
        kept = records.Kept(
            reading=reading,
            home=self.number,
            inflation=inflation.number,
            at_s=self._watch.at_s,
            clock_life=self._reading.clock_life,
            is_first=self._given == 1,
        )
        self._records.keep(self.file, seq, inflation, kept)
        self.note(
            f"kept as seq {seq}, {reading.time_quality.value} {reading.measured_at.isoformat()}, {reading.reading_id}",
            inflation=inflation.number,
        )

    def _on_settle(self, reading: Reading) -> None:
        self._records.settle(reading, self._watch.at_s)
        self.note(
            f"settled: {reading.time_quality.value} {reading.measured_at.isoformat()}",
            inflation=self._records.kept[str(reading.reading_id)][-1].inflation,
        )

    def _draw_session(self) -> SessionPlan:
        rng, odds = self._rng, self.odds
        can_sync = self.is_online and self.has_ntp and not self.is_synchronised
        return SessionPlan(
            lost_at=rng.randint(1, 25) if rng.random() < odds.lost_link else None,
            power_cut_at=rng.randint(1, 25) if rng.random() < odds.power_cut else None,
            clock_turns_at=rng.randint(5, 15) if can_sync and rng.random() < 0.3 else None,
            garbled=rng.choice((0.05, 0.3)) if rng.random() < odds.garbled else 0.0,
            refuses_clock=rng.random() < odds.refused_clock,
            pace=rng.randint(1, 3),
        )

    # -- the uplink ----------------------------------------------------------------------------------------------------

    def connect(self) -> None:
        if self.is_on and not self.is_online and not self._is_busy(self.connect):
            self.is_online = True
            self._connection += 1
            self.note("online")
            if self._rng.random() < self.odds.status:
                self.say()
            self.ask_time()
            self.send()

    def ask_time(self, again_s: float = STATUS_WITHOUT_TIME_S) -> None:
        """As `Uplink._send_status`, again and again until somebody vouches for the time; ever less often, to save work."""
        if self.outbox is not None and self.is_online and not self._clock.is_believable():
            self.say()
            self._agenda.after(again_s, lambda: self.ask_time(2 * again_s))

    def say(self) -> None:
        """As `Uplink._send_status`: the question for the time, and what the server must know to notice what it has lost."""
        if self.outbox is None or not self.is_online or self._is_busy(self.say):
            return
        asks = {"epoch": self.outbox.epoch, "question": self._clock.question()}
        outbox = {"epoch": self.outbox.epoch, **asdict(self.outbox.counts())}
        self._say(self, json.dumps({"state": "online", "asks": asks, "outbox": outbox}).encode())

    def disconnect(self) -> None:
        if self.is_online:
            self._forget_connection()
            self.note("offline")

    def _forget_connection(self) -> None:
        self.is_online = False
        self._flights = Flights() if self.outbox is None else self._flights
        self._flights.connection_lost()

    def send(self) -> None:
        """As `Uplink._send_readings`, and again when a receipt is overdue."""
        if self.outbox is None or not self.is_online or self._is_busy(self.send):
            return
        now_s = self._clock.since_boot_s()
        due = self._flights.due(self.outbox.unconfirmed(WINDOW), now_s)
        if due:
            parcels, oversize = pack(due, gateway_id=self.gateway_id, epoch=self.outbox.epoch)
            assert not oversize, "no simulated reading is that long"
            for parcel in parcels:
                self.note(f"sends seqs {parcel.seqs[0]} to {parcel.seqs[-1]}")
                self._publish(self, parcel.payload, tuple(self.file.rows[seq] for seq in parcel.seqs))
                self._flights.published(parcel.seqs, now_s)
        wait_s = self._flights.next_due_in_s(now_s)
        if wait_s is not None:
            self._wake_in(wait_s)

    def _wake_in(self, wait_s: float) -> None:
        """One alarm at a time; an earlier one replaces it."""
        at_s = max(self._agenda.now_s, self._watch.at_s) + wait_s + 0.001
        if self._wakes_at_s is None or at_s < self._wakes_at_s:
            self._wakes_at_s = at_s
            self._agenda.at(at_s, lambda: self._wake(at_s))

    def _wake(self, at_s: float) -> None:
        if self._wakes_at_s == at_s:
            self._wakes_at_s = None
            self.send()

    def take_receipt(self, payload: bytes) -> None:
        """As `Uplink._take_receipt`."""
        if self.outbox is None or not self.is_online or self._is_busy(lambda: self.take_receipt(payload)):
            return
        receipt = decode_receipt(payload)
        if receipt.asked is not None and receipt.at is not None and self._clock.learn(receipt.asked, receipt.at):
            self.note(f"is told that it is {receipt.at.isoformat()}")
            self.settle()
        changed = self.outbox.apply(receipt, now=self._clock.now())
        self.note(f"receipt up to {receipt.upto}, {len(receipt.extra)} more: {changed} changed")
        self.send()

    def settle(self) -> None:
        """As the gateway's task that waits for a clock."""
        if self.outbox is None:
            return
        for one in self.outbox.held(1000) if self._clock.is_believable() else ():
            reading = settled(
                one,
                now=self._clock.now(),
                since_boot_s=self._clock.since_boot_s(),
                boot_id=self._clock.boot_id(),
            )
            self.outbox.settle(one.seq, reading)

    def look_after_itself(self) -> None:
        """As the gateway's hourly upkeep, once a day."""
        if self.outbox is not None and not self._is_busy(self.look_after_itself):
            self._watch.at_s = max(self._watch.at_s, self._agenda.now_s)
            if self._clock.is_believable():
                self.outbox.purge(now=self._clock.now())

    # ------------------------------------------------------------------------------------------------------------------

    def note(self, words: str, *, inflation: int | None = None) -> None:
        at_s = max(self._watch.at_s, self._agenda.now_s)
        self._records.diary.note(at_s, words, home=self.number, inflation=inflation)

    def _is_busy(self, what: Callable[[], None]) -> bool:
        """Whether a session is going on; `what` is then put off to its end. Otherwise it is the agenda's time here."""
        if self._watch.at_s > self._agenda.now_s:
            self._agenda.at(self._watch.at_s, what)
            return True
        self._watch.at_s = self._agenda.now_s
        return False


def _copy(source: Path, target: Path) -> None:
    """The database and its journal as a power cut leaves them; never the shared memory file."""
    target.parent.mkdir(parents=True)
    for name in ("", "-wal", ".spare-1", ".spare-2"):
        path = Path(f"{source}{name}")
        if path.exists():
            shutil.copyfile(path, f"{target}{name}")
