"""A clinic for the tests of people, API and pages: real PostgreSQL, the real judge, the real app behind real uvicorn."""

import re
import socket
import ssl
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from html import unescape
from itertools import count
from typing import Any
from uuid import NAMESPACE_OID, UUID, uuid5
from zoneinfo import ZoneInfo

import httpx2
import pytest
import uvicorn
from argon2 import PasswordHasher
from fastapi import FastAPI
from households import give_page
from psycopg.pq import ExecStatus

from server import clock
from server.asgi import create_app
from server.judge import judge_in
from server.people import accounts, panels, sessions
from server.people.accounts import Language, Role
from server.rules.load import load_catalog
from server.store import enrolment
from server.store.postgres import OpenPool, open_pool, transaction

PASSWORD = "a long enough password"
ZONE = "Asia/Shanghai"
_numbers = count(1)
PATIENCE_S = 30
"""No test measures time: a machine with other work is waited for, a server that hangs is not."""
_NOTHING_IS_VERIFIED = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""Plain HTTP; left to itself, each client would read all certificates of the web."""


@dataclass(slots=True)
class Clock:
    """The app's clock: the real one, moved ahead by what a test says."""

    ahead: timedelta = field(default_factory=timedelta)

    def __call__(self) -> datetime:
        return clock.now() + self.ahead


@dataclass(frozen=True, slots=True, kw_only=True)
class Clinic:
    """A clinic with nobody in it. Each `add_` puts in one more, through the product's own functions where it has them."""

    pool: OpenPool
    clock: Clock
    url: str
    clients: ExitStack

    def add_user(
        self,
        login: str,
        role: Role = "doctor",
        language: Language = "en",
        name: str = "",
        patient_id: int | None = None,
    ) -> int:
        """`patient_id`: of whom it is the own account, and of nobody else's."""
        with transaction(self.pool) as conn:
            return accounts.add_user(
                conn,
                login=login,
                display_name=name or login.title(),
                role=role,
                password=PASSWORD,
                language=language,
                now=clock.now(),
                patient_id=patient_id,
            )

    def add_patient(self, name: str, doctor_id: int | None, language: Language = "zh", **facts: object) -> int:
        """Somebody who has a page of their own."""
        with transaction(self.pool) as conn:
            patient_id = enrolment.add_patient(
                conn,
                name=name,
                language=language,
                enrolled_on=local_today() - timedelta(days=90),
                zone=ZONE,
                doctor_id=doctor_id,
                now=clock.now(),
                **facts,  # type: ignore[arg-type]
            )
            give_page(conn, patient_id)
            return patient_id

    def put_on_panel(self, user_id: int, patient_id: int) -> None:
        with transaction(self.pool) as conn:
            panels.add(conn, user_id=user_id, patient_id=patient_id)

    def add_pressure(
        self,
        patient_id: int,
        at: datetime,
        systolic_mmhg: float | None,
        diastolic_mmhg: float | None,
        *,
        quality: str = "accepted",
        reasons: Sequence[str] = (),
        time_quality: str = "corrected",
    ) -> UUID:
        """Stores a reading as intake would have and rings for the judge."""
        values = {
            "systolic_mmhg": systolic_mmhg,
            "diastolic_mmhg": diastolic_mmhg,
            "pulse_bpm": 72.0,
            "unit_sent": "mmHg",
        }
        return self._store(patient_id, "blood_pressure", at, values, quality, reasons, time_quality)

    def add_glucose(self, patient_id: int, at: datetime, mmol_l: float, meal: str | None = None) -> UUID:
        values = {"glucose_mmol_l": mmol_l, "glucose_mg_dl": mmol_l * 18.0156, "unit_sent": "mol/L", "meal": meal}
        return self._store(patient_id, "glucose", at, values, "accepted", (), "corrected")

    def add_value(
        self,
        patient_id: int,
        kind: str,
        at: datetime,
        *,
        quality: str = "accepted",
        reasons: Sequence[str] = (),
        **values: object,
    ) -> UUID:
        """A reading of any kind: `values` are its columns."""
        return self._store(patient_id, kind, at, values, quality, reasons, "corrected")

    def _store(
        self,
        patient_id: int,
        kind: str,
        at: datetime,
        values: Mapping[str, object],
        quality: str,
        reasons: Sequence[str],
        time_quality: str,
    ) -> UUID:
        reading_id = uuid5(NAMESPACE_OID, f"reading {next(_numbers)}")
        row = {
            "patient_id": patient_id,
            "kind": kind,
            "measured_at": at,
            "reading_id": reading_id,
            "gateway_id": "gw-1",
            "meter_id": f"F0:00:00:10:00:{patient_id % 100:02d}",
            "quality": quality,
            "quality_reasons": list(reasons),
            "time_quality": time_quality,
            "zone": ZONE,
            "received_at": at + timedelta(seconds=5),
            "decoder": "test",
            **values,
        }
        columns, places = ", ".join(row), ", ".join(f"%({name})s" for name in row)
        with transaction(self.pool) as conn:
            conn.execute("select reading_make_room(%s)", (at,))
            conn.execute(f"insert into reading ({columns}) values ({places})".encode(), row)
            conn.execute(
                "insert into due (patient_id, due_at, since, reason) values (%s, now(), %s, 'reading')",
                (patient_id, at),
            )
        return reading_id

    def judge(self, patient_id: int) -> list[UUID]:
        """Lets the real judge judge; the patient's open episodes, the newest first."""
        with transaction(self.pool) as conn:
            judge_in(conn, patient_id, load_catalog())
        return self.episodes(patient_id)

    def episodes(self, patient_id: int) -> list[UUID]:
        return [
            UUID(str(row["episode_id"]))
            for row in self.rows(
                "select episode_id from episode where patient_id = %s and state in ('active', 'acknowledged')"
                " order by opened_at desc",
                patient_id,
            )
        ]

    def deliver(self) -> None:
        """Every push that is waiting has been sent."""
        self.rows("update push set state = 'sent', sent_at = now() where state = 'pending' returning 1")

    def rows(self, sql: str, *values: object) -> list[dict[str, object]]:
        """The result of a statement, by column."""
        with transaction(self.pool) as conn:
            cursor = conn.execute(sql.encode(), values)
            if cursor.pgresult is None or cursor.pgresult.status != ExecStatus.TUPLES_OK:
                return []  # a statement that gives no rows; one that asks for no column gives rows without any
            names = [column.name for column in cursor.description or ()]
            return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

    def high_patient(self, name: str, doctor_id: int | None, **facts: object) -> tuple[int, UUID]:
        """A patient with three high days behind, and the alert that the judge made of them."""
        patient_id = self.add_patient(name, doctor_id, **facts)  # type: ignore[arg-type]
        for back, (systolic, diastolic) in ((4, (128, 80)), (3, (152, 94)), (2, (149, 92)), (1, (155, 96))):
            for hour, minute in ((7, 30), (19, 40)):
                self.add_pressure(patient_id, local_at(back, hour, minute), systolic, diastolic)
        (episode_id,) = self.judge(patient_id)
        return patient_id, episode_id

    def critical_patient(self, name: str, doctor_id: int | None, **facts: object) -> tuple[int, UUID]:
        """A patient who has just measured 188/112, and the alert."""
        patient_id = self.add_patient(name, doctor_id, **facts)  # type: ignore[arg-type]
        self.add_pressure(patient_id, clock.now() - timedelta(minutes=2), 188, 112)
        (episode_id,) = self.judge(patient_id)
        return patient_id, episode_id

    def client(self, login: str | None = None) -> httpx2.Client:
        """A program: signed in by bearer token, or not at all."""
        client = self.clients.enter_context(
            httpx2.Client(base_url=self.url, verify=_NOTHING_IS_VERIFIED, timeout=PATIENCE_S)
        )
        if login is not None:
            answer = client.post("/api/v1/login", json={"login": login, "password": PASSWORD})
            assert answer.status_code == 200, answer.text
            client.headers["Authorization"] = f"Bearer {answer.json()['token']}"
        return client

    def browser_client(self, login: str) -> tuple[httpx2.Client, str]:
        """A client with a browser's cookie, and its session's CSRF token."""
        signed_in = sessions.sign_in(self.pool, login=login, password=PASSWORD, address="test", now=self.clock())
        client = self.clients.enter_context(
            httpx2.Client(
                base_url=self.url,
                cookies={"homevigil": signed_in.token},
                verify=_NOTHING_IS_VERIFIED,
                timeout=PATIENCE_S,
            )
        )
        return client, signed_in.session.csrf_token


