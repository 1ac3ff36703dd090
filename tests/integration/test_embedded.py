"""The embedded PostgreSQL and brokers: they keep what they must, refuse what they cannot read, and never outlive us."""

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import paho.mqtt.client as mqtt
import psycopg
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from homevigil.embedded import child
from homevigil.embedded.broker import EmbeddedBroker
from homevigil.embedded.postgres import EmbeddedPostgres, temporary_folder
from vitals.errors import UnavailableError

PARENT = """
import sys, time
from pathlib import Path
from homevigil.embedded.postgres import EmbeddedPostgres
server = EmbeddedPostgres(folder=Path(sys.argv[1]))
server.start()
print(server.pid, flush=True)
time.sleep(600)
"""

INTERRUPTED_WHILE_STARTING = """
import os, signal, subprocess
from homevigil.embedded import child
os.register_at_fork(after_in_parent=lambda: signal.raise_signal(signal.SIGINT))
try:
    child.start(["sleep", "600"], log=subprocess.DEVNULL)
except KeyboardInterrupt:
    print("interrupted")
print("children:", open(f"/proc/self/task/{os.getpid()}/children").read())
"""


def test_a_ctrl_c_that_falls_on_the_start_of_a_part_is_heard_and_leaves_no_part() -> None:
    command = [sys.executable, "-c", INTERRUPTED_WHILE_STARTING]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    assert done.stdout.split() == ["interrupted", "children:"], done.stderr


def test_of_two_who_are_about_to_listen_on_one_port_each_gets_its_own() -> None:
    wanted = child.free_port()
    ask = f"import sys; from homevigil.embedded import child; print(child.free_port({wanted}), flush=True); sys.stdin.read()"
    both = [
        subprocess.Popen([sys.executable, "-c", ask], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    ports = {each.stdout.readline().strip() for each in both if each.stdout is not None}
    for each in both:
        each.communicate(timeout=30)
    assert len(ports) == 2
    assert str(wanted) in ports
    assert child.free_port(wanted) == wanted, "who has ended wants it no longer"


def test_what_is_committed_survives_a_crash_and_a_restart(own_postgres: EmbeddedPostgres) -> None:
    url = own_postgres.create_database("kept")
    with psycopg.connect(url) as conn:
        conn.execute("create table reading (n int)")
        conn.execute("insert into reading values (1)")
    own_postgres.crash()
    own_postgres.start()
    with psycopg.connect(url) as conn:
        assert conn.execute("select n from reading").fetchall() == [(1,)]


def test_a_data_folder_of_another_major_version_is_refused_in_words(own_postgres: EmbeddedPostgres) -> None:
    own_postgres.stop()
    (own_postgres.folder / "data" / "PG_VERSION").write_text("15\n")
    with pytest.raises(UnavailableError, match="holds PostgreSQL 15 data"):
        own_postgres.start()
    (own_postgres.folder / "data" / "PG_VERSION").write_text("18\n")


def test_a_socket_path_that_is_too_long_is_refused_in_words(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="too long for a Unix socket"):
        EmbeddedPostgres(folder=tmp_path / ("x" * 100)).start()


def test_the_server_follows_a_killed_parent() -> None:
    folder = temporary_folder()
    parent = subprocess.Popen([sys.executable, "-c", PARENT, str(folder)], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    server_pid = int(parent.stdout.readline())
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    _wait_until(lambda: not _is_alive(server_pid))


@pytest.mark.parametrize("prefer_mosquitto", [True, False], ids=["mosquitto", "rumqttd"])
def test_a_broker_delivers_retained_and_acknowledged_messages_and_keeps_its_port(
    tmp_path: Path, prefer_mosquitto: bool
) -> None:
    with EmbeddedBroker(folder=tmp_path, prefer_mosquitto=prefer_mosquitto) as broker:
        port = broker.port
        broker.kill()
        broker.start()
        assert broker.port == port
        assert _publish_then_read_retained(port) == b"online"
    assert not child.accepts(port)


def _publish_then_read_retained(port: int) -> bytes:
    got: list[bytes] = []
    arrived = threading.Event()

    def keep(_client: mqtt.Client, _userdata: object, message: mqtt.MQTTMessage) -> None:
        got.append(message.payload)
        arrived.set()

    publisher = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
    publisher.connect("127.0.0.1", port)
    publisher.loop_start()
    publisher.publish("homevigil/1/gw/status", b"online", qos=1, retain=True).wait_for_publish(5)
    reader = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
    reader.on_message = keep
    reader.connect("127.0.0.1", port)
    reader.loop_start()
    reader.subscribe("homevigil/1/+/status", qos=1)
    assert arrived.wait(5)
    for client in (publisher, reader):
        client.disconnect()
        client.loop_stop()
    return got[0]


def _is_alive(pid: int) -> bool:
    try:
        return "zombie" not in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


def _wait_until(condition: Callable[[], bool], within_s: float = 10) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "still not so"
        time.sleep(0.05)
