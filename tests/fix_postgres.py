"""A real PostgreSQL for the whole run, a fresh database for each test."""

import shutil
from collections.abc import Iterator
from itertools import count

import psycopg
import pytest
from memory import IN_LITTLE_ROOM, folder_in_memory
from rules_in_force import put_in_force

from homevigil.embedded.postgres import EmbeddedPostgres
from server.store.intake import check_accounts
from server.store.migrate import migrate
from server.store.postgres import Pool, open_pool

_numbers = count(1)

FAST = ("-c", "fsync=off", "-c", "full_page_writes=off", "-c", "max_connections=200", *IN_LITTLE_ROOM)
"""No test cuts the power; killed processes and immediate shutdowns lose nothing without fsync."""


@pytest.fixture(scope="session")
def postgres() -> Iterator[EmbeddedPostgres]:
    folder = folder_in_memory()
    with EmbeddedPostgres(folder=folder, options=FAST) as server:
        yield server
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def migrated_template(postgres: EmbeddedPostgres) -> str:
    url = postgres.create_database("migrated")
    migrate(url)
    put_in_force(url)
    return "migrated"


@pytest.fixture
def database_url(postgres: EmbeddedPostgres, migrated_template: str, request: pytest.FixtureRequest) -> Iterator[str]:
    """A fresh database with every migration applied.

    Whatever a test sent in through the door must balance at its end: received = stored + repeated + quarantined, and the rows say
    the same. A test that cooks the books on purpose says `@pytest.mark.unbalanced`; readings that a test wrote by SQL came
    through no door and have no account.
    """
    name = f"test_{next(_numbers)}"
    url = postgres.create_database(name, template=migrated_template)
    yield url
    if request.node.get_closest_marker("unbalanced") is None:
        assert_balanced(url)
    postgres.drop_database(name)


@pytest.fixture
def pool(database_url: str) -> Iterator[Pool]:
    """The server's own pool on the test's database."""
    with open_pool(database_url) as pool:
        yield pool


@pytest.fixture
def empty_database_url(postgres: EmbeddedPostgres) -> Iterator[str]:
    """A fresh database with nothing in it."""
    name = f"test_{next(_numbers)}"
    yield postgres.create_database(name)
    postgres.drop_database(name)


@pytest.fixture
def own_postgres() -> Iterator[EmbeddedPostgres]:
    """A server of the test's own, to stop and crash."""
    folder = folder_in_memory()
    with EmbeddedPostgres(folder=folder, options=FAST) as server:
        yield server
    shutil.rmtree(folder)


def assert_balanced(url: str) -> None:
    """Every gateway that was heard: received = stored + repeated + quarantined, and the rows are there."""
    with psycopg.connect(url, prepare_threshold=None) as conn:
        assert [account for account in check_accounts(conn) if account.received] == []
