"""When a plan's times come: by the patient's own clock, over summer time and moves, each once."""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.rules.occasions import Agreed, instant_of, occasions
from server.rules.plans import (
    EMPTY,
    Block,
    Measure,
    Medicine,
    Plan,
    agreed_days,
    interval_days,
    plan_templates,
    read_plan,
    silent_days,
)
from server.rules.windows import ZoneSpan
from vitals.errors import MalformedError

LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)
ZONES = ("Asia/Shanghai", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Pacific/Apia", "Asia/Kathmandu")

CLOCKS = st.times().map(lambda at: f"{at:%H:%M}")
MINUTES = st.integers(10 * 1440, 350 * 1440).map(
    lambda minute: datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=minute)
)
MOVES = st.lists(
    st.tuples(MINUTES, st.sampled_from(ZONES)),
    max_size=3,
    unique_by=lambda move: move[0],
)


def daily(*clocks: str, readings: int = 1) -> Plan:
    return Plan(items=(Measure(kind="measure", of="blood_pressure", at=clocks, readings=readings),))


def spans(first: str, moves: list[tuple[datetime, str]]) -> list[ZoneSpan]:
    return [
        ZoneSpan(valid_from=LONG_AGO, zone=first),
        *(ZoneSpan(valid_from=at, zone=zone) for at, zone in sorted(moves)),
    ]


@given(
    first=st.sampled_from(ZONES),
    moves=MOVES,
    clocks=st.lists(CLOCKS, min_size=1, max_size=3, unique=True).map(sorted),
    begin=MINUTES,
)
def test_every_local_day_and_time_comes_exactly_once_whatever_the_clock_does(
    first: str, moves: list[tuple[datetime, str]], clocks: list[str], begin: datetime
) -> None:
    end = begin + timedelta(days=12)
    found = occasions([Agreed(since=LONG_AGO, plan=daily(*clocks))], spans(first, moves), begin=begin, end=end)
    assert len({each.key for each in found}) == len(found)
    assert [each.at for each in found] == sorted(each.at for each in found)
    met = {(each.day, each.clock) for each in found}
    inner = [date(begin.year, begin.month, begin.day) + timedelta(days=back) for back in range(3, 9)]
    assert {(day, clock) for day in inner for clock in clocks} <= met, "no day is left out"


@given(
    first=st.sampled_from(ZONES),
    moves=MOVES,
    cut=MINUTES,
)
def test_looking_in_pieces_finds_the_same_as_looking_at_once(
    first: str, moves: list[tuple[datetime, str]], cut: datetime
) -> None:
    plan, where = [Agreed(since=LONG_AGO, plan=daily("00:30", "07:30", "23:59"))], spans(first, moves)
    begin, end = cut - timedelta(days=3), cut + timedelta(days=3)
    pieces = [
        *occasions(plan, where, begin=begin, end=cut),
        *occasions(plan, where, begin=cut, end=end),
    ]
    assert pieces == occasions(plan, where, begin=begin, end=end)


@given(
    zone=st.sampled_from(ZONES),
    day=st.dates(date(2026, 1, 1), date(2026, 12, 31)),
    clock=CLOCKS,
)
def test_where_the_clock_goes_on_as_usual_the_wall_shows_what_was_agreed(zone: str, day: date, clock: str) -> None:
    at = instant_of(((LONG_AGO, zone),), day, clock)
    wall = datetime.combine(day, time.fromisoformat(clock), ZoneInfo(zone))
    if wall.astimezone(UTC).astimezone(ZoneInfo(zone)).replace(tzinfo=None) == wall.replace(tzinfo=None):
        assert at.astimezone(ZoneInfo(zone)).replace(tzinfo=None) == wall.replace(tzinfo=None)


@pytest.mark.parametrize(
    ("day", "clock", "at"),
    [
        (date(2026, 3, 29), "02:30", "2026-03-29T01:30:00+00:00"),  # skipped: 03:30 by the new clock
        (date(2026, 10, 25), "02:30", "2026-10-25T00:30:00+00:00"),  # twice: the first
        (date(2026, 3, 29), "07:30", "2026-03-29T05:30:00+00:00"),
        (date(2026, 3, 28), "07:30", "2026-03-28T06:30:00+00:00"),
    ],
)
def test_summer_time_moves_the_instant_and_not_the_hour(day: date, clock: str, at: str) -> None:
    assert instant_of(((LONG_AGO, "Europe/Berlin"),), day, clock).isoformat() == at


