"""The way to PostgreSQL: a pool, transactions that try again, a bell, and SQL kept in `.sql` files.

What psycopg raises stops here: `UnavailableError` when the database does not answer (try later), everything else is a bug of
ours and keeps its own name. No table is named in this module.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar

import psycopg
from psycopg import errors
from psycopg_pool import ConnectionPool, PoolClosed, PoolTimeout, TooManyRequests

from vitals.errors import MalformedError, UnavailableError

Connection = psycopg.Connection[tuple[Any, ...]]
OpenPool = ConnectionPool[Connection]

POOL_WAIT_S: Final = 5.0
"""How long to wait for a connection before the database counts as unavailable."""

RECONNECT_S: Final = 3.0
"""How long the pool tries to replace a connection with growing pauses; short, because whoever asks next makes it try afresh."""

PATIENCE: Final[Mapping[str, Any]] = {
    "connect_timeout": 5,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 2,
    "tcp_user_timeout": 20_000,
}
"""A database host that has vanished without a word (no reset, no error) is noticed within 20 s; left to itself, TCP waits for a
quarter of an hour, and so would intake. libpq's names; seconds, and milliseconds for the last one."""

ATTEMPTS: Final = 8
"""Deadlocks and serialization failures are tried again this often; two writers of sorted batches meet at most a few times."""

_UNAVAILABLE: Final = (
    psycopg.OperationalError,
    psycopg.InterfaceError,
    errors.ReadOnlySqlTransaction,
    PoolTimeout,
    PoolClosed,
    TooManyRequests,
)
_CONTENDED: Final = (errors.DeadlockDetected, errors.SerializationFailure)

T = TypeVar("T")


class Pool(Protocol):
    """Where connections come from: one block, one transaction."""

    def connection(self) -> AbstractContextManager[Connection]: ...


def open_pool(database_url: str, *, min_size: int = 1, max_size: int = 8) -> OpenPool:
    """A pool of connections in UTC. Opening never waits: a database that is down is met at the first use.

    Statements are not prepared, so that a partition attached by another process never meets a stale plan, and so that the
    same code runs against poolers and single-backend servers.
    """
    return ConnectionPool(
        database_url,
        min_size=min_size,
        max_size=max_size,
        open=True,
        timeout=POOL_WAIT_S,
        reconnect_timeout=RECONNECT_S,
        configure=_configure,
        check=ConnectionPool.check_connection,
        kwargs={**PATIENCE, "prepare_threshold": None, "application_name": "homevigil"},
        name="homevigil",
    )


def _configure(conn: Connection) -> None:
    conn.execute("set timezone to 'UTC'")
    conn.commit()


@dataclass(frozen=True, slots=True, kw_only=True)
class Walled:
    """Connections for what is asked in one person's name: each transaction sees the patients of that person alone.

    What is said to PostgreSQL holds for one transaction (`set local`), so nothing of it is left on the connection that the
    next request is given. Whoever commits in the middle would leave the wall: nobody but the pool ends a transaction.
    """

    pool: Pool
    user_id: int
    now: Callable[[], datetime]
    """The clock of the door; what ends (a record opened in an emergency) ends by it."""

    @contextmanager
    def connection(self) -> Iterator[Connection]:
        with self.pool.connection() as conn:
            conn.execute(self._wall())
            yield conn

    def _wall(self) -> bytes:
        """Commands and no query: whoever wants another isolation level can still say so."""
        return (
            "set local role homevigil_people; set local search_path to people, public, pg_temp; "
            f"set local homevigil.user_id to '{self.user_id:d}'; set local homevigil.now to '{self.now().isoformat()}'"
        ).encode()


@contextmanager
def transaction(pool: Pool) -> Iterator[Connection]:
    """One transaction: committed at the end, rolled back on an error.

    Raises `UnavailableError` if the database is away, `MalformedError` for a text that no database holds.
    """
    try:
        with pool.connection() as conn:
            yield conn
    except psycopg.DataError as e:
        raise _of_text(e) from e
    except _UNAVAILABLE as e:
        raise UnavailableError(f"database: {type(e).__name__}: {str(e).strip()[:200]}") from e


def in_transaction(pool: Pool, work: Callable[[Connection], T]) -> T:
    """`work(conn)` in one transaction, tried again when PostgreSQL chose it as the victim of a conflict (40P01, 40001)."""
    for attempt in range(1, ATTEMPTS + 1):
        try:
            with pool.connection() as conn:
                return work(conn)
        except psycopg.DataError as e:
            raise _of_text(e) from e
        except _CONTENDED as e:
            if attempt == ATTEMPTS:
                raise UnavailableError(f"database: {ATTEMPTS} times in conflict: {type(e).__name__}") from e
        except _UNAVAILABLE as e:
            raise UnavailableError(f"database: {type(e).__name__}: {str(e).strip()[:200]}") from e
    raise AssertionError("unreachable")


def _of_text(error: psycopg.DataError) -> Exception:
    """Whoever typed a NUL is told so, whichever field it was; anything else is a bug of ours."""
    if type(error) is psycopg.DataError and "NUL" in str(error):
        return MalformedError("text", "a text cannot hold the character NUL")
    return error


class Bell:
    """Waits for NOTIFY on a channel. Only a hint: what rings while nobody listens is lost, so callers poll as well."""

    def __init__(self, database_url: str, channel: str) -> None:
        assert re.fullmatch(r"[a-z_]+", channel), channel
        self._database_url = database_url
        self._channel = channel
        self._conn: Connection | None = None

    def wait(self, timeout_s: float) -> bool:
        """True when it rang within `timeout_s`, False when not. Raises `UnavailableError` if nothing can be heard."""
        try:
            if self._conn is None:
                self._conn = psycopg.connect(self._database_url, autocommit=True, **PATIENCE)
                self._conn.execute(f"listen {self._channel}".encode())
                return True  # what was committed before we listened is looked for once
            return any(True for _ in self._conn.notifies(timeout=timeout_s, stop_after=1))
        except _UNAVAILABLE as e:
            self.close()
            raise UnavailableError(f"database: {type(e).__name__}: {str(e).strip()[:200]}") from e

    def close(self) -> None:
        if self._conn is not None:
            self._conn.close()
            self._conn = None


_NAME: Final = re.compile(r"^-- name: (\w+)$", re.MULTILINE)


@cache
def load_sql(stem: str) -> Mapping[str, bytes]:
    """The statements of `sql/<stem>.sql` by their `-- name: …` lines."""
    text = (Path(__file__).parent / "sql" / f"{stem}.sql").read_text(encoding="utf-8")
    _, *parts = _NAME.split(text)
    names, bodies = parts[::2], parts[1::2]
    assert len(set(names)) == len(names), f"{stem}.sql says a name twice"
    return {name: body.strip().rstrip(";").encode() for name, body in zip(names, bodies, strict=True)}
