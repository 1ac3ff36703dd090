"""What is said of the house itself, and which alarms the states of a whole fleet are."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from itertools import combinations
from typing import Any

import pytest
from fleet_facts import (
    CUFF,
    GATEWAY,
    NOW,
    PATIENT,
    alarm,
    facts,
    gateway,
    house,
    meter,
    recompute,
    silent_patient,
    waiting,
)

from server.store.alarms import AlarmKind
from server.store.fleet import Facts, GatewayFacts
from server.store.heartbeat import Beat
from server.watch.house import WELL, HouseState, Part
from server.watch.limits import LIMITS
from server.watch.states import alarms_of, say_fleet

H, A = HouseState, AlarmKind
SECOND = timedelta(seconds=1)


def beat(**changes: Any) -> Beat:
    plain = Beat(started_at=NOW - 60 * SECOND, came_through_at=NOW - 58 * SECOND, took_s=2.0, late_part=None)
    return replace(plain, **changes)


def with_house(**changes: Any) -> Callable[[Facts], Facts]:
    return lambda of: replace(of, house=replace(of.house, **changes))


def with_alarm(kind: AlarmKind, subject: str = "") -> Callable[[Facts], Facts]:
    return lambda of: replace(of, alarms=(*of.alarms, alarm(kind, subject)))


WRONG: Mapping[HouseState, tuple[Part, Callable[[Facts], Facts]]] = {
    H.NOBODY_HEARD: (Part.HEARING, with_house(last_heard_at=NOW - timedelta(minutes=10))),
    H.NOBODY_YET: (Part.HEARING, with_house(last_heard_at=None, heard_lately=0)),
    H.JUDGE_LAG: (Part.JUDGING, with_house(oldest_due_at=NOW - 61 * SECOND, due_rows=4)),
    H.JUDGING_BROKEN: (Part.JUDGING, with_house(broken=(PATIENT,))),
    H.PUSH_UNDELIVERED: (Part.SENDING, with_house(waiting=(waiting("webhook", 61),))),
    H.PUSH_DEAD: (Part.SENDING, with_alarm(A.PUSH_DEAD, "push-1")),
    H.WATCHDOG_LATE: (Part.WATCHDOG, with_house(beat=beat(late_part="judge: the reading is stored and not judged"))),
    H.WATCHDOG_STOPPED: (Part.WATCHDOG, with_house(beat=beat(started_at=NOW - timedelta(minutes=11)))),
    H.WATCHDOG_NEVER: (Part.WATCHDOG, with_house(beat=None)),
    H.RECOMPUTE_DIFFERENT: (Part.RECOMPUTE, with_house(recompute=recompute(differences=2))),
    H.RECOMPUTE_OVERDUE: (Part.RECOMPUTE, with_alarm(A.RECOMPUTE_OVERDUE)),
    H.RECOMPUTE_NEVER: (Part.RECOMPUTE, with_house(recompute=None)),
    H.ACCOUNT_UNBALANCED: (Part.ACCOUNTS, with_alarm(A.ACCOUNT_UNBALANCED, GATEWAY)),
}
BOTH_ARE_SAID = (
    {H.JUDGE_LAG, H.JUDGING_BROKEN},
    {H.PUSH_UNDELIVERED, H.PUSH_DEAD},
    {H.RECOMPUTE_DIFFERENT, H.RECOMPUTE_OVERDUE},
)
NOT_BOTH = [
    {H.NOBODY_HEARD, H.NOBODY_YET},
    {H.WATCHDOG_LATE, H.WATCHDOG_STOPPED},
    {H.WATCHDOG_LATE, H.WATCHDOG_NEVER},
    {H.WATCHDOG_STOPPED, H.WATCHDOG_NEVER},
    {H.RECOMPUTE_DIFFERENT, H.RECOMPUTE_NEVER},
]


def said(of: Facts) -> dict[Part, list[HouseState]]:
    found: dict[Part, list[HouseState]] = {part: [] for part in Part}
    for each in say_fleet(of, now=NOW).house:
        found[each.part].append(each.state)
    return found


def wrong(of: Facts) -> set[HouseState]:
    return {state for states in said(of).values() for state in states} - WELL


def test_of_a_house_in_order_every_part_is_said_to_be_well() -> None:
    assert wrong(facts()) == set()
    assert all(len(states) == 1 for states in said(facts()).values())


@pytest.mark.parametrize("state", WRONG)
def test_each_part_has_its_own_word_and_the_others_stay_well(state: HouseState) -> None:
    part, change = WRONG[state]

    assert said(change(facts()))[part] == [state]
    assert wrong(change(facts())) == {state}


@pytest.mark.parametrize(("first", "second"), [pair for pair in combinations(WRONG, 2) if set(pair) not in NOT_BOTH])
def test_of_two_faults_of_the_house_exactly_the_right_ones_are_said(first: HouseState, second: HouseState) -> None:
    of = WRONG[second][1](WRONG[first][1](facts()))
    is_one_part = WRONG[first][0] is WRONG[second][0] and {first, second} not in BOTH_ARE_SAID

    assert wrong(of) == ({first} if is_one_part else {first, second})


def test_a_minute_is_still_in_time() -> None:
    in_time = house(oldest_due_at=NOW - 60 * SECOND, due_rows=1, waiting=(waiting("inbox", 60),))

    assert wrong(facts(house=in_time)) == set()


def test_a_difference_stays_said_while_its_alarm_is_open_and_a_run_is_overdue_after_26_hours() -> None:
    old = house(recompute=recompute(ended_at=NOW - timedelta(hours=26, seconds=1)))

    assert wrong(with_alarm(A.RECOMPUTE_DIFFERENT)(facts())) == {H.RECOMPUTE_DIFFERENT}
    assert wrong(facts(house=old)) == {H.RECOMPUTE_OVERDUE}


def test_the_watchdog_is_late_while_its_alarm_is_open_and_names_the_part_that_did_not_answer() -> None:
    (late,) = [each for each in say_fleet(WRONG[H.WATCHDOG_LATE][1](facts()), now=NOW).house if each.state not in WELL]

    assert wrong(with_alarm(A.WATCHDOG_LATE)(facts())) == {H.WATCHDOG_LATE}
    assert late.subject == "judge"


def test_each_channel_that_is_late_is_said_for_itself() -> None:
    of = facts(house=house(waiting=(waiting("inbox", 5), waiting("webhook", 90))))

    assert [(each.state, each.subject, each.count) for each in say_fleet(of, now=NOW).house if each.subject] == [
        (H.PUSH_UNDELIVERED, "webhook", 2)
    ]


def open_now(of: Facts) -> dict[AlarmKind, set[str]]:
    return {kind: set(found) for kind, found in alarms_of(say_fleet(of, now=NOW)).items() if found}


def saying(one: GatewayFacts, **changes: Any) -> GatewayFacts:
    """The gateway, which says this of itself beside what it said before."""
    return replace(one, status={**(one.status or {}), **changes})


CAUSES: Mapping[str, tuple[Callable[[Facts], Facts], dict[AlarmKind, set[str]]]] = {
    "unheard": (
        lambda of: replace(
            of, gateways=tuple(replace(each, last_heard_at=NOW - timedelta(hours=1)) for each in of.gateways)
        ),
        {A.GATEWAY_UNHEARD: {GATEWAY}},
    ),
    "hole": (
        lambda of: replace(of, gateways=tuple(replace(each, hole="2 missing") for each in of.gateways)),
        {A.HOLE: {GATEWAY}},
    ),
    "battery low": (
        lambda of: replace(
            of, gateways=tuple(saying(each, meters={CUFF: {"battery_percent": 20}}) for each in of.gateways)
        ),
        {A.BATTERY_LOW: {CUFF}},
    ),
    "power supply too weak": (
        lambda of: replace(of, gateways=tuple(saying(each, machine={"undervoltage": True}) for each in of.gateways)),
        {A.GATEWAY_AILING: {GATEWAY}},
    ),
    "meter silent": (
        lambda of: replace(of, meters=(meter(last_measured_at=NOW - timedelta(days=9)),)),
        {A.METER_SILENT: {CUFF}},
    ),
    "patient silent": (
        lambda of: replace(of, patients=(silent_patient(8),)),
        {A.PATIENT_SILENT: {f"patient:{PATIENT}"}},
    ),
    "judge lag": (WRONG[H.JUDGE_LAG][1], {A.JUDGE_LAG: {""}}),
    "judging broken": (WRONG[H.JUDGING_BROKEN][1], {A.JUDGE_LAG: {f"patient:{PATIENT}"}}),
    "push": (WRONG[H.PUSH_UNDELIVERED][1], {A.PUSH_UNDELIVERED: {"webhook"}}),
    "nobody heard": (WRONG[H.NOBODY_HEARD][1], {A.NOBODY_HEARD: {""}}),
}
BEHIND_IT = {A.METER_SILENT, A.PATIENT_SILENT, A.BATTERY_LOW, A.GATEWAY_AILING}


def test_a_fleet_in_order_raises_no_alarm() -> None:
    assert open_now(facts()) == {}


@pytest.mark.parametrize(("first", "second"), [(a, b) for a in CAUSES for b in CAUSES])
def test_of_any_two_causes_exactly_the_right_alarms_are_open(first: str, second: str) -> None:
    of = CAUSES[second][0](CAUSES[first][0](facts()))
    wanted: dict[AlarmKind, set[str]] = {}
    for name in (first, second):
        for kind, subjects in CAUSES[name][1].items():
            wanted[kind] = wanted.get(kind, set()) | subjects
    if "unheard" in (first, second):  # nothing is said of what lies behind it
        wanted = {kind: subjects for kind, subjects in wanted.items() if kind not in BEHIND_IT}
    if {first, second} == {"unheard", "nobody heard"}:
        del wanted[A.GATEWAY_UNHEARD]
    if {first, second} == {"meter silent", "patient silent"}:  # all that the patient has is silent: the patient is
        del wanted[A.METER_SILENT]
    if {first, second} == {"meter silent", "battery low"}:  # of a meter one thing is said, the graver
        del wanted[A.BATTERY_LOW]

    assert open_now(of) == wanted


def test_a_new_gateway_has_a_week_for_its_first_word() -> None:
    new = gateway(last_heard_at=None, enrolled_at=NOW - LIMITS.first_word + SECOND)

    assert open_now(facts(gateways=(new,))) == {}
    late = replace(new, enrolled_at=NOW - LIMITS.first_word)
    assert open_now(facts(gateways=(late,))) == {A.GATEWAY_UNHEARD: {GATEWAY}}


@pytest.mark.parametrize("standing", ["suspended", "revoked"])
def test_a_gateway_that_was_shut_out_is_not_missed(standing: str) -> None:
    shut_out = gateway(standing=standing, last_heard_at=NOW - timedelta(days=3))

    assert open_now(facts(gateways=(shut_out,), patients=(silent_patient(9),))) == {}


@pytest.mark.parametrize(("up_s", "is_alarm"), [(30, False), (599, False), (600, True), (None, False)])
def test_a_box_that_has_just_started_may_still_be_told_the_time(up_s: int | None, is_alarm: bool) -> None:
    waiting_box = saying(gateway(), clock="waiting", starts={"lately": 1, "up_s": up_s})

    assert open_now(facts(gateways=(waiting_box,))) == ({A.GATEWAY_AILING: {GATEWAY}} if is_alarm else {})


def test_a_box_that_starts_again_and_again_on_a_full_card_is_one_alarm_that_says_both() -> None:
    ill = saying(gateway(), starts={"lately": 9}, machine={"disk_free_mb": 3})

    assert alarms_of(say_fleet(facts(gateways=(ill,)), now=NOW))[A.GATEWAY_AILING] == {GATEWAY: "disk_low, restarting"}
