"""A real PostgreSQL for the whole run, a fresh database for each test."""

import shutil
from collections.abc import Iterator
from itertools import count

import pytest

from homevigil.embedded.postgres import EmbeddedPostgres, temporary_folder

_numbers = count(1)

FAST = ("-c", "fsync=off", "-c", "full_page_writes=off", "-c", "max_connections=200")
"""No test cuts the power; killed processes and immediate shutdowns lose nothing without fsync."""


@pytest.fixture(scope="session")
def postgres() -> Iterator[EmbeddedPostgres]:
    folder = temporary_folder()
    with EmbeddedPostgres(folder=folder, options=FAST) as server:
        yield server
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def migrated_template(postgres: EmbeddedPostgres) -> str:
    from server.store.migrate import migrate

    migrate(postgres.create_database("migrated"))
    return "migrated"


@pytest.fixture
def database_url(postgres: EmbeddedPostgres, migrated_template: str) -> Iterator[str]:
    """A fresh database with every migration applied."""
    name = f"test_{next(_numbers)}"
    yield postgres.create_database(name, template=migrated_template)
    postgres.drop_database(name)


@pytest.fixture
def empty_database_url(postgres: EmbeddedPostgres) -> Iterator[str]:
    """A fresh database with nothing in it."""
    name = f"test_{next(_numbers)}"
    yield postgres.create_database(name)
    postgres.drop_database(name)


@pytest.fixture
def own_postgres() -> Iterator[EmbeddedPostgres]:
    """A server of the test's own, to stop and crash."""
    folder = temporary_folder()
    with EmbeddedPostgres(folder=folder, options=FAST) as server:
        yield server
    shutil.rmtree(folder)
