"""What the server says it has of each outbox, against a plain set of numbers: any order, repeats, batches, epochs, failures.

Real ledger, real PostgreSQL. A receipt may confirm a seq only if it is in the set, and must confirm every one that it can.
"""

from datetime import UTC, date, datetime, timedelta
from typing import ClassVar, Final

import hypothesis.strategies as st
import msgspec
import psycopg
from households import Household, enrol
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from server.arrivals import open_message
from server.ledger import commit_arrivals
from server.store import intake as store
from vitals.envelope import Receipt, decode_receipt, encode_envelope, encode_reading, encode_receipt
from vitals.reading import Reading

ENROLLED_ON: Final = date(2026, 3, 1)
FIRST_AT: Final = datetime(2026, 3, 2, 7, tzinfo=UTC)
EPOCHS: Final = ("a" * 16, "b" * 16)
HOMES: Final = 2

Sent = tuple[int, int, list[int]]
"""One message: which home, which epoch, which seqs."""

messages = st.tuples(
    st.integers(0, HOMES - 1), st.integers(0, len(EPOCHS) - 1), st.lists(st.integers(1, 14), min_size=1, max_size=6)
)
batches = st.lists(messages, min_size=1, max_size=4)


class _CommitFailedError(Exception):
    """The database goes away at the end of a transaction."""


class WatermarkMachine(RuleBasedStateMachine):
    """The model: the seqs of each outbox that a committed transaction has answered, and the readings that are stored."""

    connection: ClassVar[psycopg.Connection]

    def __init__(self) -> None:
        super().__init__()
        with self.connection.transaction():
            self.homes: list[Household] = [enrol(self.connection, enrolled_on=ENROLLED_ON) for _ in range(HOMES)]
        self.answered: dict[tuple[int, int], set[int]] = {}
        self.stored: set[bytes] = set()

    @rule(batch=batches)
    def come_in(self, batch: list[Sent]) -> None:
        with self.connection.transaction():
            receipts = self._commit(batch)
        for home, epoch, seqs in batch:
            self.answered.setdefault((home, epoch), set()).update(seqs)
            self.stored |= {self._reading(home, epoch, seq).reading_id.bytes for seq in seqs if not _is_bad(seq)}
        for (home, epoch, seqs), receipt in zip(batch, receipts, strict=True):
            assert receipt is not None
            self._check(decode_receipt(encode_receipt(receipt)), home, epoch, set(seqs))

    @rule(batch=batches)
    def come_in_while_the_database_fails(self, batch: list[Sent]) -> None:
        try:
            with self.connection.transaction():
                self._commit(batch)
                raise _CommitFailedError
        except _CommitFailedError:
            pass

    @invariant()
    def holes_are_those_of_the_model(self) -> None:
        for number, home in enumerate(self.homes):
            found = {life.epoch: life for life in store.outbox_lives(self.connection, home.gateway_id)}
            known = {EPOCHS[epoch]: seqs for (of, epoch), seqs in self.answered.items() if of == number}
            assert found.keys() == known.keys()
            for epoch, seqs in known.items():
                assert (found[epoch].highest, found[epoch].missing) == (max(seqs), max(seqs) - len(seqs))
                assert (found[epoch].hole_since is None) == (len(seqs) == max(seqs))

    def teardown(self) -> None:
        mine = [home.gateway_id for home in self.homes]
        query = "select reading_id from reading where gateway_id = any(%s)"
        assert {row[0].bytes for row in self.connection.execute(query, (mine,))} == self.stored
        assert store.check_accounts(self.connection, count_rows=False) == ()

    def _commit(self, batch: list[Sent]) -> tuple[Receipt | None, ...]:
        arrivals = [open_message(self._envelope(*sent), topic_gateway=self.homes[sent[0]].gateway_id) for sent in batch]
        return commit_arrivals(self.connection, arrivals, quiet=False)

    def _envelope(self, home: int, epoch: int, seqs: list[int]) -> bytes:
        rows = [(seq, encode_reading(self._reading(home, epoch, seq))) for seq in seqs]
        return encode_envelope(self.homes[home].gateway_id, EPOCHS[epoch], rows)

    def _reading(self, home: int, epoch: int, seq: int) -> Reading:
        """The second outbox of a home has some of the readings of the first again, under other numbers."""
        reading = self.homes[home].pressure(FIRST_AT + timedelta(minutes=seq + 3 * epoch))
        return msgspec.structs.replace(reading, meter_id=f"nobodys-{home}") if _is_bad(seq) else reading

    def _check(self, receipt: Receipt, home: int, epoch: int, seqs: set[int]) -> None:
        answered = self.answered[home, epoch]
        upto = next(seq for seq in range(1, 99) if seq not in answered) - 1
        assert receipt.epoch == EPOCHS[epoch]
        assert receipt.upto == upto
        assert set(receipt.extra) == {seq for seq in seqs if seq > upto}
        assert {each.seq: each.reason for each in receipt.rejected} == dict.fromkeys(
            filter(_is_bad, seqs), "unknown_meter"
        )


def _is_bad(seq: int) -> bool:
    """Every fourth reading is of a meter that is nobody's."""
    return seq % 4 == 3
