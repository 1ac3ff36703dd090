"""The outbox against a model of it, through any order of keeping, receipts, restarts and purges."""

import shutil
import tempfile
from datetime import timedelta
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from unit.gateway.samples import NOW, evidence, reading

from gateway.outbox import Outbox
from gateway.outbox_rows import Unbelieved
from vitals.envelope import Receipt, Rejection, decode_stored_reading

seqs = st.integers(1, 12)


class OutboxMachine(RuleBasedStateMachine):
    """The model: which reading has which seq, and what has become of each."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.outbox = Outbox(self.folder / "outbox.sqlite", now=NOW)
        self.seq_of: dict[int, int] = {}
        self.state: dict[int, str] = {}
        self.now = NOW

    def teardown(self) -> None:
        self.outbox.close()
        shutil.rmtree(self.folder)

    @rule(nth=st.integers(0, 15), is_held=st.booleans())
    def keep(self, nth: int, is_held: bool) -> None:
        unbelieved = Unbelieved(boot_id="b", since_boot_s=1.0, evidence=evidence()) if is_held else None
        seq = self.outbox.keep(reading(nth), unbelieved=unbelieved)
        if nth in self.seq_of:
            assert seq is None
            return
        assert seq == len(self.seq_of) + 1
        self.seq_of[nth] = seq
        self.state[seq] = "held" if is_held else "waiting"

    @rule(
        upto=st.integers(0, 12),
        extra=st.lists(seqs, max_size=3),
        rejected=st.lists(seqs, max_size=2),
        is_ours=st.integers(0, 4).map(bool),
    )
    def receive(self, upto: int, extra: list[int], rejected: list[int], is_ours: bool) -> None:
        receipt = Receipt(
            epoch=self.outbox.epoch if is_ours else "f" * 16,
            upto=upto,
            extra=tuple(extra),
            rejected=tuple(Rejection(seq=seq, reason="range") for seq in rejected),
        )
        self.outbox.apply(receipt, now=self.now)
        if not is_ours or max([upto, *extra, *rejected]) > len(self.seq_of):
            return
        for seq, state in self.state.items():
            if state == "waiting" and seq in rejected:
                self.state[seq] = "rejected"
            elif state == "waiting" and (seq <= upto or seq in extra):
                self.state[seq] = "confirmed"

    @precondition(lambda self: "held" in self.state.values())
    @rule()
    def settle(self) -> None:
        held = self.outbox.held(1)[0]
        self.outbox.settle(held.seq, held.reading)
        self.state[held.seq] = "waiting"

    @rule()
    def restart(self) -> None:
        epoch, path = self.outbox.epoch, self.outbox.path
        self.outbox.close()
        self.outbox = Outbox(path, now=self.now)
        assert self.outbox.epoch == epoch

    @rule(days=st.integers(0, 40))
    def purge(self, days: int) -> None:
        self.now += timedelta(days=days)
        self.outbox.purge(now=self.now)

    @invariant()
    def exactly_the_waiting_readings_are_to_be_sent_unaltered(self) -> None:
        nth_of = {seq: nth for nth, seq in self.seq_of.items()}
        rows = self.outbox.unconfirmed(100)
        assert [row.seq for row in rows] == sorted(seq for seq, state in self.state.items() if state == "waiting")
        for row in rows:
            assert decode_stored_reading(row.body) == reading(nth_of[row.seq])

    @invariant()
    def every_reading_ever_kept_is_counted_once(self) -> None:
        counts = self.outbox.counts()
        states = list(self.state.values())
        assert counts.kept == len(states)
        assert counts.held == states.count("held")
        assert counts.unconfirmed == states.count("held") + states.count("waiting")
        assert counts.confirmed == states.count("confirmed")
        assert counts.rejected == states.count("rejected")


OutboxMachine.TestCase.settings = settings(max_examples=25, stateful_step_count=25, deadline=None)
test_the_outbox_does_what_its_model_does = OutboxMachine.TestCase
