"""A real PostgreSQL whose clock is the agenda: one connection, the product's own SQL on simulated time.

A schema `sim` stands before `pg_catalog` in the search path, with functions of the clock's names that read a setting of the
session. Defaults of columns are bound to them too, because the schema is made under the same path.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import psycopg

from homevigil.embedded.postgres import EmbeddedPostgres
from server.store.migrate import migrate

FAST: Final = (
    *("-c", "fsync=off", "-c", "synchronous_commit=off", "-c", "full_page_writes=off", "-c", "autovacuum=off"),
    *("-c", "jit=off", "-c", "shared_buffers=64MB", "-c", "max_connections=20", "-c", "wal_level=minimal"),
    *("-c", "max_wal_senders=0", "-c", "checkpoint_timeout=1h"),
)
"""Nothing here cuts the power of the database: it is set back by copies, and a transaction that dies is rolled back."""

_CLOCK: Final = """
create schema sim;
create function sim.clock_timestamp() returns timestamptz language sql stable as
    $$ select coalesce(nullif(current_setting('sim.now', true), '')::timestamptz, pg_catalog.clock_timestamp()) $$;
create function sim.now() returns timestamptz language sql stable as $$ select sim.clock_timestamp() $$;
create function sim.transaction_timestamp() returns timestamptz language sql stable as $$ select sim.clock_timestamp() $$;
create function sim.statement_timestamp() returns timestamptz language sql stable as $$ select sim.clock_timestamp() $$;
"""

LIVE, COPY, TEMPLATE = "clinic", "clinic_copy", "clinic_empty"


class DiedError(BaseException):
    """The process that had the transaction died before its commit. No product code gets to see it: a dead process does nothing."""


class Database:
    """Stands where the product expects its pool. `now` is the agenda's clock."""

    def __init__(self, folder: Path, now: Callable[[], datetime]) -> None:
        self._server = EmbeddedPostgres(folder=folder, options=FAST)
        self._now = now
        self._conn: psycopg.Connection[tuple[Any, ...]] | None = None
        self.is_up = True
        self.dies_before_commit = False
        self.transactions = 0

    def __enter__(self) -> "Database":
        self._server.start()
        url = self._server.create_database(LIVE)
        with psycopg.connect(url, autocommit=True) as conn:
            conn.execute(_CLOCK)
            conn.execute(f"alter database {LIVE} set search_path = public, sim, pg_catalog".encode())
        migrate(url)
        self._connect()
        return self

    def __exit__(self, *_: object) -> None:
        self._disconnect()
        self._server.stop()

    @contextmanager
    def connection(self) -> Iterator[psycopg.Connection[tuple[Any, ...]]]:
        """One transaction at the agenda's time, as `ConnectionPool.connection` gives it."""
        if not self.is_up:
            raise psycopg.OperationalError("the database is away")
        assert self._conn is not None
        conn = self._conn
        self.transactions += 1
        conn.execute(f"begin; set local sim.now = '{self._now().isoformat()}'".encode())
        try:
            yield conn
            if self.dies_before_commit:
                self.dies_before_commit = False
                raise DiedError
        except BaseException:
            conn.execute("rollback")
            raise
        conn.execute("commit")

    def save_copy(self) -> None:
        """As a backup of this instant."""
        self._copy(LIVE, COPY)

    def set_back(self) -> None:
        """What was committed since `save_copy` is gone."""
        self._copy(COPY, LIVE)

    def rows(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        """What a statement of the simulation's own finds."""
        with self.connection() as conn:
            return conn.execute(sql.encode(), values).fetchall()

    def _copy(self, source: str, target: str) -> None:
        self._disconnect()
        self._server.drop_database(target)
        self._server.create_database(target, template=source)
        with psycopg.connect(self._server.url("postgres"), autocommit=True) as conn:
            conn.execute(f"alter database {target} set search_path = public, sim, pg_catalog".encode())
        self._connect()

    def _connect(self) -> None:
        self._conn = psycopg.connect(self._server.url(LIVE), autocommit=True, prepare_threshold=2)
        self._conn.execute("set timezone to 'UTC'")

    def _disconnect(self) -> None:
        if self._conn is not None:
            self._conn.close()
            self._conn = None
