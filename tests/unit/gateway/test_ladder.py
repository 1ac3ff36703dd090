"""The ladder: what counts as trouble, which cure comes when, and when it is left alone."""

import itertools
from collections.abc import Callable

from gateway.ladder import A_DAY, DAY_S, Ladder, Patience, Rung

P = Patience()


def climb(ladder: Ladder, from_s: float, to_s: float, happens: Callable[[float], None] = lambda _: None) -> list[Rung]:
    """Every cure tried in that time, looked at every 5 s."""
    rungs = []
    at_s = from_s
    while at_s <= to_s:
        happens(at_s)
        rung = ladder.next_rung(at_s)
        if rung is not None:
            rungs.append(rung)
        at_s += 5
    return rungs


def with_neighbours(now_s: float = 0) -> Ladder:
    ladder = Ladder(now_s)
    ladder.scan_started(now_s)
    ladder.listened(3, now_s)
    return ladder


def test_a_scan_that_fails_once_or_twice_is_only_tried_again() -> None:
    ladder = Ladder(0)
    for at_s in range(P.scans_failed - 1):
        ladder.scan_failed(at_s)
    assert climb(ladder, 5, 3600) == []


def test_a_scan_that_cannot_be_started_climbs_from_power_to_restart_and_rests() -> None:
    ladder = Ladder(0)
    for at_s in range(P.scans_failed):
        ladder.scan_failed(at_s)
    assert climb(ladder, 5, 300) == [Rung.POWER, Rung.RESET, Rung.RESTART]
    told = ladder.describe(300)
    assert (told["state"], told["last"], told["tried"]) == (
        "resting",
        "restart",
        {"power": 1, "reset": 1, "restart": 1},
    )
    assert "adapter" in told["advice"]


def test_what_works_again_is_calm_at_once_and_the_next_trouble_begins_at_the_bottom() -> None:
    ladder = Ladder(0)
    for at_s in range(P.scans_failed):
        ladder.scan_failed(at_s)
    assert climb(ladder, 5, 10) == [Rung.POWER]
    ladder.scan_started(15)
    assert ladder.describe(15)["state"] == "calm"
    assert climb(ladder, 20, 7200) == []
    for at_s in range(P.scans_failed):
        ladder.scan_failed(7200 + at_s)
    assert climb(ladder, 7205, 7210) == [Rung.POWER]


def test_each_cure_is_given_time_to_help() -> None:
    ladder = Ladder(0)
    for at_s in range(P.scans_failed):
        ladder.scan_failed(at_s)
    tried_s = [at_s for at_s in range(3, 200) if ladder.next_rung(at_s) is not None]
    assert [later - earlier for earlier, later in itertools.pairwise(tried_s)] == [
        P.help_s[Rung.POWER - 1],
        P.help_s[Rung.RESET - 1],
    ]


def test_a_quiet_home_is_not_listened_to_all_the_time_and_neighbours_prove_the_adapter_well() -> None:
    ladder = Ladder(0)
    ladder.scan_started(0)
    listened_s = []
    for at_s in range(0, 86_400, 5):
        if ladder.is_to_listen(at_s):
            listened_s.append(at_s)
            ladder.listened(1, at_s)
        assert ladder.next_rung(at_s) is None
    assert len(listened_s) == 86_400 // P.quiet_s - 1


def test_a_deaf_adapter_is_found_by_listening_twice_and_climbs_all_the_way() -> None:
    ladder = with_neighbours()

    def listen(at_s: float) -> None:
        if ladder.is_to_listen(at_s):
            ladder.listened(0, at_s)

    assert climb(ladder, 0, P.quiet_s) == []
    rungs = climb(ladder, P.quiet_s + 5, P.quiet_s + 300, listen)
    assert rungs == [Rung.SCAN, Rung.POWER, Rung.RESET, Rung.RESTART]


def test_in_a_lonely_house_silence_costs_nobody_a_restart() -> None:
    ladder = Ladder(0)
    ladder.scan_started(0)

    def listen(at_s: float) -> None:
        if ladder.is_to_listen(at_s):
            ladder.listened(0, at_s)

    assert set(climb(ladder, 0, 86_400, listen)) == {Rung.SCAN, Rung.POWER}


def test_a_meter_that_is_heard_ends_deafness() -> None:
    ladder = with_neighbours()
    for at_s in (2000, 2020):
        ladder.listened(0, at_s)
    assert ladder.describe(2021)["state"] == "climbing"
    ladder.heard(2022)
    assert ladder.describe(2022)["state"] == "calm"


def test_a_scan_that_we_have_ended_ourselves_is_no_silence() -> None:
    ladder = with_neighbours()
    ladder.scan_ended()
    assert not ladder.is_to_listen(1e6)


def test_one_meter_that_cannot_be_connected_to_is_its_own_trouble_for_longer_than_two_are() -> None:
    one, two = Ladder(0), Ladder(0)
    for nth in range(P.connects_failed):
        one.connect_failed("a", nth)
        two.connect_failed("ab"[nth % 2], nth)
    assert climb(one, 10, 100) == []
    assert climb(two, 10, 15) == [Rung.SCAN]
    for nth in range(P.connects_failed):
        one.connect_failed("a", 100 + nth)
    assert climb(one, 110, 115) == [Rung.SCAN]


def test_one_connection_that_works_clears_the_adapter() -> None:
    ladder = Ladder(0)
    for nth in range(1000):
        ladder.connect_failed("ab"[nth % 2], nth)
        if nth % (P.connects_failed - 1) == 0:
            ladder.connected(nth)
        assert ladder.next_rung(nth) is None


def test_the_strong_cures_are_used_so_many_times_a_day_at_most_and_rounds_come_slower() -> None:
    ladder = Ladder(0, Patience(help_s=(1, 1, 1, 1)))

    def fail(at_s: float) -> None:
        ladder.scan_failed(at_s)

    first_day = climb(ladder, 0, DAY_S, fail)
    assert 4 <= first_day.count(Rung.RESTART) <= A_DAY
    month = climb(ladder, DAY_S + 5, 30 * DAY_S, fail)
    assert month.count(Rung.RESTART) <= 29 * 5
    assert ladder.describe(30 * DAY_S)["tried"]["restart"] == first_day.count(Rung.RESTART) + month.count(Rung.RESTART)
