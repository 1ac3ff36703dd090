"""Intake's own tests, every one of them, with `reading` as a hypertable: the same statements must give the same answers."""

import os
from collections.abc import Iterator

import pytest
from integration.test_intake import *  # noqa: F403  the tests and their fixtures, collected here a second time

from server.store.postgres import Pool, open_pool

pytestmark = pytest.mark.timescale


@pytest.fixture
def pool(database_url: str) -> Iterator[Pool]:
    """One connection, because one backend stands behind all connections of the WASM build."""
    with open_pool(database_url, max_size=8 if os.environ.get("TIMESCALE_URL") else 1) as pool:
        yield pool


if not os.environ.get("TIMESCALE_URL"):
    # Two transactions at the same time cannot be had from one backend; a TimescaleDB of one's own runs this test too.
    del test_many_writers_of_the_same_readings_store_each_once  # noqa: F821
