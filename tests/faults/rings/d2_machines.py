"""D2: state machines drawn by hypothesis, against plain models: outbox, watermark, episodes, escalation."""

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Final

import psycopg
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, run_state_machine_as_test

from faults.machines import mistakes
from faults.trial import BadBuild, Ring, Size, Tally, Trial
from faults.world import TEMPLATE, worker_cluster
from server.store.postgres import open_pool

STEPS: Final = 50

Machine = type[RuleBasedStateMachine]


@contextmanager
def _outbox(trial: Trial) -> Iterator[Machine]:
    from unit.gateway.test_outbox_machine import OutboxMachine

    yield OutboxMachine


@contextmanager
def _watermark(trial: Trial) -> Iterator[Machine]:
    from faults.machines.watermark import WatermarkMachine

    with _database(trial) as url, psycopg.connect(url, autocommit=True) as connection:
        yield type("Watermark", (WatermarkMachine,), {"connection": connection})


@contextmanager
def _escalation(trial: Trial) -> Iterator[Machine]:
    from integration.test_escalation_machine import Escalation

    with _database(trial) as url, open_pool(url) as pool:
        yield type("Escalation", (Escalation,), {"pool": pool})


@contextmanager
def _database(trial: Trial) -> Iterator[str]:
    cluster, database = worker_cluster(), f"machine_{os.getpid()}_{trial.number}"
    url = cluster.create_database(database, template=TEMPLATE)
    try:
        yield url
    finally:
        cluster.drop_database(database)


@contextmanager
def _episodes(trial: Trial) -> Iterator[Machine]:
    from faults.machines.episodes import EpisodeMachine

    yield EpisodeMachine


MACHINES: Final[tuple[tuple[Callable[[Trial], AbstractContextManager[Machine]], int, int], ...]] = (
    (_watermark, 8, 60),
    (_outbox, 30, 1_000),
    (_episodes, 25, 400),
    (_escalation, 6, 200),
)
"""Each with its number of examples in a trial of the small and of the full size."""

_MACHINE_OF_BAD: Final = {
    "watermark-is-the-highest": 0,
    "outbox-takes-any-epoch": 1,
    "outbox-forgets-extra": 1,
    "alert-comes-back-as-another": 2,
    "acknowledgement-leaves-the-next-steps": 3,
}
"""Which of them a bad build is tried with: the others hold no line of it."""


def run(trial: Trial) -> Tally:
    """One machine, as many examples as its size says; a broken promise is raised, with the steps that lead to it."""
    for build in BAD:
        if build.name == trial.bad:
            build.switch_on()
    which = _MACHINE_OF_BAD.get(trial.bad or "", trial.number)
    open_machine, small, full = MACHINES[which % len(MACHINES)]
    phases = (Phase.generate,) if trial.bad else (Phase.generate, Phase.shrink)
    steps: list[int] = []
    with open_machine(trial) as machine:
        run_state_machine_as_test(
            seed(trial.rng.randrange(2**63))(_counted(machine, steps)),
            settings=settings(
                max_examples=small if trial.size is Size.SMALL else full,
                stateful_step_count=STEPS,
                deadline=None,
                database=None,
                phases=phases,
                suppress_health_check=list(HealthCheck),
            ),
        )
    return Tally(trials=1, steps=len(steps))


def _counted(machine: Machine, steps: list[int]) -> Machine:
    """The machine with one more invariant, which notes that a step has been taken and has held."""

    def note(self: RuleBasedStateMachine) -> None:
        steps.append(1)

    return type(machine.__name__, (machine,), {"a_step_has_been_taken": invariant()(note)})


RING: Final = Ring(
    name="D2",
    title="State machines against plain models",
    makes="keeping, receipts of any kind, restarts, rewinds, purges; messages in any order, repeated, split, of two"
    " outboxes, in failing transactions; readings late, repeated, out of order; senders that die, decisions in between",
    small=len(MACHINES),
    full=40 * len(MACHINES),
    run=run,
)

BAD: Final = (
    BadBuild(
        name="watermark-is-the-highest",
        breaks="the server confirms up to the highest seq that it has, holes and all",
        ring="D2",
        trials=1,
        switch_on=mistakes.watermark_is_the_highest,
    ),
    BadBuild(
        name="outbox-takes-any-epoch",
        breaks="a receipt for an outbox of before confirms readings of this one",
        ring="D2",
        trials=2,
        switch_on=mistakes.takes_receipts_of_another_epoch,
    ),
    BadBuild(
        name="outbox-forgets-extra",
        breaks="what the server confirmed beyond a hole is sent for ever",
        ring="D2",
        trials=2,
        switch_on=mistakes.forgets_extra,
    ),
    BadBuild(
        name="alert-comes-back-as-another",
        breaks="an alert that becomes true again is opened as a new one: people are told twice",
        ring="D2",
        trials=3,
        switch_on=mistakes.comes_back_as_another,
    ),
    BadBuild(
        name="acknowledgement-leaves-the-next-steps",
        breaks="what was acknowledged is still told to the next in line",
        ring="D2",
        trials=2,
        switch_on=mistakes.leaves_the_next_steps,
    ),
)
