"""The simulation itself: one seed is one month, a world at rest is right, and the reckoning sees what is not."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from msgspec import structs

from faults.rings.d1_simulation import in_memory, reckon
from faults.simulation import reckoning
from faults.simulation.meters import SimMeter
from faults.simulation.people import Plan
from faults.simulation.records import Books, Judging
from faults.simulation.world import Scale, World
from firmware_sims.settings import WrongClock
from vitals.reading import TimeQuality

NOON = datetime(2027, 1, 15, 12, tzinfo=UTC)
DAY = timedelta(days=1)
SEED = "a test"
SCALE = Scale(patients=9, days=12)

REPLAY = """
import json, sys
from pathlib import Path
from faults.rings.d1_simulation import in_memory
from faults.simulation.world import Scale, World
with in_memory(Path(sys.argv[1])) as folder, World("a replay", Scale(patients=5, days=6), folder) as world:
    world.run()
    rows = world.database.rows("select reading_id, measured_at from reading order by 1")
    print(json.dumps([world.diary.digest, len(world.diary.entries), str(rows)]))
"""


def replay(folder: Path, hash_seed: str) -> list[object]:
    """A month in a process of its own, in which sets and dicts of strings are shuffled otherwise."""
    places = os.pathsep.join(str(place) for place in (Path(__file__).parents[1], Path(__file__).parents[2]))
    done = subprocess.run(
        [sys.executable, "-c", REPLAY, str(folder)],
        env=os.environ | {"PYTHONHASHSEED": hash_seed, "PYTHONPATH": places},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: list[object] = json.loads(done.stdout)
    return found


def test_one_seed_is_one_month_in_every_process(tmp_path: Path) -> None:
    first, second = replay(tmp_path, "1"), replay(tmp_path, "2")
    assert first == second
    assert isinstance(first[1], int)
    assert first[1] > 300, "something happened"


@pytest.fixture(scope="module")
def rested(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A world that has come to rest; what a test does to it is set back."""
    with in_memory(tmp_path_factory.mktemp("world")) as folder, World(SEED, SCALE, folder) as world:
        world.run()
        world.database.save_copy()
        yield world


@pytest.fixture
def world(rested: World) -> Iterator[World]:
    yield rested
    rested.database.set_back()


def kinds(world: World) -> set[str]:
    return {each.kind for each in reckoning.wrongs(world)}


def change(world: World, sql: str) -> int:
    with world.database.connection() as conn:
        return conn.execute(sql.encode()).rowcount


def test_a_world_at_rest_has_lost_and_doubled_nothing_and_alerts_as_the_oracle(world: World) -> None:
    tally, story = reckon(world)
    assert (tally.failures, story) == ((), "")
    assert tally.readings > 300
    assert tally.faults > 50
    assert tally.repeats > 0
    assert tally.pushes > 0


def test_a_reading_that_is_gone_is_lost(world: World) -> None:
    assert (
        change(world, "delete from reading where reading_id = (select min(reading_id::text)::uuid from reading)") == 1
    )
    assert {"lost", "account"} <= kinds(world)


def test_a_value_that_is_another_one_is_altered(world: World) -> None:
    one = "(select min(reading_id::text)::uuid from reading where kind = 'blood_pressure')"
    assert change(world, f"update reading set systolic_mmhg = systolic_mmhg + 1 where reading_id = {one}") == 1
    assert "altered" in kinds(world)


def test_an_alert_that_is_not_there_and_one_that_should_not_be_are_seen(world: World) -> None:
    assert change(world, "update episode set state = 'retracted' where state <> 'retracted'") > 0
    assert kinds(world) == {"alert"}
    assert change(world, "update episode set state = 'active', first_day = first_day - 100") > 0
    assert kinds(world) == {"alert"}


def test_a_doctor_who_was_not_told_is_seen(world: World) -> None:
    assert change(world, "update push set state = 'cancelled' where step = 0 and recipient like 'user:%'") > 0
    assert kinds(world) == {"push"}


def test_a_reading_that_waits_for_ever_is_seen(world: World) -> None:
    outbox = world.homes[0].box.outbox
    assert outbox is not None
    with world.database.connection() as conn:
        conn.execute("select 1")
    outbox._db.execute("update reading set answered_at = null where seq = 1")
    try:
        assert kinds(world) == {"unsettled"}
    finally:
        outbox._db.execute("update reading set answered_at = kept_at where seq = 1")


def test_readings_that_nobody_judged_are_seen_though_later_ones_make_up_for_them(world: World) -> None:
    books = world.records.books
    world.records.books = books.copy()
    judgings = world.records.books.judgings[0]
    assert judgings
    judgings[:] = [each._replace(after=each.after - 1) for each in judgings]
    try:
        assert kinds(world) == {"unjudged"}
    finally:
        world.records.books = books


def test_only_a_judging_that_looks_back_far_enough_at_what_had_come_is_one_of_a_reading() -> None:
    books = Books()
    books.commit(["earlier", "late"])
    books.commit(["late", "newest"])
    before_it_came = Judging(after=1, since=NOON - DAY)
    from_later_on = Judging(after=3, since=NOON + DAY)
    books.judgings[7] = [before_it_came, from_later_on]
    assert not books.have_judged(7, "late", NOON)
    assert books.have_judged(7, "earlier", NOON)
    books.judgings[7].append(Judging(after=3, since=NOON))
    assert books.have_judged(7, "late", NOON)


def test_only_what_the_meters_wrong_clock_said_excuses_a_trusted_time(world: World) -> None:
    """A cuff three hours fast, whose clock cannot be read and whose record is read three hours and five minutes late."""
    person = world.homes[0].person
    meter = SimMeter(structs.replace(person.cuff, clock=WrongClock(offset_s=3 * 3600)), person, NOON)
    inflation = meter.measure(Plan(at_s=0, systolic_mmhg=120, diastolic_mmhg=80, pulse_bpm=70), NOON, 0)
    said, read_at = NOON + timedelta(hours=3), NOON + timedelta(hours=3, minutes=5)
    (some, *_), *_ = world.records.kept.values()

    def is_excused(measured_at: datetime, received_at: datetime) -> bool:
        reading = structs.replace(
            some.reading, measured_at=measured_at, received_at=received_at, time_quality=TimeQuality.TRUSTED
        )
        kept = replace(some, reading=reading, clock_life=inflation.clock_life, is_first=False)
        return reckoning.is_beyond_knowing(inflation, kept)

    assert is_excused(said, read_at)
    assert not is_excused(read_at, read_at), "that is what the gateway's clock said"
    assert not is_excused(said + timedelta(minutes=1), read_at)
    assert not is_excused(said, read_at + timedelta(hours=1)), "nobody may take it at its word"


def test_what_is_wrong_is_told_with_the_way_that_it_went(world: World) -> None:
    change(world, "delete from reading where reading_id = (select min(reading_id::text)::uuid from reading)")
    lost = next(each for each in reckoning.wrongs(world) if each.kind == "lost")
    told = reckoning.in_words(world, lost)
    assert "measured" in told
    assert "kept as seq" in told
    assert "sends seqs" in told
