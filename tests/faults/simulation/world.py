"""One month of many homes and a clinic, from one seed: everything is put together here, goes wrong here, and comes to rest.

When the month is over the faults stop, everybody measures once more and everything drains; what is true then is for `reckoning`.
"""

import math
import random
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final, Self

from faults.simulation import people, troubles
from faults.simulation.agenda import Agenda, Diary
from faults.simulation.box import Box
from faults.simulation.clinic import Clinic, Message
from faults.simulation.database import Database
from faults.simulation.meters import SimMeter
from faults.simulation.people import Person, Plan
from faults.simulation.product import simulated_product
from faults.simulation.records import Books, Records

DAY_S: Final = 86400.0
HELD_UP_S: Final = 300.0
"""What is held up on the way is let go together, every five minutes."""
DRAIN_S: Final = 36 * 3600.0
"""Long enough for the day after the month to close everywhere, and for every backoff to end."""
LAST_PLAN: Final = Plan(at_s=0, systolic_mmhg=118, diastolic_mmhg=76, pulse_bpm=70, glucose_mg_dl=100)
"""What everybody measures once the faults have stopped."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """How large a world is."""

    patients: int
    days: int = 30


@dataclass(slots=True, kw_only=True)
class Network:
    """How bad the way between homes and clinic is: chances for each message."""

    loss: float = 0.0
    repeat: float = 0.0
    straggle: float = 0.0


class Home:
    """A person, the meters and the gateway. `has_network`: the home's own way out."""

    def __init__(self, person: Person, meters: tuple[SimMeter, ...], box: Box) -> None:
        self.person, self.meters, self.box = person, meters, box
        self.has_network = True


