"""Whatever a meter does, no session deletes anything in it: neither a record (Record Access, op 2) nor a user nor a user's data
(User Control Point, ops 3 and 5). The meter is a script that hypothesis writes: any characteristics, any bytes, any refusals.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from unit.gateway.samples import NOW, SHANGHAI

from firmware_sims.personalities import PERSONALITIES
from gateway.sessions.clock_memory import ClockMemory
from gateway.sessions.commands import Done, Heard, Keep, Kept, LookUp, Read, Value, Wait, Write
from gateway.sessions.conversation import READABLE, Findings, Known, converse
from gateway.sessions.quirks import registry
from vitals.gatt import uuids
from vitals.gatt.link import Disconnected, LinkError, Notified
from vitals.gatt.record_access import OpCode as Records
from vitals.gatt.user_data import OpCode as Users

FORBIDDEN = {
    uuids.RECORD_ACCESS: {Records.DELETE_STORED_RECORDS},
    uuids.USER_CONTROL: {Users.DELETE_USER_DATA, Users.DELETE_USERS},
}
ALL = sorted(
    {value for name, value in vars(uuids).items() if name.isupper() and isinstance(value, str) and value[0] != "1"}
)
STEPS = 400
"""After so many commands a session that still talks is cut off: the question is what it says, not when it ends."""

characteristics = st.sampled_from([each for each in ALL if each[0] in "2f0"])
frames = st.binary(max_size=20) | st.sampled_from(
    [
        bytes.fromhex(each)
        for each in (
            "06000101",
            "06000106",
            "06000102",
            "06000104",
            "06000301",
            "0500F700",
            "1F2A00EA070B1507140020FE48C011000 0".replace(" ", ""),
            "1E94005C006F00EA070B1507051E4800010400",
            "0E783EEA07050C12353601EE002607",
            "EA070B15071E00060001",
            "EA070B15071E00",
        )
    ]
)
said = st.one_of(
    st.builds(lambda c, v: Notified(characteristic=c, value=v), characteristics, frames),
    st.just(None),
    st.just(Disconnected()),
)


@dataclass
class Scripted:
    """Answers as drawn, over and over: what it reads as, what it says, whether it refuses."""

    values: list[bytes]
    events: list[Any]
    refusals: list[int | None]
    is_new: bool
    written: list[tuple[str, bytes]] = field(default_factory=list)
    now: datetime = NOW

    def play(self, script: Any) -> None:
        step: Any = lambda: next(script)  # noqa: E731
        for nth in range(STEPS):
            try:
                command = step()
            except (StopIteration, LinkError):
                return
            self.now += timedelta(milliseconds=20)
            try:
                reply = self._answer(command, nth)
            except LinkError as e:
                step = lambda e=e: script.throw(e)  # noqa: E731
            else:
                step = lambda reply=reply: script.send(reply)  # noqa: E731
        script.close()

    def _answer(self, command: Any, nth: int) -> Any:
        refusal = self.refusals[nth % len(self.refusals)]
        match command:
            case Keep() | LookUp():
                return Kept(is_new=self.is_new)
            case Wait(timeout_s=timeout_s):
                event = self.events.pop(0) if self.events else None
                self.now += timedelta(seconds=timeout_s if event is None else 0)
                return Heard(event=event, at=self.now)
            case Write(characteristic=characteristic, value=value):
                self.written.append((characteristic, value))
                if refusal is not None:
                    raise LinkError("refused", refusal)
            case Read():
                if refusal is not None:
                    raise LinkError("refused", refusal)
                return Value(value=self.values[nth % len(self.values)], at=self.now)
        return Done(at=self.now)


@given(
    offered=st.sets(st.sampled_from(ALL)),
    readable=st.sampled_from(sorted(READABLE)),
    entry=st.sampled_from([None, *registry()]),
    values=st.lists(frames, min_size=1, max_size=8),
    events=st.lists(said, max_size=40),
    refusals=st.lists(st.none() | st.sampled_from([0x03, 0x05, 0x0E, 0x80, 0xFD, 0xFE]), min_size=1, max_size=6),
    is_new=st.booleans(),
    highest=st.none() | st.integers(0, 0xFFFF),
    name=st.sampled_from([None, *(each.name for each in PERSONALITIES.values())]),
)
def test_no_session_deletes_anything_whatever_the_meter_does(
    offered: set[str],
    readable: str,
    entry: Any,
    values: list[bytes],
    events: list[Any],
    refusals: list[int | None],
    is_new: bool,
    highest: int | None,
    name: str | None,
) -> None:
    has = frozenset({*offered, readable, *(entry.has if entry is not None else ())})
    about = {} if entry is None or not entry.who else {"manufacturer": (entry.who[0].manufacturer or "").strip("*")}
    meter = Scripted(values=values, events=list(events), refusals=refusals, is_new=is_new)
    known = Known(
        characteristics=has, zone=SHANGHAI, name=name, about=about, highest_sequence=highest, clock=ClockMemory()
    )
    meter.play(converse(known, Findings()))
    for characteristic, value in meter.written:
        assert value[:1] not in [bytes((op,)) for op in FORBIDDEN.get(characteristic, ())], (characteristic, value)


def test_the_words_for_it_are_the_ones_that_meters_know() -> None:
    assert (Records.DELETE_STORED_RECORDS, Users.DELETE_USER_DATA, Users.DELETE_USERS) == (2, 3, 5)
