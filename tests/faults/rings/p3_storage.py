"""P3: what stores something crashes, forgets or is full: PostgreSQL, the broker's state, the disks of all three.

Each kind also has its say: a full disk, a database that is away and a database that was set back must be seen in a log or alarm.
"""

import random
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Final

import psycopg

from faults import bad_line
from faults.disks import SmallDisk, small_disk, why_not
from faults.line import QUIET_S, Deed, Line
from faults.rings.p1_kills import kills
from faults.trial import BadBuild, Ring, Size, Tally, Trial
from faults.world import PersistentBroker, World, is_up, new_cluster, quiet_port
from homevigil.embedded.postgres import temporary_folder
from server.store.alarms import AlarmKind
from vitals.errors import UnavailableError

READINGS: Final = {Size.SMALL: 150, Size.FULL: 300}
PER_S: Final = 150.0
MIB: Final = 1 << 20
OUTBOX_DISK: Final = 12 * MIB
SPARE_PART: Final = 4 * MIB
BROKER_DISK: Final = 1 * MIB
DATABASE_DISK: Final = 192 * MIB
KILLS_TOO: Final = 0.3

Scene = Callable[[Trial, random.Random], AbstractContextManager["tuple[Line, list[Deed], Callable[[], list[str]]]"]]
"""A line, what happens to it, and what it must have said of that: sentences for what it has not."""


def run(trial: Trial) -> Tally:
    """One trial; see `Ring.run`. The kinds take turns."""
    rng = trial.rng
    scene = SCENES[trial.number % len(SCENES)]
    with scene(trial, rng) as (line, deeds, unsaid):
        line.faults = len(deeds) // 2
        if rng.random() < KILLS_TOO and not line.is_set_back:
            victims = ("gateway", "intake")
            deeds = deeds + kills(line.world, rng, during_s=line.how_many / PER_S, victims=victims)
        line.begin()
        line.suffer(deeds)
        return line.reckon() + Tally(failures=tuple(unsaid()))


# -- PostgreSQL --------------------------------------------------------------------------------------------------------


@contextmanager
def database_crash(trial: Trial, rng: random.Random) -> Iterator[tuple[Line, list[Deed], Callable[[], list[str]]]]:
    """`stop -m immediate` once or twice, and recovery up to a second later."""
    with World(trial=trial) as world, _line(world) as line:
        deeds, up_again_s = [], 0.1
        for _ in range(rng.randint(1, 2)):
            at_s = up_again_s + rng.uniform(0.0, line.how_many / PER_S / 2)
            up_again_s = at_s + rng.uniform(0.0, 1.0)
            deeds.append(Deed(at_s=at_s, what="PostgreSQL crashes", do=world.cluster.crash))
            deeds.append(Deed(at_s=up_again_s, what="PostgreSQL recovers", do=world.cluster.start))
        yield line, deeds, list


@contextmanager
def database_disk_full(trial: Trial, rng: random.Random) -> Iterator[tuple[Line, list[Deed], Callable[[], list[str]]]]:
    """The disk of a cluster of its own is full for a while."""
    with ExitStack() as stack:
        disk = stack.enter_context(small_disk(temporary_folder(), DATABASE_DISK))
        cluster = new_cluster(disk.folder)
        stack.callback(cluster.stop)
        world = stack.enter_context(World(trial=trial, cluster=cluster))
        line = stack.enter_context(_line(world))

        def make_room() -> None:
            disk.empty()
            if not is_up(cluster):
                cluster.start()

        at_s = rng.uniform(0.05, 0.7)
        deeds = [
            Deed(at_s=at_s, what="the database's disk is full", do=lambda: _leave_nothing(disk, line)),
            Deed(at_s=at_s + rng.uniform(1.0, 2.0), what="there is room again", do=make_room),
        ]
        yield line, deeds, lambda: _missing(world, "intake", "database_unavailable")


def _leave_nothing(disk: SmallDisk, line: Line) -> None:
    """Full to the last byte; and PostgreSQL is made to write at once what it would else keep for a checkpoint."""
    disk.fill()
    with psycopg.connect(line.world.database_url, autocommit=True) as conn, _whatever_comes():
        conn.execute("create table ballast as select generate_series(1, 200000)")