class World:
    """Everything there is. The seed decides everything."""

    def __init__(self, seed: str, scale: Scale, folder: Path) -> None:
        self.seed, self.scale, self.folder = seed, scale, folder
        self.rng = self.die("world")
        self.agenda = Agenda(self.rng.choice(people.STARTS) + timedelta(seconds=self.rng.randint(0, 86400)))
        self.diary = Diary()
        self.records = Records(self.diary)
        self.network = Network()
        self.faults = 0
        self.database = Database(folder / "postgresql", lambda: self.agenda.now)
        self.clinic = Clinic(
            database=self.database,
            agenda=self.agenda,
            records=self.records,
            rng=self.die("clinic"),
            answer=self._answer,
        )
        self.homes = [self._home(number) for number in range(scale.patients)]
        self._saved = Books()
        self._exit = ExitStack()

    def __enter__(self) -> Self:
        self.complaints = self._exit.enter_context(
            simulated_product(self.die("product"), on_taken=self.clinic.note_taken, meanwhile=self.clinic.meanwhile)
        )
        self._exit.enter_context(self.database)
        self.clinic.enrol(home.person for home in self.homes)
        return self

    def __exit__(self, *_: object) -> None:
        for home in self.homes:
            if home.box.outbox is not None:
                home.box.outbox.close()
        self._exit.close()

    @property
    def end_s(self) -> float:
        return self.scale.days * DAY_S

    def die(self, whose: object) -> random.Random:
        """A die of its own for each part, so that what one draws moves no other."""
        return random.Random(f"{self.seed} {whose}")

    def run(self) -> None:
        """The month, and the rest after it."""
        for home in self.homes:
            home.box.power_on()
            for plan in people.plans(
                home.person, self.die(f"plans {home.person.number}"), start=self.agenda.start, days=self.scale.days
            ):
                self.agenda.at(plan.at_s, self._measuring(home, plan))
            for nth in range(self.scale.days):
                self.agenda.at(nth * DAY_S + home.person.number * 60.0, home.box.look_after_itself)
        troubles.plan(self)
        self.agenda.run(self.end_s)
        self._come_to_rest()

    def _booted(self, home: Home) -> None:
        self.link(home)
        self.tell_time(home)

    def tell_time(self, home: Home) -> None:
        """NTP reaches the gateway some time after the network has; in some homes never."""
        if home.has_network and home.box.has_ntp:
            self.agenda.after(self.rng.choice((20.0, 120.0, 3 * 3600.0)), lambda: self._keep_time(home))

    def _keep_time(self, home: Home) -> None:
        if home.has_network:
            home.box.synchronise()

    def link(self, home: Home) -> None:
        """Connect or disconnect the home's gateway, as network and clinic allow."""
        can = home.has_network and self.clinic.is_up
        if not can:
            home.box.disconnect()
        elif home.box.is_on and not home.box.is_online:
            self.agenda.after(self.rng.uniform(0.5, 6), lambda: self._connect(home))

    def save_database(self) -> None:
        self.database.save_copy()
        self._saved = self.records.books.copy()
        self.diary.note(self.agenda.now_s, "the database is backed up")

    def set_database_back(self) -> None:
        """To its backup: what was committed since is gone, and the outboxes have it."""
        self.database.set_back()
        self.records.books = self._saved.copy()
        self.diary.note(self.agenda.now_s, "the database is set back to its backup")
        for home in self.homes:
            home.box.audit("the database was set back, and no outbox had it any more")

    def _connect(self, home: Home) -> None:
        if home.has_network and self.clinic.is_up:
            home.box.connect()

    def _come_to_rest(self) -> None:
        troubles.end(self)
        for home in self.homes:
            for meter in home.meters:
                self.agenda.after(self.rng.uniform(600, 7200), self._measuring(home, LAST_PLAN, meter))
        for nth in range(1, 9):
            self.agenda.after(nth * 4 * 3600.0, self._measure_where_records_wait)
        for nth in range(1, 37):
            self.agenda.after(nth * 3600.0 - 1, self.clinic.judge)
            for home in self.homes if nth % 6 == 0 else ():
                self.agenda.after(nth * 3600.0 + home.person.number, home.box.say)
        self.agenda.run(self.end_s + DRAIN_S)

    def _measure_where_records_wait(self) -> None:
        """A glucometer that has told all its records is silent until the next one, though a full outbox took only some."""
        for home in self.homes:
            for meter in home.meters:
                if any(each.is_waiting for each in meter.inflations):
                    self._measuring(home, LAST_PLAN, meter)()

    def _home(self, number: int) -> Home:
        die = self.die(f"person {number}")
        person = people.draw_person(die, number, self.scale.days)
        settings = filter(None, (person.cuff, person.glucometer))
        meters = tuple(SimMeter(each, person, self.agenda.start) for each in settings)
        box = Box(
            person=person,
            meters=meters,
            agenda=self.agenda,
            records=self.records,
            rng=self.die(f"box {number}"),
            folder=self.folder,
            publish=self._publish,
            say=self._say,
            on_boot=lambda box: self._booted(self.homes[box.number]),
            has_ntp=die.random() < 0.75,
            max_unconfirmed=die.choice((12, 40)) if die.random() < 0.04 else 50_000,
        )
        return Home(person, meters, box)

    def _measuring(self, home: Home, plan: Plan, meter: SimMeter | None = None) -> Callable[[], None]:
        chosen = meter or home.meters[0 if plan.glucose_mg_dl is None else 1]

        def measure() -> None:
            inflation = chosen.measure(plan, self.agenda.now, len(self.records.inflations))
            self.records.measured(home.person.number, inflation, self.agenda.now_s)
            home.box.listen()

        return measure

    # -- the network ---------------------------------------------------------------------------------------------------

    def _publish(self, box: Box, payload: bytes, reading_ids: tuple[str, ...]) -> None:
        self._carry(lambda: self.clinic.receive(Message(box.gateway_id, payload, reading_ids)))

    def _say(self, box: Box, status: bytes) -> None:
        self._carry(lambda: self.clinic.take_status(box.gateway_id, status))

    def _answer(self, gateway_id: str, payload: bytes) -> None:
        box = self.homes[int(gateway_id.removeprefix("gw-"))].box
        self._carry(lambda: box.take_receipt(payload))

    def _carry(self, deliver: Callable[[], None]) -> None:
        """Deliver once, twice or never, soon or late."""
        fate = self.rng.random()
        if fate < self.network.loss:
            self.faults += 1
            return
        for _ in range(2 if fate < self.network.loss + self.network.repeat else 1):
            if self.rng.random() < self.network.straggle:
                self.faults += 1
                held_up_s = self.agenda.now_s + self.rng.uniform(10, 1200)
                self.agenda.at(HELD_UP_S * math.ceil(held_up_s / HELD_UP_S), deliver)
            else:
                self.agenda.after(self.rng.uniform(0.02, 0.4), deliver)
