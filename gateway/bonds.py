"""When is a bond with a meter really lost, and may it be removed here? Pure: the caller tells what happened and when.

Removing a bond is not free: a meter that shows or wants a code, or that pairs only in a mode of its own, cannot be read again
until a person has helped. And what BlueZ says of a lost bond, it says of a bad radio link too: `br-connection-canceled` is its
word for *every* link that ends while a Connect is pending (device_remove_connection() in BlueZ 5.82, src/device.c). So there is
proof, after which the bond goes at once, and there are hints, of which several in a row are needed without one success between.
A meter whose new bond is doubted again is left in peace for longer each time.
"""

from collections import deque
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final

from gateway.backoff import Backoff

HINTS: Final = 3
"""Sessions in a row. Each makes two attempts; six links in a row that die between connecting and discovery, at a place where
one in five does, are one case in sixteen thousand."""
BETWEEN_REMOVALS: Final = Backoff(first_s=60.0, longest_s=3600.0)
"""Between two removals with no good session between them."""
CONTESTED: Final = 3
"""Removals within `DAY_S` after which somebody else is suspected of pairing with the meter in turn with us."""
DAY_S: Final = 86_400.0
MAX_METERS: Final = 64


class Half(Enum):
    """What to do with a meter of which BlueZ shows only a part."""

    TRY_AGAIN = "try again"
    FORGET = "forget"
    """The part is in BlueZ's memory: it keeps what a discovery that was cut short has found as long as it keeps the meter."""
    TAKE_AS_IS = "take as is"
    """It was discovered anew and is no more than that."""


_MANDATORY: Final = {
    "1808": frozenset({"2a18", "2a52"}),
    "1809": frozenset({"2a1c"}),
    "180d": frozenset({"2a37"}),
    "1810": frozenset({"2a35"}),
    "181d": frozenset({"2a9d"}),
    "181f": frozenset({"2aa7"}),
    "1822": frozenset({"2a60"}),
}
"""What a meter must have that has the service, and without which it cannot be read (the services' specifications, section 3)."""


def is_half(services: frozenset[str], characteristics: frozenset[str]) -> bool:
    """Whether a meter that has said that it has `services` shows too little of them."""
    return any(service in services and not must <= characteristics for service, must in _MANDATORY.items())


class Sign(Enum):
    """What a failure says of the bond."""

    NOTHING = "nothing"
    HINT = "hint"
    PROOF = "proof"


_PROOF: Final = ("connection-key-missing", "Not paired")
"""EBADE from the kernel: the meter answered our key with "PIN or key missing" (src/error.c); and an attribute that a bonded,
encrypted link may not use (create_gatt_dbus_error() in src/gatt-client.c)."""
_HINT: Final = ("br-connection-canceled",)


def sign_of(error: str) -> Sign:
    """What the words of a failed connection to a *bonded* meter say of the bond.

    Everything else is of the radio or of the moment: timeouts (`le-connection-timeout`, `br-connection-page-timeout`), `…-busy`,
    `…-abort-by-local`, `…-abort-by-remote`, `…-adapter-not-powered`, `NotReady`, `InProgress`, `AuthenticationCanceled`,
    `AuthenticationTimeout`, and a bus or a service that is away. None of these ever removes a bond.
    """
    if any(mark in error for mark in _PROOF):
        return Sign.PROOF
    return Sign.HINT if any(mark in error for mark in _HINT) else Sign.NOTHING


@dataclass(slots=True)
class _Bond:
    hints: int = 0
    halves: int = 0
    pairings_failed: int = 0
    fruitless_removals: int = 0
    removed_s: deque[float] = field(default_factory=lambda: deque(maxlen=CONTESTED))
    removed: int = 0
    works_unpaired: bool = False
    used_s: float = 0.0


