"""What is an advertisement among all that BlueZ says, by what bleak is told of it."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.hearing import BOOKKEEPING, BOUND, Hearing

PATH = "/org/bluez/hci0/dev_F0_00_00_10_00_01"
HEARD: dict[str, Any] = {
    "Address": "F0:00:00:10:00:01",
    "Name": "cuff",
    "Alias": "cuff",
    "UUIDs": ["1810"],
    "RSSI": -60,
    "AdvertisingFlags": b"\x06",
    "Paired": False,
    "Bonded": False,
    "Trusted": False,
    "Connected": False,
    "ServicesResolved": False,
}
RESOLVED: dict[str, Any] = {"UUIDs": ["1800", "1801", "180a", "180f", "1810"], "ServicesResolved": True}


def _told(*changes: dict[str, Any]) -> list[bool]:
    """What is taken for an advertisement, if these changes are told one after the other."""
    hearing, properties, found = Hearing(), dict(HEARD), []
    for change in ({}, *changes):
        properties = {name: value for name, value in (properties | change).items() if value is not None}
        found.append(hearing.is_advertised(PATH, properties))
    return found[1:]


def test_the_first_that_is_heard_of_a_meter_is_an_advertisement() -> None:
    assert Hearing().is_advertised(PATH, HEARD)


def test_the_same_strength_again_is_an_advertisement() -> None:
    assert _told({}, {"RSSI": -60}) == [True, True]


@pytest.mark.parametrize(
    "change",
    [
        {"RSSI": -61},
        {"TxPower": 4},
        {"ManufacturerData": {0x0059: b"\x01"}},
        {"ServiceData": {"1810": b"\x01"}},
        {"AdvertisingFlags": b"\x04"},
        {"Name": "cuff 2", "Alias": "cuff 2"},
        {"UUIDs": ["1810", "180f"]},
        {"Appearance": 896, "Icon": "blood-pressure"},
        {"LegacyPairing": True},
        {"SomethingNew": 1},
    ],
)
def test_whatever_may_come_from_the_air_is_an_advertisement(change: dict[str, Any]) -> None:
    assert _told(change) == [True]


@pytest.mark.parametrize("name", sorted(BOOKKEEPING - {"Connected"}))
def test_bookkeeping_is_none(name: str) -> None:
    assert _told({name: "new"}) == [False]


def test_a_session_is_none_from_its_link_to_its_end_and_the_next_advertisement_is_one() -> None:
    """As BlueZ 5.82 told it: first pairing, then the second session."""
    session = [{"Connected": True}, RESOLVED, {"Trusted": True}, {"Bonded": True, "Paired": True}]
    ended: dict[str, Any] = {"ServicesResolved": False, "Connected": False}
    assert _told(*session, ended, {}) == [False] * 5 + [True]
    assert _told(*session, ended, {"Connected": True}, {"ServicesResolved": True}, ended, {}) == [False] * 8 + [True]


def test_a_link_that_ends_as_the_meter_advertises_with_another_strength_is_one() -> None:
    assert _told({"Connected": True}, {"Connected": False, "RSSI": -70}) == [False, True]


_ADVERTISED = st.fixed_dictionaries({"RSSI": st.integers(-61, -60)}, optional={"TxPower": st.just(4)})
_BOOKED: st.SearchStrategy[dict[str, Any]] = st.sampled_from(
    [
        {"Connected": True},
        {"ServicesResolved": False, "Connected": False},
        {"ServicesResolved": True},
        {"Trusted": True},
        {"Trusted": False},
        {"Paired": True, "Bonded": True},
        {"RSSI": None, "TxPower": None},
    ]
)


@given(st.lists(st.tuples(st.just(True), _ADVERTISED) | st.tuples(st.just(False), _BOOKED)))
def test_whatever_came_before_each_advertisement_of_a_meter_without_a_link_is_heard_and_nothing_else(
    history: list[tuple[bool, dict[str, Any]]],
) -> None:
    hearing, properties = Hearing(), HEARD
    hearing.is_advertised(PATH, properties)
    for is_advertisement, changes in history:
        after = {name: value for name, value in (properties | changes).items() if value is not None}
        if is_advertisement or after != properties:  # BlueZ compares its books before it tells of them
            properties = after
            is_free = not properties["Connected"]
            assert hearing.is_advertised(PATH, properties) is (is_advertisement and is_free), changes


def test_who_is_connected_is_not_heard() -> None:
    assert _told({"Connected": True}, {"RSSI": -70}) == [False, False]


def test_a_link_that_came_and_went_while_we_connect_is_remembered_for_so_long() -> None:
    hearing = Hearing()
    with hearing.reaching(PATH) as had_link:
        assert not had_link()
        hearing.is_advertised(PATH, HEARD)
        hearing.is_advertised(PATH + "2", HEARD | {"Connected": True})
        assert not had_link()
        for linked in (True, False):
            hearing.is_advertised(PATH, HEARD | {"Connected": linked})
        assert had_link()
    with hearing.reaching(PATH) as had_link:
        assert not had_link()


def test_a_strength_that_is_no_longer_known_is_none_and_one_that_is_known_again_is_one() -> None:
    assert _told({"RSSI": None, "TxPower": None}, {"Trusted": True}, {"RSSI": -60}) == [False, False, True]


def test_a_bonded_meter_that_a_new_bluetoothd_shows_is_none() -> None:
    shown = {name: value for name, value in HEARD.items() if name != "RSSI"} | {"Paired": True}
    assert not Hearing().is_advertised(PATH, shown)


def test_what_is_remembered_is_bounded_and_who_is_forgotten_is_new() -> None:
    hearing = Hearing()
    for nth in range(BOUND + 10):
        hearing.is_advertised(f"{PATH}{nth}", HEARD)
    assert len(hearing._last) == BOUND
    assert hearing.is_advertised(f"{PATH}0", HEARD | {"Trusted": True})
    assert not hearing.is_advertised(f"{PATH}{BOUND}", HEARD | {"Trusted": True})