@contextmanager
def _whatever_comes() -> Iterator[None]:
    try:
        yield
    except psycopg.Error:
        return


@contextmanager
def database_set_back(trial: Trial, rng: random.Random) -> Iterator[tuple[Line, list[Deed], Callable[[], list[str]]]]:
    """The database is copied, and later replaced by that copy: a restore from yesterday's backup."""
    slow = {"how_many": READINGS[trial.size], "per_s": READINGS[trial.size] / 4.0}
    with World(trial=trial) as world, Line(world=world, **slow) as line:
        copy = f"{world.database}_copy"
        world.on_exit(lambda: world.cluster.drop_database(copy))
        first = round(line.how_many * rng.uniform(0.1, 0.4))

        def wait_for(confirmed: int) -> None:
            claim = f"{confirmed} readings are confirmed"
            world.until(lambda: (line.meters.counts or {}).get("confirmed", 0) >= confirmed, within_s=30, what=claim)

        def back_up() -> None:
            wait_for(first)
            world.stop("intake")
            world.cluster.create_database(copy, template=world.database)
            world.start_again("intake")

        def set_back() -> None:  # when something has been confirmed that the copy lacks
            wait_for(_count(world.cluster.url(copy)) + round(line.how_many * rng.uniform(0.1, 0.3)))
            world.stop("intake")
            world.cluster.drop_database(world.database)
            world.cluster.create_database(world.database, template=copy)
            world.start_again("intake")
            said = "mqtt_listening"
            world.until(lambda: said in world.log_of("intake")[-200:], within_s=30, what="intake listens again")

        def say_status() -> None:  # the gateway's next word of itself; else it comes within a minute
            world.kill("gateway")
            world.start_again("gateway")

        deeds = [
            Deed(at_s=0.0, what="backup", do=back_up),
            Deed(at_s=0.1, what="restore", do=set_back),
            Deed(at_s=0.2, what="a new status", do=say_status),
        ]
        line.is_set_back, line.quiet_s = True, QUIET_S + 60.0
        yield line, deeds, lambda: _no_alarm(world, AlarmKind.SERVER_LOST)


def _count(database_url: str) -> int:
    with psycopg.connect(database_url) as conn:
        found = conn.execute("select count(*) from reading").fetchone()
    assert found is not None
    return int(found[0])


# -- the broker --------------------------------------------------------------------------------------------------------


@contextmanager
def broker_forgets(trial: Trial, rng: random.Random) -> Iterator[tuple[Line, list[Deed], Callable[[], list[str]]]]:
    """A broker with persistence is killed, and its state is gone when it starts again."""
    broker = PersistentBroker(folder=trial.folder / "broker", port=quiet_port())
    with World(trial=trial, broker=broker) as world, _line(world) as line:

        def start_anew() -> None:
            broker.forget()
            world.start_again("broker")

        at_s = rng.uniform(0.3, line.how_many / PER_S)
        deeds = [
            Deed(at_s=at_s, what="kill broker", do=lambda: world.kill("broker")),
            Deed(at_s=at_s + rng.uniform(0.0, 0.5), what="the broker starts without its state", do=start_anew),
        ]
        yield line, deeds, list


@contextmanager
def broker_disk_full(trial: Trial, rng: random.Random) -> Iterator[tuple[Line, list[Deed], Callable[[], list[str]]]]:
    """The disk of the broker's state is full; a kill then leaves a state that it may refuse to start with, so it is wiped."""
    with ExitStack() as stack:
        disk = stack.enter_context(small_disk(trial.folder / "broker-disk", BROKER_DISK))
        broker = PersistentBroker(folder=trial.folder / "broker", port=quiet_port(), state=disk.folder)
        world = stack.enter_context(World(trial=trial, broker=broker))
        line = stack.enter_context(_line(world))

        def start_somehow() -> None:
            try:
                world.start_again("broker")
            except UnavailableError:
                disk.empty()
                broker.forget()
                world.start_again("broker")

        at_s = rng.uniform(0.05, 0.3)
        killed_s = at_s + rng.uniform(0.2, line.how_many / PER_S)
        deeds = [
            Deed(at_s=at_s, what="the broker's disk is full", do=disk.fill),
            Deed(at_s=killed_s, what="kill broker", do=lambda: world.kill("broker")),
            Deed(at_s=killed_s + rng.uniform(0.0, 0.5), what="the broker starts", do=start_somehow),
            Deed(at_s=killed_s + 1.0, what="there is room again", do=disk.empty),
        ]

        def unsaid() -> list[str]:
            said = "No space left" in world.log_of("broker")
            return [] if said else [f"the broker never said that its disk is full:\n{world.quote_logs()}"]

        yield line, deeds, unsaid


