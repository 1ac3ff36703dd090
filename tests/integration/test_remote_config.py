"""A gateway set from afar: written at the clinic, published by the real door, applied by the real gateway, told back."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from doors import open_door, settings_for
from unit.gateway.far_end import far_end
from unit.gateway.samples import GATEWAY, TestClock
from whole_gateway import air_of, inflate, running

from homevigil.embedded.broker import EmbeddedBroker
from server.store import enrolment, remote_config
from server.store.postgres import Pool, transaction
from vitals.remote_config import RemoteConfig
from vitals.topics import Channel

CUFF = "F0:00:00:10:00:01"


class Clinic:
    """The command line of a clinic whose door is open on `mosquitto`."""

    def __init__(self, pool: Pool, database_url: str) -> None:
        self.pool, self._environment = pool, {**os.environ, "HOMEVIGIL_SERVER_DATABASE_URL": database_url}
        with transaction(pool) as conn:
            enrolment.add_gateway(conn, GATEWAY, "Asia/Shanghai")

    def says(self, *words: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "server", "gateway", *words],
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def said(self) -> "remote_config.Wanted":
        with transaction(self.pool) as conn:
            return remote_config.wanted(conn, GATEWAY)

    async def until_it_says(self, **wanted: object) -> None:
        async with asyncio.timeout(20):
            while not wanted.items() <= (self.said().said or {}).items():  # noqa: ASYNC110  # a database gives no events
                await asyncio.sleep(0.05)


@pytest.fixture
def clinic(mosquitto: EmbeddedBroker, pool: Pool, database_url: str) -> Iterator[Clinic]:
    clinic = Clinic(pool, database_url)
    with open_door(settings_for(mosquitto, database_url), pool):
        yield clinic


async def test_what_is_set_at_the_clinic_is_applied_in_the_home_and_told_back(
    clinic: Clinic, mosquitto: EmbeddedBroker, tmp_path: Path
) -> None:
    async with running(tmp_path, mosquitto, air_of(), TestClock()):
        words = ("configure", GATEWAY, "--zone", "Asia/Urumqi", "--pairing-code", f"{CUFF.lower()}=012345")
        said = await asyncio.to_thread(clinic.says, *words, "--log-level", "warning")
        assert "revision 1, not yet published" in said
        await clinic.until_it_says(revision=1, state="applied", in_force=1, pairing_codes=1)
        shown = await asyncio.to_thread(clinic.says, "configure", GATEWAY)
    assert "the gateway says: revision 1 applied, 1 in force" in shown
    assert CUFF in shown
    assert "012345" not in said + shown, "it is a secret, and nobody needs to read it again"
    assert "Asia/Urumqi" in clinic.says("list")


async def test_what_one_gateway_refuses_the_clinic_reads_with_the_reason(
    clinic: Clinic, mosquitto: EmbeddedBroker, tmp_path: Path
) -> None:
    """Its own tables of time zones may be older than the clinic's."""
    with transaction(clinic.pool) as conn:
        remote_config.change(conn, GATEWAY, lambda _: RemoteConfig(zone="Mars/Olympus"))
    async with running(tmp_path, mosquitto, air_of(), TestClock()):
        await clinic.until_it_says(revision=1, state="refused", in_force=0)
    assert "refused, 0 in force; why: zone: 'Mars/Olympus'" in clinic.says("configure", GATEWAY)


async def test_a_broker_that_has_forgotten_everything_is_given_the_document_again(
    clinic: Clinic, mosquitto: EmbeddedBroker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote_config, "PATIENCE", timedelta(0))
    with transaction(clinic.pool) as conn:
        remote_config.change(conn, GATEWAY, lambda _: RemoteConfig(zone="Asia/Urumqi"))
    with far_end(mosquitto.host, mosquitto.port) as far:
        while clinic.said().published_at is None:  # noqa: ASYNC110  # a database gives no events
            await asyncio.sleep(0.05)
        far.send(GATEWAY, Channel.CONFIG, b"", retain=True)  # forgotten
        async with running(tmp_path, mosquitto, air_of(), TestClock()):
            await clinic.until_it_says(revision=1, state="applied")