class Bonds:
    """The bonds of one radio. Times are seconds of one monotonic clock."""

    def __init__(self) -> None:
        self._bonds: dict[str, _Bond] = {}

    def held(self, meter_id: str, now_s: float) -> None:
        """A session with this meter has ended without any doubt of its bond."""
        bond = self._of(meter_id, now_s)
        bond.works_unpaired |= self.connects_without_pairing(meter_id)
        bond.hints = bond.pairings_failed = bond.fruitless_removals = 0

    def paired(self, meter_id: str, now_s: float) -> None:
        """A new bond was made."""
        bond = self._of(meter_id, now_s)
        bond.hints = bond.pairings_failed = 0
        bond.works_unpaired = False

    def pairing_failed(self, meter_id: str, now_s: float) -> None:
        """A meter with which we have no bond would not make one."""
        self._of(meter_id, now_s).pairings_failed += 1

    def seen_whole(self, meter_id: str) -> None:
        """All of the meter is there."""
        if (bond := self._bonds.get(meter_id)) is not None:
            bond.halves = 0

    def seen_half(self, meter_id: str, now_s: float) -> Half:
        """A part of the meter is missing; what to do."""
        bond = self._of(meter_id, now_s)
        bond.halves += 1
        if bond.halves == 1:
            return Half.TRY_AGAIN
        return Half.FORGET if bond.halves == 2 else Half.TAKE_AS_IS

    def is_to_be_removed(self, meter_id: str, sign: Sign, now_s: float) -> bool:
        """Whether the bond goes, now that a session with a bonded meter has failed like this."""
        bond = self._of(meter_id, now_s)
        if sign is Sign.NOTHING:
            return False
        bond.hints += 1
        if sign is Sign.HINT and bond.hints < HINTS:
            return False
        if bond.removed_s and now_s - bond.removed_s[-1] < BETWEEN_REMOVALS.delay_s(bond.fruitless_removals):
            return False
        bond.hints = 0
        bond.removed += 1
        bond.fruitless_removals += 1
        bond.removed_s.append(now_s)
        return True

    def not_removed(self, meter_id: str) -> None:
        """The bond was to be removed and could not be: the next good reason counts again."""
        bond = self._bonds[meter_id]
        bond.hints = HINTS
        bond.removed -= 1
        bond.fruitless_removals -= 1
        bond.removed_s.pop()

    def connects_without_pairing(self, meter_id: str) -> bool:
        """Whether the next connection is to be tried without asking for a bond: every other one, once two pairings have failed,
        and every one, once that has worked. Some meters know no pairing at all; a meter that does says so when it is needed."""
        bond = self._bonds.get(meter_id)
        if bond is None:
            return False
        return bond.works_unpaired or (bond.pairings_failed >= 2 and bond.pairings_failed % 2 == 0)

    @property
    def removed(self) -> int:
        """Bonds removed since the start, of all meters."""
        return sum(bond.removed for bond in self._bonds.values())

    def describe(self, now_s: float) -> dict[str, dict[str, Any]]:
        """What there is to say, by meter; nothing of those that are well and always were."""
        told = {meter_id: self._describe(bond, now_s) for meter_id, bond in tuple(self._bonds.items())}
        return {meter_id: facts for meter_id, facts in told.items() if facts}

    def _describe(self, bond: _Bond, now_s: float) -> dict[str, Any]:
        counts = {
            "bonds_removed": bond.removed,
            "hints": bond.hints,
            "half_seen": bond.halves,
            "pairings_failed": bond.pairings_failed,
        }
        facts: dict[str, Any] = {name: count for name, count in counts.items() if count}
        recent = [at_s for at_s in bond.removed_s if now_s - at_s < DAY_S]
        if len(recent) >= CONTESTED:
            facts["advice"] = (
                "something else pairs with this meter in turn with us (it holds one bond only?): unpair it from the phone"
            )
        elif bond.pairings_failed >= 2:
            facts["advice"] = (
                "this meter refuses to pair: clear the pairings in the meter's own menu or put it into pairing mode"
            )
        return facts

    def _of(self, meter_id: str, now_s: float) -> _Bond:
        if meter_id not in self._bonds and len(self._bonds) >= MAX_METERS:
            del self._bonds[min(self._bonds, key=lambda known: self._bonds[known].used_s)]
        bond = self._bonds.setdefault(meter_id, _Bond())
        bond.used_s = now_s
        return bond
