"""Whom a cut connection is blamed on: the one row that cuts it, never another, and never because a broker is down."""

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.caution import CUTS, PATIENCE_S, STATUS, STRIKES, Caution
from gateway.outbox import Row


def rows(*seqs: int) -> list[Row]:
    return [Row(seq, b"") for seq in seqs]


def cut_by(caution: Caution, *messages: tuple[int, ...]) -> int | None:
    """One connection that carries these messages, and is cut before the broker has answered any."""
    for number, seqs in enumerate(messages, start=1):
        caution.published(number, seqs, 0.0)
    return caution.lost(is_cut=True)


def cautious(*suspects: int) -> Caution:
    caution = Caution()
    for _ in range(CUTS):
        assert cut_by(caution, suspects) is None
    assert caution.is_on
    return caution


def alone(caution: Caution, *waiting: int, now_s: float = 0.0) -> list[int]:
    return [row.seq for row in caution.next_alone(rows(*waiting), rows(*waiting), now_s)]


def test_caution_begins_at_the_third_cut_in_a_row() -> None:
    caution = Caution()
    for _ in range(CUTS - 1):
        cut_by(caution, (1, 2, 3))
        assert not caution.is_on
    cut_by(caution, (1, 2, 3))
    assert caution.is_on


def test_a_receipt_between_them_begins_the_count_anew() -> None:
    caution = Caution()
    for _ in range(2 * CUTS):
        cut_by(caution, (1, 2))
        caution.progressed()
    assert not caution.is_on


def test_a_connection_that_ends_with_nothing_under_way_blames_nobody() -> None:
    caution = Caution()
    for _ in range(2 * CUTS):
        caution.published(1, (1, 2), 0.0)
        caution.answered(1)
        assert caution.lost(is_cut=True) is None
    assert not caution.is_on


def test_a_connection_that_we_ended_ourselves_blames_nobody() -> None:
    caution = Caution()
    for _ in range(2 * CUTS):
        caution.published(1, (1, 2), 0.0)
        assert caution.lost(is_cut=False) is None
    assert not caution.is_on


def test_with_caution_one_row_is_sent_and_the_next_when_the_broker_has_answered() -> None:
    caution = cautious(1, 2, 3)
    assert alone(caution, 1, 2, 3) == [1]
    caution.published(7, (1,), 0.0)
    assert alone(caution, 1, 2, 3) == []
    caution.answered(7)
    assert alone(caution, 2, 3) == [2]


def test_a_row_that_the_broker_never_answers_does_not_hold_up_the_next_for_ever() -> None:
    caution = cautious(1, 2)
    caution.published(7, (1,), 10.0)
    assert alone(caution, 2, now_s=10.0 + PATIENCE_S - 0.1) == []
    assert alone(caution, 2, now_s=10.0 + PATIENCE_S) == [2]


def test_the_row_that_cuts_the_connection_alone_three_times_is_put_aside() -> None:
    caution = cautious(1, 2)
    assert [cut_by(caution, (2,)) for _ in range(STRIKES)] == [None, None, 2]


def test_a_row_that_has_been_answered_in_between_is_not_put_aside() -> None:
    caution = cautious(1, 2)
    cut_by(caution, (2,))
    cut_by(caution, (2,))
    caution.published(1, (2,), 0.0)
    caution.answered(1)
    assert cut_by(caution, (2,)) is None


def test_two_messages_under_way_blame_neither() -> None:
    caution = cautious(1, 2)
    assert [cut_by(caution, (1,), (STATUS,)) for _ in range(2 * STRIKES)] == [None] * (2 * STRIKES)


def test_caution_ends_when_every_suspect_has_been_answered_has_landed_or_is_put_aside() -> None:
    caution = cautious(1, 2, 3)
    caution.published(1, (1,), 0.0)
    caution.answered(1)
    assert caution.is_on
    assert alone(caution, 1, 3) == [1], "2 has landed"
    assert caution.is_on
    assert [cut_by(caution, (3,)) for _ in range(STRIKES)][-1] == 3
    assert not caution.is_on


def test_a_receipt_for_a_good_row_does_not_end_the_search_for_the_bad_one() -> None:
    caution = cautious(1, 2)
    caution.progressed()
    assert alone(caution, 2) == [2]
    assert caution.is_on


def test_a_status_that_cuts_the_connection_is_found_like_a_row() -> None:
    caution = Caution()
    for _ in range(CUTS):
        cut_by(caution, (STATUS,), (1, 2))
    assert [cut_by(caution, (STATUS,)) for _ in range(STRIKES)] == [None, None, STATUS]
    assert caution.is_on, "1 and 2 are still under suspicion"


@dataclass
class World:
    """A broker that cuts who sends it a `bad` row, and sometimes falls over by itself; rows it takes land if `is_served`."""

    bad: frozenset[int]
    falls: list[bool]
    is_served: bool
    waiting: list[int]
    caution: Caution = field(default_factory=Caution)
    aside: list[int] = field(default_factory=list)
    connections: int = 0

    def connect(self) -> None:
        self.connections += 1
        sent: set[int] = set()
        self.caution.published(0, (STATUS,), 0.0)
        self.caution.answered(0)
        for message in range(1, 200):
            due = [seq for seq in self.waiting if seq not in sent]
            if self.caution.is_on:
                due = [row.seq for row in self.caution.next_alone(rows(*due), rows(*self.waiting), 0.0)]
            if not due:
                return
            batch = due[:4]
            sent |= set(batch)
            self.caution.published(message, batch, 0.0)
            if self.bad & set(batch) or (self.falls and self.falls.pop()):
                self._put_aside(self.caution.lost(is_cut=True))
                return
            self.caution.answered(message)
            if self.is_served:
                self.waiting = [seq for seq in self.waiting if seq not in batch]
                self.caution.progressed()

    def _put_aside(self, seq: int | None) -> None:
        if seq is not None:
            self.aside.append(seq)
            self.waiting.remove(seq)


@given(bad=st.sets(st.integers(1, 12)), is_served=st.booleans(), count=st.integers(0, 12))
def test_exactly_the_bad_rows_are_put_aside_and_the_good_ones_arrive(
    bad: set[int], is_served: bool, count: int
) -> None:
    world = World(frozenset(bad), [], is_served, list(range(1, count + 1)))
    for _ in range(30 * (count + 1)):
        world.connect()
    assert world.aside == [seq for seq in range(1, count + 1) if seq in bad]
    assert world.waiting == ([] if is_served else [seq for seq in range(1, count + 1) if seq not in bad])
    assert not world.caution.is_on


@given(
    bad=st.sets(st.integers(1, 8), max_size=3),
    # A broker that falls over by itself, but answers at least every third message that it gets.
    falls=st.lists(st.sampled_from([[False], [True, False], [True, True, False]]), max_size=40).map(
        lambda runs: [fall for run in runs for fall in run]
    ),
)
def test_a_broker_that_falls_over_by_itself_puts_no_good_row_aside(bad: set[int], falls: list[bool]) -> None:
    world = World(frozenset(bad), falls, True, list(range(1, 9)))
    for _ in range(300):
        world.connect()
    assert set(world.aside) == bad
    assert world.waiting == []


@pytest.mark.parametrize("is_cut", [True, False])
def test_a_broker_that_is_merely_down_leads_to_nothing(is_cut: bool) -> None:
    caution = Caution()
    for _ in range(1000):
        assert caution.lost(is_cut=is_cut) is None
    assert not caution.is_on
