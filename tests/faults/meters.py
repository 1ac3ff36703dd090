"""The meters of one home, played by the campaign: each reading is offered until the gateway says that it is kept.

Like a meter with a memory, this loses nothing by itself: what was not answered is offered again to the gateway's next life.
"""

import select
import socket
import threading
import time
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import msgspec
from households import Household, give_page

from server.store.enrolment import add_gateway, add_patient, bind_meter
from server.store.postgres import Connection
from vitals.envelope import encode_reading
from vitals.reading import Reading

ENROLLED_ON: Final = date(2026, 1, 1)
FIRST_AT: Final = datetime(2026, 1, 10, tzinfo=UTC)
POISON_MMHG: Final = 166
TURN_S: Final = 0.01
ASK_EVERY_S: Final = 0.1


def enrol(conn: Connection) -> Household:
    """One household, the same in every trial."""
    since = datetime(2025, 12, 31, tzinfo=UTC)
    add_gateway(conn, "gw-1", "Asia/Shanghai")
    patient_id = add_patient(
        conn, name="Patient", language="zh", enrolled_on=ENROLLED_ON, zone="Asia/Shanghai", doctor_id=None, now=since
    )
    give_page(conn, patient_id)
    home = Household(
        gateway_id="gw-1", patient_id=patient_id, cuff="F0:00:00:10:00:01", glucometer="GLU-1", since=since
    )
    bind_meter(
        conn,
        meter_id=home.cuff,
        user_slot=None,
        gateway_id=home.gateway_id,
        patient_id=patient_id,
        bound_by="campaign",
        now=since,
    )
    return home


def pressures(home: Household, how_many: int, *, poison: Collection[int] = ()) -> list[Reading]:
    """Readings that all differ, a minute apart; those of `poison` are what a trial's database is told to refuse."""
    return [
        home.pressure(
            FIRST_AT + timedelta(minutes=at),
            systolic=POISON_MMHG if at in poison else 120 + at % 37,
            diastolic=70 + at % 17,
        )
        for at in range(how_many)
    ]


class Meters:
    """Offers `readings`, by and by, to whichever life of the gateway listens. A thread of its own; close it."""

    def __init__(
        self, path: Path, readings: Sequence[Reading], *, per_s: float, oversize: Mapping[int, int] | None = None
    ) -> None:
        """`oversize`: raw bytes of those readings that are blown up at the gateway, as no meter of today can."""
        self._bodies = [encode_reading(each) for each in readings]
        self._oversize = dict(oversize or {})
        self._per_s = per_s
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        self._began_at: float | None = None
        self._stopping = False
        self.is_connected = False
        self.answered: set[int] = set()
        """Numbers that the gateway has said it keeps: from now on they must not get lost."""
        self.refused = 0
        """How often the gateway said that it is full."""
        self.counts: dict[str, Any] | None = None
        """What the gateway last said of its outbox."""
        self._thread = threading.Thread(target=self._run, name="meters")
        self._thread.start()

    def begin(self) -> None:
        """Start to measure."""
        self._began_at = time.monotonic()

    @property
    def are_done(self) -> bool:
        return len(self.answered) == len(self._bodies)

    def close(self) -> None:
        self._stopping = True
        self._thread.join()
        self._listener.close()

    def _run(self) -> None:
        while not self._stopping:
            if select.select([self._listener], [], [], TURN_S)[0]:
                link, _ = self._listener.accept()
                with link:
                    self.counts, self.is_connected = None, True
                    with suppress(OSError):  # it was killed in the middle of a word
                        self._talk(link)
                    self.is_connected = False

    def _talk(self, link: socket.socket) -> None:
        """With one life of the gateway, until its end."""
        offered = set(self.answered)
        refused: set[int] = set()
        heard, asked_at = b"", 0.0
        while not self._stopping:
            words = []
            if time.monotonic() - asked_at > ASK_EVERY_S:
                asked_at = time.monotonic()
                words.append(b"counts\n")
                offered -= refused
                refused.clear()
            new = [number for number in range(self._measured()) if number not in offered]
            offered.update(new)
            words += [self._offer(number) for number in new]
            link.sendall(b"".join(words))
            if select.select([link], [], [], TURN_S)[0]:
                said = link.recv(65536)
                if not said:
                    return
                *lines, heard = (heard + said).split(b"\n")
                for line in lines:
                    self._hear(line, refused)

    def _measured(self) -> int:
        """How many have been measured by now."""
        if self._began_at is None:
            return 0
        return min(len(self._bodies), int((time.monotonic() - self._began_at) * self._per_s) + 1)

    def _offer(self, number: int) -> bytes:
        padding = b"+%d" % self._oversize[number] if number in self._oversize else b""
        return b"%d%s %s\n" % (number, padding, self._bodies[number])

    def _hear(self, line: bytes, refused: set[int]) -> None:
        number, _, word = line.partition(b" ")
        if number == b"counts":
            self.counts = msgspec.json.decode(word)
        elif word == b"kept":
            self.answered.add(int(number))
        else:
            self.refused += 1
            refused.add(int(number))
