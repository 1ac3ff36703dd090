"""What is said of a meter and of a patient: silence only when nothing else explains it."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import combinations
from typing import Any

import pytest
from fleet_facts import (
    CUFF,
    GATEWAY,
    GLUCOMETER,
    LONG_AGO,
    NOW,
    PATIENT,
    facts,
    gateway,
    held,
    house,
    meter,
    patient,
    silent_patient,
    status,
)
from hypothesis import given
from hypothesis import strategies as st

from server.store.fleet import Facts
from server.watch.gateways import GatewayState
from server.watch.limits import LIMITS
from server.watch.silence import MeterSaid, MeterState, PatientSaid, PatientState, days_without
from server.watch.states import say_fleet

P, M, G = PatientState, MeterState, GatewayState
Change = Callable[[Facts], Facts]


def patient_said(of: Facts, patient_id: int = PATIENT) -> PatientSaid:
    return next(each for each in say_fleet(of, now=NOW).patients if each.facts.patient_id == patient_id)


def meter_said(of: Facts, meter_id: str = CUFF) -> MeterSaid:
    return next(each for each in say_fleet(of, now=NOW).meters if each.facts.meter_id == meter_id)


def with_gateway(**changes: Any) -> Change:
    return lambda of: replace(of, gateways=tuple(replace(each, **changes) for each in of.gateways))


def with_status(**said: Any) -> Change:
    """What the gateway says of itself besides what it says already."""

    def change(of: Facts) -> Facts:
        (one,) = of.gateways
        before = dict(one.status or {})
        merged = {name: {**before[name], **part} if isinstance(part, dict) else part for name, part in said.items()}
        return with_gateway(status=before | merged)(of)

    return change


def with_patient(**changes: Any) -> Change:
    return lambda of: replace(of, patients=tuple(replace(each, **changes) for each in of.patients))


def with_held(*rows: Any) -> Change:
    return lambda of: replace(of, held=(*of.held, *rows))


def silent(days: int = 8) -> Facts:
    """A patient whose meters have brought nothing for so many whole days."""
    one = silent_patient(days)
    at = one.last_measured_at
    return facts(patients=(one,), meters=(meter(last_measured_at=at), meter(GLUCOMETER, last_measured_at=at)))


WRONG: Sequence[tuple[PatientState, Change]] = (
    (P.NO_METER, with_patient(covered_since=None)),
    (P.UNKNOWABLE, with_gateway(last_heard_at=NOW - timedelta(minutes=15))),
    (P.UNKNOWABLE, with_gateway(last_heard_at=None)),
    (P.UNKNOWABLE, with_gateway(standing="suspended")),
    (P.UNKNOWABLE, with_gateway(standing="revoked")),
    (P.UNKNOWABLE, with_status(radio={"wrong": "no adapter"})),
    (P.UNKNOWABLE, with_status(outbox={"disk_is_full": True})),
    (P.UNKNOWABLE, with_gateway(was_away_until=NOW - timedelta(hours=1))),
    (P.ON_THE_WAY, with_status(outbox={"unconfirmed": 3})),
    (P.WAITS_FOR_BINDING, with_held(held("unknown_meter", meter_id="another"))),
    (P.WAITS_FOR_BINDING, with_held(held("unmapped_slot"))),
    (P.WAITS_FOR_BINDING, with_held(held("binding_conflict", gateway_id="gw-2"))),
    (P.REFUSED, with_held(held("time_implausible"))),
    (P.REFUSED, with_held(held("decode:utf8", meter_id=None))),
)
"""What may keep readings from arriving, the explanation that is nearer to the cause first."""

NO_CAUSE: Sequence[Change] = (
    with_gateway(received=41),
    with_gateway(hole="epoch 1: 2 missing"),
    with_status(meters={CUFF: {"battery_percent": 3}}),
    with_status(clock="waiting"),
    with_held(held("unknown_meter", gateway_id="gw-2", meter_id="another")),
    with_held(held("unmapped_slot", hours=24 * 9)),
    lambda of: replace(of, house=house(oldest_due_at=NOW - timedelta(hours=1), due_rows=3)),
)
"""What is wrong too, and does not keep this patient's readings from arriving."""


def nearer(first: tuple[PatientState, Change], second: tuple[PatientState, Change]) -> PatientState:
    pair = {first[0], second[0]}
    if pair == {P.NO_METER, P.WAITS_FOR_BINDING}:
        return P.WAITS_FOR_BINDING  # the meter that was taken away still brings readings
    order = [state for state, _ in WRONG]
    return min(pair, key=order.index)


@pytest.mark.parametrize(
    ("days", "state"),
    [(0, P.MEASURING), (2, P.MEASURING), (3, P.QUIET), (6, P.QUIET), (7, P.SILENT), (60, P.SILENT)],
)
def test_three_whole_days_without_a_reading_are_quiet_and_seven_are_silent(days: int, state: PatientState) -> None:
    said = patient_said(silent(days))

    assert (said.state, said.days) == (state, days)


