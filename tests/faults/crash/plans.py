"""The workloads of the crash trials: what a gateway does to its outbox, drawn from a die."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from faults.crash.steps import (
    Adjust,
    Close,
    Keep,
    Open,
    Purge,
    Receive,
    Refuse,
    Remember,
    SetAside,
    Settle,
    Step,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """`before` is done without a record; then `steps`, each call of which is a crash point.

    `is_version_1`: then the file is one that 0.1.0 has left. `full_disk`: the how-many-th write finds the disk full, and how
    many after it. `after_a_cut`: these are done to what a power cut left of `steps`, and every call of theirs is a crash
    point too.
    """

    name: str
    steps: tuple[Step, ...]
    before: tuple[Step, ...] = ()
    is_version_1: bool = False
    full_disk: tuple[int, int] | None = None
    after_a_cut: tuple[Step, ...] = ()


def draw(number: int, rng: random.Random, *, length: int) -> Plan:
    """The plan of a trial: the kinds in turn, each with dice of its own. `length`: about how many steps."""
    return KINDS[number % len(KINDS)](rng, length)


def _creation(rng: random.Random, length: int) -> Plan:
    """A file is made, and at once used, closed and opened again."""
    steps: list[Step] = [Open()]
    for nth in range(length // 2):
        steps.append(Keep(nth))
        if rng.random() < 0.4:
            steps += [Close(), Open()]
    return Plan(name="creation", steps=(*steps, Close(), Open(), Keep(length)))


def _receipts(rng: random.Random, length: int) -> Plan:
    """Readings come and receipts answer, past several checkpoints."""
    steps: list[Step] = [Open()]
    kept = 0
    for _ in range(length):
        if rng.random() < 0.6 or not kept:
            kept += 1
            steps.append(Keep(kept))
        else:
            steps.append(_receipt(rng, kept))
    return Plan(name="receipts", steps=tuple(steps), before=_aged(rng, 60))


def _held(rng: random.Random, length: int) -> Plan:
    """The clock is not believed for a while; readings wait for it and are settled."""
    steps: list[Step] = [Open()]
    for nth in range(length // 3):
        steps.append(Keep(nth, is_held=rng.random() < 0.7))
        if rng.random() < 0.3:
            steps.append(_receipt(rng, nth + 1))
        steps += [Settle()] * (rng.random() < 0.6)
    return Plan(name="held readings settled", steps=(*steps, Settle(), Settle()), before=_aged(rng, 12))


def _full_disk(rng: random.Random, length: int) -> Plan:
    """The disk is full for some writes: spare room is given up, a reading may be refused, a receipt drains, room comes back."""
    steps: list[Step] = [Open(), *(Keep(nth) for nth in range(length // 2))]
    steps += [_receipt(rng, length // 2), Keep(length), Adjust("60"), Purge(0), Keep(length + 1)]
    return Plan(
        name="full disk", steps=tuple(steps), before=_aged(rng, 4), full_disk=(rng.randint(10, 14), rng.randint(0, 3))
    )


def _upkeep(rng: random.Random, length: int) -> Plan:
    """Days pass: bodies are purged, a restored server asks again, frames are set aside, settings and meters are noted."""
    steps: list[Step] = [Open()]
    for kept in range(1, length + 1):
        steps.append(Keep(kept))
        steps += [_receipt(rng, kept, may_rewind=True)] * (rng.random() < 0.5)
        match rng.randrange(6):
            case 0:
                steps.append(SetAside(rng.randrange(3)))
            case 1:
                steps.append(Adjust(str(kept)))
            case 2:
                steps.append(Remember(kept))
            case 3:
                steps.append(Refuse(rng.randint(1, kept)))
            case 4:
                steps.append(Purge(rng.choice((1, 20, 31))))
    return Plan(name="upkeep and rewind", steps=tuple(steps))


def _recovery(rng: random.Random, length: int) -> Plan:
    """The power goes, comes back, and goes again while the outbox recovers."""
    first = _receipts(rng, length // 2)
    again = (Open(), Keep(length + 1), Receive(1), Keep(length + 2), Close(), Open(), Keep(length + 3))
    return Plan(name="a cut in the recovery from a cut", steps=first.steps, after_a_cut=again)


def _upgrade(rng: random.Random, length: int) -> Plan:
    """A new build opens the file of the old one."""
    before = (Open(), *(Keep(nth) for nth in range(length)), Keep(length, is_held=True), Refuse(1))
    steps = (Open(), Keep(length + 1), _receipt(rng, length, may_rewind=True), Settle(), Close(), Open())
    return Plan(name="upgrade", before=(*before, _receipt(rng, length), Close()), is_version_1=True, steps=steps)


def _backlog(rng: random.Random, length: int) -> Plan:
    """One receipt for a long backlog: it is applied in several transactions."""
    many = 520 + rng.randrange(40)
    before = (Open(), *(Keep(nth) for nth in range(many)), Close())
    return Plan(name="backlog", before=before, steps=(Open(), Receive(many - 3), Keep(many), Receive(many + 1)))


def _aged(rng: random.Random, most: int) -> tuple[Step, ...]:
    """Readings of earlier days, so that the crash does not always find a small file."""
    return (Open(), *(Keep(1000 + nth) for nth in range(rng.randint(1, most))), Close())


def _receipt(rng: random.Random, kept: int, *, may_rewind: bool = False) -> Receive:
    upto = rng.randint(0, kept)
    extra = tuple(seq for seq in range(upto + 1, kept + 1) if rng.random() < 0.3)
    rejected = (rng.randint(1, kept),) if rng.random() < 0.2 else ()
    lost = (
        tuple((seq, min(seq + 1, kept)) for seq in range(1, kept + 1, 5)) if may_rewind and rng.random() < 0.3 else ()
    )
    return Receive(upto, extra, rejected, lost)


KINDS: Final[tuple[Callable[[random.Random, int], Plan], ...]] = (
    _creation,
    _receipts,
    _held,
    _full_disk,
    _upkeep,
    _recovery,
    _upgrade,
    _backlog,
)
"""The last is long, and left out of the small size."""
