"""P1: any of gateway, broker and intake is killed (-9) at any time, alone or together, and started again.

The broker keeps nothing on disk here, so that each of its kills loses all that it held.
"""

import random
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Final

from faults.line import Deed, Line
from faults.trial import BadBuild, Ring, Size, Tally, Trial
from faults.world import World

READINGS: Final = {Size.SMALL: 150, Size.FULL: 300}
PER_S: Final = 150.0
VICTIMS: Final = ("gateway", "broker", "intake")
DOWN_S_MAX: Final = 0.5
OVERSIZE_BYTES: Final = 40_000
"""Raw bytes of a reading that the broker would cut the connection for."""
UNFIT_TOO: Final = 0.3
"""How often one of the readings is too large to be sent, and how often one is such that only the database refuses it."""


def run(trial: Trial) -> Tally:
    """One trial; see `Ring.run`."""
    rng, how_many = trial.rng, READINGS[trial.size]
    oversize = {rng.randrange(how_many): OVERSIZE_BYTES} if rng.random() < UNFIT_TOO else {}
    poison = {rng.randrange(how_many)} - set(oversize) if rng.random() < UNFIT_TOO else set()
    with ExitStack() as stack:
        world = stack.enter_context(World(trial=trial))
        line = Line(world=world, how_many=how_many, per_s=PER_S, oversize=oversize, poison=poison)
        stack.enter_context(line)
        line.begin()
        line.suffer(kills(world, rng, during_s=how_many / PER_S))
        return line.reckon()


def kills(world: World, rng: random.Random, *, during_s: float, victims: Sequence[str] = VICTIMS) -> list[Deed]:
    """1 to 3 kills of one, two or all, each up to half a second long, none of one that is down."""
    deeds, down_until = [], dict.fromkeys(victims, 0.0)
    for at_s in sorted(rng.uniform(0.05, during_s) for _ in range(rng.randint(1, 3))):
        for victim in rng.sample(victims, min(len(victims), rng.choice((1, 1, 1, 2, 3)))):
            if at_s < down_until[victim]:
                continue
            down_until[victim] = back_s = at_s + rng.uniform(0.0, DOWN_S_MAX)
            deeds.append(Deed(at_s=at_s, what=f"kill {victim}", do=lambda name=victim: world.kill(name)))
            deeds.append(Deed(at_s=back_s, what=f"start {victim}", do=lambda name=victim: world.start_again(name)))
    return deeds


RING: Final = Ring(
    name="P1",
    title="kills of gateway, broker and intake",
    makes="`kill -9` of one, two or all three, 1 to 3 times in a trial; back within 0.5 s; the broker keeps nothing on disk",
    small=12,
    full=1000,
    run=run,
    at_once=4,
)
BAD: Final[tuple[BadBuild, ...]] = ()