@pytest.mark.parametrize("at", range(len(WRONG)))
def test_whatever_else_keeps_readings_from_arriving_is_said_instead_of_silence(at: int) -> None:
    state, change = WRONG[at]

    assert patient_said(change(silent())).state is state
    assert patient_said(change(silent(3))).state is state


@pytest.mark.parametrize(("first", "second"), list(combinations(range(len(WRONG)), 2)))
def test_of_two_explanations_the_nearer_to_the_cause_is_said(first: int, second: int) -> None:
    state = nearer(WRONG[first], WRONG[second])

    assert patient_said(WRONG[first][1](WRONG[second][1](silent()))).state is state


@pytest.mark.parametrize("at", range(len(NO_CAUSE)))
def test_what_is_wrong_elsewhere_excuses_nobody(at: int) -> None:
    assert patient_said(NO_CAUSE[at](silent())).state is P.SILENT
    for state, change in WRONG:
        assert patient_said(change(NO_CAUSE[at](silent()))).state is state


def test_behind_an_unheard_gateway_only_the_gateway_is_named() -> None:
    said = patient_said(with_gateway(last_heard_at=NOW - timedelta(hours=1))(facts()))

    assert (said.state, said.because, said.gateway_id) == (P.UNKNOWABLE, G.UNHEARD, GATEWAY)


def test_in_a_deaf_house_no_patient_and_no_meter_is_silent() -> None:
    long = NOW - timedelta(days=10)
    deaf = replace(
        silent(9), gateways=(gateway(last_heard_at=long),), house=house(last_heard_at=NOW - timedelta(hours=1))
    )

    assert patient_said(deaf).because is G.NOBODY_HEARD
    assert meter_said(deaf).because is G.NOBODY_HEARD


def test_who_has_another_gateway_that_is_heard_is_said_to_measure() -> None:
    two = facts(
        gateways=(gateway(), gateway("gw-2", last_heard_at=None)), patients=(patient(gateway_ids=(GATEWAY, "gw-2")),)
    )
    quiet = replace(two, patients=(replace(silent_patient(4), gateway_ids=(GATEWAY, "gw-2")),))

    assert patient_said(two).state is P.MEASURING
    assert (patient_said(quiet).state, patient_said(quiet).gateway_id) == (P.UNKNOWABLE, "gw-2")


def test_a_patient_enrolled_an_hour_ago_is_not_silent() -> None:
    hour = NOW - timedelta(hours=1)
    nothing = {"last_measured_at": None, "last_accepted_at": None}

    assert (
        patient_said(facts(patients=(patient(created_at=hour, covered_since=hour, **nothing),))).state is P.NOTHING_YET
    )


def test_who_was_given_a_meter_an_hour_ago_is_not_silent_although_enrolled_long_ago() -> None:
    one = patient(covered_since=NOW - timedelta(hours=1), last_measured_at=None, last_accepted_at=None)

    assert patient_said(facts(patients=(one,))).state is P.NOTHING_YET


def test_who_has_never_measured_is_silent_after_seven_days_too() -> None:
    since = NOW - timedelta(days=8)
    one = patient(created_at=since, covered_since=since, last_measured_at=None, last_accepted_at=None)

    assert patient_said(facts(patients=(one,))).state is P.SILENT


def test_who_measures_and_nothing_can_be_used_is_not_silent() -> None:
    one = patient(last_accepted_at=NOW - timedelta(days=4))

    assert patient_said(facts(patients=(one,))).state is P.NOTHING_USABLE
    assert patient_said(facts(patients=(replace(one, last_accepted_at=NOW - timedelta(days=3)),))).state is P.MEASURING


def test_an_absence_of_the_gateway_speaks_against_silence_and_not_against_a_reading() -> None:
    back = with_gateway(was_away_until=NOW - timedelta(hours=1))

    assert patient_said(back(facts())).state is P.MEASURING
    assert meter_said(back(facts())).state is M.BRINGING
    assert patient_said(back(silent())).because is G.JUST_BACK


def test_old_rows_in_quarantine_do_not_excuse_a_new_silence() -> None:
    recent = with_held(held("unmapped_slot", hours=24 * 7))
    old = with_held(held("unmapped_slot", hours=24 * 8))

    assert patient_said(recent(silent(20))).state is P.WAITS_FOR_BINDING
    assert patient_said(old(silent(20))).state is P.SILENT


