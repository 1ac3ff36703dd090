"""What hides people in a research export: other names, other dates, and no cell that is told of fewer than five."""

from collections import Counter
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.people import crowds
from server.people.crowds import Traits
from server.people.pseudonyms import LEFT_OUT_DAYS_MAX, WEEKS_MAX, Pseudonyms, age_band

ONE, OTHER = Pseudonyms(b"1" * 32), Pseudonyms(b"2" * 32)


def test_a_name_is_that_of_the_keyed_hash_and_of_no_other_project() -> None:
    # RFC 2104 by another implementation: printf 'patient:7' | openssl dgst -sha256 -hmac 11111111111111111111111111111111
    assert ONE.patient(7) == "829a9a5fb2c2bb5b887815371f732471"
    assert len({project.patient(number) for project in (ONE, OTHER) for number in range(1000)}) == 2000
    assert ONE.meter(1, "AA:BB") != ONE.meter(2, "AA:BB"), "a shared meter does not tell who lives together"
    assert "1111" not in repr(ONE)


def test_every_date_of_a_patient_moves_by_the_same_whole_weeks() -> None:
    first = datetime(2026, 3, 28, 23, 30, tzinfo=UTC)
    for number in range(300):
        weeks, days = ONE.shift(number), ONE.left_out(number)
        assert timedelta(weeks=1) <= weeks <= timedelta(weeks=WEEKS_MAX)
        assert weeks % timedelta(weeks=1) == timedelta()
        assert timedelta(days=1) <= days <= timedelta(days=LEFT_OUT_DAYS_MAX)
        moved = [ONE.local(number, first + timedelta(hours=hour), "Asia/Shanghai") for hour in (0, 5)]
        assert moved[1] - moved[0] == timedelta(hours=5)
        assert (moved[0].weekday(), moved[0].hour, moved[0].tzinfo) == (6, 7, None)
    assert len({ONE.shift(number) for number in range(300)}) > WEEKS_MAX * 0.9


@pytest.mark.parametrize(
    ("born", "band"),
    [
        (date(1966, 7, 2), "55-59"),
        (date(1966, 7, 1), "60-64"),
        (date(1941, 7, 1), "85+"),
        (date(1920, 1, 1), "85+"),
        (date(2026, 7, 1), "0-4"),
        (date(2027, 1, 1), None),
        (None, None),
    ],
)
def test_ages_are_told_in_bands_of_five_years(born: date | None, band: str | None) -> None:
    assert age_band(born, date(2026, 7, 1)) == band


TRAITS = st.builds(
    Traits,
    sex=st.sampled_from(["female", "male", None]),
    age_band=st.sampled_from(["60-64", "65-69", "85+", None]),
    zone=st.sampled_from(["Asia/Shanghai", "Asia/Urumqi", "Europe/Berlin"]),
)


@given(st.lists(TRAITS, max_size=40), st.integers(5, 8))
def test_whatever_is_told_is_told_of_enough_and_nothing_untrue_is(people: list[Traits], at_least: int) -> None:
    crowd = crowds.hide(dict(enumerate(people)), at_least=at_least)
    assert all(size >= at_least for size in Counter(crowd.told.values()).values())
    for number, told in crowd.told.items():
        for name in Traits.__slots__:
            assert getattr(told, name) in (getattr(people[number], name), None)
    assert crowd.left_out == len(people) - len(crowd.told) < at_least
    if len(people) >= at_least and len(set(people)) == 1:
        assert set(crowd.told.values()) == set(people), "nothing is hidden of a crowd"


BANDS = ("20-24", "25-29", "30-34", "35-39", "40-44")


def test_who_is_alone_loses_the_zone_first_then_the_age_then_the_sex() -> None:
    at_home = Traits(sex="female", age_band="60-64", zone="Asia/Shanghai")
    people = [at_home] * 6
    people += [Traits(sex="female", age_band="60-64", zone=f"Etc/GMT-{n}") for n in range(1, 6)]
    people += [Traits(sex="female", age_band=band, zone="Asia/Shanghai") for band in BANDS]
    crowd = crowds.hide(dict(enumerate(people)))
    assert Counter(crowd.told.values()) == {
        at_home: 6,
        Traits(sex="female", age_band="60-64", zone=None): 5,
        Traits(sex="female", age_band=None, zone=None): 5,
    }
    assert (crowd.without_zone, crowd.without_age, crowd.without_sex, crowd.left_out) == (10, 5, 0, 0)


def test_conditions_are_categories_that_enough_have() -> None:
    assert crowds.categories(["I10.x09", "e11.9", "I10", "her heart", ""]) == ["E11", "I10"]
    assert crowds.common([["I10"]] * 5 + [["G35", "I10"]]) == {"I10"}
