"""`homevigil doctor` on real parts: what it finds, and that everything wrong comes with what to do."""

import asyncio
import json
import os
import socket
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest
from fix_meters import VirtualAir

from gateway.outbox import Outbox
from homevigil.cli import main
from homevigil.doctor import checks, world
from homevigil.doctor.checks import Finding
from homevigil.doctor.world import Account
from homevigil.embedded.broker import EmbeddedBroker
from server import clock
from server.store.vault_keys import SETTING

NOW = datetime(2026, 11, 21, 8, 0, tzinfo=UTC)

NOBODY = Account(host="127.0.0.1", port=1, username=None, password=None, ca_file=None, cert_file=None, key_file=None)


@pytest.fixture(autouse=True)
def unset(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith("HOMEVIGIL_") and name != SETTING:
            monkeypatch.delenv(name)


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port that accepts connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def states(findings: Sequence[Finding]) -> dict[str, str]:
    return {finding.name: finding.state for finding in findings}


def test_a_migrated_database_is_well(database_url: str) -> None:
    found = world.database(database_url, now=clock.now)
    assert states(found) == {"database": "ok", "database clock": "ok", "schema": "ok", "accounts": "ok"}
    assert "PostgreSQL" in found[0].says
    assert "no TimescaleDB" in found[0].says


def test_a_database_without_a_schema_needs_migrating(empty_database_url: str) -> None:
    found = world.database(empty_database_url, now=clock.now)
    assert states(found)["schema"] == "fail"
    assert found[-1].do == world.MIGRATE


def test_a_database_one_migration_behind_needs_migrating(database_url: str) -> None:
    with psycopg.connect(database_url) as conn:
        conn.execute("delete from schema_migration where name = (select max(name) from schema_migration)")
    assert world.database(database_url, now=clock.now)[-1].do == world.MIGRATE


def test_a_database_of_a_newer_build_must_be_left_alone(database_url: str) -> None:
    with psycopg.connect(database_url) as conn:
        conn.execute("insert into schema_migration (name, sha256) values ('9999_tomorrow.sql', 'x')")
    found = world.database(database_url, now=clock.now)[-1]
    assert found.state == "fail"
    assert "9999_tomorrow.sql" in found.says


@pytest.mark.unbalanced
def test_accounts_that_do_not_balance_are_a_failure(database_url: str) -> None:
    with psycopg.connect(database_url) as conn:
        conn.execute("insert into gateway_account (gateway_id, received, stored) values ('gw-1', 3, 2)")
    found = world.database(database_url, now=clock.now)[-1]
    assert (found.name, found.state) == ("accounts", "fail")
    assert "gw-1" in found.says


@pytest.mark.parametrize(
    ("ahead", "state"),
    [(timedelta(), "ok"), (timedelta(seconds=20), "warn"), (timedelta(minutes=5), "fail")],
    ids=["together", "seconds", "minutes"],
)
def test_a_database_whose_clock_differs_is_noticed(database_url: str, ahead: timedelta, state: str) -> None:
    found = world.database(database_url, now=lambda: clock.now() + ahead)
    assert states(found)["database clock"] == state


def test_a_database_that_is_away_is_a_failure_with_advice() -> None:
    (found,) = world.database("postgresql://nobody@127.0.0.1:1/none", now=clock.now)
    assert found.state == "fail"
    assert "HOMEVIGIL_SERVER_DATABASE_URL" in found.do


def test_a_database_check_never_says_a_password() -> None:
    (found,) = world.database("postgresql://nobody:s3cret@127.0.0.1:1/none", now=clock.now)
    assert "s3cret" not in found.says + found.do


def test_a_broker_that_speaks_mqtt_5_is_well(mosquitto: EmbeddedBroker) -> None:
    found = world.broker("broker", replace(NOBODY, port=mosquitto.port), now=NOW)
    assert found.state == "ok"
    assert "MQTT 5" in found.says


def test_a_broker_that_is_away_is_a_failure_with_advice() -> None:
    found = world.broker("broker", NOBODY, now=NOW)
    assert found.state == "fail"
    assert found.do


def test_something_that_is_no_broker_is_a_failure(silent_port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(world, "WITHIN_S", 0.3)
    assert world.broker("broker", replace(NOBODY, port=silent_port), now=NOW).state == "fail"


def test_a_certificate_authority_that_is_not_there_is_a_failure(mosquitto: EmbeddedBroker, tmp_path: Path) -> None:
    account = replace(NOBODY, port=mosquitto.port, ca_file=str(tmp_path / "ca.crt"))
    assert world.broker("broker", account, now=NOW).state == "fail"


def test_an_outbox_is_counted_while_a_gateway_uses_it(tmp_path: Path) -> None:
    path = tmp_path / "outbox.sqlite3"
    with Outbox(path, now=NOW):
        found = world.outbox(path)
    assert found.state == "ok"
    assert found.says == "0 waiting, 0 confirmed, 0 refused"


def test_an_outbox_that_is_yet_to_be_made_is_well_if_its_folder_is_there(tmp_path: Path) -> None:
    assert world.outbox(tmp_path / "outbox.sqlite3").state == "ok"
    assert world.outbox(tmp_path / "missing" / "outbox.sqlite3").state == "fail"


def test_a_file_that_is_no_outbox_is_never_advised_to_be_deleted(tmp_path: Path) -> None:
    path = tmp_path / "outbox.sqlite3"
    path.write_bytes(b"not a database" * 100)
    found = world.outbox(path)
    assert found.state == "fail"
    assert "Do not delete" in found.do


@pytest.mark.radio
async def test_a_bus_with_bluez_and_its_adapter_is_well(air: VirtualAir) -> None:
    found = await asyncio.to_thread(world.bus, "hci0")
    assert (found.state, found.says) == ("ok", "BlueZ with hci0, powered")


@pytest.mark.radio
async def test_an_adapter_that_is_not_there_is_named(air: VirtualAir) -> None:
    found = await asyncio.to_thread(world.bus, "hci7")
    assert found.state == "fail"
    assert "hci7" in found.says
    assert "HOMEVIGIL_GATEWAY_ADAPTER" in found.do


@pytest.mark.radio
def test_a_bus_without_bluez_is_a_failure_with_advice(bus_address: str) -> None:
    found = world.bus("hci0")
    assert found.state == "fail"
    assert "bluez" in found.do


def test_a_machine_without_a_bus_is_a_failure_with_advice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", f"unix:path={tmp_path}/none")
    found = world.bus("hci0")
    assert found.state == "fail"
    assert "D-Bus" in found.do


def test_what_is_not_configured_is_said_to_be_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv(SETTING)  # which the tests have for their databases
    assert main(["doctor", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["ok"]
    assert {each["name"] for each in said["checks"] if each["state"] == "not configured"} == {"gateway", "server"}


def test_a_configured_server_is_examined(
    database_url: str, mosquitto: EmbeddedBroker, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HOMEVIGIL_SERVER_DATABASE_URL", database_url)
    monkeypatch.setenv("HOMEVIGIL_SERVER_MQTT_PORT", str(mosquitto.port))
    assert main(["doctor"]) == 0
    said = capsys.readouterr().out
    assert "migrated to" in said
    assert "server's broker" in said


def test_a_failure_is_the_exit_code_and_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", f"unix:path={tmp_path}/none")
    monkeypatch.setenv("HOMEVIGIL_GATEWAY_ID", "gw-1")
    monkeypatch.setenv("HOMEVIGIL_GATEWAY_ZONE", "Asia/Shanghai")
    monkeypatch.setenv("HOMEVIGIL_GATEWAY_OUTBOX", str(tmp_path / "outbox.sqlite3"))
    monkeypatch.setenv("HOMEVIGIL_GATEWAY_MQTT_PORT", "1")
    assert main(["doctor"]) == 1
    said = capsys.readouterr().out
    assert "FAIL  bus" in said
    assert "FAIL  gateway's broker" in said


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("HOMEVIGIL_GATEWAY_ZONE", "Mars/Olympus", "gateway"),
        ("HOMEVIGIL_SERVER_WEB_PORT", "eighty", "server"),
    ],
)
def test_a_wrong_setting_is_named(monkeypatch: pytest.MonkeyPatch, name: str, value: str, expected: str) -> None:
    monkeypatch.setenv(name, value)
    found = {finding.name: finding for finding in checks.examine()}[expected]
    assert found.state == "fail"
    assert name in found.says


def test_a_disk_that_fills_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    free = checks.disk(tmp_path)
    monkeypatch.setattr(checks, "DISK_WARN_BYTES", 1 << 60)
    warned = checks.disk(tmp_path / "not" / "there")
    monkeypatch.setattr(checks, "DISK_FAIL_BYTES", 1 << 60)
    assert [free.state, warned.state, checks.disk(tmp_path).state] == ["ok", "warn", "fail"]


def test_a_clock_that_nobody_keeps_right_is_noticed() -> None:
    assert checks.synchronisation(is_synchronised=True).state == "ok"
    assert checks.synchronisation(is_synchronised=False).do


def test_the_tests_run_in_a_virtual_environment() -> None:
    assert checks.python().state == "ok"