@pytest.mark.parametrize(
    ("change", "state"),
    [
        (lambda of: of, M.BRINGING),
        (with_status(meters={CUFF: {"battery_percent": 20}}), M.BATTERY_LOW),
        (with_status(meters={CUFF: {"battery_percent": 21}}), M.BRINGING),
        (with_gateway(last_heard_at=NOW - timedelta(hours=1)), M.UNKNOWABLE),
        (with_gateway(standing="suspended"), M.UNKNOWABLE),
        (with_status(radio={"wrong": "no adapter"}), M.UNKNOWABLE),
        (with_held(held("unmapped_slot")), M.WAITS_FOR_BINDING),
        (with_status(meters={CUFF: {"asks_for_user": True}}), M.WANTS_CONSENT),
        (with_status(meters={CUFF: {"users": {"1": "wrong code", "2": "not answered"}}}), M.WANTS_CONSENT),
        (with_status(meters={CUFF: {"users": {"1": "wrong code", "2": "opened"}}}), M.BRINGING),
        (with_status(meters={CUFF: {"users": {}}}), M.BRINGING),
        (with_status(meters={CUFF: {"users": "odd"}}), M.BRINGING),
        (with_held(held("binding_conflict", gateway_id="gw-2")), M.CONFLICT),
        (with_held(held("time_implausible")), M.BRINGING),
    ],
)
def test_each_state_of_a_meter_is_its_own(change: Change, state: MeterState) -> None:
    assert meter_said(change(facts())).state is state


def test_a_meter_is_silent_only_if_its_patient_measures_with_another() -> None:
    old = NOW - timedelta(days=9)
    one_silent = facts(meters=(meter(last_measured_at=old), meter(GLUCOMETER)))

    assert meter_said(one_silent).state is M.SILENT
    assert meter_said(one_silent, GLUCOMETER).state is M.BRINGING
    assert meter_said(silent()).state is M.QUIET_WITH_PATIENT
    on_the_way = with_status(outbox={"unconfirmed": 1})(one_silent)
    assert meter_said(on_the_way).state is M.ON_THE_WAY
    unheard = with_gateway(last_heard_at=NOW - timedelta(hours=1))(one_silent)
    assert meter_said(unheard).state is M.UNKNOWABLE


def test_a_meter_of_which_no_reading_was_found_has_been_silent_for_as_long_as_was_searched() -> None:
    long_silent = facts(meters=(meter(last_measured_at=None), meter(GLUCOMETER)))
    bound_lately = facts(meters=(meter(last_measured_at=None, bound_since=NOW - timedelta(days=9)), meter(GLUCOMETER)))

    assert (meter_said(long_silent).state, meter_said(long_silent).days) == (M.SILENT, 29)
    assert (meter_said(bound_lately).state, meter_said(bound_lately).days) == (M.SILENT, 8)


def test_a_meter_bound_today_has_brought_nothing_yet() -> None:
    new = meter(bound_since=NOW - timedelta(hours=1), last_measured_at=None)

    assert meter_said(facts(meters=(new, meter(GLUCOMETER)))).state is M.NOTHING_YET


def test_a_meter_that_is_bound_nowhere_is_shown_to_wait_for_binding() -> None:
    said = meter_said(with_held(held("unknown_meter", meter_id="stray"))(facts()), "stray")

    assert (said.state, said.facts.patient_ids, said.facts.gateway_id) == (M.WAITS_FOR_BINDING, (), GATEWAY)


def test_days_are_the_patients_own_and_begin_at_three() -> None:
    measured = datetime(2026, 11, 16, 18, 59, tzinfo=UTC)  # 02:59 on the 17th in Shanghai: still the clinical 16th
    after_midnight = datetime(2026, 11, 19, 18, 59, tzinfo=UTC)  # 02:59 on the 20th
    morning = after_midnight + timedelta(minutes=1)

    assert days_without(measured, after_midnight, "Asia/Shanghai") == 2
    assert days_without(measured, morning, "Asia/Shanghai") == 3
    assert days_without(measured + timedelta(minutes=1), morning, "Asia/Shanghai") == 2


@given(
    days=st.integers(0, 60),
    heard_minutes=st.none() | st.integers(0, 30),
    standing=st.sampled_from(["active", "suspended", "revoked"]),
    unconfirmed=st.integers(0, 3),
    wrong_radio=st.booleans(),
    reason=st.none() | st.sampled_from(["unknown_meter", "unmapped_slot", "time_implausible"]),
    has_meter=st.booleans(),
)
def test_a_patient_is_called_silent_exactly_when_nothing_else_explains_it(
    days: int,
    heard_minutes: int | None,
    standing: str,
    unconfirmed: int,
    wrong_radio: bool,
    reason: str | None,
    has_meter: bool,
) -> None:
    one = gateway(
        standing=standing,
        last_heard_at=None if heard_minutes is None else NOW - timedelta(minutes=heard_minutes),
        status=status(outbox={"unconfirmed": unconfirmed}, radio={"wrong": "gone" if wrong_radio else None}),
    )
    home = replace(
        silent(days),
        gateways=(one,),
        patients=(replace(silent_patient(days), covered_since=LONG_AGO if has_meter else None),),
        held=(held(reason),) if reason else (),
    )
    is_heard = standing == "active" and heard_minutes is not None and heard_minutes < 15
    is_explained = not is_heard or wrong_radio or unconfirmed > 0 or reason is not None or not has_meter
    state = patient_said(home).state

    assert (state is P.SILENT) == (days >= LIMITS.patient_silent_days and not is_explained)
    assert (state is P.QUIET) == (3 <= days < 7 and not is_explained)
    assert state not in (P.SILENT, P.QUIET) or meter_said(home).state is not M.SILENT
