"""One home and the clinic's door, as processes that can be killed: meters, gateway, broker, intake, database; and the reckoning.

The promise that is checked: every reading that the gateway said it keeps is stored exactly once, as it was measured, and every
row that is stored or quarantined is explained.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self

import psycopg
from households import Household

from faults.meters import POISON_MMHG, Meters, enrol, pressures
from faults.trial import Tally
from faults.world import TrialFailedError, World
from gateway.outbox import read_counts
from server.store.intake import check_accounts
from server.store.vault import open_envelope
from vitals.envelope import decode_stored_reading
from vitals.reading import Reading

START_S: Final = 20.0
QUIET_S: Final = 60.0
"""From the last fault until every receipt has come: several resends with their backoff, on a busy machine."""
QUIET_BAD_S: Final = 12.0
"""A bad build is not waited for as long: what it holds up for so long, it holds up."""

STORED: Final = """
select r.reading_id, r.measured_at, r.systolic_mmhg, r.diastolic_mmhg, w.raw, w.sent
from reading r left join reading_frames w using (reading_id)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Deed:
    """Something done to the line `at_s` seconds after the meters began."""

    at_s: float
    what: str
    do: Callable[[], object]


@dataclass(slots=True, kw_only=True)
class Line:
    """`with Line(world=world, how_many=300) as line: line.begin(); line.suffer(deeds); line.settle(); line.reckon()`.

    `gateway_port`, `intake_port`: where they find the broker, if not at its own port.
    """

    world: World
    how_many: int
    per_s: float = 150.0
    oversize: dict[int, int] = field(default_factory=dict)
    """Raw bytes of readings that no message can carry, by their number."""
    poison: set[int] = field(default_factory=set)
    """Readings that only the database refuses."""
    gateway_port: int | None = None
    intake_port: int | None = None
    outbox: Path | None = None
    gateway_prefix: Sequence[str] = ()
    quiet_s: float = QUIET_S
    is_set_back: bool = False
    """The database will be: then what was confirmed once need not be stored, and comes again when the server asks."""
    meters: Meters = field(init=False)
    readings: list[Reading] = field(default_factory=list, init=False)
    faults: int = 0
    _stack: ExitStack = field(default_factory=ExitStack, init=False)

    def __enter__(self) -> Self:
        world = self.world
        with psycopg.connect(world.database_url) as conn:
            home = enrol(conn)
            conn.execute(f"alter table reading add check (systolic_mmhg <> {POISON_MMHG})".encode())
        self.readings = pressures(home, self.how_many, poison=self.poison)
        self.outbox = self.outbox or world.trial.folder / "outbox.sqlite"
        path = world.trial.folder / "meters.socket"
        self.meters = Meters(path, self.readings, per_s=self.per_s, oversize=self.oversize)
        self._stack.callback(self.meters.close)
        world.start(
            "intake",
            "server",
            "run",
            "--role",
            "intake",
            env=world.server_environment(mqtt_port=self.intake_port or world.broker.port),
        )
        world.start(
            "gateway",
            "faults.feeder",
            str(path),
            env=self._gateway_environment(home),
            prefix=self.gateway_prefix,
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _gateway_environment(self, home: Household) -> dict[str, str]:
        settings = {
            "id": home.gateway_id,
            "zone": "Asia/Shanghai",
            "outbox": self.outbox,
            "mqtt_port": self.gateway_port or self.world.broker.port,
        }
        return {f"HOMEVIGIL_GATEWAY_{name.upper()}": str(value) for name, value in settings.items()}

    # -- what happens --------------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Wait until the line stands, then let the meters measure."""
        self.world.until(
            lambda: self.meters.is_connected and "mqtt_listening" in self.world.log_of("intake"),
            within_s=START_S,
            what="gateway and intake have started",
        )
        self.meters.begin()

    def suffer(self, deeds: Sequence[Deed]) -> None:
        """Do what is planned, each at its time; what is late is done at once."""
        began_at = time.monotonic()
        for deed in sorted(deeds, key=lambda each: each.at_s):
            while (left_s := began_at + deed.at_s - time.monotonic()) > 0:
                self.world.check_children()
                time.sleep(min(left_s, 0.05))
            deed.do()

    def settle(self) -> None:
        """Wait until every reading is kept and the server has said what became of it."""
        self.world.until(
            lambda: self.meters.are_done and self._waiting() == 0 and (not self.is_set_back or self._is_all_stored()),
            within_s=self.quiet_s if self.world.trial.bad is None else QUIET_BAD_S,
            what="the meters are rid of every reading, and the server has answered for each",
        )

    def _waiting(self) -> int | None:
        counts = self.meters.counts
        return None if counts is None or counts["kept"] < self.how_many else int(counts["unconfirmed"])

    def _is_all_stored(self) -> bool:
        with psycopg.connect(self.world.database_url) as conn:
            stored = conn.execute("select count(*) from reading").fetchone()
        return stored is not None and stored[0] >= len(self.readings) - len({*self.oversize, *self.poison})

    # -- the reckoning -------------------------------------------------------------------------------------------------

    def reckon(self) -> Tally:
        """End the programs, and compare what was kept with what is stored. Settled or not: what is lost is counted."""
        stuck = self._stuck()
        for name in ("gateway", "intake"):
            self.world.stop(name)
        rows, quarantined, poisoned, unbalanced, repeats = self._stored()
        unfit = {*self.oversize, *self.poison}
        wanted = {self._key(each): each for at, each in enumerate(self.readings) if at not in unfit}
        kept = {self._key(self.readings[at]) for at in self.meters.answered} & set(wanted)
        found = Counter(row["key"] for row in rows)
        lost = len(kept - set(found))
        doubled = sum(count - 1 for count in found.values())
        failures = [
            *([f"lost {lost} of {len(kept)} readings that the gateway had kept"] if lost else []),
            *([f"{doubled} readings are stored twice"] if doubled else []),
            *(f"a row that nobody measured: {row['key']}" for row in rows if row["key"] not in wanted),
            *_first("a reading is stored otherwise than it was measured: ", self._altered(rows, wanted)),
            *_first("in quarantine without a cause: ", quarantined),
            *self._not_poisoned(poisoned, kept),
            *(f"the account does not balance: {each}" for each in unbalanced),
            *(stuck or self._wrong_counts()),
        ]
        return Tally(
            trials=1,
            readings=len(kept),
            kills=self.world.kills,
            faults=self.faults,
            repeats=repeats,
            lost=lost,
            doubled=doubled,
            failures=tuple(failures),
        )

    def _stuck(self) -> tuple[str, ...]:
        try:
            self.settle()
        except TrialFailedError as e:
            return (str(e),)
        return ()

    @staticmethod
    def _key(reading: Reading) -> tuple[str, str]:
        """What makes a measurement one and the same, whatever id it goes by."""
        return str(reading.meter_time), reading.raw.hex()

    def _stored(self) -> tuple[list[dict[str, Any]], list[str], list[int], list[str], int]:
        with psycopg.connect(self.world.database_url) as conn:
            rows = []
            for reading_id, measured_at, systolic, diastolic, raw, sent in conn.execute(STORED).fetchall():
                reading = decode_stored_reading(open_envelope(sent, "reading_raw.sent", reading_id))
                raw = open_envelope(raw, "reading_raw.raw", reading_id)
                columns = (reading_id, measured_at, systolic, diastolic, raw)
                rows.append({"key": self._key(reading), "reading": reading, "columns": columns})
            detained = conn.execute("select reason, detail, seq from quarantine").fetchall()
            unbalanced = [str(each) for each in check_accounts(conn)]
            repeats = conn.execute("select coalesce(sum(repeated), 0) from gateway_account").fetchone()
            assert repeats is not None
        quarantined = [f"{reason} ({detail})" for reason, detail, _ in detained if reason != "poison"]
        poisoned = [seq for reason, _, seq in detained if reason == "poison"]
        return rows, quarantined, poisoned, unbalanced, int(repeats[0])

    def _not_poisoned(self, poisoned: Sequence[int], kept: set[tuple[str, str]]) -> Iterator[str]:
        """Only what the database refuses lies in quarantine as poison, once each; a neighbour in it is not stored."""
        wanted = len(self.poison & self.meters.answered)
        if len(poisoned) != wanted:
            yield f"{len(poisoned)} readings in quarantine as poison, {wanted} were; {len(kept)} others were kept"

    def _altered(self, rows: Sequence[dict[str, Any]], wanted: dict[tuple[str, str], Reading]) -> Iterator[str]:
        """Rows whose document or columns are not what the meter gave."""
        for row in rows:
            measured = wanted.get(row["key"])
            if measured is None:
                continue
            pressure: Any = measured.measurement
            columns = (
                measured.reading_id,
                measured.measured_at,
                pressure.systolic_mmhg,
                pressure.diastolic_mmhg,
                measured.raw,
            )
            if row["reading"] != measured or row["columns"] != columns:
                yield f"{row['reading']} instead of {measured}"

    def _wrong_counts(self) -> list[str]:
        """The outbox's own counts, from its file, against what happened."""
        assert self.outbox is not None
        counts = read_counts(self.outbox)
        unfit = len(self.oversize) + len(self.poison)
        # Fewer may be counted as refused: who brought the word was killed, and a later watermark covers the number.
        is_right = (
            (counts.kept, counts.unconfirmed, counts.unsendable) == (self.how_many, 0, len(self.oversize))
            and counts.confirmed + counts.rejected == self.how_many
            and counts.rejected <= unfit
        )
        return [] if is_right else [f"{self.how_many} kept, {unfit} unfit: the outbox counts otherwise: {counts}"]


def _first(words: str, found: "Iterator[str] | Sequence[str]") -> Iterator[str]:
    """The first of many like failures, with how many there are."""
    every = list(found)
    if every:
        yield words + every[0] + (f" (and {len(every) - 1} more)" if len(every) > 1 else "")
