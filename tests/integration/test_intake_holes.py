"""A number that was given and has not come is seen: since when, how many, which; and it is forgotten once it comes."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from households import EPOCH, Household, enrol

from server.clock import now
from server.intake import Intake
from server.store.intake import holes, outbox_lives
from server.store.postgres import Pool, transaction

ANY_AGE = timedelta(seconds=-1)
OTHER = "fedcba9876543210"


@pytest.fixture
def intake(pool: Pool) -> Intake:
    return Intake(pool)


@pytest.fixture
def home(pool: Pool) -> Household:
    with pool.connection() as conn:
        return enrol(conn, enrolled_on=(now() - timedelta(days=90)).date())


def take(intake: Intake, home: Household, *seqs: int, epoch: str = EPOCH) -> None:
    for seq in seqs:
        reading = home.pressure(now().replace(microsecond=0) - timedelta(hours=1, minutes=seq))
        assert intake.take(home.envelope(reading, first_seq=seq, epoch=epoch), topic_gateway=home.gateway_id)


def found(pool: Pool, older_than: timedelta = ANY_AGE) -> dict[str, str]:
    with transaction(pool) as conn:
        return holes(conn, older_than=older_than)


def since(pool: Pool) -> datetime | None:
    with transaction(pool) as conn:
        (life,) = outbox_lives(conn)
    return life.hole_since


def ask(pool: Pool, statement: str, *values: Any) -> None:
    with transaction(pool) as conn:
        conn.execute(statement.encode(), values)


def test_numbers_without_a_hole_are_no_hole(intake: Intake, home: Household, pool: Pool) -> None:
    take(intake, home, 1, 2, 3)
    assert (found(pool), since(pool)) == ({}, None)


def test_a_hole_is_seen_from_the_commit_that_made_it_until_the_one_that_fills_it(
    intake: Intake, home: Household, pool: Pool
) -> None:
    take(intake, home, 1, 2, 5)
    first = since(pool)
    assert first is not None
    take(intake, home, 7)
    assert since(pool) == first, "it is as old as its oldest part"
    assert f"epoch {EPOCH}: 3 missing since " in found(pool)[home.gateway_id]
    assert found(pool)[home.gateway_id].endswith(": 3-4, 6")
    take(intake, home, 3, 6)
    assert since(pool) == first
    take(intake, home, 4)
    assert (found(pool), since(pool)) == ({}, None)
    take(intake, home, 9)
    assert since(pool) > first, "another hole has an age of its own"


def test_the_first_numbers_can_be_missing_too(intake: Intake, home: Household, pool: Pool) -> None:
    take(intake, home, 3)
    assert found(pool)[home.gateway_id].endswith(": 1-2")
    take(intake, home, 2, 1)
    assert found(pool) == {}


def test_a_young_hole_is_waited_for(intake: Intake, home: Household, pool: Pool) -> None:
    take(intake, home, 2)
    assert found(pool, timedelta(minutes=10)) == {}
    ask(pool, "update gateway_progress set hole_since = now() - interval '11 minutes'")
    assert list(found(pool, timedelta(minutes=10))) == [home.gateway_id]


def test_many_holes_are_counted_and_the_first_are_named(intake: Intake, home: Household, pool: Pool) -> None:
    take(intake, home, *range(2, 30, 2))
    assert ": 14 missing since " in found(pool)[home.gateway_id]
    assert found(pool)[home.gateway_id].endswith(": 1, 3, 5, 7, 9")


def test_nobody_waits_for_a_gateway_that_was_shut_out_for_good(intake: Intake, home: Household, pool: Pool) -> None:
    take(intake, home, 2)
    ask(pool, "update gateway set state = 'revoked'")
    assert found(pool) == {}


def test_nobody_waits_for_ever_for_an_outbox_that_was_replaced(intake: Intake, home: Household, pool: Pool) -> None:
    take(intake, home, 2)
    ask(pool, "update gateway_progress set first_at = now() - interval '40 days', last_at = now() - interval '31 days'")
    assert list(found(pool)) == [home.gateway_id], "silent, but it is the only one"
    take(intake, home, 1, epoch=OTHER)
    assert found(pool) == {}


def test_20_another_outbox_of_a_known_gateway_is_recorded_with_its_time_and_logged(
    intake: Intake, home: Household, pool: Pool, capsys: pytest.CaptureFixture[str]
) -> None:
    take(intake, home, 1, 2)
    assert "outbox_replaced" not in capsys.readouterr().out
    take(intake, home, 1, 4, epoch=OTHER)
    assert capsys.readouterr().out.count("outbox_replaced") == 1
    with transaction(pool) as conn:
        old, new = outbox_lives(conn, home.gateway_id)
        assert outbox_lives(conn, "gw-nobody") == ()
    assert (old.epoch, old.highest, old.missing) == (EPOCH, 2, 0)
    assert (new.epoch, new.highest, new.missing) == (OTHER, 4, 2)
    assert old.first_at < new.first_at
    assert found(pool)[home.gateway_id].startswith(f"epoch {OTHER}")
