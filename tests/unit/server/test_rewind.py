"""When a gateway is asked for readings again, and when no longer: pure, over all that can happen between two statuses."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.rewind import ROUNDS, OutboxSaid, decide, said_in
from server.store.rewind import Asked, Standing
from vitals.envelope import MAX_SPANS

EPOCH = "0123456789abcdef"


def said(*, kept: int, answered: int, forgotten: int = 0) -> OutboxSaid:
    return OutboxSaid(epoch=EPOCH, kept=kept, answered=answered, forgotten=forgotten)


def standing(here: int, asked: Asked | None = None, *, spans: int = 1) -> Standing:
    asked = asked or Asked()
    return Standing(upto=0, here=here, spans=spans, lost=asked.lost, asked=asked.asked, given_up=asked.given_up)


def test_a_gateway_whose_answers_are_all_here_is_asked_for_nothing() -> None:
    for here in (10, 11, 40):
        decision = decide(said(kept=40, answered=10), standing(here))
        assert (decision.lost, decision.page, decision.asked) == (0, None, Asked())


def test_what_was_answered_and_is_not_here_is_asked_for_a_few_times_and_then_given_up() -> None:
    asked = Asked()
    pages = []
    for _ in range(ROUNDS):
        decision = decide(said(kept=10, answered=10), standing(7, asked))
        pages.append(decision.page)
        asked = decision.asked
    assert pages == [0] * ROUNDS
    last = decide(said(kept=10, answered=10), standing(7, asked))
    assert (last.page, last.lost, last.asked.given_up) == (None, 3, 3)
    quiet = decide(said(kept=12, answered=12), standing(9, last.asked))
    assert (quiet.page, quiet.lost) == (None, 0), "said once, not every minute"


def test_every_span_is_asked_for_before_the_rest_is_given_up() -> None:
    asked, pages = Asked(), []
    spans = 2 * MAX_SPANS + 1
    while (decision := decide(said(kept=1000, answered=1000), standing(600, asked, spans=spans))).page is not None:
        pages.append(decision.page)
        asked = decision.asked
    assert pages == [0, 1, 2] * ROUNDS


def test_what_is_lost_after_something_was_given_up_is_news() -> None:
    decision = decide(said(kept=20, answered=20), standing(10, Asked(given_up=4)))
    assert (decision.lost, decision.page, decision.asked) == (10, 0, Asked(lost=10, asked=1, given_up=4))


def test_what_came_back_from_a_backup_is_given_up_no_more() -> None:
    back = decide(said(kept=20, answered=20), standing(18, Asked(given_up=10)))
    assert back.asked == Asked(given_up=2)
    again = decide(said(kept=20, answered=20), standing(15, back.asked))
    assert (again.lost, again.page) == (5, 0)


def test_readings_on_their_way_do_not_make_less_of_what_was_given_up() -> None:
    before = Asked(given_up=10)
    hidden = decide(said(kept=70, answered=20), standing(50, before))  # 50 are here and not answered yet
    assert hidden.asked == before


@given(
    history=st.lists(st.sampled_from(["keep", "commit", "answer", "status", "late status"]), max_size=60),
)
def test_a_server_that_loses_nothing_never_asks(history: list[str]) -> None:
    """Kept, then here, then answered: in this order for each number, whatever status comes when, and however late."""
    kept = here = answered = 0
    statuses = [said(kept=0, answered=0)]
    for step in history:
        match step:
            case "keep":
                kept += 1
            case "commit":
                here = min(kept, here + 1)
            case "answer":
                answered = min(here, answered + 1)
            case _:
                statuses.append(said(kept=kept, answered=answered))
                late = statuses[-1] if step == "status" else statuses[len(statuses) // 2]
                decision = decide(late, standing(min(here, late.kept)))
                assert (decision.lost, decision.page) == (0, None)


@given(
    kept=st.integers(1, 1000),
    cut=st.integers(0, 1000),
    forgotten=st.integers(0, 1000),
    spans=st.integers(1, 5 * MAX_SPANS),
)
def test_whatever_was_lost_the_asking_ends(kept: int, cut: int, forgotten: int, spans: int) -> None:
    """The gateway lets wait again what it has, sends it, and is answered; what it has forgotten stays missing."""
    here = min(cut, kept)
    lost = kept - here
    gone = min(forgotten, lost)
    asked, answered = Asked(), kept
    for round_ in range(10 * ROUNDS * 5 + 10):
        decision = decide(said(kept=kept, answered=answered, forgotten=gone), standing(here, asked, spans=spans))
        asked = decision.asked
        if decision.page is None:
            break
        if round_ % 2:  # every other answer is lost on the way
            answered = here + gone
            here = answered = here + (kept - answered)
            answered += gone
    assert decision.page is None
    assert here == kept - gone
    assert asked.given_up == gone


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"{}",
        b"null",
        b'{"state":"offline"}',
        b'{"outbox":{"kept":3}}',
        b"\xff",
        b"[" * 5000,
        json.dumps({"outbox": {"epoch": EPOCH, "kept": 3, "answered": 4}}).encode(),
        json.dumps({"outbox": {"epoch": EPOCH, "kept": 3, "answered": 1, "forgotten": 2}}).encode(),
        json.dumps({"outbox": {"epoch": EPOCH, "kept": -3, "answered": -4}}).encode(),
        json.dumps({"outbox": {"epoch": "not one", "kept": 3, "answered": 2}}).encode(),
        json.dumps({"outbox": {"epoch": EPOCH, "kept": 2**60, "answered": 2}}).encode(),
    ],
)
def test_a_status_that_says_nothing_of_the_kind_is_believed_nothing(payload: bytes) -> None:
    assert said_in(payload) is None


def test_a_status_is_read_as_the_gateway_writes_it() -> None:
    outbox = {"epoch": EPOCH, "kept": 9, "answered": 7, "forgotten": 2, "unconfirmed": 2, "disk_is_full": False}
    assert said_in(json.dumps({"state": "online", "outbox": outbox}).encode()) == said(kept=9, answered=7, forgotten=2)
