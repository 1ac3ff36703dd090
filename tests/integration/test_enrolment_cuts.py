"""Power and certificates that end at the wrong moment: real processes of the box and of the clinic's door, killed where it hurts.

strace kills instead of the call, so nothing in the product knows of it.
"""

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from clinic_broker import ClinicBroker, clinic_broker
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from doors import open_door
from households import Household, enrol
from integration.test_gateway_enrolment import Clinic, clinic_of, request_of
from pydantic import SecretStr

from gateway import enrolment as box
from gateway.clock import Clock
from gateway.enrolment import find_clinic
from gateway.identity import Facts, read_identity, write_identity
from gateway.outbox import Outbox
from gateway.renewal import Renewal
from homevigil.embedded.child import free_port
from server.clock import now
from server.config import Settings
from server.store import certificates
from server.store.postgres import Pool
from server.store.vault_keys import SETTING
from server.trust.folders import Secrets
from vitals.enrolment import Invitation

WITHIN_S = 30.0


@pytest.fixture
def home(pool: Pool) -> Household:
    with pool.connection() as conn:
        return enrol(conn, enrolled_on=(now() - timedelta(days=90)).date())


# the door of the clinic


class DoorProcess:
    """`python -m server run --role enrol`, killed and started again at will."""

    def __init__(self, clinic: Clinic, database_url: str) -> None:
        self.clinic = replace(clinic, port=free_port())
        kept = {
            name: value for name, value in os.environ.items() if not name.startswith("HOMEVIGIL_") or name == SETTING
        }
        self._environment = kept | {
            "PYTHONDONTWRITEBYTECODE": "1",
            "HOMEVIGIL_SERVER_DATABASE_URL": database_url,
            "HOMEVIGIL_SERVER_SECRETS": str(clinic.folder),
            "HOMEVIGIL_SERVER_ENROL_HOST": "127.0.0.1",
            "HOMEVIGIL_SERVER_ENROL_PORT": str(self.clinic.port),
            "HOMEVIGIL_SERVER_ENROL_PUBLIC_HOST": "localhost",
        }

    @contextmanager
    def open(self) -> Iterator["subprocess.Popen[bytes]"]:
        """Running and heard."""
        with subprocess.Popen(
            [sys.executable, "-m", "server", "run", "--role", "enrol"],
            env=self._environment,
            stderr=subprocess.DEVNULL,
        ) as process:
            try:
                self._until_heard(process)
                yield process
            finally:
                process.kill()

    @contextmanager
    def killed_at(self, strace: str, call: str, nth: int, *options: str) -> Iterator["subprocess.Popen[bytes]"]:
        """Running and heard; the nth such call from now on ends it."""
        with self.open() as process:
            inject = [f"--trace={call}", f"--inject={call}:signal=KILL:when={nth}", *options]
            command = [strace, "-f", "-o", "/dev/null", *inject, "-p", str(process.pid)]
            with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as traces:
                assert traces.stderr is not None
                assert "attached" in traces.stderr.readline()
                draining = threading.Thread(target=traces.stderr.read)
                draining.start()
                yield process
                process.kill()
                traces.wait()
                draining.join()

    def _until_heard(self, process: "subprocess.Popen[bytes]") -> None:
        until = time.monotonic() + WITHIN_S
        while True:
            try:
                find_clinic("localhost", self.clinic.port)
            except box.UnavailableError:
                assert time.monotonic() < until
                assert process.poll() is None
                time.sleep(0.02)
            else:
                return


@pytest.fixture
def door(pool: Pool, database_url: str, tmp_path: Path) -> DoorProcess:
    settings = Settings(database_url=SecretStr(database_url))
    secrets = Secrets(tmp_path / "secrets")
    authority = secrets.create(
        name="test clinic", hosts=["localhost", "127.0.0.1"], watchdog_id="homevigil-watchdog", now=now()
    )
    folder = tmp_path / "secrets"
    clinic = Clinic(pool=pool, secrets=secrets, authority=authority, port=0, settings=settings, folder=folder)
    return DoorProcess(clinic, database_url)


