"""Readings of many patients at once, from a real PostgreSQL: each one's window is what the judge of every day is given."""

from collections.abc import Iterator
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from unit.rules import histories, trend_histories, value_histories

from server.rules.windows import KIND_CODES, Row, Window
from server.store.judging import history_of
from server.store.postgres import Pool, open_pool, transaction
from server.store.window_tables import windows_of

PEOPLE = 12


@pytest.fixture
def pool(database_url: str) -> Iterator[Pool]:
    with open_pool(database_url) as pool:
        yield pool


def move_in(pool: Pool) -> dict[int, list[Row]]:
    """People who measure everything: HI and LO, without numbers, in doubt, from before a clock change. The last has nothing."""
    random, rows = Random("window tables"), {}
    with transaction(pool) as conn:
        for number in range(PEOPLE):
            row = conn.execute(
                "insert into patient (language, enrolled_on) values ('en', '2026-01-01') returning patient_id"
            ).fetchone()
            assert row is not None
            made = trend_histories.some_patient(random, tuple(trend_histories.CENTRES), days=40)
            if number % 3 == 0:
                made = value_histories.some_patient(random, value_histories.some_rule(random))
            readings = made.readings if number < PEOPLE - 1 else ()
            rows[row[0]] = [disguised(random, histories.row_of(each)) for each in readings]
            for each in rows[row[0]]:
                store(conn, row[0], each)
    return rows


def disguised(random: Random, row: Row) -> Row:
    """Under an id of its own; of a glucose the meter may have said HI or LO alone."""
    row = row._replace(reading_id=UUID(int=random.getrandbits(128)))
    if row.kind != "glucose" or random.random() < 0.7:
        return row
    return row._replace(glucose_mmol_l=None, glucose_mg_dl=None, glucose_censored=random.choice(("HI", "LO")))


def store(conn: Any, patient_id: int, row: Row) -> None:
    conn.execute("select reading_make_room(%s)", (row.measured_at,))
    facts = row._asdict() | {"quality": "accepted" if row.quality == "suspect" else row.quality}
    names = ", ".join(facts)
    conn.execute(
        f"insert into reading (patient_id, gateway_id, meter_id, zone, decoder, {names})"
        f" values (%(patient_id)s, 'gw', 'meter', 'UTC', 'test', {', '.join(f'%({name})s' for name in facts)})",
        facts | {"patient_id": patient_id},
    )


def correct(pool: Pool, stored_as: int, owner: int | None, row: Row) -> None:
    with transaction(pool) as conn:
        conn.execute(
            "insert into reading_elsewhere (stored_as, reading_id, patient_id, kind, measured_at) values (%s, %s, %s, %s, %s)",
            (stored_as, row.reading_id, owner, row.kind, row.measured_at),
        )


def both(pool: Pool, patient_ids: list[int], since: datetime) -> Iterator[tuple[Window, Window]]:
    with transaction(pool) as conn:
        together = windows_of(conn, patient_ids, since=since)
        for patient_id in patient_ids:
            yield together[patient_id], history_of(conn, patient_id, since=since).window


def check(pool: Pool, patient_ids: list[int], since: datetime) -> int:
    """The windows are equal, column by column; how many readings they hold."""
    readings = 0
    for together, alone in both(pool, patient_ids, since):
        assert tuple(together.reading_ids) == tuple(alone.reading_ids)
        for field in fields(Window):
            if field.name != "reading_ids":
                there, here = getattr(together, field.name), getattr(alone, field.name)
                assert there.dtype == here.dtype, field.name
                np.testing.assert_array_equal(there, here, err_msg=field.name)
        readings += len(alone)
    return readings


def test_the_windows_of_many_are_those_of_each(pool: Pool) -> None:
    rows = move_in(pool)
    everything = [row for theirs in rows.values() for row in theirs]
    assert {row.kind for row in everything} == set(KIND_CODES)
    assert {row.glucose_censored for row in everything} == {None, "HI", "LO"}
    assert {row.meter_status is None for row in everything} == {True, False}
    assert check(pool, sorted(rows), datetime(2000, 1, 1, tzinfo=UTC)) == len(everything)
    middle = sorted(row.measured_at for row in everything)[len(everything) // 2]
    assert 0 < check(pool, sorted(rows), middle) < len(everything)
    assert check(pool, sorted(rows), max(row.measured_at for row in everything) + timedelta(days=1)) == 0


def test_what_clinicians_have_corrected_counts_where_it_belongs(pool: Pool) -> None:
    rows = move_in(pool)
    (one, here), (other, there), *_ = ((each, theirs) for each, theirs in rows.items() if len(theirs) > 2)
    correct(pool, one, None, here[0])
    correct(pool, one, other, here[1])
    correct(pool, other, sorted(rows)[-1], there[2])
    everything = sum(map(len, rows.values()))
    assert check(pool, sorted(rows), datetime(2000, 1, 1, tzinfo=UTC)) == everything - 1


def test_of_nobody_there_is_nothing(pool: Pool) -> None:
    with transaction(pool) as conn:
        assert windows_of(conn, [], since=datetime(2026, 1, 1, tzinfo=UTC)) == {}
