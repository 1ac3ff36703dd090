"""What a link brings, and how much of it."""

import pytest

from gateway.link_events import LinkEvents
from vitals.gatt.link import Disconnected, LinkError, Notified

FRAME = Notified(characteristic="2a35", value=b"x")


async def test_what_has_come_is_given_in_order_and_then_there_is_nothing() -> None:
    events = LinkEvents()
    events.put_nowait(FRAME)
    events.put_nowait(Disconnected())
    assert [await events.next_event(0) for _ in range(3)] == [FRAME, Disconnected(), None]
    assert await events.next_event(0.01) is None


async def test_a_flood_ends_the_session_after_what_was_taken() -> None:
    events = LinkEvents(bound=2)
    for _ in range(5):
        events.put_nowait(FRAME)
    assert [await events.next_event(0), await events.next_event(0)] == [FRAME, FRAME]
    with pytest.raises(LinkError, match="3 frames"):
        await events.next_event(10)


async def test_the_end_of_a_link_is_told_however_much_waits() -> None:
    events = LinkEvents(bound=1)
    events.put_nowait(FRAME)
    events.put_nowait(Disconnected())
    assert [await events.next_event(0), await events.next_event(0)] == [FRAME, Disconnected()]


async def test_who_talks_on_after_we_have_hung_up_is_not_heard() -> None:
    events = LinkEvents()
    events.put_nowait(FRAME)
    events.leave()
    events.put_nowait(FRAME)
    assert [await events.next_event(0), await events.next_event(0)] == [FRAME, None]


async def test_what_an_earlier_attempt_met_is_not_of_this_link() -> None:
    events = LinkEvents(bound=1)
    for _ in range(3):
        events.put_nowait(Notified(characteristic="2a35", value=b"\x00"))
    events.put_nowait(Disconnected())
    events.begin_anew(is_connected=True)
    assert await events.next_event(0) is None
    events.begin_anew(is_connected=False)
    assert await events.next_event(0) == Disconnected()
