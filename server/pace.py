"""How fast a gateway may bring readings before its messages are let wait, so that a flood costs the others nothing. Pure.

Nothing is lost by it: a message that is turned away is neither stored nor answered, so an honest gateway keeps its rows and sends
them again, three seconds later and then ever more seldom. What is turned away is counted.

The figures, all in readings. A home measures some hundred a day at most, and its outbox keeps up to 50,000.

- `SPEED`: 50 a second after a burst of 500. Some hundredths of what one intake stores, so that many gateways may drain at once
  after an outage; and 50,000 kept readings are here in under 17 minutes.
- `VOLUME`: 60 a minute in the long run (reliability: input limits), which nobody who is well measures; with an allowance of
  50,000, since so much may an honest gateway bring at a time that was away for long, or that a restored server asks again.
  It is full at the start and fills again within 14 hours.
- `PATIENCE`: an honest gateway has at most 50 rows on their way and sends them again after 3 s at the earliest, so at most 17 a
  second are turned away. Who has more than 50 a second turned away, or has used up the volume, floods.
- A message counts as its readings, and never as less than one for each KiB.
"""

from collections import Counter, OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

BYTES_A_READING: Final = 1024
"""A reading of our gateways takes 500 to 900 bytes; junk without readings is counted by its size."""

GATEWAYS_MAX: Final = 10_000
"""Of so many the pace is remembered; of more, who was heard longest ago begins anew."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """`per_s` for ever, after a burst of `burst`."""

    per_s: float
    burst: float


SPEED: Final = Limit(per_s=50.0, burst=500.0)
VOLUME: Final = Limit(per_s=1.0, burst=50_000.0)
PATIENCE: Final = Limit(per_s=50.0, burst=2_000.0)
STATUSES: Final = Limit(per_s=1.0, burst=20.0)
"""A gateway says how it is once a minute, at each connection and at each change of its configuration."""


class Bucket:
    """What is left of one limit. Instants are seconds of any clock that never goes back."""

    __slots__ = ("_at_s", "_left", "_limit")

    def __init__(self, limit: Limit, now_s: float) -> None:
        self._limit, self._left, self._at_s = limit, limit.burst, now_s

    def has(self, amount: float, now_s: float) -> bool:
        """Whether `amount` is left now. More than a whole burst is never asked for: a full bucket has it."""
        limit = self._limit
        self._left = min(limit.burst, self._left + (now_s - self._at_s) * limit.per_s)
        self._at_s = now_s
        return self._left >= min(amount, limit.burst)

    def take(self, amount: float) -> None:
        """Take what the bucket has just been asked for."""
        self._left = max(0.0, self._left - amount)

    def take_if(self, amount: float, now_s: float) -> bool:
        is_there = self.has(amount, now_s)
        if is_there:
            self.take(amount)
        return is_there


@dataclass(frozen=True, slots=True, kw_only=True)
class Excess:
    """What was turned away of a gateway: how many messages, and whether that is a flood."""

    messages: int
    is_flood: bool


class _Gait:
    __slots__ = ("patience", "speed", "statuses", "volume")

    def __init__(self, now_s: float) -> None:
        self.speed, self.volume = Bucket(SPEED, now_s), Bucket(VOLUME, now_s)
        self.patience, self.statuses = Bucket(PATIENCE, now_s), Bucket(STATUSES, now_s)


class Pace:
    """The pace of every gateway. Not for several threads at a time."""

    def __init__(self) -> None:
        self._gaits: OrderedDict[str, _Gait] = OrderedDict()
        self._turned_away: Counter[str] = Counter()
        self._floods: set[str] = set()

    def admits(self, gateway_id: str, payload: bytes, now_s: float) -> bool:
        """Whether this message with readings may come in now; if not, it is counted."""
        gait = self._gait(gateway_id, now_s)
        cost = cost_of(payload)
        has_volume = gait.volume.has(cost, now_s)
        if has_volume and gait.speed.take_if(cost, now_s):
            gait.volume.take(cost)
            return True
        self._turned_away[gateway_id] += 1
        if not gait.patience.take_if(cost, now_s) or not has_volume:
            self._floods.add(gateway_id)
        return False

    def admits_status(self, gateway_id: str, now_s: float) -> bool:
        """Whether this status may come in now; if not, it is counted. What it would have said, a later one says."""
        gait = self._gait(gateway_id, now_s)
        if gait.statuses.take_if(1.0, now_s):
            return True
        self._turned_away[gateway_id] += 1
        if not gait.patience.take_if(1.0, now_s):
            self._floods.add(gateway_id)
        return False

    def excess(self) -> dict[str, Excess]:
        """What has been turned away and is not settled, by gateway."""
        return {
            gateway_id: Excess(messages=messages, is_flood=gateway_id in self._floods)
            for gateway_id, messages in self._turned_away.items()
        }

    def settle(self, excess: Mapping[str, Excess]) -> None:
        """This much has been written down."""
        self._turned_away -= Counter({gateway_id: each.messages for gateway_id, each in excess.items()})
        self._floods -= {gateway_id for gateway_id, each in excess.items() if each.is_flood}

    def _gait(self, gateway_id: str, now_s: float) -> _Gait:
        gait = self._gaits.get(gateway_id)
        if gait is None:
            gait = self._gaits[gateway_id] = _Gait(now_s)
            if len(self._gaits) > GATEWAYS_MAX:
                self._gaits.popitem(last=False)
        else:
            self._gaits.move_to_end(gateway_id)
        return gait


def cost_of(payload: bytes) -> int:
    """Readings in a message, without opening it; at least 1."""
    return max(1, payload.count(b'"seq":'), -(-len(payload) // BYTES_A_READING))
