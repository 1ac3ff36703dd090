"""Brings a database to this build's schema: numbered SQL files, each applied once, in order, under one lock.

Written by hand because it is the one part that must refuse: a file changed after it ran, a database of a newer build, a
TimescaleDB that loses rows. It never goes back; a mistake is corrected by the next number.
"""

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psycopg
import structlog

from server.errors import SchemaError
from server.store.postgres import Connection
from server.store.vault_upgrade import seal_stored_rows, seal_webhooks
from vitals.errors import UnavailableError

log = structlog.get_logger()

BEFORE: Final[Mapping[str, Callable[[Connection], None]]] = {
    "sealed_rows": seal_stored_rows,
    "sealed_webhooks": seal_webhooks,
}
"""What must be done to the rows before a migration (by its name without number), and is no SQL."""

MIGRATIONS: Final = Path(__file__).parent / "migrations"

POSTGRES_FLOOR: Final = 150000
"""The oldest PostgreSQL that is tested: 15, Debian 12's own."""

TIMESCALE_FLOOR: Final = (2, 18, 1)
"""Before 2.18.1 `on conflict do nothing` into a compressed chunk stopped at the first conflict and lost the rest of the batch
(timescaledb issue 7672): a redelivery would lose readings."""

_LOCK: Final = 0x484F4D45  # "HOME": one migration at a time in a database

_LEDGER: Final = b"""
create table if not exists schema_migration (
    name       text primary key,
    sha256     text        not null,
    applied_at timestamptz not null default clock_timestamp()
)"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Migration:
    """One numbered file. Its first line may be `-- no-transaction`; then each statement ends its line with a semicolon."""

    name: str
    text: str

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.text.encode()).hexdigest()

    @property
    def is_transactional(self) -> bool:
        return not self.text.startswith("-- no-transaction")

    @property
    def statements(self) -> tuple[str, ...]:
        """The whole file as one, or, outside a transaction, statement by statement."""
        if self.is_transactional:
            return (self.text,)
        return tuple(part for part in re.split(r";[ \t]*$", self.text, flags=re.MULTILINE) if _says_something(part))


def migrate(database_url: str, folder: Path = MIGRATIONS) -> list[str]:
    """Apply what is missing and return the names applied, oldest first. Safe to call from many processes at once.

    Raises `SchemaError` for a database that this build must not touch, `UnavailableError` if it does not answer.
    """
    wanted = read_migrations(folder)
    try:
        _try_timescale(database_url)
        with psycopg.connect(database_url, autocommit=True, prepare_threshold=None, connect_timeout=5) as conn:
            _lock(conn)
            _check_engine(conn)
            conn.execute(_LEDGER)
            return [_apply(conn, each) for each in _missing(conn, wanted)]
    except (psycopg.OperationalError, psycopg.InterfaceError) as e:
        raise UnavailableError(f"database: {type(e).__name__}: {str(e).strip()[:200]}") from e


def pending(database_url: str, folder: Path = MIGRATIONS) -> list[str]:
    """What `migrate` would apply, oldest first; changes nothing. Raises as `migrate` does."""
    wanted = read_migrations(folder)
    try:
        with psycopg.connect(database_url, autocommit=True, prepare_threshold=None, connect_timeout=5) as conn:
            _check_engine(conn)
            row = conn.execute("select to_regclass('schema_migration') is not null").fetchone()
            has_ledger = row is not None and row[0]
            return [each.name for each in (_missing(conn, wanted) if has_ledger else wanted)]
    except (psycopg.OperationalError, psycopg.InterfaceError) as e:
        raise UnavailableError(f"database: {type(e).__name__}: {str(e).strip()[:200]}") from e


def read_migrations(folder: Path = MIGRATIONS) -> tuple[Migration, ...]:
    """The files of `folder` in order; their numbers are dense from 0001."""
    found = tuple(
        Migration(name=path.name, text=path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.sql"))
    )
    for number, each in enumerate(found, start=1):
        if not re.fullmatch(rf"{number:04d}_[a-z0-9_]+\.sql", each.name):
            raise SchemaError(f"{each.name} should be number {number:04d}: migrations are numbered without a gap")
    return found


def _missing(conn: Connection, wanted: tuple[Migration, ...]) -> tuple[Migration, ...]:
    applied: dict[str, str] = dict(conn.execute("select name, sha256 from schema_migration").fetchall())
    unknown = sorted(set(applied) - {each.name for each in wanted})
    if unknown:
        raise SchemaError(f"the database holds {unknown[0]}, which this build does not know: run the newer build")
    for each in wanted:
        if applied.get(each.name, each.sha256) != each.sha256:
            raise SchemaError(
                f"{each.name} was changed after it had been applied to this database: "
                "restore the file and put the change into a new migration"
            )
    return tuple(each for each in wanted if each.name not in applied)


def _apply(conn: Connection, migration: Migration) -> str:
    if step := BEFORE.get(migration.name[5:-4]):
        step(conn)
    if migration.is_transactional:
        with conn.transaction():
            _execute(conn, migration)
    else:
        _execute(conn, migration)
    log.info("migrated", migration=migration.name)
    return migration.name


def _execute(conn: Connection, migration: Migration) -> None:
    for statement in migration.statements:
        conn.execute(statement.encode())
    conn.execute(
        "insert into schema_migration (name, sha256) values (%s, %s)",
        (migration.name, migration.sha256),
    )


def _lock(conn: Connection) -> None:
    conn.execute("select pg_advisory_lock(%s)", (_LOCK,))  # until the connection closes


def _try_timescale(database_url: str) -> None:
    """Create the extension where it is installed, before storage is chosen; without it native partitions are used.

    On a connection of its own: a server without it in `shared_preload_libraries` ends the connection that asks.
    """
    conn = psycopg.connect(database_url, autocommit=True, prepare_threshold=None, connect_timeout=5)
    try:
        _lock(conn)
        if _wants_timescale(conn):
            conn.execute("create extension if not exists timescaledb")
    except psycopg.Error as e:
        log.warning("timescaledb_not_created", reason=str(e).strip()[:200], storage="native partitions")
    finally:
        conn.close()


def _wants_timescale(conn: Connection) -> bool:
    row = conn.execute(
        """select exists (select from pg_available_extensions where name = 'timescaledb' and installed_version is null)
              and to_regclass('reading') is null"""
    ).fetchone()
    return row is not None and bool(row[0])


def _check_engine(conn: Connection) -> None:
    if conn.info.server_version < POSTGRES_FLOOR:
        raise SchemaError(f"PostgreSQL {conn.info.server_version // 10000} is too old: 15 or newer is needed")
    row = conn.execute("select extversion from pg_extension where extname = 'timescaledb'").fetchone()
    if row is None:
        return
    version = tuple(int(part) for part in re.findall(r"\d+", row[0])[:3])
    if version < TIMESCALE_FLOOR:
        raise SchemaError(f"TimescaleDB {row[0]} can lose redelivered rows: upgrade it to 2.18.1 or newer")


def _says_something(statement: str) -> bool:
    return any(line.strip() and not line.strip().startswith("--") for line in statement.splitlines())
