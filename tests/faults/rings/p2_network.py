"""P2: the network between gateway and broker, and between broker and intake, is cut, refused, swallowed, slowed and torn.

Some trials kill processes as well. A black hole ends like a real one: with what was held up arriving late, or with a reset.
"""

import random
from collections.abc import Callable
from contextlib import ExitStack
from typing import Final

from faults import bad_line
from faults.line import Deed, Line
from faults.rings.p1_kills import kills
from faults.tcp_proxy import Direction, TcpProxy
from faults.trial import BadBuild, Ring, Size, Tally, Trial
from faults.world import World, quiet_port

READINGS: Final = {Size.SMALL: 150, Size.FULL: 300}
PER_S: Final = 150.0
LONGEST_S: Final = {Size.SMALL: 1.0, Size.FULL: 3.0}
KILLS_TOO: Final = 0.3

Fault = tuple[str, Callable[[], object], Callable[[], object]]
"""Its name, how it begins, how it ends."""


def run(trial: Trial) -> Tally:
    """One trial; see `Ring.run`."""
    rng, how_many = trial.rng, READINGS[trial.size]
    with ExitStack() as stack:
        world = stack.enter_context(World(trial=trial))
        nets = [stack.enter_context(TcpProxy(quiet_port(), to=world.broker.port)) for _ in range(2)]
        gateway_net, intake_net = nets
        line = Line(
            world=world, how_many=how_many, per_s=PER_S, gateway_port=gateway_net.port, intake_port=intake_net.port
        )
        stack.enter_context(line)
        deeds = [
            deed
            for net in (rng.choice(nets) for _ in range(rng.randint(1, 4)))
            for deed in _fault(net, rng, during_s=how_many / PER_S, longest_s=LONGEST_S[trial.size])
        ]
        line.faults = len(deeds) // 2
        if rng.random() < KILLS_TOO:
            deeds += kills(world, rng, during_s=how_many / PER_S)
        line.begin()
        line.suffer(deeds)
        return line.reckon()


def _fault(net: TcpProxy, rng: random.Random, *, during_s: float, longest_s: float) -> list[Deed]:
    """One fault and its end."""
    what, begin, end = rng.choice(_faults(net, rng))
    at_s = rng.uniform(0.05, during_s)
    return [
        Deed(at_s=at_s, what=what, do=begin),
        Deed(at_s=at_s + rng.uniform(0.1, longest_s), what=f"end of {what}", do=end),
    ]


def _faults(net: TcpProxy, rng: random.Random) -> list[Fault]:
    """Every kind, with its details drawn."""
    one_way, few, torn = rng.choice(list(Direction)), rng.randint(20, 200), rng.randint(1, 60)

    def heal_and_cut() -> None:
        net.cut()
        net.let_pass()

    return [
        ("cut", net.cut, lambda: None),
        ("refusal", net.refuse, net.accept),
        ("black hole", net.swallow, net.let_pass),
        ("black hole that ends in a reset", net.swallow, heal_and_cut),
        (f"nothing {one_way.value}", lambda: net.swallow(one_way), net.let_pass),
        ("trickle", lambda: net.trickle(few), lambda: net.trickle(None)),
        ("packet torn", lambda: net.tear(torn), lambda: None),
    ]


RING: Final = Ring(
    name="P2",
    title="the network between gateway, broker and intake",
    makes="1 to 4 in a trial: cut, refusal, black hole, one direction dead, trickle, packet torn; 3 of 10 trials with kills too",
    small=8,
    full=300,
    run=run,
    at_once=6,
)
BAD: Final = (
    BadBuild(
        name="sent-is-sent",
        breaks="what was handed to the broker once is not sent again, not even on a new connection",
        ring="P2",
        trials=20,
        switch_on=bad_line.sent_is_sent,
    ),
)