def test_who_flies_has_each_morning_once() -> None:
    landed = datetime(2026, 6, 10, 2, 0, tzinfo=UTC)
    plan = [Agreed(since=LONG_AGO, plan=daily("07:30"))]
    for first, then in (("Asia/Shanghai", "Europe/Berlin"), ("Europe/Berlin", "Asia/Shanghai")):
        found = occasions(
            plan, spans(first, [(landed, then)]), begin=landed - timedelta(days=2), end=landed + timedelta(days=2)
        )
        assert [each.day.day for each in found] == sorted({each.day.day for each in found})


def test_a_plan_that_is_written_anew_asks_for_nothing_twice() -> None:
    noon = datetime(2026, 6, 10, 4, 0, tzinfo=UTC)
    versions = [
        Agreed(since=LONG_AGO, plan=daily("07:30", "19:30")),
        Agreed(since=noon, plan=daily("07:30", readings=2)),
    ]
    found = occasions(
        versions,
        spans("Asia/Shanghai", []),
        begin=datetime(2026, 6, 9, 16, tzinfo=UTC),
        end=datetime(2026, 6, 11, 16, tzinfo=UTC),
    )
    assert [(each.day.day, each.clock, each.readings) for each in found] == [(10, "07:30", 1), (11, "07:30", 2)]


def test_a_block_is_the_week_before_the_visit_and_medicines_of_one_time_are_one_occasion() -> None:
    plan = Plan(
        items=(
            Block(kind="block", of="blood_pressure", before=date(2026, 6, 15)),
            Medicine(kind="medicine", name="amlodipine", dose="5 mg", at=("08:00",)),
            Medicine(kind="medicine", name="metformin", at=("08:00", "18:00"), weekdays=(1,)),
        )
    )
    found = occasions(
        [Agreed(since=LONG_AGO, plan=plan)],
        spans("Asia/Shanghai", []),
        begin=datetime(2026, 6, 1, tzinfo=UTC),
        end=datetime(2026, 6, 30, tzinfo=UTC),
    )
    block = [each for each in found if each.kind == "measure"]
    assert (len(block), block[0].day, block[-1].day) == (14, date(2026, 6, 8), date(2026, 6, 14))
    assert {each.readings for each in block} == {2}
    assert len([each for each in found if each.key == "medicine:::2026-06-08:08:00"]) == 1
    assert "amlodipine" not in "".join(each.key for each in found)


@pytest.mark.parametrize(
    ("weekdays", "interval", "silent"),
    [
        ((1, 2, 3, 4, 5, 6, 7), 1, (3, 7)),
        ((1, 4), 4, (5, 8)),
        ((2,), 7, (8, 14)),
        ((1, 2, 3, 4, 5), 3, (4, 7)),
    ],
)
def test_silence_is_a_week_or_twice_the_planned_interval(
    weekdays: tuple[int, ...], interval: int, silent: tuple[int, int]
) -> None:
    plan = Plan(items=(Measure(kind="measure", of="blood_pressure", at=("07:30",), weekdays=weekdays),))
    assert (interval_days(plan), silent_days(plan)) == (interval, silent)


def test_without_a_habit_of_measuring_the_plan_says_nothing_of_silence() -> None:
    assert silent_days(EMPTY) is None
    assert silent_days(Plan(items=(Block(kind="block", of="blood_pressure", before=date(2026, 6, 15)),))) is None
    assert agreed_days(daily("07:30"), "blood_pressure", of=4, of_days=7) == 4
    assert agreed_days(daily("07:30"), "glucose", of=4, of_days=7) is None
    twice = Plan(items=(Measure(kind="measure", of="glucose", at=("07:30",), weekdays=(1, 5)),))
    assert agreed_days(twice, "glucose", of=4, of_days=7) == 2


def test_every_template_has_a_source_and_is_a_plan_that_asks_for_something() -> None:
    assert len({each.id for each in plan_templates()}) == len(plan_templates()) == 6
    for each in plan_templates():
        assert each.source
        assert each.plan.measures
        assert set(each.title) == {"en", "zh"}


@pytest.mark.parametrize(
    "written",
    [
        {"items": [{"kind": "measure", "of": "blood_pressure", "at": ["7:30"]}]},
        {"items": [{"kind": "measure", "of": "blood_pressure", "at": ["19:30", "07:30"]}]},
        {"items": [{"kind": "measure", "of": "blood_pressure", "at": ["07:30"], "weekdays": [0]}]},
        {"items": [{"kind": "measure", "of": "weight", "at": ["07:30"], "slot": "fasting"}]},
        {"items": [{"kind": "medicine", "name": "", "at": ["07:30"]}]},
        {"items": [], "call_every_days": 1},
        {"items": [], "takes": "no"},
    ],
)
def test_what_is_no_plan_is_refused_with_its_place(written: dict[str, object]) -> None:
    with pytest.raises(MalformedError):
        read_plan(written)
