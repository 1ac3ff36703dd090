"""A clinic's life played through the real intake, the real judge and real decisions, at a clock that moves half a day a tick.

People with made-up readings around every edge of the rules (`unit.rules.histories`): late, repeated, out of order, doubtful and
failed; with moves, thresholds of their own, alerts acknowledged and closed by a doctor. Everything is drawn from one seed.
"""

import struct
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from random import Random

import msgspec
from households import Household, enrol
from moving_clock import show
from unit.rules import histories

from server.intake import Intake
from server.judge import Judge
from server.oracle.shapes import OracleReading
from server.people import decisions
from server.people.decisions import Decision, Resolution
from server.rules.load import load_catalog
from server.rules.rule import RuleSet
from server.store.postgres import Pool, open_pool
from vitals.identity import reading_id
from vitals.reading import Reading, TimeQuality

TICK = timedelta(hours=12)
FIRST_DAY = date(2026, 3, 2)
START = datetime.combine(FIRST_DAY, time(), UTC)
DAYS = 32
"""The last of them are still measuring then."""


def open_life(database_url: str) -> Pool:
    """The server's pool for a whole life in one process, where the same few statements come ten thousand times.

    They are prepared, which saves the planning, half of the database's work.
    """
    pool = open_pool(database_url, min_size=0)
    pool.kwargs["prepare_threshold"] = 5
    return pool


