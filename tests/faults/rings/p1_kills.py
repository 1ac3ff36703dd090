"""P1: any of gateway, broker and intake is killed (-9) at any time, alone or together, and started again.

The broker keeps nothing on disk here, so that each of its kills loses all that it held.
"""

import random
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Final

from faults import bad_line
from faults.line import Deed, Line
from faults.trial import BadBuild, Ring, Size, Tally, Trial
from faults.world import World

READINGS: Final = {Size.SMALL: 150, Size.FULL: 300}
PER_S: Final = 150.0
SLOWER: Final = (1, 1, 5)
"""Of a slow home's readings there are fewer than the window holds: one is sent at once, past those that a dead broker took."""
VICTIMS: Final = ("gateway", "broker", "intake")
DOWN_S_MAX: Final = 0.5
OVERSIZE_BYTES: Final = 60_000
"""Raw bytes of a reading that the broker would cut the connection for."""
UNFIT_TOO: Final = 0.3
"""How often one of the readings is too large to be sent, and how often one is such that only the database refuses it."""


def run(trial: Trial) -> Tally:
    """One trial; see `Ring.run`."""
    rng = trial.rng
    slower = rng.choice(SLOWER)
    how_many, per_s = READINGS[trial.size] // slower, PER_S / slower
    oversize = {rng.randrange(how_many): OVERSIZE_BYTES} if rng.random() < UNFIT_TOO else {}
    poison = {rng.randrange(how_many)} - set(oversize) if rng.random() < UNFIT_TOO else set()
    with ExitStack() as stack:
        world = stack.enter_context(World(trial=trial))
        line = Line(world=world, how_many=how_many, per_s=per_s, oversize=oversize, poison=poison)
        stack.enter_context(line)
        line.begin()
        line.suffer(kills(world, rng, during_s=how_many / per_s))
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
    full=1200,
    run=run,
    at_once=6,
)
BAD: Final = (
    BadBuild(
        name="confirm-at-puback",
        breaks="a PUBACK of the broker confirms a reading",
        ring="P1",
        trials=8,
        switch_on=bad_line.confirm_at_puback,
    ),
    BadBuild(
        name="outbox-in-memory",
        breaks="readings wait for the server in the memory of the gateway",
        ring="P1",
        trials=8,
        switch_on=bad_line.outbox_in_memory,
    ),
    BadBuild(
        name="kept-later",
        breaks="a reading is answered as kept, and written a moment later",
        ring="P1",
        trials=8,
        switch_on=bad_line.kept_later,
    ),
    BadBuild(
        name="receipt-before-commit",
        breaks="the receipt goes out, and the commit comes a moment later",
        ring="P1",
        trials=8,
        switch_on=bad_line.receipt_before_commit,
    ),
    BadBuild(
        name="upto-is-the-highest",
        breaks="the receipt says upto the highest number, holes or not",
        ring="P1",
        trials=12,
        switch_on=bad_line.upto_is_the_highest,
    ),
    BadBuild(
        name="drawn-reading-id",
        breaks="a reading offered again gets another id",
        ring="P1",
        trials=8,
        switch_on=bad_line.drawn_reading_id,
    ),
    BadBuild(
        name="seen-before-stored",
        breaks="a reading is noted as seen before the transaction that stores it",
        ring="P1",
        trials=12,
        switch_on=bad_line.seen_before_stored,
    ),
    BadBuild(
        name="never-sent-again",
        breaks="nothing is published again on a standing connection",
        ring="P1",
        trials=8,
        switch_on=bad_line.never_sent_again,
    ),
    BadBuild(
        name="purge-by-the-clock",
        breaks="the upkeep deletes by age, not by receipt",
        ring="P1",
        trials=8,
        switch_on=bad_line.purge_by_the_clock,
    ),
    BadBuild(
        name="poison-costs-its-batch",
        breaks="one row that the database refuses takes its batch into quarantine",
        ring="P1",
        trials=8,
        switch_on=bad_line.poison_costs_its_batch,
    ),
    BadBuild(
        name="any-size-is-sent",
        breaks="neither is the size of a message looked at, nor is the one found that cuts the connection",
        ring="P1",
        trials=8,
        switch_on=bad_line.any_size_is_sent,
    ),
)

FORGIVEN: Final = tuple(
    BadBuild(name=name, breaks=breaks, ring="P1", trials=0, switch_on=switch_on)
    for name, breaks, switch_on in (
        (
            "broker-forgets-when-told",
            "MQTT is acknowledged before anything is stored",
            bad_line.broker_forgets_when_told,
        ),
        ("clean-start", "intake's session at the broker begins anew with each connection", bad_line.clean_start),
        (
            "session-ends-at-once",
            "intake's session at the broker ends with its connection",
            bad_line.session_ends_at_once,
        ),
        ("late-acknowledgement", "a message is acknowledged on another connection", bad_line.late_acknowledgement),
        (
            "size-not-checked",
            "the size of a message is not looked at before it is published",
            bad_line.size_not_checked,
        ),
        (
            "window-kept-over-a-cut",
            "what a cut connection carried waits for its own time",
            bad_line.window_kept_over_a_cut,
        ),
    )
)
"""Classic mistakes that lose nothing here, since the receipt alone confirms. `--bad` switches them on; no ring has to catch
them. They cost repeats and time (docs/how-to/run-the-fault-campaign)."""
