"""The migration runner on a real PostgreSQL: applies once, refuses what it must."""

import threading
from pathlib import Path

import psycopg
import pytest

from server.errors import SchemaError, UnavailableError
from server.store.migrate import MIGRATIONS, Migration, migrate, read_migrations
from vitals.reading import KINDS


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "0001_one.sql").write_text("create table one (n int); insert into one values (1);\n")
    (tmp_path / "0002_two.sql").write_text("create table two (n int);\n")
    return tmp_path


def test_an_empty_database_gets_every_migration_in_order(empty_database_url: str) -> None:
    assert migrate(empty_database_url) == sorted(path.name for path in MIGRATIONS.glob("*.sql"))


def test_migrating_again_applies_nothing(database_url: str) -> None:
    assert migrate(database_url) == []


def test_a_new_file_is_applied_alone(empty_database_url: str, folder: Path) -> None:
    migrate(empty_database_url, folder)
    (folder / "0003_three.sql").write_text("create table three ();")
    assert migrate(empty_database_url, folder) == ["0003_three.sql"]


def test_a_file_changed_after_it_ran_is_refused_with_what_to_do(empty_database_url: str, folder: Path) -> None:
    migrate(empty_database_url, folder)
    (folder / "0001_one.sql").write_text("create table one (n bigint);\n")
    with pytest.raises(SchemaError, match=r"0001_one\.sql was changed .* new migration"):
        migrate(empty_database_url, folder)


def test_a_database_of_a_newer_build_is_refused(empty_database_url: str, folder: Path) -> None:
    migrate(empty_database_url, folder)
    (folder / "0002_two.sql").unlink()
    with pytest.raises(SchemaError, match=r"0002_two\.sql, which this build does not know"):
        migrate(empty_database_url, folder)


def test_numbers_with_a_gap_are_refused(folder: Path) -> None:
    (folder / "0004_four.sql").write_text("select 1;")
    with pytest.raises(SchemaError, match="0003"):
        read_migrations(folder)


def test_a_file_that_fails_leaves_nothing_of_itself(empty_database_url: str, folder: Path) -> None:
    (folder / "0002_two.sql").write_text("create table two (); select nonsense;")
    with pytest.raises(psycopg.errors.UndefinedColumn):
        migrate(empty_database_url, folder)
    (folder / "0002_two.sql").write_text("create table two (); select 1;")
    assert migrate(empty_database_url, folder) == ["0002_two.sql"]


def test_a_file_may_ask_to_run_outside_a_transaction(empty_database_url: str, folder: Path) -> None:
    (folder / "0003_three.sql").write_text(
        "-- no-transaction\n-- an index without stopping writers; a comment may hold a semicolon\n"
        "create index concurrently on one (n);\ncreate index concurrently on two (n);\n"
    )
    assert migrate(empty_database_url, folder)[-1] == "0003_three.sql"


def test_statements_of_a_transactional_file_are_not_split() -> None:
    text = "do $$ begin perform 1; end $$;\nselect 2;\n"
    assert Migration(name="0001_a.sql", text=text).statements == (text,)


def test_many_processes_at_once_apply_each_file_once(empty_database_url: str, folder: Path) -> None:
    applied: list[str] = []
    threads = [threading.Thread(target=lambda: applied.extend(migrate(empty_database_url, folder))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(applied) == ["0001_one.sql", "0002_two.sql"]


def test_a_database_that_is_not_there_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="database"):
        migrate(f"postgresql:///nowhere?host={tmp_path}")


def test_a_timescaledb_that_loses_rows_is_refused(empty_database_url: str, folder: Path) -> None:
    with psycopg.connect(empty_database_url, autocommit=True) as conn:
        conn.execute("update pg_extension set extname = 'timescaledb', extversion = '2.18.0' where extname = 'plpgsql'")
        with pytest.raises(SchemaError, match=r"upgrade it to 2\.18\.1"):
            migrate(empty_database_url, folder)
        conn.execute("update pg_extension set extversion = '2.23.0-dev'")
        assert len(migrate(empty_database_url, folder)) == 2


def test_readings_of_the_first_release_keep_their_place_and_other_kinds_find_theirs(
    empty_database_url: str, tmp_path: Path
) -> None:
    for path in sorted(MIGRATIONS.glob("*.sql"))[:11]:
        (tmp_path / path.name).write_bytes(path.read_bytes())
    migrate(empty_database_url, tmp_path)
    row = """insert into reading (patient_id, kind, measured_at, reading_id, gateway_id, meter_id, quality, time_quality, zone,
                                  received_at, decoder)
             select 1, %s, '2026-05-04 07:30Z', gen_random_uuid(), 'gw', 'm', 'accepted', 'trusted', 'UTC', now(), 'test'"""
    with psycopg.connect(empty_database_url, autocommit=True) as conn:
        conn.execute("select reading_make_room('2026-05-04')")
        conn.execute(row.encode(), ("glucose",))
        with pytest.raises(psycopg.errors.CheckViolation):
            conn.execute(row.encode(), ("weight",))
        assert "0012_more_signals.sql" in migrate(empty_database_url)
        for kind in KINDS:
            conn.execute(row.encode(), (kind,))
        with pytest.raises(psycopg.errors.CheckViolation):
            conn.execute(row.encode(), ("height",))
        conn.execute("select reading_make_room('2026-06-04')")
        with pytest.raises(psycopg.errors.CheckViolation):
            conn.execute(row.replace("2026-05", "2026-06").encode(), ("height",))
        found = conn.execute("select count(*), count(weight_kg) from reading").fetchone()
        shape = (
            """select count(*) from information_schema.columns where table_schema = 'public' and table_name = '%s'"""
        )
        assert len({conn.execute((shape % name).encode()).fetchone() for name in ("reading", "reading_shape")}) == 1
    assert found == (1 + len(KINDS), 0)


def test_without_timescaledb_storage_is_native_partitions(database_url: str) -> None:
    with psycopg.connect(database_url) as conn:
        assert conn.execute("select reading_engine()").fetchone() == ("partitions",)
        conn.execute("select reading_make_room('2026-11-30 23:59:59+00'), reading_make_room('2026-12-01 00:00+00')")
        parts = conn.execute(
            "select inhrelid::regclass::text from pg_inherits where inhparent = 'reading'::regclass order by 1"
        ).fetchall()
    assert parts == [("reading_2026_11",), ("reading_2026_12",)]