async def test_a_paused_gateway_reads_nothing_until_it_is_told_to_go_on(
    clinic: Clinic, mosquitto: EmbeddedBroker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gateway import collector

    monkeypatch.setattr(collector, "LOOK_AROUND_S", 0.1)
    air, gateway_clock = air_of(), TestClock()
    with far_end(mosquitto.host, mosquitto.port) as far:
        pause = {"revision": 1, "scanning_paused_until": (gateway_clock.wall + timedelta(hours=1)).isoformat()}
        far.send(GATEWAY, Channel.CONFIG, json.dumps(pause).encode(), retain=True)
        async with running(tmp_path, mosquitto, air, gateway_clock):
            status = await asyncio.to_thread(far.until_status, state="online")
            while not status["radio"]["paused"] or status["radio"]["scanning"]:
                far.send(GATEWAY, Channel.CONFIG, json.dumps(pause).encode())
                status = await asyncio.to_thread(far.until_status, state="online")
            inflate(air)
            assert await asyncio.to_thread(far.is_silent, 1.0)
            far.send(GATEWAY, Channel.CONFIG, b'{"revision": 2}')
            await asyncio.to_thread(far.until_stored, 1)


async def test_a_gateway_that_is_asked_how_it_is_answers_once_and_the_clinic_reads_it(
    clinic: Clinic, mosquitto: EmbeddedBroker, tmp_path: Path
) -> None:
    async with running(tmp_path, mosquitto, air_of(), TestClock()):
        assert "asked (r1)" in await asyncio.to_thread(clinic.says, "diagnostics", GATEWAY, "--ask")
        async with asyncio.timeout(20):
            while not _diagnoses(clinic):  # noqa: ASYNC110  # a database gives no events
                await asyncio.sleep(0.05)
    async with running(tmp_path, mosquitto, air_of(), TestClock()):  # the broker still has the question
        await clinic.until_it_says(revision=1, state="applied")
    assert _diagnoses(clinic) == 1
    told = await asyncio.to_thread(clinic.says, "diagnostics", GATEWAY)
    assert "r1, received" in told
    assert "mqtt host: 127.0.0.1" in told.replace("_", " ")
    assert "gateway_started" in told or "log:" in told


def _diagnoses(clinic: Clinic) -> int:
    with transaction(clinic.pool) as conn:
        row = conn.execute("select count(*) from gateway_diagnosis").fetchone()
    assert row is not None
    return int(row[0])


def test_a_code_that_is_none_is_refused_without_saying_it(clinic: Clinic) -> None:
    with pytest.raises(AssertionError) as refused:
        clinic.says("configure", GATEWAY, "--pairing-code", f"{CUFF}=9876543")
    assert "six digits on the meter" in str(refused.value)
    assert clinic.said().config == RemoteConfig()


def test_what_is_not_said_again_stays_as_it_was_set(clinic: Clinic) -> None:
    clinic.says("configure", GATEWAY, "--pairing-code", f"{CUFF}=012345", "--home-assistant", "on", "--pause", "2")
    clinic.says("configure", GATEWAY, "--pause", "0", "--home-assistant", "own")
    assert clinic.said().config == RemoteConfig(revision=2, pairing_codes={CUFF: "012345"})
    clinic.says("configure", GATEWAY, "--forget-code", CUFF)
    assert clinic.said().config == RemoteConfig(revision=3)


def test_the_users_of_a_shared_meter_are_set_and_forgotten_one_by_one(clinic: Clinic) -> None:
    clinic.says("configure", GATEWAY, "--user-code", f"{CUFF.lower()}/1=0077", "--user-code", f"{CUFF}/2=1234")
    clinic.says("configure", GATEWAY, "--user-code", f"{CUFF}/3=5555", "--forget-user", f"{CUFF}/2")
    assert clinic.said().config == RemoteConfig(revision=2, user_codes={CUFF: {"1": "0077", "3": "5555"}})
    shown = clinic.says("configure", GATEWAY)
    assert f"user codes: {CUFF}/1, {CUFF}/3" in shown
    assert "0077" not in shown
    clinic.says("configure", GATEWAY, "--forget-user", f"{CUFF}/1", "--forget-user", f"{CUFF}/3")
    assert clinic.said().config == RemoteConfig(revision=3)


@pytest.mark.parametrize("told", ["1=123", "255=1234", "x=1234", "01=1234", "=1234"])
def test_a_user_that_cannot_be_is_refused_without_saying_the_code(clinic: Clinic, told: str) -> None:
    with pytest.raises(AssertionError) as refused:
        clinic.says("configure", GATEWAY, "--user-code", f"{CUFF}/{told}")
    assert "1234" not in str(refused.value).replace(told, "")
    assert clinic.said().config == RemoteConfig()
