"""Proof removes a bond, hints need company, the radio's own trouble removes nothing, and a loop slows down."""

import itertools

import pytest

from gateway.bonds import BETWEEN_REMOVALS, CONTESTED, DAY_S, HINTS, Bonds, Half, Sign, is_half, sign_of

METER = "F0:00:00:10:00:01"


@pytest.mark.parametrize(
    ("error", "sign"),
    [
        ("[org.bluez.Error.Failed] le-connection-key-missing", Sign.PROOF),
        ("[org.bluez.Error.Failed] br-connection-key-missing", Sign.PROOF),
        ("[org.bluez.Error.NotPermitted] Not paired", Sign.PROOF),
        ("[org.bluez.Error.Failed] br-connection-canceled", Sign.HINT),
        ("[org.bluez.Error.Failed] br-connection-page-timeout", Sign.NOTHING),
        ("[org.bluez.Error.Failed] le-connection-timeout", Sign.NOTHING),
        ("[org.bluez.Error.Failed] le-connection-abort-by-local", Sign.NOTHING),
        ("[org.bluez.Error.Failed] le-connection-abort-by-remote", Sign.NOTHING),
        ("[org.bluez.Error.Failed] le-connection-busy", Sign.NOTHING),
        ("[org.bluez.Error.NotReady] br-connection-adapter-not-powered", Sign.NOTHING),
        ("[org.bluez.Error.InProgress] br-connection-busy", Sign.NOTHING),
        ("[org.bluez.Error.AuthenticationFailed] Authentication Failed", Sign.NOTHING),
        ("[org.bluez.Error.AuthenticationCanceled] Authentication Canceled", Sign.NOTHING),
        ("[org.freedesktop.DBus.Error.ServiceUnknown] The name org.bluez was not provided", Sign.NOTHING),
        ("not done after 45 s", Sign.NOTHING),
    ],
)
def test_what_an_error_says_of_the_bond(error: str, sign: Sign) -> None:
    assert sign_of(error) is sign


def test_proof_removes_a_bond_at_once() -> None:
    assert Bonds().is_to_be_removed(METER, Sign.PROOF, 0)


def test_hints_remove_a_bond_only_in_company() -> None:
    bonds = Bonds()
    verdicts = [bonds.is_to_be_removed(METER, Sign.HINT, at_s) for at_s in range(HINTS)]
    assert verdicts == [False] * (HINTS - 1) + [True]


def test_a_good_session_between_them_makes_hints_worth_nothing() -> None:
    bonds = Bonds()
    for at_s in range(20):
        assert not bonds.is_to_be_removed(METER, Sign.HINT, at_s)
        bonds.held(METER, at_s)


def test_a_bond_that_could_not_be_removed_is_removed_at_the_next_hint() -> None:
    bonds = Bonds()
    assert bonds.is_to_be_removed(METER, Sign.PROOF, 0)
    bonds.not_removed(METER)
    assert bonds.removed == 0
    assert bonds.is_to_be_removed(METER, Sign.HINT, 1)


def test_trouble_of_the_radio_never_removes_a_bond() -> None:
    bonds = Bonds()
    assert not any(bonds.is_to_be_removed(METER, Sign.NOTHING, at_s) for at_s in range(1000))


def test_a_bond_that_is_doubted_again_and_again_is_removed_less_and_less_often() -> None:
    bonds = Bonds()
    removed_s = [at_s for at_s in range(20_000) if bonds.is_to_be_removed(METER, Sign.PROOF, at_s)]
    gaps = [later - earlier for earlier, later in itertools.pairwise(removed_s)]
    assert gaps[:4] == [60, 120, 240, 480]
    assert max(gaps) == BETWEEN_REMOVALS.longest_s


def test_a_meter_that_forgets_after_every_reading_is_paired_every_time() -> None:
    bonds = Bonds()
    for sitting in range(10):
        assert bonds.is_to_be_removed(METER, Sign.PROOF, sitting * 10)
        bonds.paired(METER, sitting * 10 + 1)
        bonds.held(METER, sitting * 10 + 2)


def test_a_bond_lost_three_times_a_day_has_a_rival_and_two_days_later_it_has_not() -> None:
    bonds = Bonds()
    for at_s in range(CONTESTED):
        bonds.is_to_be_removed(METER, Sign.PROOF, at_s)
        bonds.held(METER, at_s)
    assert "phone" in bonds.describe(10)[METER]["advice"]
    assert "advice" not in bonds.describe(10 + 2 * DAY_S)[METER]


def test_a_meter_that_will_not_pair_is_tried_without_and_with_in_turn_and_says_what_to_do() -> None:
    bonds = Bonds()
    ways = []
    for at_s in range(6):
        ways.append(bonds.connects_without_pairing(METER))
        bonds.pairing_failed(METER, at_s)
    assert ways == [False, False, True, False, True, False]
    assert "pairing mode" in bonds.describe(10)[METER]["advice"]
    bonds.paired(METER, 11)
    assert not bonds.connects_without_pairing(METER)
    assert bonds.describe(12) == {}


def test_a_meter_that_was_read_without_pairing_is_not_asked_for_it_again() -> None:
    bonds = Bonds()
    for at_s in range(2):
        bonds.pairing_failed(METER, at_s)
    bonds.held(METER, 3)
    assert bonds.connects_without_pairing(METER)
    assert bonds.describe(4) == {}
    bonds.paired(METER, 5)
    assert not bonds.connects_without_pairing(METER)


@pytest.mark.parametrize(
    ("services", "characteristics", "half"),
    [
        ({"1810"}, {"2a35", "2a49"}, False),
        ({"1810"}, {"2a29"}, True),
        ({"1808", "180a"}, {"2a18", "2a29"}, True),
        ({"1808"}, {"2a18", "2a52"}, False),
        (set(), set(), False),
        ({"180a"}, set(), False),
    ],
)
def test_a_meter_is_half_if_what_it_must_have_is_missing(
    services: set[str], characteristics: set[str], half: bool
) -> None:
    assert is_half(frozenset(services), frozenset(characteristics)) is half


def test_a_half_meter_is_tried_again_then_forgotten_and_then_taken_as_it_is() -> None:
    bonds = Bonds()
    assert [bonds.seen_half(METER, at_s) for at_s in range(4)] == [
        Half.TRY_AGAIN,
        Half.FORGET,
        Half.TAKE_AS_IS,
        Half.TAKE_AS_IS,
    ]
    bonds.seen_whole(METER)
    assert bonds.seen_half(METER, 5) is Half.TRY_AGAIN


def test_of_meters_without_trouble_nothing_is_told_and_few_are_remembered() -> None:
    bonds = Bonds()
    for nth in range(200):
        bonds.held(f"meter-{nth}", nth)
    assert bonds.describe(300) == {}
    assert bonds.removed == 0
