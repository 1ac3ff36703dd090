"""Which meter may pair, when, and with which code: the security policy of docs/explanation/bluetooth. Decides; does no I/O.

A pairing is ours only while we are connecting or connected to that meter ourselves, which we do only to meters that advertise
a service we can read. Everything else is refused. A meter of which a code is stored pairs with a code or not at all: whoever
plays it says that it has none. A code is asked of the files, then of a person who waits for this very meter, else the pairing is
refused: nothing is guessed, and no code is tried more often than a few times.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

TRIES: Final = 3
"""Pairings that may fail with one stored code before it is not given any more. A meter that locks itself does so after more."""
MAX_METERS: Final = 64
WANTS_CODE: Final = (
    "this meter wants a code: store the one printed on it (homevigil-gateway pairing-code METER CODE), "
    "or wait for the one it shows (homevigil-gateway pair METER)"
)
WRONG_CODE: Final = "the stored code is wrong: look at the meter again, then homevigil-gateway pairing-code METER CODE"
NOT_ASKED: Final = (
    "it paired without asking for its stored code, so it may be another that plays it; nothing was read. "
    "If this meter has no code: homevigil-gateway pairing-code METER --remove"
)


@dataclass(slots=True)
class _Meter:
    tried: int | None = None
    failed: int = 0
    wants_code: bool = False
    shows: int | None = None
    refused: int = 0
    is_given: bool = False
    is_checked: bool = False
    was_unchecked: bool = False


class Pairings:
    """What is known of pairings since the start. Meters are named by their D-Bus path where BlueZ asks, else by address."""

    def __init__(self) -> None:
        self._ours: dict[str, str] = {}
        self._meters: dict[str, _Meter] = {}
        self.strangers_refused = 0

    @contextmanager
    def expected(self, path: str, meter_id: str) -> Iterator[None]:
        """While we are connecting or connected to this meter ourselves."""
        self._ours[path] = meter_id
        try:
            yield
        finally:
            del self._ours[path]
            if (meter := self._meters.get(meter_id)) is not None:
                meter.shows, meter.is_given, meter.is_checked = None, False, False

    def meter_at(self, path: str) -> str | None:
        """The meter at this path, if a pairing with it is ours; None, and counted, if we have not started any."""
        meter_id = self._ours.get(path)
        self.strangers_refused += meter_id is None
        return meter_id

    def may_give(self, meter_id: str, code: int) -> bool:
        """Whether this stored code is to be given to the meter: not if it has failed before, `TRIES` times."""
        meter = self._of(meter_id)
        if meter.tried != code:
            meter.tried, meter.failed = code, 0
        meter.wants_code = True
        meter.failed += meter.is_given  # asked again within one session: the code given just now was no good
        meter.is_given = meter.is_checked = meter.failed < TRIES
        return meter.is_given

    def refused(self, meter_id: str) -> None:
        """The meter wanted a code and got none."""
        meter = self._of(meter_id)
        meter.wants_code = True
        meter.refused += 1

    def showing(self, meter_id: str, code: int) -> None:
        """We were given this code to show, for somebody to type it into the meter."""
        meter = self._of(meter_id)
        meter.shows, meter.is_checked = code, True

    def checked(self, meter_id: str) -> None:
        """A person has typed the meter's code, or has seen the same one on both."""
        self._of(meter_id).is_checked = True

    def has_checked(self, meter_id: str) -> bool:
        """Whether the pairing that is under way, or just done, has proved by a code with whom it is."""
        meter = self._meters.get(meter_id)
        return meter is not None and meter.is_checked

    def unchecked(self, meter_id: str) -> None:
        """It has paired without a code, and there is one."""
        self._of(meter_id).was_unchecked = True

    def ended(self, meter_id: str, *, is_paired: bool, is_authentication: bool) -> None:
        """A pairing that we had started is over; `is_authentication` if it failed for the code or the like, not for the radio."""
        meter = self._meters.get(meter_id)
        if meter is None:
            return
        if is_paired:
            meter.failed = meter.refused = 0
            meter.wants_code = meter.was_unchecked = False
        elif meter.is_given and is_authentication:
            meter.failed += 1
        meter.is_given = False

    def wants_code(self, meter_id: str) -> bool:
        """Whether the meter has asked for a code since it was last paired."""
        meter = self._meters.get(meter_id)
        return meter is not None and meter.wants_code

    def describe(self) -> dict[str, dict[str, Any]]:
        """What there is to say, by meter."""
        told = {meter_id: _describe(meter) for meter_id, meter in tuple(self._meters.items())}
        return {meter_id: facts for meter_id, facts in told.items() if facts}

    def _of(self, meter_id: str) -> _Meter:
        if meter_id not in self._meters and len(self._meters) >= MAX_METERS:
            del self._meters[next(iter(self._meters))]
        return self._meters.setdefault(meter_id, _Meter())


def _describe(meter: _Meter) -> dict[str, Any]:
    facts: dict[str, Any] = {}
    if meter.shows is not None:
        facts["type_into_meter"] = f"{meter.shows:06d}"
    if meter.wants_code:
        facts["wants_code"] = True
        facts["advice"] = WRONG_CODE if meter.failed else WANTS_CODE
    if meter.failed:
        facts["wrong_code"] = meter.failed
    if meter.was_unchecked:
        facts |= {"paired_without_code": True, "advice": NOT_ASKED}
    return facts
