"""The server as a process: it waits for its parts, does the whole line, and ends within five seconds when told to."""

import json
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from datetime import timedelta
from pathlib import Path
from time import monotonic

import psycopg
import pytest
from households import enrol
from plain_gateway import PlainGateway
from running_server import WAIT_S, environment, running

from homevigil.embedded.broker import EmbeddedBroker
from homevigil.embedded.postgres import EmbeddedPostgres
from server.clock import now
from server.store.migrate import MIGRATIONS
from server.store.postgres import Bell


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def command(*words: str, env: dict[str, str]) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([sys.executable, "-m", "server", *words], env=env, capture_output=True, text=True, timeout=60)


def answers(page: str) -> bool:
    """Whether the page is there within the time that a test has: a reading may be pushed before the pages are loaded."""
    until = monotonic() + WAIT_S
    while monotonic() < until:
        try:
            with urllib.request.urlopen(page, timeout=WAIT_S) as answer:
                return bool(answer.status == 200)
        except (ConnectionError, urllib.error.URLError):
            continue
    return False


def test_a_reading_becomes_a_push_in_one_process_that_ends_when_told(
    mosquitto: EmbeddedBroker, database_url: str
) -> None:
    with psycopg.connect(database_url) as conn:
        home = enrol(conn, enrolled_on=(now() - timedelta(days=90)).date())
    env = environment(
        database_url, HOMEVIGIL_SERVER_MQTT_PORT=str(mosquitto.port), HOMEVIGIL_SERVER_WEB_PORT=str(free_port())
    )
    pushed = Bell(database_url, "push")
    assert pushed.wait(0)
    with running("intake,judge,push,web", env) as server:
        server.wait_for("mqtt_listening")
        gateway = PlainGateway(mosquitto, home)
        try:
            gateway.send(home.pressure(now().replace(microsecond=0), 192, 124), first_seq=1)
            assert gateway.receipt().upto == 1
        finally:
            gateway.close()
        assert pushed.wait(WAIT_S)
        server.wait_for("pushed")
        page = f"http://127.0.0.1:{env['HOMEVIGIL_SERVER_WEB_PORT']}/healthz"
        assert answers(page)
        code, took_s = server.end()
    pushed.close()
    assert code == 0
    assert took_s < 5
    with psycopg.connect(database_url) as conn:
        assert conn.execute("select distinct state from push where recipient = 'patient'").fetchall() == [("sent",)]
    said = [json.dumps({key: word for key, word in line.items() if key != "timestamp"}) for line in server.lines]
    assert not any("192.0" in line or "Patient" in line for line in said), "no value and no name in a log"


@pytest.mark.parametrize("with_signal", [signal.SIGTERM, signal.SIGINT])
def test_every_role_ends_in_time_though_database_and_broker_are_away(
    own_postgres: EmbeddedPostgres, with_signal: signal.Signals
) -> None:
    database_url = own_postgres.create_database("clinic")
    env = environment(
        database_url, HOMEVIGIL_SERVER_MQTT_PORT=str(free_port()), HOMEVIGIL_SERVER_WEB_PORT=str(free_port())
    )
    assert command("migrate", env=env).returncode == 0
    with running("intake,judge,push,web,watch", env) as server:
        server.wait_for("started")
        server.wait_for("mqtt_unreachable")
        own_postgres.crash()
        server.wait_for("database_unavailable")
        code, took_s = server.end(with_signal)
    own_postgres.start()
    assert code == 0
    assert took_s < 5


def test_it_waits_for_the_database_and_then_for_its_migrations(own_postgres: EmbeddedPostgres) -> None:
    database_url = own_postgres.create_database("clinic")
    own_postgres.stop()
    env = environment(database_url)
    with running("push", env) as server:
        assert server.wait_for("database_unavailable")["level"] == "warning"
        own_postgres.start()
        assert server.wait_for("schema_behind")["do"] == "python -m server migrate"
        applied = command("migrate", env=env)
        assert applied.stdout.split() == sorted(path.name for path in MIGRATIONS.glob("*.sql"))
        server.wait_for("started")
        assert server.end()[0] == 0
    assert command("migrate", env=env).stdout == "nothing to apply\n"


def test_a_port_that_is_taken_ends_the_process_with_an_error(database_url: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        env = environment(database_url, HOMEVIGIL_SERVER_WEB_PORT=str(taken.getsockname()[1]))
        with running("web,push", env) as server:
            assert server.process.wait(WAIT_S) == 1


def test_a_role_that_dies_takes_the_process_along(database_url: str, tmp_path: Path) -> None:
    env = environment(database_url, HOMEVIGIL_SERVER_MQTT_CA_FILE=str(tmp_path / "absent.crt"))
    with running("intake,push", env) as server:
        assert server.process.wait(WAIT_S) == 1
        server.wait_for("role_died")


@pytest.mark.unbalanced
def test_check_finds_what_does_not_balance(database_url: str) -> None:
    env = environment(database_url)
    assert command("check", env=env).returncode == 0
    with psycopg.connect(database_url) as conn:
        conn.execute("insert into gateway_account (gateway_id, received) values ('gw-1', 1)")
    found = command("check", env=env)
    assert (found.returncode, found.stdout.split(":")[0]) == (1, "gw-1")


def test_a_webhook_is_added_with_a_secret_and_listed(database_url: str) -> None:
    env = environment(database_url)
    assert "whsec_" in command("webhook", "add", "https://clinic.example/alerts", env=env).stdout
    assert command("webhook", "list", env=env).stdout == "1 active https://clinic.example/alerts\n"
    refused = command("webhook", "add", "http://clinic.example/alerts", env=env)
    assert (refused.returncode, "https://" in refused.stderr) == (1, True)


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"HOMEVIGIL_SERVER_MQTT_PORT": "0"}, "HOMEVIGIL_SERVER_MQTT_PORT"),
        ({"HOMEVIGIL_SERVER_DATABASE_URL": ""}, "HOMEVIGIL_SERVER_DATABASE_URL"),
        ({"HOMEVIGIL_SERVER_PUBLIC_URL": "clinic.example"}, "HOMEVIGIL_SERVER_PUBLIC_URL"),
    ],
)
def test_a_wrong_setting_is_refused_by_its_name(settings: dict[str, str], named: str) -> None:
    env = {**environment("postgresql:///nowhere"), **settings}
    refused = command("run", env=env)
    assert refused.returncode == 2
    assert named in refused.stderr
    assert "nowhere" not in refused.stderr


def test_a_role_that_there_is_not_is_refused() -> None:
    refused = command("run", "--role", "intake,cook", env=environment("postgresql:///nowhere"))
    assert (refused.returncode, refused.stderr) == (
        2,
        "no role cook; there are intake, judge, push, web, watch, enrol\n",
    )


def test_help_is_there_without_the_heavy_libraries() -> None:
    code = "import sys; from server.cli import app; app(['--help'], standalone_mode=False); print(*sys.modules)"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert not {"numba", "numpy", "psycopg", "fastapi", "paho", "pydantic"} & set(said.split())