@dataclass(slots=True, kw_only=True)
class Population:
    """`arrivals`: what each gateway publishes, by the tick after which it does."""

    pool: Pool
    random: Random
    doctor_id: int
    rules: RuleSet = field(default_factory=load_catalog)
    at: datetime = START
    homes: list[Household] = field(default_factory=list)
    arrivals: dict[int, list[tuple[Household, list[Reading]]]] = field(default_factory=lambda: defaultdict(list))
    moves: dict[int, list[tuple[int, str]]] = field(default_factory=lambda: defaultdict(list))
    sent: dict[str, int] = field(default_factory=lambda: defaultdict(int))

    def move_in(self, patients: int) -> None:
        """So many more people, with all that they will measure."""
        for _ in range(patients):
            self._move_in()

    def play(self, until: timedelta = timedelta(days=DAYS)) -> None:
        """Let time pass: deliver, judge, decide."""
        end = START + until
        while self.at < end:
            tick = (self.at - START) // TICK
            self.at += TICK + timedelta(minutes=self.random.randrange(-180, 180))
            self.at = min(self.at, end)
            self._show()
            self.deliver(tick)
            self._change_something()
            self.judge()
            self._decide()
        self.judge()  # what the last decisions have asked for

    def judge(self) -> None:
        """Whoever is due, until nobody is."""
        while Judge(self.pool, self.rules).judge_due():
            pass

    def deliver(self, tick: int) -> None:
        """What the gateways publish in this tick."""
        for home, readings in self.arrivals.pop(tick, ()):
            first_seq = self.sent[home.gateway_id] + 1
            self.sent[home.gateway_id] += len(readings)
            receipt = Intake(self.pool).take(
                home.envelope(*readings, first_seq=first_seq), topic_gateway=home.gateway_id, quiet=False
            )
            assert receipt is not None
            assert receipt.rejected == (), receipt
        for patient_id, zone in self.moves.pop(tick, ()):
            self._run(
                "insert into patient_zone values (%s, now(), %s, 'test') on conflict do nothing", patient_id, zone
            )
            self.ring(patient_id, timedelta(days=3))

    def ring(self, patient_id: int, back: timedelta) -> None:
        """What a person has changed wants judging anew."""
        self._run(
            "insert into due (patient_id, due_at, since, reason) values (%s, now(), now() - %s, 'changed')",
            patient_id,
            back,
        )

    def _show(self) -> None:
        with self.pool.connection() as conn:
            show(conn, self.at)

    def _run(self, query: str, *args: object) -> list[tuple[object, ...]]:
        with self.pool.connection() as conn:
            cursor = conn.execute(query.encode(), args)
            return cursor.fetchall() if cursor.description else []

    def _move_in(self) -> None:
        random = self.random
        made = histories.patient(random, days=18)
        shift = timedelta(days=random.randrange(14))
        if made.readings:
            shift += timedelta(days=(FIRST_DAY - made.readings[0].measured_at.date()).days)
        with self.pool.connection() as conn:
            home = enrol(conn, enrolled_on=made.enrolled_on + shift, doctor_id=self.doctor_id)
            conn.execute("update patient_zone set zone = %s where patient_id = %s", (made.zones[0][1], home.patient_id))
            conn.execute(
                "update meter_binding set valid_from = '2025-01-01Z' where patient_id = %s", (home.patient_id,)
            )
        self.homes.append(home)
        for moved_at, zone in made.zones[1:]:
            self.moves[max(0, (moved_at + shift - START) // TICK)].append((home.patient_id, zone))
        by_tick: dict[int, list[Reading]] = defaultdict(list)
        for number, reading in enumerate(made.readings):
            at = reading.measured_at + shift
            tick = (max(at + random.choice(histories.LATE), at) - START) // TICK + 1
            sent = _as_sent(home, reading, number, at)
            by_tick[max(0, tick)].append(sent)
            if random.random() < 0.1:  # again, and its time may have been corrected since
                said = msgspec.structs.replace(sent, measured_at=sent.measured_at + timedelta(seconds=1))
                by_tick[max(0, tick) + random.randrange(1, 20)].append(random.choice((sent, said)))
        for tick, readings in by_tick.items():
            random.shuffle(readings)
            self.arrivals[tick].append((home, readings))

    def _change_something(self) -> None:
        """Now and then somebody gets thresholds of their own, or is not watched by the rule for a while."""
        if self.random.random() < 0.6:
            patient_id = self.random.choice(self.homes).patient_id
            self._run(
                """insert into patient_threshold (patient_id, rule_id, version, parameters, is_watched, set_by, set_at)
                   select %s, 'bp-above-140-90-3-days', 1 + coalesce(max(version), 0), %s::jsonb, %s, 'test', now()
                   from patient_threshold where patient_id = %s""",
                patient_id,
                self.random.choice(('{"systolic": 137.5, "diastolic": 86}', '{"systolic": 150}')),
                self.random.choice((None, None, None, None, None, None, None, True, False)),
                patient_id,
            )
            self.ring(patient_id, timedelta(0))

    def _decide(self) -> None:
        """The doctor looks at some of what is open."""
        found = self._run(
            "select episode_id, version, state from episode where state in ('active', 'acknowledged') order by episode_id"
        )
        for episode_id, version, state in found:
            decision = Decision(episode_id=episode_id, version=version, user_id=self.doctor_id, now=self.at)  # type: ignore[arg-type]
            die = self.random.random()
            if die < 0.05 and state == "active":
                decisions.acknowledge(self.pool, decision)
            elif die > 0.97:
                decisions.resolve(self.pool, decision, resolution=self.random.choice(list(Resolution)))


def _as_sent(home: Household, reading: OracleReading, number: int, at: datetime) -> Reading:
    """The reading as its gateway sends it."""
    raw = struct.pack("<I", number) + at.isoformat().encode()[:19]
    said = at.replace(tzinfo=None).isoformat(timespec="seconds")
    given = reading_id(meter_id=home.cuff, kind="blood_pressure", raw=raw, user_slot=None, meter_time=said)
    return Reading(
        reading_id=given,
        gateway_id=home.gateway_id,
        meter_id=home.cuff,
        measurement=histories.measurement_of(reading),
        measured_at=at,
        meter_time=said,
        received_at=at + (reading.received_at - reading.measured_at),
        time_quality=TimeQuality(reading.time_quality),
        zone="Asia/Shanghai",
        characteristic="2a35",
        raw=raw,
        decoder="test 1",
    )
