"""The whole line on real parts: PostgreSQL, mosquitto, D-Bus, Bumble, and our own processes, with a few people on it."""

import json
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest

from firmware_sims.commands import Measure
from homevigil import demo_people
from homevigil.demo_line import Line
from homevigil.demo_meters import Indicated
from homevigil.demo_people import HIGH, Doctor, Resident
from homevigil.demo_travel import Follower
from homevigil.embedded.postgres import temporary_folder
from server.clock import now
from server.store import enrolment
from server.store.intake import check_accounts
from server.store.migrate import migrate
from server.store.postgres import open_pool

WITHIN_S = 60.0
PATIENTS, DAYS = 3, 25


@dataclass(frozen=True, kw_only=True)
class LivingLine:
    """`residents[0]` is the one whose third high day is today; the others are of the cohort."""

    line: Line
    doctor: Doctor
    residents: tuple[Resident, ...]
    follower: Follower
    seeded: int

    @property
    def turning(self) -> Resident:
        return self.residents[0]

    def measure(self, resident: Resident, systolic: int = HIGH[0], diastolic: int = HIGH[1]) -> Indicated:
        """Let the resident's cuff measure; returns when its frame is on the air."""
        order = Measure(meter=resident.meters[0].name, systolic_mmhg=systolic, diastolic_mmhg=diastolic, pulse_bpm=72)
        return self.line.meters.measure(order)

    def stored(self, frame: Indicated) -> Any:
        return self.follower.stored(frame, deadline=time.monotonic() + WITHIN_S)

    def outbox(self) -> dict[str, Any]:
        """What the gateway's own command says of its outbox."""
        env = self.line.environment_of("gateway")
        said = subprocess.run(
            [sys.executable, "-m", "gateway", "outbox", "--json"], env=dict(env), capture_output=True, check=True
        )
        return dict(json.loads(said.stdout))

    def ask(self, path: str) -> Any:
        """GET from the API as the doctor, over HTTP."""
        body = json.dumps({"login": self.doctor.login, "password": self.doctor.password}).encode()
        login = urllib.request.Request(
            f"{self.line.web_url}/api/v1/login", data=body, headers={"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(login, timeout=10) as answer:
            token = json.load(answer)["token"]
        asked = urllib.request.Request(f"{self.line.web_url}{path}", headers={"Authorization": f"Bearer {token}"})
        with urllib.request.urlopen(asked, timeout=10) as answer:
            return json.load(answer)


def wait_until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + WITHIN_S
    while not condition():
        assert time.monotonic() < deadline, f"not within {WITHIN_S:.0f} s: {what}"
        time.sleep(0.05)


@pytest.fixture
def living_line(bus_address: str) -> Iterator[LivingLine]:
    """The line in a folder of its own; at the end every account must balance. (`bus_address` says what a missing bus means.)"""
    folder = temporary_folder()
    with Line(folder=folder, web_port=18081) as line:
        living = _start(line)
        with closing(living.follower):
            yield living
            with psycopg.connect(line.database_url) as conn:
                assert check_accounts(conn) == ()
    shutil.rmtree(folder)


def _start(line: Line) -> LivingLine:
    line.start_postgres()
    migrate(line.database_url)
    moment = now()
    zone = demo_people.awake_zone(moment)
    people = demo_people.newcomers(seed=7, patients=PATIENTS, days=DAYS, zone=zone, now=moment)
    with psycopg.connect(line.database_url) as conn:
        enrolment.add_gateway(conn, demo_people.GATEWAY_ID, zone)
        doctor = demo_people.add_doctor(conn, now=moment)
    line.start_broker()
    line.start_server()
    line.start_meters([meter for newcomer in people for meter in newcomer.meters], zone=zone)
    with closing(open_pool(line.database_url, max_size=2)) as pool:
        residents, seeded = demo_people.move_in(
            pool, people, doctor_id=doctor.user_id, now=moment, progress=lambda _: None
        )
    follower = Follower(line.database_url)
    line.wait_until_served()
    follower.judged(None, deadline=time.monotonic() + WITHIN_S)
    line.meters.wait_until_ready()
    return LivingLine(line=line, doctor=doctor, residents=residents, follower=follower, seeded=seeded)
