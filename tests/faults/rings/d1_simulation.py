"""D1: deterministic simulation. A month of many homes and a clinic on one simulated clock; one seed is one month, event by event.

The product's own firmware, sessions, times, outbox, flights, intake, judge and dispatcher run on it, the last three on a real
PostgreSQL whose clock is simulated (docs/explanation/simulation).
"""

import multiprocessing
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from faults.simulation import bad_builds, reckoning
from faults.simulation.world import Scale, World
from faults.trial import BadBuild, Ring, Size, Tally, Trial

PATIENTS: Final = {Size.SMALL: 50, Size.FULL: 200}
PATIENTS_OF_A_BAD_BUILD: Final = 30
"""A mistake shows itself among few."""
MEMORY: Final = Path("/dev/shm")
TOLD: Final = 3
"""Wrong facts that a failure tells, the most basic first; the others are only counted."""


def run(trial: Trial) -> Tally:
    """One trial; see `Ring.run`."""
    patients = PATIENTS[trial.size]
    if trial.bad is None:
        keep_to_one_core()
    else:
        bad_builds.switch_on(trial.bad)
        patients = PATIENTS_OF_A_BAD_BUILD
    with (
        in_memory(trial.folder) as folder,
        World(f"{trial.seed} {trial.number}", Scale(patients=patients), folder) as world,
    ):
        world.run()
        tally, story = reckon(world)
        if story:
            (trial.folder / "story.txt").write_text(story, encoding="utf-8")
        return tally


def reckon(world: World) -> tuple[Tally, str]:
    """What the world at rest counts, and the whole story of what is wrong."""
    wrongs = reckoning.wrongs(world)
    kinds = Counter(each.kind for each in wrongs)
    failures = [reckoning.in_words(world, each, lines=12) for each in wrongs[:TOLD]]
    if len(wrongs) > TOLD:
        failures.append(f"{len(wrongs)} wrong facts in all: {dict(kinds)}")
    tally = Tally(
        trials=1,
        readings=len(world.records.kept),
        kills=world.clinic.deaths + sum(home.box.plugs_pulled for home in world.homes),
        faults=world.faults,
        repeats=world.clinic.rows_taken - len(world.records.books.committed),
        lost=kinds["lost"],
        doubled=kinds["doubled"],
        pushes=world.database.rows("select count(*) from push where state = 'sent'")[0][0],
        missed_pushes=kinds["push"],
        failures=tuple(failures),
    )
    return tally, "\n\n".join(reckoning.in_words(world, each) for each in wrongs)


def keep_to_one_core() -> None:
    """This worker and its database take turns: on one core neither has to wake the other on another, which costs a sixth."""
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_setaffinity") else []
    worker = multiprocessing.current_process()._identity
    if len(cores) > 1 and worker:
        os.sched_setaffinity(0, {cores[worker[0] % len(cores)]})


@contextmanager
def in_memory(folder: Path) -> Iterator[Path]:
    """A folder for outboxes and database: in memory where that is possible, else in the trial's own."""
    parent = MEMORY if MEMORY.is_dir() else folder
    place = Path(tempfile.mkdtemp(prefix="homevigil-d1-", dir=parent))
    place.chmod(0o711)  # the database runs as another account where we are root
    try:
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)


RING: Final = Ring(
    name="D1",
    title="deterministic simulation of a month",
    makes=(
        "messages lost, repeated, reordered, late; links lost and records garbled in the middle of a dump; meters away for weeks;"
        " clocks never set, reset, years off, moved by summer time; batteries changed; gateways without power, network or time;"
        " outboxes full or lost; brokers that forget; intakes, judges and senders that die; readings that come while others are"
        " judged; databases away or set back"
    ),
    small=4,
    full=200,
    run=run,
)
BAD: Final[tuple[BadBuild, ...]] = tuple(
    BadBuild(name=each.name, breaks=each.breaks, ring="D1", trials=each.trials, switch_on=each.switch_on)
    for each in bad_builds.ALL
)
