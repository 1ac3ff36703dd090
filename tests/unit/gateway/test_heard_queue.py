"""What is heard comes in its order, the oldest goes when nobody looks, and the end says why."""

import pytest

from gateway.heard_queue import BOUND, HeardQueue
from vitals.errors import UnavailableError
from vitals.gatt.link import Advertisement


def _from(nth: int) -> Advertisement:
    return Advertisement(address=f"F0:{nth:04X}", name=None, services=frozenset())


async def test_a_scan_is_heard_in_its_order_and_ends_with_its_reason() -> None:
    queue = HeardQueue()
    for nth in (1, 2):
        queue.put(_from(nth))
    queue.end("the power went")
    heard = queue.each()
    assert [await anext(heard), await anext(heard)] == [_from(1), _from(2)]
    with pytest.raises(UnavailableError, match="the power went"):
        await anext(heard)


async def test_when_nobody_looks_the_oldest_goes() -> None:
    queue = HeardQueue()
    for nth in range(BOUND + 3):
        queue.put(_from(nth))
    assert await anext(queue.each()) == _from(3)
