"""What only a network that swallows packets can show: nobody says that the other side is gone."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import psycopg
import pytest

from faults.namespaces import Hosts, why_not
from homevigil.embedded import child
from server.store.postgres import in_transaction, open_pool
from vitals.errors import UnavailableError

PORT = 5432


@pytest.fixture
def hosts() -> Iterator[Hosts]:
    if (reason := why_not()) is not None:
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    with Hosts() as hosts:
        yield hosts


@pytest.fixture
def far_database_url(hosts: Hosts, database_url: str, tmp_path: Path) -> Iterator[str]:
    """The test's database, reached on another host."""
    parts = urlsplit(database_url)
    socket = f"{parse_qs(parts.query)['host'][0]}/.s.PGSQL.5432"
    command = [
        *hosts.prefix("database"),
        sys.executable,
        "-m",
        "faults.relay",
        hosts.address("database"),
        str(PORT),
        socket,
    ]
    env = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
    with (tmp_path / "relay.log").open("wb") as log:
        relay = child.start(command, log=log, env=env)
    far = f"postgresql://postgres@{hosts.address('database')}:{PORT}{parts.path}"
    child.wait_until(lambda: _answers(far), process=relay, within_s=20, what="the relay", log=tmp_path / "relay.log")
    yield far
    child.stop(relay)


def _answers(url: str) -> bool:
    try:
        psycopg.connect(url, connect_timeout=2).close()
    except psycopg.OperationalError:
        return False
    return True


def test_whether_there_can_be_hosts_may_be_asked_again_and_again() -> None:
    assert len({why_not() for _ in range(8)}) == 1


@pytest.mark.timeout(120)
def test_a_database_host_that_vanishes_is_given_up_and_found_again(hosts: Hosts, far_database_url: str) -> None:
    with open_pool(far_database_url) as pool:
        assert in_transaction(pool, lambda conn: conn.execute("select 1").fetchone()) == (1,)

        def vanish_and_ask(conn: psycopg.Connection[tuple[int]]) -> object:
            hosts.drop("database", ("input", "output"))
            return conn.execute("select 2").fetchone()

        with pytest.raises(UnavailableError):
            in_transaction(pool, vanish_and_ask)
        hosts.heal("database")
        assert in_transaction(pool, lambda conn: conn.execute("select 3").fetchone()) == (3,)


def test_each_host_is_apart(hosts: Hosts) -> None:
    names = {
        subprocess.run([*hosts.prefix(each), "readlink", "/proc/self/ns/net"], capture_output=True, check=True).stdout
        for each in ("home", "broker", "database")
    }
    assert len(names) == 3
