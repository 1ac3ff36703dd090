"""A TimescaleDB for this folder's tests: the one of TIMESCALE_URL, else the WASM build through node. Migrated once, emptied for
each test."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from fix_postgres import assert_balanced

from homevigil.embedded import child
from homevigil.embedded.postgres import temporary_folder

HERE = Path(__file__).parent
OWN_DATABASE = "homevigil_test"

ENABLE = (
    "to run this suite: TIMESCALE_URL=postgresql://… python3 run.py test; or, with node: "
    "(cd tests/timescale && npm ci --legacy-peer-deps)"
)


@pytest.fixture(scope="session")
def timescale_url() -> Iterator[str]:
    """A migrated database with TimescaleDB."""
    given = os.environ.get("TIMESCALE_URL")
    served = _own_database(given) if given else _wasm_build()
    for url in served:
        from server.store.migrate import migrate

        migrate(url)
        yield url


@pytest.fixture
def database_url(timescale_url: str) -> Iterator[str]:
    """The same database for each test, emptied: the WASM build has no second one. At the end the accounts must balance."""
    with psycopg.connect(timescale_url, autocommit=True, prepare_threshold=None) as conn:
        query = "select tablename from pg_tables where schemaname = 'public' and tablename <> 'schema_migration'"
        tables = ", ".join(f'"{name}"' for (name,) in conn.execute(query).fetchall())
        conn.execute("set session_replication_role = replica")  # what is append-only refuses even this
        conn.execute(f"truncate {tables} restart identity cascade".encode())
        conn.execute("set session_replication_role = origin")
    yield timescale_url
    assert_balanced(timescale_url)


def _own_database(server_url: str) -> Iterator[str]:
    with psycopg.connect(server_url, autocommit=True) as conn:
        conn.execute(f"drop database if exists {OWN_DATABASE} with (force)".encode())
        conn.execute(f"create database {OWN_DATABASE}".encode())
    yield psycopg.conninfo.make_conninfo(server_url, dbname=OWN_DATABASE)
    with psycopg.connect(server_url, autocommit=True) as conn:
        conn.execute(f"drop database {OWN_DATABASE} with (force)".encode())


def _wasm_build() -> Iterator[str]:
    node = shutil.which("node")
    if node is None or not (HERE / "node_modules" / "@electric-sql" / "pglite").exists():
        pytest.skip(f"no TimescaleDB here; {ENABLE}")
    folder = temporary_folder()
    log = folder / "wasm.log"
    with log.open("wb") as sink:
        process = child.start([node, HERE / "serve.mjs"], log=sink, cwd=HERE, stdout=subprocess.PIPE)
    assert process.stdout is not None
    try:
        said = process.stdout.readline()
        assert said, child.tail(log)
        port = json.loads(said)["port"]
        yield f"postgresql://postgres:postgres@127.0.0.1:{port}/postgres?sslmode=disable"
    finally:
        child.stop(process)
        process.stdout.close()
        shutil.rmtree(folder)