def at_the_terminal(invitation: Invitation, folder: Path, *before: str) -> "subprocess.CompletedProcess[str]":
    """`homevigil-gateway enrol` as a person says it."""
    return subprocess.run(
        [*before, sys.executable, "-m", "gateway", "enrol", invitation.text],
        env=os.environ | {"HOMEVIGIL_GATEWAY_IDENTITY": str(folder), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def assert_one_gateway(clinic: Clinic, folder: Path, where: object) -> None:
    """The box is the gateway, by the only certificate that is good, of which it has the key."""
    identity = read_identity(folder)
    assert identity is not None, where
    certificate = x509.load_pem_x509_certificate(identity.certificate_file.read_bytes())
    assert box._key(identity.key_file.read_bytes()).public_key() == certificate.public_key(), where
    with clinic.pool.connection() as conn:
        good = conn.execute("select serial from gateway_certificate where revoked_at is null").fetchall()
        tries = conn.execute("select tries_left from gateway_claim order by claim_id desc limit 1").fetchone()
    assert good == [(f"{certificate.serial_number:x}",)], where
    assert tries is not None
    assert tries[0] >= 3, where


def test_the_door_dies_between_the_code_and_the_certificate_and_the_same_command_is_said_again(
    door: DoorProcess, home: Household, strace: str, tmp_path: Path
) -> None:
    """It has committed that the code is used, and dies while it writes the list of the revoked, before it answers."""
    clinic, first, second = door.clinic, tmp_path / "first" / "identity", tmp_path / "second" / "identity"
    with door.open():
        assert at_the_terminal(clinic.invite(home.gateway_id), first).returncode == 0
    invitation = clinic.invite(home.gateway_id)
    with door.killed_at(strace, "rename", 1) as process:
        refused = at_the_terminal(invitation, second)
        assert process.wait(WITHIN_S) == -signal.SIGKILL
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "does not answer" in refused.stderr
    assert clinic.certificates() == [(home.gateway_id, False), (home.gateway_id, True)]
    assert read_identity(second) is None
    with door.open():
        listed = x509.load_pem_x509_crl(clinic.secrets.list_path.read_bytes())
        assert len(list(listed)) == 1, "what was revoked is on the list although nobody has asked again"
        assert at_the_terminal(invitation, second).returncode == 0
        assert at_the_terminal(invitation, tmp_path / "third" / "identity").returncode == 1
    assert_one_gateway(clinic, second, "said again")


@pytest.mark.full
@pytest.mark.timeout(900)
def test_the_door_dies_at_every_word_that_it_says_while_it_admits(
    door: DoorProcess, home: Household, strace: str, tmp_path: Path
) -> None:
    """To the database, to itself and to the box: before the code is looked at, while it is, and after it was accepted."""
    nth, was_cut, cuts = 0, True, 0
    while was_cut:
        nth += 1
        invitation, folder = door.clinic.invite(home.gateway_id), tmp_path / f"box-{nth}" / "identity"
        with door.killed_at(strace, "sendto", nth):
            was_cut = at_the_terminal(invitation, folder).returncode != 0
        cuts += was_cut
        with door.open():
            again = at_the_terminal(invitation, folder)
            assert (again.returncode == 0) is was_cut, (nth, again.stderr)
        assert_one_gateway(door.clinic, folder, nth)
    assert cuts > 10


# the box


@pytest.mark.parametrize(
    "call",
    ["rename", pytest.param("symlink", marks=pytest.mark.full)]
    + [pytest.param(call, marks=pytest.mark.full) for call in ("fsync", "mkdir", "unlink")],
)
def test_the_box_dies_between_the_certificate_and_its_card_and_the_same_command_is_said_again(
    pool: Pool, database_url: str, home: Household, strace: str, tmp_path: Path, call: str
) -> None:
    with clinic_of(pool, database_url, tmp_path, made_at=now()) as clinic:
        nth, was_cut = 0, True
        while was_cut:
            nth += 1
            invitation, folder = clinic.invite(home.gateway_id), tmp_path / f"box-{nth}" / "identity"
            kill = f"--inject={call}:signal=KILL:when={nth}"
            cut = at_the_terminal(invitation, folder, strace, "-f", "-qq", "-o", "/dev/null", f"--trace={call}", kill)
            was_cut = cut.returncode != 0
            was_done = read_identity(folder) is not None and not (folder.parent / ".identity.waiting.key").exists()
            again = at_the_terminal(invitation, folder)
            assert (again.returncode == 0) is not was_done, (call, nth, again.stderr)
            if was_done:
                assert f"this box is {home.gateway_id} already; its certificate is good until" in again.stderr
            assert_one_gateway(clinic, folder, (call, nth))
    assert nth > 1, "it was cut at least once"


# certificates that have ended


@contextmanager
def running_gateway(folder: Path, broker: ClinicBroker, outbox: Path) -> Iterator[list[dict[str, Any]]]:
    """`python -m gateway run` of an enrolled box; the lines of its log as they come."""
    settings = {"IDENTITY": str(folder), "OUTBOX": str(outbox), "MQTT_PORT": str(broker.port)}
    environment = {f"HOMEVIGIL_GATEWAY_{name}": value for name, value in settings.items()}
    lines: list[dict[str, Any]] = []
    with subprocess.Popen(
        [sys.executable, "-m", "gateway", "run"],
        env=os.environ | environment | {"DBUS_SYSTEM_BUS_ADDRESS": f"unix:path={folder}/no-bus"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:

        def read() -> None:
            assert process.stdout is not None
            lines.extend(json.loads(line) for line in process.stdout if line.startswith("{"))

        reading = threading.Thread(target=read)
        reading.start()
        try:
            yield lines
        finally:
            process.terminate()
            process.wait(WITHIN_S)
            reading.join()


def said(lines: list[dict[str, Any]], event: str) -> str:
    """Why, in the first line of this event; waited for."""
    until = time.monotonic() + WITHIN_S
    while not (found := [line for line in lines if line["event"] == event]):
        assert time.monotonic() < until, lines
        time.sleep(0.05)
    return str(found[0].get("why", ""))


async def test_a_box_whose_certificate_has_ended_says_so_keeps_its_readings_and_sends_them_when_it_is_enrolled_again(
    pool: Pool, database_url: str, home: Household, tmp_path: Path
) -> None:
    """It was off for longer than the last thirty days; broker and door both refuse it."""
    folder, outbox = tmp_path / "box" / "identity", tmp_path / "box" / "outbox.sqlite"
    with (
        clinic_of(pool, database_url, tmp_path, made_at=now() - timedelta(days=100)) as clinic,
        clinic_broker(clinic.folder / "broker", has_certificates=True) as broker,
    ):
        ended_at = enrolled_long_ago(clinic, home.gateway_id, folder)
        with Outbox(outbox, now=now()) as kept:
            assert kept.keep(home.pressure(now() - timedelta(minutes=5))) == 1
        with running_gateway(folder, broker, outbox) as lines:
            refused = said(lines, "uplink_failed")
            assert "revoked or past its end: `homevigil-gateway status`" in refused, refused
        assert f"the certificate has ended on {ended_at}" in await why_not_renewed(folder)
        assert "certificate verify failed" in broker.log
        assert f"certificate: has ended on {ended_at}" in status_of(folder, outbox)
        assert at_the_terminal(clinic.invite(home.gateway_id), folder).returncode == 0
        server = clinic.folder / "server"
        settings = Settings(
            database_url=SecretStr(database_url),
            mqtt_host="localhost",
            mqtt_port=broker.port,
            mqtt_ca_file=str(server / "ca.crt"),
            mqtt_cert_file=str(server / "intake.crt"),
            mqtt_key_file=str(server / "intake.key"),
        )
        with open_door(settings, pool), running_gateway(folder, broker, outbox) as lines:
            said(lines, "receipt_applied")
        assert "certificate: is good until" in status_of(folder, outbox)
    with pool.connection() as conn:
        assert conn.execute("select count(*) from reading").fetchall() == [(1,)]


async def why_not_renewed(folder: Path) -> str:
    """What a box says that knows the time, of its own certificate at the real door."""
    identity = read_identity(folder)
    assert identity is not None
    clock = Clock(wall=now, is_synchronised=lambda: True)
    renewal = Renewal(identity, clock=clock, on_renewed=lambda: None)
    running = asyncio.create_task(renewal.run())
    async with asyncio.timeout(WITHIN_S):
        while renewal.why is None:  # noqa: ASYNC110  # it is refused in a thread
            await asyncio.sleep(0.01)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    return renewal.why


def enrolled_long_ago(clinic: Clinic, gateway_id: str, folder: Path) -> str:
    """As if the box had been enrolled 91 days ago and then been off; the day on which its certificate ended."""
    key = ec.generate_private_key(ec.SECP256R1())
    given = clinic.authority.admit(request_of(key), gateway_id=gateway_id, now=now() - timedelta(days=91))
    with clinic.pool.connection() as conn:
        certificates.add_certificate(conn, given, now=given.not_before)
    facts = Facts(
        gateway_id=gateway_id,
        zone="Asia/Shanghai",
        mqtt_host="localhost",
        mqtt_port=1,
        enrol_host="localhost",
        enrol_port=clinic.port,
        renew_from=given.not_before + timedelta(days=60),
        ends_at=given.not_after,
    )
    write_identity(
        folder,
        facts,
        key=box._pem(key),
        certificate=given.certificate.encode(),
        authority=clinic.authority.certificate,
    )
    return f"{given.not_after:%Y-%m-%d}"


def status_of(folder: Path, outbox: Path) -> str:
    """`homevigil-gateway status`."""
    done = subprocess.run(
        [sys.executable, "-m", "gateway", "status", "--path", str(outbox), "--identity", str(folder)],
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout
