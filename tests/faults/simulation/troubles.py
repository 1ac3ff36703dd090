"""What goes wrong and when: every home and the clinic get their troubles from their own dice, and all of them an end.

Each is counted as one fault. How often each happens is an engineering choice: a month here holds more of them than ten years of
a real home.
"""

import random
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from faults.simulation import box, clinic

if TYPE_CHECKING:
    from faults.simulation.world import Home, World

HOUR_S: Final = 3600.0
DAY_S: Final = 86400.0
NTP_LASTS_S: Final = 9 * HOUR_S
"""So long after its last answer the kernel says that its clock is not kept any more (500 ppm up to an error of 16 s)."""
SETTLES_S: Final = 3 * HOUR_S
LAST_STORM: Final = 0.3
"""The network is the last to be mended, and loses so many messages until then: on connections that will stand for good, so that
they must be sent again on them."""


def plan(world: "World") -> None:
    """Write every trouble of the month into the agenda."""
    rng = world.die("troubles")
    world.network.loss = rng.choice((0.0, 0.02, 0.1))
    world.network.repeat = rng.choice((0.0, 0.02, 0.05))
    world.network.straggle = rng.choice((0.0, 0.02, 0.1))
    world.clinic.odds = clinic.Odds(
        intake_dies=0.02,
        judge_dies=0.1,
        sender_dies=0.05,
        split=rng.choice((0.05, 0.25)),
        judged_between=0.3,
        arrives_meanwhile=0.7,
    )
    _clinic(world, rng)
    for home in world.homes:
        _home(world, home, world.die(f"troubles of {home.person.number}"))


def end(world: "World") -> None:
    """No more faults; what is broken is mended, and stays so."""
    world.network.loss = LAST_STORM
    world.agenda.after(SETTLES_S, lambda: _mend_network(world))
    world.clinic.odds = clinic.Odds()
    world.clinic.is_up = world.clinic.is_judging = world.database.is_up = True
    for home in world.homes:
        home.box.odds = box.Odds(status=1.0)
        home.has_network = True
        for meter in home.meters:
            meter.in_range = True
        home.box.power_on()
        world.link(home)
        world.tell_time(home)
        home.box.listen()


def _mend_network(world: "World") -> None:
    world.network.loss = world.network.repeat = world.network.straggle = 0.0


# -- the clinic --------------------------------------------------------------------------------------------------------


def _clinic(world: "World", rng: random.Random) -> None:
    """The whole clinic away for hours, judges away for hours or days, a broker that restarts, a database that is away."""
    pace_s = rng.choice((4, 12, 24, 36)) * HOUR_S
    at_s = 0.0
    while (at_s := at_s + rng.expovariate(1 / pace_s)) < world.end_s:
        world.agenda.at(at_s, world.clinic.judge)
    for start_s, end_s in _spells(rng, world.end_s, between_s=0.6 * HOUR_S, lasting_s=5 * HOUR_S):
        world.agenda.at(start_s, lambda: _clinic_goes(world))
        world.agenda.at(end_s, lambda: _clinic_comes(world))
    for start_s, end_s in _spells(rng, world.end_s, between_s=6 * DAY_S, lasting_s=12 * HOUR_S):
        world.agenda.at(start_s, lambda: setattr(world.clinic, "is_judging", False))
        world.agenda.at(end_s, lambda: setattr(world.clinic, "is_judging", True))
    for start_s, end_s in _spells(rng, world.end_s, between_s=3 * DAY_S, lasting_s=HOUR_S):
        world.agenda.at(start_s, lambda: setattr(world.database, "is_up", False))
        world.agenda.at(end_s, lambda: setattr(world.database, "is_up", True))
    for at_s in _times(rng, world.end_s, every_s=2 * DAY_S):
        world.agenda.at(at_s, world.clinic.restart_broker)
    if rng.random() < 0.5:
        saved_s = rng.uniform(2, 24) * DAY_S
        world.agenda.at(saved_s, world.save_database)
        world.agenda.at(saved_s + rng.uniform(0.2, 5) * DAY_S, _fault(world, world.set_database_back))


def _clinic_goes(world: "World") -> None:
    world.faults += 1
    world.clinic.is_up = False
    world.clinic.restart_broker()
    for home in world.homes:
        world.link(home)


def _clinic_comes(world: "World") -> None:
    world.clinic.is_up = True
    for home in world.homes:
        world.link(home)


# -- a home ------------------------------------------------------------------------------------------------------------


def _home(world: "World", home: "Home", rng: random.Random) -> None:
    home.box.odds = box.Odds(
        lost_link=rng.choice((0.02, 0.1, 0.3)),
        power_cut=rng.choice((0.0, 0.005, 0.02)),
        garbled=rng.choice((0.0, 0.01, 0.05)),
        refused_clock=rng.choice((0.0, 0.02)),
        status=0.02,
    )
    _network(world, home, rng)
    _range(world, home, rng)
    _power(world, home, rng)
    _clocks(world, home, rng)
    _batteries(world, home, rng)
    _card(world, home, rng)


def _network(world: "World", home: "Home", rng: random.Random) -> None:
    """Away for a day or so; one home in five for most of the month."""
    is_remote = rng.random() < 0.2
    spells = [(rng.uniform(0, 3) * DAY_S, rng.uniform(20, 30) * DAY_S)] if is_remote else []
    spells += _spells(rng, world.end_s, between_s=5 * DAY_S, lasting_s=DAY_S)
    for start_s, end_s in spells:
        world.agenda.at(start_s, _fault(world, lambda: _set_network(world, home, False)))
        world.agenda.at(end_s, lambda: _set_network(world, home, True))


def _set_network(world: "World", home: "Home", has_network: bool) -> None:
    home.has_network = has_network
    world.link(home)
    if has_network:
        world.tell_time(home)
    else:
        world.agenda.after(NTP_LASTS_S, lambda: None if home.has_network else home.box.lose_synchronisation())


def _range(world: "World", home: "Home", rng: random.Random) -> None:
    """A meter that is carried away comes back with all that it has stored; one in five is away for weeks."""
    for meter in home.meters:
        spells = [(rng.uniform(0, 2) * DAY_S, rng.uniform(22, 30) * DAY_S)] if rng.random() < 0.2 else []
        spells += _spells(rng, world.end_s, between_s=8 * DAY_S, lasting_s=2 * DAY_S)
        for start_s, end_s in spells:
            world.agenda.at(start_s, _fault(world, lambda m=meter: setattr(m, "in_range", False)))
            world.agenda.at(end_s, lambda m=meter: (setattr(m, "in_range", True), home.box.listen()))


def _power(world: "World", home: "Home", rng: random.Random) -> None:
    """Power cuts of minutes to days; half of the boxes have no clock that goes on meanwhile and wake in 1970."""
    has_clock = rng.random() < 0.5
    for start_s, end_s in _spells(rng, world.end_s, between_s=5 * DAY_S, lasting_s=4 * HOUR_S):
        world.agenda.at(start_s, _fault(world, home.box.power_off))
        world.agenda.at(end_s, lambda: home.box.power_on(knows_time=has_clock))


def _clocks(world: "World", home: "Home", rng: random.Random) -> None:
    """The gateway's clock leaps by a day or beyond 2038, and is mended hours later."""
    for start_s, end_s in _spells(rng, world.end_s, between_s=40 * DAY_S, lasting_s=4 * HOUR_S):
        leap_s = rng.choice((-DAY_S, DAY_S, 12 * 366 * DAY_S))
        world.agenda.at(start_s, _fault(world, lambda by=leap_s: home.box.put_clock_wrong(by)))
        world.agenda.at(end_s, lambda: world.tell_time(home))


def _batteries(world: "World", home: "Home", rng: random.Random) -> None:
    """A meter's battery is changed: its clock, and a glucometer's numbers, start anew. Or somebody presses its buttons."""
    for meter in home.meters:
        for at_s in _times(rng, world.end_s, every_s=60 * DAY_S):
            keeps = rng.random() < 0.5
            world.agenda.at(at_s, _fault(world, lambda m=meter, k=keeps: _change_battery(world, home, m, k)))
        for at_s in _times(rng, world.end_s, every_s=90 * DAY_S):
            by = timedelta(hours=rng.choice((1, -1, 12, -24, 24 * 365 * 2)))
            world.agenda.at(at_s, _fault(world, lambda m=meter, b=by: m.set_ahead(b)))


def _change_battery(world: "World", home: "Home", meter: object, keeps_records: bool) -> None:
    meter.change_battery(world.agenda.now, keeps_records=keeps_records)
    home.box.note(f"the battery of {meter.meter_id} is changed")
    home.box.audit("the meter's battery was changed")
    home.box.listen()


def _card(world: "World", home: "Home", rng: random.Random) -> None:
    """The gateway's card is lost, or set back to an image of it."""
    if rng.random() < 0.08:
        world.agenda.at(rng.uniform(2, 28) * DAY_S, _fault(world, home.box.lose_card))
    if rng.random() < 0.12:
        saved_s = rng.uniform(1, 20) * DAY_S
        world.agenda.at(saved_s, home.box.save_image)
        world.agenda.at(saved_s + rng.uniform(0.2, 6) * DAY_S, _fault(world, home.box.restore_image))


# ----------------------------------------------------------------------------------------------------------------------


def _fault(world: "World", what: Callable[[], object]) -> Callable[[], None]:
    def befall() -> None:
        world.faults += 1
        what()

    return befall


def _spells(rng: random.Random, until_s: float, *, between_s: float, lasting_s: float) -> list[tuple[float, float]]:
    """`(start, end)` of spells that begin at random and last a random while, one after the other."""
    spells: list[tuple[float, float]] = []
    at_s = rng.expovariate(1 / between_s)
    while at_s < until_s:
        end_s = at_s + rng.expovariate(1 / lasting_s)
        spells.append((at_s, end_s))
        at_s = end_s + rng.expovariate(1 / between_s)
    return spells


def _times(rng: random.Random, until_s: float, *, every_s: float) -> list[float]:
    return [start for start, _ in _spells(rng, until_s, between_s=every_s, lasting_s=1.0)]
