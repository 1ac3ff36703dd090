"""received = stored + repeated + quarantined, checked against the rows themselves after every test that asks for it."""

from collections.abc import Iterator

import psycopg
import pytest

from server.store.intake import check_accounts


@pytest.fixture
def balanced_accounts(database_url: str) -> Iterator[None]:
    """`pytestmark = pytest.mark.usefixtures("balanced_accounts")` in a module of integration tests."""
    yield
    with psycopg.connect(database_url) as conn:
        assert check_accounts(conn) == ()
