"""A database whose clock a test sets: the product's own SQL asks `now()` as always and is answered what the test says.

`now` and `clock_timestamp` stand in a schema that is searched before the catalog, and the defaults of columns ask them too. Only
connections that are opened afterwards see it.
"""

from datetime import datetime

import psycopg

_INSTALL = """
create schema clock;
create table clock.shown (at timestamptz not null);
insert into clock.shown values ('2020-01-01T00:00:00Z');
create function clock.now() returns timestamptz language sql stable as 'select at from clock.shown';
create function clock.clock_timestamp() returns timestamptz language sql stable as 'select at from clock.shown';
do $$
declare
    found record;
begin
    for found in
        select d.adrelid::regclass as of, a.attname, pg_get_expr(d.adbin, d.adrelid) as said
        from pg_attrdef d join pg_attribute a on a.attrelid = d.adrelid and a.attnum = d.adnum
        where pg_get_expr(d.adbin, d.adrelid) in ('now()', 'clock_timestamp()')
    loop
        execute format('alter table %s alter column %I set default clock.%s', found.of, found.attname, found.said);
    end loop;
end $$;
"""


def install(database_url: str) -> None:
    """Give the database a clock to set."""
    with psycopg.connect(database_url, autocommit=True) as conn:
        conn.execute(_INSTALL)
    follow(database_url)


def follow(database_url: str) -> None:
    """Let connections to the database look at its clock: also to a copy, which does not inherit that."""
    with psycopg.connect(database_url, autocommit=True) as conn:
        conn.execute(
            "do $$ begin execute format('alter database %I set search_path = public, clock, pg_catalog', current_database());"
            " end $$"
        )


def show(conn: psycopg.Connection[tuple[object, ...]], at: datetime) -> None:
    """It is `at` from the next transaction on."""
    conn.execute("update clock.shown set at = %s", (at,))