def words_of(page: str) -> str:
    """What a person reads on a page: without tags, whose tokens and addresses may hold any digits by chance."""
    return unescape(re.sub(r"<[^>]*>", " ", page))


def local_today() -> date:
    return clock.now().astimezone(ZoneInfo(ZONE)).date()


def local_at(days_back: int, hour: int, minute: int = 0) -> datetime:
    """That many days ago by the patient's calendar, at that time on the patient's wall clock."""
    local = datetime.combine(local_today() - timedelta(days=days_back), time(hour, minute), tzinfo=ZoneInfo(ZONE))
    return local.astimezone(UTC)


@dataclass(slots=True, kw_only=True)
class FrontDoor:
    """A real uvicorn on a port of loopback; behind it is the app of the test that runs."""

    url: str
    app: FastAPI | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        assert self.app is not None
        await self.app(scope, receive, send)


@pytest.fixture(scope="module")
def front_door() -> Iterator[FrontDoor]:
    """One for a module: uvicorn takes 0.15 s to end. The socket listens before the app does, so nobody has to wait for it."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        door = FrontDoor(url=f"http://127.0.0.1:{listening.getsockname()[1]}")
        server = uvicorn.Server(uvicorn.Config(door, log_level="warning", lifespan="off", timeout_graceful_shutdown=2))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, name="uvicorn")
        thread.start()
        try:
            yield door
        finally:
            server.should_exit = True
            thread.join()


@pytest.fixture
def clinic(database_url: str, front_door: FrontDoor, monkeypatch: pytest.MonkeyPatch) -> Iterator[Clinic]:
    """The app on a database of its own.

    Argon2 hashes passwords with small numbers here, where every test signs somebody in; `test_people` has the real ones.
    """
    monkeypatch.setattr(accounts, "_hasher", PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
    app_clock = Clock()
    with open_pool(database_url) as pool, ExitStack() as clients:
        front_door.app = create_app(
            pool, now=app_clock, secure_cookies=False, clinic_phone="+86 21 5555 0100", allow_private=True
        )
        yield Clinic(pool=pool, clock=app_clock, url=front_door.url, clients=clients)


@pytest.fixture
def doctor_id(clinic: Clinic) -> int:
    return clinic.add_user("doctor", name="Dr. Lin")
