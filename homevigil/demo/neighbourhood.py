"""A small living line without a show: everything started, a few people moved in, ready to be measured and killed.

For the tests of the whole journey and for `benchmarks/journey.py`; `run` starts the same parts and tells a person about it.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import psycopg

from firmware_sims.measure import Measure
from homevigil.demo import population
from homevigil.demo.line import Line
from homevigil.demo.meters import Indicated
from homevigil.demo.population import Doctor, Newcomer, Resident
from homevigil.demo.travel import Follower, Stored
from server.clock import now
from server.store import enrolment
from server.store.migrate import migrate
from server.store.postgres import open_pool
from vitals.errors import UnavailableError

WITHIN_S: Final = 60.0
LOOK_AGAIN_S: Final = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Neighbourhood:
    """`residents[0]` is the one whose third high day is today; the others are of the cohort."""

    line: Line
    doctor: Doctor
    residents: tuple[Resident, ...]
    follower: Follower
    seeded: int

    @property
    def turning(self) -> Resident:
        return self.residents[0]

    def measure(self, resident: Resident, systolic_mmhg: int, diastolic_mmhg: int) -> Indicated:
        """Let the resident's cuff measure; returns when its frame is on the air."""
        cuff = resident.meters[0].name
        order = Measure(meter=cuff, systolic_mmhg=systolic_mmhg, diastolic_mmhg=diastolic_mmhg, pulse_bpm=72)
        return self.line.meters.measure(order)

    def stored(self, frame: Indicated) -> Stored:
        """The row that holds the frame; waits for it. Raises `UnavailableError`."""
        return self.follower.stored(frame, deadline=time.monotonic() + WITHIN_S)


def wait_until(condition: Callable[[], bool], what: str) -> None:
    """Look until `condition()`; raises `UnavailableError` when it does not become so."""
    deadline = time.monotonic() + WITHIN_S
    while not condition():
        if time.monotonic() > deadline:
            raise UnavailableError(f"not within {WITHIN_S:.0f} s: {what}")
        time.sleep(LOOK_AGAIN_S)


@contextmanager
def neighbourhood(
    folder: Path,
    *,
    patients: int,
    days: int,
    seed: int,
    web_port: int = 18081,
    broker: Literal["auto", "mosquitto", "rumqttd"] = "auto",
    radio: Literal["auto", "bus", "air"] = "auto",
) -> Iterator[Neighbourhood]:
    """Start everything in `folder`, let `patients` and the turning person move in, and stop it all at the end."""
    with Line(folder=folder, web_port=web_port, broker_wish=broker, radio_wish=radio) as line:
        line.start_postgres()
        migrate(line.database_url)
        moment = now()
        zone = population.awake_zone(moment)
        people = population.newcomers(seed=seed, patients=patients, days=days, zone=zone, now=moment)
        with psycopg.connect(line.database_url) as conn:
            enrolment.add_gateway(conn, population.GATEWAY_ID, zone)
            doctor = population.add_doctor(conn, now=moment)
            population.approve_rules(conn, doctor.user_id, now=moment)
        line.start_broker()
        line.start_server()
        line.start_meters([meter for newcomer in people for meter in newcomer.meters], zone=zone)
        with closing(Follower(line.database_url)) as follower:
            yield _settled(line, doctor, people, follower)


def _settled(line: Line, doctor: Doctor, people: tuple[Newcomer, ...], follower: Follower) -> Neighbourhood:
    with closing(open_pool(line.database_url, max_size=2)) as pool:
        residents, seeded = population.move_in(
            pool, people, doctor_id=doctor.user_id, now=now(), progress=lambda _: None
        )
    line.wait_until_served()
    follower.judged(None, deadline=time.monotonic() + WITHIN_S)
    line.meters.wait_until_ready()
    return Neighbourhood(line=line, doctor=doctor, residents=residents, follower=follower, seeded=seeded)
