"""What is said of a gateway: every condition alone, and every two at once."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from itertools import combinations
from typing import Any

import pytest
from fleet_facts import CUFF, GATEWAY, NOW, facts, gateway, house, status
from hypothesis import given
from hypothesis import strategies as st

from server.store.fleet import GatewayFacts
from server.watch.gateways import GatewaySaid, GatewayState, SelfReport, read_report, say_gateway
from server.watch.limits import LIMITS
from server.watch.states import say_fleet

S = GatewayState
MINUTE = timedelta(minutes=1)


def said(one: GatewayFacts, *, is_deaf: bool = False, is_miscounted: bool = False) -> GatewaySaid:
    return say_gateway(one, is_deaf=is_deaf, is_miscounted=is_miscounted, now=NOW, limits=LIMITS)


def says(**changes: Any) -> dict[str, Any]:
    """A gateway that says this of itself."""
    return {"status": status(**changes)}


WRONG: Mapping[GatewayState, dict[str, Any]] = {
    S.REVOKED: {"standing": "revoked"},
    S.SUSPENDED: {"standing": "suspended"},
    S.NOT_YET_HEARD: {"last_heard_at": None},
    S.UNHEARD: {"last_heard_at": NOW - 15 * MINUTE},
    S.LINK_LOST: says(state="offline"),
    S.ACCOUNT_UNBALANCED: {"received": 41},
    S.HOLE: {"hole": "epoch 1: 2 missing"},
    S.DISK_FULL: says(outbox={"unconfirmed": 0, "disk_is_full": True}),
    S.DISK_LOW: says(machine={"disk_free_mb": 199}),
    S.RESTARTING: says(starts={"lately": 6}),
    S.UNDERVOLTAGE: says(machine={"undervoltage": True}),
    S.CERTIFICATE_ENDS: says(certificate={"days_left": 13}),
    S.CONFIG_REFUSED: says(config={"state": "refused"}),
    S.RADIO_PAUSED: says(radio={"paused": True}),
    S.RADIO_WRONG: says(radio={"wrong": "no adapter"}),
    S.CLOCK_WAITING: says(clock="waiting"),
    S.OUTBOX_FILLING: says(outbox={"unconfirmed": 5_000, "disk_is_full": False}),
    S.JUST_BACK: {"was_away_until": NOW - timedelta(hours=2)},
}
ORDER = tuple(S)
ALONE = {S.SUSPENDED, S.NOT_YET_HEARD, S.UNHEARD, S.LINK_LOST}
"""Beside these only what the server knows by itself is said."""
KNOWN_HERE = {S.ACCOUNT_UNBALANCED, S.HOLE}
NOT_ONE_OF = ({S.REVOKED, S.SUSPENDED}, {S.NOT_YET_HEARD, S.UNHEARD})
"""One column holds only one of these."""


def both(first: GatewayState, second: GatewayState) -> dict[str, Any]:
    """The changes of two conditions; what both say in one status message is said in one."""
    changes = WRONG[first] | WRONG[second]
    statuses = [WRONG[each]["status"] for each in (first, second) if "status" in WRONG[each]]
    if len(statuses) == 2:
        plain = status()
        merged: dict[str, Any] = dict(plain)
        for name in plain:
            said_of_it = [each[name] for each in statuses if each[name] != plain[name]]
            if said_of_it and isinstance(plain[name], dict):
                merged[name] = {key: value for part in said_of_it for key, value in part.items() if value} or plain[
                    name
                ]
            elif said_of_it:
                merged[name] = said_of_it[0]
        changes["status"] = merged
    return changes


def expected(first: GatewayState, second: GatewayState) -> tuple[GatewayState, ...]:
    pair = {first, second}
    if S.REVOKED in pair:
        return (S.REVOKED,)
    alone = [state for state in ORDER if state in pair & ALONE]
    if alone:
        return (alone[0], *sorted(pair & KNOWN_HERE, key=ORDER.index))
    return tuple(sorted(pair, key=ORDER.index))


def test_a_gateway_in_order_is_said_to_be_heard() -> None:
    assert said(gateway()).states == (S.HEARD,)
    assert said(gateway()).blindness is None


@pytest.mark.parametrize("state", WRONG)
def test_each_condition_is_said_by_its_own_state(state: GatewayState) -> None:
    assert said(gateway(**WRONG[state])).states == (state,)


@pytest.mark.parametrize(
    ("first", "second"), [pair for pair in combinations(WRONG, 2) if not any(set(pair) <= each for each in NOT_ONE_OF)]
)
def test_of_two_conditions_exactly_the_right_ones_are_said(first: GatewayState, second: GatewayState) -> None:
    assert said(gateway(**both(first, second))).states == expected(first, second)


def test_a_gateway_is_unheard_after_fifteen_minutes_and_not_before() -> None:
    almost = gateway(last_heard_at=NOW - 15 * MINUTE + timedelta(microseconds=1))

    assert said(almost).states == (S.HEARD,)
    assert said(gateway(last_heard_at=NOW - 15 * MINUTE)).states == (S.UNHEARD,)


def test_where_nobody_is_heard_no_gateway_is_blamed() -> None:
    silent_s = NOW - 20 * MINUTE
    deaf = facts(
        gateways=(gateway(last_heard_at=silent_s), gateway("gw-2", last_heard_at=silent_s)),
        house=house(last_heard_at=silent_s, heard_lately=2),
    )
    one_is_heard = replace(deaf, house=house(last_heard_at=NOW - MINUTE, heard_lately=2))
    the_only_one = replace(deaf, gateways=deaf.gateways[:1], house=house(last_heard_at=silent_s, heard_lately=1))

    assert [each.states for each in say_fleet(deaf, now=NOW).gateways] == [(S.NOBODY_HEARD,)] * 2
    assert [each.states for each in say_fleet(one_is_heard, now=NOW).gateways] == [(S.UNHEARD,)] * 2
    assert [each.states for each in say_fleet(the_only_one, now=NOW).gateways] == [(S.UNHEARD,)]


def test_deafness_is_said_before_any_gateway_can_be_blamed_for_it() -> None:
    assert LIMITS.nobody_heard < LIMITS.gateway_unheard


def test_rows_that_were_counted_otherwise_are_said_although_the_sum_holds() -> None:
    assert said(gateway(), is_miscounted=True).states == (S.ACCOUNT_UNBALANCED,)


def test_a_short_absence_is_no_excuse_a_day_later() -> None:
    assert said(gateway(was_away_until=NOW - timedelta(days=1))).states == (S.HEARD,)


def test_what_a_gateway_says_oddly_is_not_believed_and_breaks_nothing() -> None:
    odd = {
        "version": 7,
        "clock": ["waiting"],
        "outbox": {"unconfirmed": "many", "held": True, "disk_is_full": "yes"},
        "radio": "wrong",
        "meters": {CUFF: {"battery_percent": 200}, "b": 3, "c": {"battery_percent": -1}},
    }

    assert read_report(odd) == SelfReport(batteries={})
    assert read_report(None) == SelfReport()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(sorted(status())), JSON))
def test_no_status_message_can_break_what_is_said(message: dict[str, Any]) -> None:
    assert said(gateway(status=message)).states


@given(
    standing=st.sampled_from(["active", "suspended", "revoked"]),
    heard_minutes=st.none() | st.integers(0, 60),
    is_offline=st.booleans(),
    is_disk_full=st.booleans(),
    is_balanced=st.booleans(),
    is_deaf=st.booleans(),
)
def test_whatever_is_wrong_together_one_state_at_most_speaks_of_hearing(
    standing: str, heard_minutes: int | None, is_offline: bool, is_disk_full: bool, is_balanced: bool, is_deaf: bool
) -> None:
    one = gateway(
        standing=standing,
        last_heard_at=None if heard_minutes is None else NOW - heard_minutes * MINUTE,
        status=status(state="offline" if is_offline else "online", outbox={"disk_is_full": is_disk_full}),
        received=40 if is_balanced else 41,
    )
    states = said(one, is_deaf=is_deaf).states
    hearing = {S.REVOKED, S.SUSPENDED, S.NOT_YET_HEARD, S.NOBODY_HEARD, S.UNHEARD, S.LINK_LOST, S.HEARD}
    is_silent = heard_minutes is not None and heard_minutes >= 15

    assert len(set(states) & hearing) <= 1
    assert list(states) == sorted(states, key=ORDER.index)
    assert (S.UNHEARD in states) == (standing == "active" and is_silent and not is_deaf)
    assert (S.NOBODY_HEARD in states) == (standing == "active" and is_silent and is_deaf)
    assert (S.ACCOUNT_UNBALANCED in states) == (not is_balanced and standing != "revoked")
    assert S.DISK_FULL not in states or (heard_minutes is not None and heard_minutes < 15 and not is_offline)


def test_the_subject_of_what_is_said_is_the_gateway() -> None:
    assert said(gateway()).facts.gateway_id == GATEWAY