# -- the outbox --------------------------------------------------------------------------------------------------------


@contextmanager
def outbox_disk_full(trial: Trial, rng: random.Random) -> Iterator[tuple[Line, list[Deed], Callable[[], list[str]]]]:
    """The gateway's disk has room for half of the readings: it must refuse the rest loudly, drain, and take them later."""
    with ExitStack() as stack:
        disk = stack.enter_context(small_disk(trial.folder / "outbox-disk", OUTBOX_DISK))
        disk.fill(
            but=SPARE_PART + rng.randint(200, 350) * 1024
        )  # the part for draining fits, that for keeping does not
        world = stack.enter_context(World(trial=trial))
        line = stack.enter_context(_line(world, outbox=disk.folder / "outbox.sqlite"))
        room_at_s = line.how_many / PER_S + rng.uniform(0.2, 1.0)
        deeds = [
            Deed(at_s=0.0, what="little room", do=lambda: None),
            Deed(at_s=room_at_s, what="there is room again", do=disk.empty),
        ]
        if rng.random() < 0.5:  # and nothing can be sent meanwhile
            deeds.append(Deed(at_s=0.1, what="kill broker", do=lambda: world.kill("broker")))
            deeds.append(Deed(at_s=room_at_s + 0.2, what="start broker", do=lambda: world.start_again("broker")))

        def unsaid() -> list[str]:
            if line.meters.refused == 0:
                return ["the outbox's disk was full and no reading was refused: the trial has not done what it says"]
            return []

        yield line, deeds, unsaid


def _line(world: World, **more: object) -> Line:
    return Line(world=world, how_many=READINGS[world.trial.size], per_s=PER_S, **more)  # type: ignore[arg-type]


def _no_alarm(world: World, kind: AlarmKind) -> list[str]:
    """A sentence if this alarm was never raised."""
    with psycopg.connect(world.database_url) as conn:
        found = conn.execute("select 1 from alarm where kind = %s", (kind.value,)).fetchone()
    return [] if found else [f"no alarm {kind.value} was raised:\n{world.quote_logs()}"]


def _missing(world: World, name: str, event: str) -> list[str]:
    said = f'"event": "{event}"' in world.log_of(name)
    return [] if said else [f"{name} never said {event}:\n{world.quote_logs()}"]


SCENES: Final[tuple[Scene, ...]] = (
    database_crash,
    outbox_disk_full,
    broker_forgets,
    database_set_back,
    database_disk_full,
    broker_disk_full,
)

RING: Final = Ring(
    name="P3",
    title="crashed, forgetful and full storage",
    makes="PostgreSQL stopped in mid-flight, set back to an earlier copy, its disk full; the broker's state wiped, its disk full;"
    " the outbox's disk full; 3 of 10 trials with kills too",
    small=6,
    full=300,
    run=run,
    at_once=6,
    why_not=why_not,
)
BAD: Final = (
    BadBuild(
        name="nothing-asked-again",
        breaks="a database that was set back asks no gateway for what it lost",
        ring="P3",
        trials=10,
        switch_on=bad_line.nothing_asked_again,
    ),
    BadBuild(
        name="receipt-in-an-outage",
        breaks="while the database is away, everything is answered as stored",
        ring="P3",
        trials=10,
        switch_on=bad_line.receipt_in_an_outage,
    ),
    BadBuild(
        name="overwrite-when-full",
        breaks="a full outbox drops its oldest reading to keep the newest",
        ring="P3",
        trials=10,
        switch_on=bad_line.overwrite_when_full,
    ),
)
