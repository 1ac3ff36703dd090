"""A real PostgreSQL whose clock is the agenda: the product's own SQL on simulated time, one statement after the other.

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

LIVE, COPY = "clinic", "clinic_copy"
Connection = psycopg.Connection[tuple[Any, ...]]


class DiedError(BaseException):
    """The process that had the transaction died before its commit. No product code sees it: a dead process does nothing."""


class Database:
    """Stands where the product expects its pool. `now` is the agenda's clock."""

    def __init__(self, folder: Path, now: Callable[[], datetime]) -> None:
        self._server = EmbeddedPostgres(folder=folder, options=FAST)
        self._now = now
        self._idle: list[Connection] = []
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
    def connection(self) -> Iterator[Connection]:
        """One transaction at the agenda's time, as `ConnectionPool.connection` gives it. A second one may begin inside it."""
        if not self.is_up:
            raise psycopg.OperationalError("the database is away")
        conn = self._idle.pop()
        try:
            with self._transaction(conn):
                yield conn
        finally:
            self._idle.append(conn)

    @contextmanager
    def _transaction(self, conn: Connection) -> Iterator[None]:
        self.transactions += 1
        conn.execute(f"begin; set local sim.now = '{self._now().isoformat()}'".encode())
        try:
            yield
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
        for _ in range(2):
            conn = psycopg.connect(self._server.url(LIVE), autocommit=True, prepare_threshold=2)
            conn.execute("set timezone to 'UTC'")
            conn.execute("set lock_timeout to '50ms'")  # who waits here waits for ever: nothing else moves meanwhile
            self._idle.append(conn)

    def _disconnect(self) -> None:
        assert len(self._idle) in (0, 2), "no transaction is open"
        while self._idle:
            self._idle.pop().close()
